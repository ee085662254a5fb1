//! `log`: one JSON line per event on stdout.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::lines::{Lines, Sink};
use super::{EventLine, NodeError};
use crate::event::Event;

/// Lines of events that arrive within this time leave in one write.
const FLUSH_AFTER: Duration = Duration::from_millis(5);

/// Writes events to stdout.
#[derive(Default)]
pub struct Log {
    lines: Lines<Stdout>,
}

#[derive(Default)]
struct Stdout;

impl Sink for Stdout {
    fn write(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        write(&mut stdout)?;
        stdout.flush()
    }
}

impl Log {
    pub(super) fn run(&mut self, event: &Event<'_>, line: &mut EventLine) -> Result<(), NodeError> {
        self.lines.append(event, line).map_err(failed)
    }

    pub(super) fn flush_due(&self) -> Option<Instant> {
        self.lines.held_since().map(|since| since + FLUSH_AFTER)
    }

    pub(super) fn flush(&mut self) -> Result<(), NodeError> {
        self.lines.flush().map_err(failed)
    }
}

fn failed(error: io::Error) -> NodeError {
    NodeError { node: "log", reason: format!("cannot write to stdout: {error}") }
}
