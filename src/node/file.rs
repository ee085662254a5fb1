//! `file`: one JSON line per event at the end of a file (NDJSON), written within 100 ms.
//!
//! | file | what |
//! | --- | --- |
//! | `shared` | the open files, one descriptor and one lock for each, however many nodes write there |
//! | `named` | files whose name a template makes of each event |
//! | `rotate` | the names of files that were set aside, their order, and which of them stay |

mod named;
mod rotate;
mod shared;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use named::NamedFiles;
pub use shared::{Files, SharedFile};

use super::NodeError;
use super::lines::Lines;
use crate::config::Rotation;

/// How long a line may be held back. Half of the 100 ms promised, so that a busy worker still keeps the promise.
const FLUSH_AFTER: Duration = Duration::from_millis(50);

/// Appends events to a file.
pub type File = Lines<Arc<SharedFile>>;

/// Opens `path` for appending; makes it, readable by its owner only, if it is not there.
pub(super) fn open(path: &Path, rotation: Rotation, files: &Files) -> Result<File, NodeError> {
    let failed =
        |error| NodeError { node: "file", reason: format!("cannot append to {}: {error}", path.display()) };
    Ok(Lines::new(files.open(path, rotation).map_err(failed)?, FLUSH_AFTER))
}

#[cfg(test)]
mod tests;
