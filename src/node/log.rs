//! `log`: one JSON line per event on stdout.

use std::io::{self, Write};
use std::time::Duration;

use super::lines::{Lines, Sink};

/// Lines of events that arrive within this time leave in one write.
const FLUSH_AFTER: Duration = Duration::from_millis(5);

/// Writes events to stdout.
pub type Log = Lines<Stdout>;

/// The standard output of the process.
pub struct Stdout;

impl Sink for Stdout {
    const NODE: &'static str = "log";

    fn write(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        write(&mut stdout)?;
        stdout.flush()
    }

    fn purpose(&self) -> String {
        "write to stdout".to_owned()
    }
}

pub(super) fn open() -> Log {
    Lines::new(Stdout, FLUSH_AFTER)
}
