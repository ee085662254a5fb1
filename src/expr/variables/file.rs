//! The file of one webhook's variables: one JSON object, a line for each variable, replaced as a whole.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{TOTAL_BYTES_MAX, VARIABLES_MAX};

/// A file larger than this was not written by us: each variable adds a few bytes of punctuation, and escapes in its
/// name may take six bytes for one.
const FILE_BYTES_MAX: u64 = (6 * TOTAL_BYTES_MAX + 16 * VARIABLES_MAX) as u64;

/// Why the variables of a webhook could not be loaded.
#[derive(Debug)]
pub struct LoadError {
    path: PathBuf,
    reason: String,
}

impl LoadError {
    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason } = self;
        let path = path.display();
        write!(
            f,
            "cannot load the variables in {path}: {reason}; mend the file, or move it away to start with none"
        )
    }
}

impl std::error::Error for LoadError {}

/// Reads the file; nothing if there is none.
pub(super) fn read(path: &Path) -> Result<Map<String, Value>, LoadError> {
    let failed = |error: io::Error| LoadError::damaged(path, error.to_string());
    let text = match fs::metadata(path) {
        Ok(found) if found.len() > FILE_BYTES_MAX => {
            return Err(LoadError::damaged(path, format!("it is larger than {FILE_BYTES_MAX} bytes")));
        }
        Ok(_) => fs::read(path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(failed(error)),
    };
    serde_json::from_slice(&text).map_err(|error| LoadError::damaged(path, error.to_string()))
}

/// The text of the file.
pub(super) fn render<'v>(variables: impl Iterator<Item = (&'v String, &'v Value)>) -> io::Result<Vec<u8>> {
    let mut text = b"{".to_vec();
    for (at, (name, value)) in variables.enumerate() {
        text.extend_from_slice(if at == 0 { b"\n" } else { b",\n" });
        serde_json::to_writer(&mut text, name)?;
        text.extend_from_slice(b": ");
        serde_json::to_writer(&mut text, value)?;
    }
    text.extend_from_slice(b"\n}\n");
    Ok(text)
}

/// Replaces the file: a new one beside it, synced, takes its name, and the folder is synced.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let beside = folder.join(name);
    // Left over from a crash, perhaps with other permissions.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written =
        file.write_all(text).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}
