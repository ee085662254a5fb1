//! The files that nodes append to. Every node that names the same file, on whichever worker, shares one descriptor
//! and one lock, so that lines never mix and the file is rotated once.
//!
//! Before a batch of whole lines is written, and never within one, the file is looked after: opened anew if its name
//! leads elsewhere by now (logrotate moved it, somebody removed it), and set aside if it is large or old enough.
//! When that fails, the batch is written all the same, to the file that is open.

use std::collections::HashMap;
use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use super::super::lines::Sink;
use super::rotate::Aside;
use crate::config::Rotation;

/// How often it is seen whether the name still leads to the open file, and how soon a rotation that failed is tried
/// again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A rotation that keeps failing is reported this often.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The files that nodes of this process have open. A file is closed when its last node is gone.
#[derive(Default)]
pub struct Files {
    open: Mutex<HashMap<PathBuf, Weak<SharedFile>>>,
}

/// A file that is only appended to, for any thread.
pub struct SharedFile {
    /// Absolute, without links: what is renamed is the file, and not a link to it.
    path: PathBuf,
    /// What was asked for last. On its own: whoever asks must not wait for a write that stands still.
    rotation: Mutex<Rotation>,
    appended: Mutex<Appended>,
}

struct Appended {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    /// Device and inode; `None` for a device, which is neither moved nor rotated.
    identity: Option<(u64, u64)>,
    /// When its first line was written; `None`: there is none yet. Of a file that was there before, it is when the
    /// file was made or, where the file system does not know, last written.
    since: Option<SystemTime>,
    /// The last write failed half way: the next line starts on a line of its own.
    torn: bool,
    looked: Option<SystemTime>,
    failed: Option<SystemTime>,
    reported: Option<SystemTime>,
}

impl Files {
    /// The file at `path`, made if it is not there. Its rotation is what was asked for last.
    ///
    /// # Errors
    /// When it cannot be opened, or is nothing that can be appended to or rotated.
    pub(super) fn open(&self, path: &Path, rotation: Rotation) -> io::Result<Arc<SharedFile>> {
        let (file, found) = open(path)?;
        if rotation.is_on() && !found.is_file() {
            return Err(io::Error::other("it is a character device, which cannot be rotated"));
        }
        let path = path.canonicalize()?;
        let mut open = locked(&self.open);
        if let Some(shared) = open.get(&path).and_then(Weak::upgrade) {
            *locked(&shared.rotation) = rotation;
            return Ok(shared);
        }
        let appended = Mutex::new(Appended::new(path.clone(), rotation, file, &found));
        let shared = Arc::new(SharedFile { path: path.clone(), rotation: Mutex::new(rotation), appended });
        open.retain(|_, file| file.strong_count() > 0);
        open.insert(path, Arc::downgrade(&shared));
        Ok(shared)
    }
}

impl SharedFile {
    /// Writes one batch of whole lines at the end of the file, which is rotated before if that is due at `now`.
    /// It blocks for as long as the disk does; any thread may call it.
    ///
    /// # Errors
    /// When lines could not be written. A rotation that failed is reported here, and is no error of the lines.
    pub(super) fn append(
        &self,
        now: SystemTime,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let rotation = *locked(&self.rotation);
        let mut appended = locked(&self.appended);
        appended.rotation = rotation;
        let mended = appended.mend();
        appended.look_after(now);
        if appended.torn {
            // On a full disk, removing the oldest file may just have helped.
            mended.or_else(|_| appended.mend())?;
        }
        appended.since.get_or_insert(now);
        let written = write(&mut appended.file);
        appended.torn = written.is_err();
        written
    }
}

impl Sink for Arc<SharedFile> {
    const NODE: &'static str = "file";

    fn write(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        self.append(SystemTime::now(), write)
    }

    fn purpose(&self) -> String {
        format!("append to {}", self.path.display())
    }
}

