//! `file`: one JSON line per event at the end of a file (NDJSON), written within 100 ms.
//!
//! Every node that names the same file, on whichever worker, shares one descriptor and one lock, so that lines never
//! mix. After a write that failed half way, the next line starts on a line of its own.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::NodeError;
use super::lines::{Lines, Sink};

/// How long a line may be held back. Half of the 100 ms promised, so that a busy worker still keeps the promise.
const FLUSH_AFTER: Duration = Duration::from_millis(50);

/// The files that nodes of this process have open.
#[derive(Default)]
pub struct Files {
    open: Mutex<HashMap<PathBuf, Arc<Mutex<Appended>>>>,
}

/// A file that is only appended to.
struct Appended {
    file: std::fs::File,
    /// The last write failed half way.
    torn: bool,
}

/// Appends events to a file.
pub type File = Lines<SharedFile>;

/// One node's share of a file.
pub struct SharedFile {
    path: PathBuf,
    file: Arc<Mutex<Appended>>,
}

/// Opens `path` for appending; makes it, readable by its owner only, if it is not there.
pub(super) fn open(path: &Path, files: &Files) -> Result<File, NodeError> {
    let open = || -> io::Result<Arc<Mutex<Appended>>> {
        // Without O_NONBLOCK, opening a FIFO would wait for a reader and hold up the start for ever.
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK).open(path)?;
        let kind = file.metadata()?.file_type();
        if !kind.is_file() && !kind.is_char_device() {
            return Err(io::Error::other("it is neither a regular file nor a character device"));
        }
        let path = path.canonicalize()?;
        let mut open = locked(&files.open);
        let shared = open.entry(path).or_insert_with(|| Arc::new(Mutex::new(Appended { file, torn: false })));
        Ok(shared.clone())
    };
    let file = open().map_err(|error| failed(path, &error))?;
    Ok(Lines::new(SharedFile { path: path.to_path_buf(), file }, FLUSH_AFTER))
}

impl Sink for SharedFile {
    const NODE: &'static str = "file";

    fn write(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut appended = locked(&self.file);
        if appended.torn {
            appended.file.write_all(b"\n")?;
            appended.torn = false;
        }
        let result = write(&mut appended.file);
        appended.torn = result.is_err();
        result
    }

    fn purpose(&self) -> String {
        format!("append to {}", self.path.display())
    }
}

fn failed(path: &Path, error: &io::Error) -> NodeError {
    NodeError { node: "file", reason: format!("cannot append to {}: {error}", path.display()) }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A file and its flag are whole even if a holder panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
