//! `file`: one JSON line per event at the end of a file (NDJSON), written within 100 ms.
//!
//! | file | what |
//! | --- | --- |
//! | `shared` | the open files, one descriptor and one lock for each, however many nodes write there |
//! | `rotate` | the names of files that were set aside, their order, and which of them stay |

mod rotate;
mod shared;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use shared::Files;

use super::lines::Lines;
use super::{EventLine, NodeError};
use crate::config::Rotation;
use crate::event::Event;
use shared::SharedFile;

/// How long a line may be held back. Half of the 100 ms promised, so that a busy worker still keeps the promise.
const FLUSH_AFTER: Duration = Duration::from_millis(50);

/// Appends events to a file.
pub struct File {
    lines: Lines<Arc<SharedFile>>,
}

impl File {
    /// Opens `path` for appending; makes it, readable by its owner only, if it is not there.
    pub(super) fn open(path: &Path, rotation: Rotation, files: &Files) -> Result<Self, NodeError> {
        let file = files.open(path, rotation).map_err(|error| failed(path, &error))?;
        Ok(Self { lines: Lines::new(file) })
    }

    pub(super) fn run(&mut self, event: &Event<'_>, line: &mut EventLine) -> Result<(), NodeError> {
        let written = self.lines.append(event, line);
        written.map_err(|error| failed(self.lines.sink().path(), &error))
    }

    pub(super) fn flush_due(&self) -> Option<Instant> {
        self.lines.held_since().map(|since| since + FLUSH_AFTER)
    }

    pub(super) fn flush(&mut self) -> Result<(), NodeError> {
        let written = self.lines.flush();
        written.map_err(|error| failed(self.lines.sink().path(), &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> NodeError {
    NodeError { node: "file", reason: format!("cannot append to {}: {error}", path.display()) }
}

#[cfg(test)]
mod tests;