impl Appended {
    fn new(path: PathBuf, rotation: Rotation, file: File, found: &Metadata) -> Self {
        let begun = (found.len() > 0).then(|| found.created().or_else(|_| found.modified()).ok());
        Self {
            path,
            rotation,
            file,
            identity: found.is_file().then(|| (found.dev(), found.ino())),
            since: begun.flatten(),
            torn: false,
            looked: None,
            failed: None,
            reported: None,
        }
    }

    /// Ends a line that was cut short.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        Ok(())
    }

    /// Sees that the next batch goes where it belongs. What cannot be done is reported; it will be tried again.
    fn look_after(&mut self, now: SystemTime) {
        if self.identity.is_none() || !is_over(self.failed, LOOK_EVERY, now) {
            return;
        }
        match self.renew(now) {
            Ok(()) => self.failed = None,
            Err(error) => {
                self.failed = Some(now);
                let what = format_args!("cannot start a new file: {error}; lines go on into the old one");
                self.report(now, what);
            }
        }
    }

    fn report(&mut self, now: SystemTime, what: fmt::Arguments<'_>) {
        if is_over(self.reported, REPORT_EVERY, now) {
            self.reported = Some(now);
            tracing::warn!(file = %self.path.display(), "node `file`: {what}");
        }
    }

    fn renew(&mut self, now: SystemTime) -> io::Result<()> {
        if is_over(self.looked, LOOK_EVERY, now) {
            self.looked = Some(now);
            if !self.is_in_place()? {
                return self.reopen();
            }
        }
        if !self.is_due(now)? {
            return Ok(());
        }
        // Only our own file is ever renamed.
        if !self.is_in_place()? {
            return self.reopen();
        }
        let mut aside = Aside::list(&self.path)?;
        aside.take(&self.path, now)?;
        let permissions = self.file.metadata()?.permissions();
        self.reopen()?;
        // One that fails does not keep the others from being done.
        let done = [self.file.set_permissions(permissions), aside.keep(self.rotation.keep), aside.sync()];
        if let Some(error) = done.into_iter().find_map(Result::err) {
            self.report(now, format_args!("the new file is there, but what belongs to it failed: {error}"));
        }
        Ok(())
    }

    /// Whether the name leads to the open file.
    fn is_in_place(&self) -> io::Result<bool> {
        match self.path.metadata() {
            Ok(found) => Ok(self.identity == Some((found.dev(), found.ino()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Goes on with the file that the name leads to.
    fn reopen(&mut self) -> io::Result<()> {
        let (file, found) = open(&self.path)?;
        let (reported, looked) = (self.reported, self.looked);
        *self = Self::new(self.path.clone(), self.rotation, file, &found);
        (self.reported, self.looked) = (reported, looked);
        Ok(())
    }

    /// Whether the file is large or old enough. An empty one never is.
    fn is_due(&self, now: SystemTime) -> io::Result<bool> {
        let Rotation { bytes, after, .. } = self.rotation;
        if after.zip(self.since).is_some_and(|(after, since)| {
            // A clock that was set back makes no file old.
            now.duration_since(since).is_ok_and(|age| age >= after)
        }) {
            return Ok(true);
        }
        // Asked of the system and not counted: others may append to it, or truncate it.
        Ok(match bytes {
            Some(bytes) => self.since.is_some() && self.file.metadata()?.len() >= bytes.max(1),
            None => false,
        })
    }
}

/// Opens `path` for appending.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // Without O_NONBLOCK, opening a FIFO would wait for a reader and hold up the start for ever.
    let mut options = OpenOptions::new();
    let file = options.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() && !found.file_type().is_char_device() {
        return Err(io::Error::other("it is neither a regular file nor a character device"));
    }
    Ok((file, found))
}

/// Whether `span` has passed since `then`. A clock that was set back counts as passed, or it would stop us for long.
fn is_over(then: Option<SystemTime>, span: Duration, now: SystemTime) -> bool {
    then.is_none_or(|then| now.duration_since(then).is_ok_and(|passed| passed >= span) || now < then)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A file and what is known of it are whole even if a holder panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
