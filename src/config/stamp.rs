//! What tells one state of a file from another.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file that a config was read from, as it stood just before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    /// Which.
    pub path: PathBuf,
    /// How it stood; `None`: it was not there.
    pub stamp: Option<Stamp>,
}

impl ReadFile {
    /// The file at `path`, which is about to be read.
    pub fn about_to_be_read(path: &Path) -> Self {
        Self { path: path.to_owned(), stamp: Stamp::of(path) }
    }
}

/// One state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The state of the file at `path`, if there is one.
    pub fn of(path: &Path) -> Option<Self> {
        let found = path.metadata().ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}
