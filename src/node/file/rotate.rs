//! Files that were set aside: `events.ndjson` becomes `events.2026-11-25T03-47-31.123Z.ndjson` beside it.
//!
//! The names, in plain byte order, stand in the order of the lines, whatever the clock does: a name is always after
//! the last one that is there. If the time alone would not be, it gets a counter, `…31.123Z_0001.ndjson`, and `_` is
//! after `.`. No file is ever overwritten, and no file is removed whose name was not made here.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// The last millisecond of the year 9999, after which RFC 3339 has no name for a time.
const MILLIS_MAX: u64 = 253_402_300_799_999;
/// Beyond it the time moves on by a millisecond.
const COUNT_MAX: u16 = 9_999;
/// A name that another program takes between look and rename is passed over; so many in a row are no accident.
const ATTEMPTS: usize = 16;

/// When a file was set aside, in the order of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stamp {
    /// Since 1970.
    millis: u64,
    count: u16,
}

impl Stamp {
    /// `now`, or the first that is after `last`; `None` at the end of time.
    fn next(now: SystemTime, last: Option<Self>) -> Option<Self> {
        let millis = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
        let millis = u64::try_from(millis).unwrap_or(MILLIS_MAX).min(MILLIS_MAX);
        match last {
            Some(last) if last.millis < millis => Some(Self { millis, count: 0 }),
            Some(last) if last.count < COUNT_MAX => Some(Self { count: last.count + 1, ..last }),
            Some(last) if last.millis < MILLIS_MAX => Some(Self { millis: last.millis + 1, count: 0 }),
            Some(_) => None,
            None => Some(Self { millis, count: 0 }),
        }
    }

    /// `2026-11-25T03-47-31.123Z`: RFC 3339 without colons, which some systems and tools take for something else.
    fn text(self) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(self.millis);
        let time = humantime::format_rfc3339_millis(time).to_string().replace(':', "-");
        if self.count == 0 { time } else { format!("{time}_{:04}", self.count) }
    }

    fn parse(text: &str) -> Option<Self> {
        let (time, count) = match text.split_once('_') {
            Some((time, count)) => (time, count.parse().ok()?),
            None => (text, 0),
        };
        let (date, clock) = time.split_once('T')?;
        let time = humantime::parse_rfc3339(&format!("{date}T{}", clock.replace('-', ":"))).ok()?;
        let millis = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
        let stamp = Self { millis: u64::try_from(millis).ok()?, count };
        // Only what we would have written ourselves is ours.
        (stamp.text() == text).then_some(stamp)
    }
}

/// The files that one file was set aside to.
pub struct Aside {
    directory: PathBuf,
    stem: OsString,
    /// With its dot; empty if there is none.
    extension: OsString,
    /// Oldest first.
    stamps: Vec<Stamp>,
}

impl Aside {
    /// What was set aside of `path` so far.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(path: &Path) -> io::Result<Self> {
        let (Some(directory), Some(stem)) = (path.parent(), path.file_stem()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        let mut extension = OsString::new();
        if let Some(written) = path.extension() {
            extension.push(".");
            extension.push(written);
        }
        let mut aside =
            Self { directory: directory.to_owned(), stem: stem.to_owned(), extension, stamps: Vec::new() };
        for entry in fs::read_dir(directory)? {
            let stamp = aside.stamp_of(&entry?.file_name());
            aside.stamps.extend(stamp);
        }
        aside.stamps.sort_unstable();
        Ok(aside)
    }

    fn stamp_of(&self, name: &OsStr) -> Option<Stamp> {
        let rest = name.as_bytes().strip_prefix(self.stem.as_bytes())?.strip_prefix(b".")?;
        let stamp = rest.strip_suffix(self.extension.as_bytes())?;
        Stamp::parse(std::str::from_utf8(stamp).ok()?)
    }

    fn path_of(&self, stamp: Stamp) -> PathBuf {
        let mut name = self.stem.clone();
        name.push(".");
        name.push(stamp.text());
        name.push(&self.extension);
        self.directory.join(name)
    }

    /// Sets `path` aside under a new name.
    ///
    /// # Errors
    /// When it cannot be renamed, such as in a directory that is read-only; it is then where it was.
    pub fn take(&mut self, path: &Path, now: SystemTime) -> io::Result<()> {
        let mut last = self.stamps.last().copied();
        for _ in 0..ATTEMPTS {
            let stamp = Stamp::next(now, last).ok_or(io::ErrorKind::InvalidFilename)?;
            match rename(path, &self.path_of(stamp)) {
                Ok(()) => {
                    self.stamps.push(stamp);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some(stamp),
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes the oldest, but for the last `keep`; 0 keeps all.
    ///
    /// # Errors
    /// When one could not be removed; the others are, all the same.
    pub fn keep(&mut self, keep: usize) -> io::Result<()> {
        let surplus = if keep == 0 { 0 } else { self.stamps.len().saturating_sub(keep) };
        let mut result = Ok(());
        for stamp in self.stamps.drain(..surplus).collect::<Vec<_>>() {
            match fs::remove_file(self.path_of(stamp)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => result = Err(error),
                _ => {}
            }
        }
        result
    }

    /// Makes the names survive a power cut.
    ///
    /// # Errors
    /// When the system could not.
    pub fn sync(&self) -> io::Result<()> {
        match File::open(&self.directory)?.sync_all() {
            // Some file systems know no such thing for a directory.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }
}

/// Renames without ever replacing a file.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system, such as NFS, or the kernel does not have it. Between look and rename another could take
        // the name; it is one of milliseconds, in our own directory.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        done => done.map_err(io::Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    const NOW: u64 = 1_795_578_451_123;

    #[test]
    fn names() {
        for (path, stamp, expected) in [
            ("events.ndjson", (NOW, 0), "events.2026-11-25T03-47-31.123Z.ndjson"),
            ("events.ndjson", (NOW, 7), "events.2026-11-25T03-47-31.123Z_0007.ndjson"),
            ("events", (0, 0), "events.1970-01-01T00-00-00.000Z"),
            (".events", (0, 9_999), ".events.1970-01-01T00-00-00.000Z_9999"),
            ("a.tar.gz", (MILLIS_MAX, 1), "a.tar.9999-12-31T23-59-59.999Z_0001.gz"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let aside = Aside::list(&directory.path().join(path)).unwrap();
            let stamp = Stamp { millis: stamp.0, count: stamp.1 };
            assert_eq!(aside.path_of(stamp), directory.path().join(expected));
            assert_eq!(aside.stamp_of(OsStr::new(expected)), Some(stamp), "{expected}");
        }
    }

    #[test]
    fn what_we_did_not_name_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let aside = Aside::list(&directory.path().join("events.ndjson")).unwrap();
        for name in [
            "events.ndjson",
            "events..ndjson",
            "events.2026-11-25.ndjson",
            "events.2026-11-25T03-47-31.123Z",
            "events.2026-11-25T03-47-31.123Z.ndjson.gz",
            "events.2026-11-25T03-47-31.1234Z.ndjson",
            "events.2026-11-25T03:47:31.123Z.ndjson",
            "events.2026-11-25T03-47-31Z.ndjson",
            "events.2026-13-25T03-47-31.123Z.ndjson",
            "events.2026-11-25T03-47-31.123Z_1.ndjson",
            "events.2026-11-25T03-47-31.123Z_0000.ndjson",
            "events.2026-11-25T03-47-31.123Z_00001.ndjson",
            "events.2026-11-25T03-47-31.123Z_+001.ndjson",
            "other.2026-11-25T03-47-31.123Z.ndjson",
            "my-events.2026-11-25T03-47-31.123Z.ndjson",
        ] {
            assert_eq!(aside.stamp_of(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn the_next_is_always_after_the_last() {
        let stamp = |millis, count| Stamp { millis, count };
        for (now, last, expected) in [
            (5, None, Some(stamp(5, 0))),
            (5, Some(stamp(4, 3)), Some(stamp(5, 0))),
            (5, Some(stamp(5, 0)), Some(stamp(5, 1))),
            (5, Some(stamp(9, 1)), Some(stamp(9, 2))),
            (5, Some(stamp(5, COUNT_MAX)), Some(stamp(6, 0))),
            (5, Some(stamp(MILLIS_MAX, COUNT_MAX)), None),
            (u64::MAX / 2, None, Some(stamp(MILLIS_MAX, 0))),
        ] {
            assert_eq!(Stamp::next(at(now), last), expected);
        }
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(Stamp::next(before_1970, None), Some(stamp(0, 0)));
    }

    proptest! {
        /// The order of names, compared as bytes, is the order of stamps; and a name says its stamp.
        #[test]
        fn names_sort_as_stamps_do(
            a in (NOW - 2..NOW + 2, 0..3_u16), b in (0..=MILLIS_MAX, 0..=COUNT_MAX), near in any::<bool>(),
        ) {
            let other = Aside {
                directory: PathBuf::new(),
                stem: "events".into(),
                extension: ".ndjson".into(),
                stamps: Vec::new(),
            };
            let a = Stamp { millis: a.0, count: a.1 };
            let b = if near { Stamp { millis: NOW, count: b.1 % 3 } } else { Stamp { millis: b.0, count: b.1 } };
            let name = |stamp| other.path_of(stamp).into_os_string();
            prop_assert_eq!(name(a).cmp(&name(b)), a.cmp(&b));
            prop_assert_eq!(other.stamp_of(&name(b)), Some(b));
        }
    }

    #[test]
    fn a_name_that_is_taken_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("e.log");
        let mut aside = Aside::list(&path).unwrap();
        let taken = aside.path_of(Stamp { millis: NOW, count: 0 });
        fs::write(&taken, "other").unwrap();
        fs::create_dir(aside.path_of(Stamp { millis: NOW, count: 1 })).unwrap();
        fs::write(&path, "mine").unwrap();
        // It listed the directory before they came.
        aside.take(&path, at(NOW)).unwrap();
        assert_eq!(fs::read(aside.path_of(Stamp { millis: NOW, count: 2 })).unwrap(), b"mine");
        assert_eq!(fs::read(&taken).unwrap(), b"other");
        assert!(!path.exists());
    }

    #[test]
    fn the_last_ones_are_kept() {
        for (keep, expected) in [(0, 5), (1, 1), (3, 3), (5, 5), (9, 5)] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("e.log");
            fs::write(directory.path().join("e.2026.log"), "").unwrap();
            for time in [3, 1, 5, 2, 4] {
                let aside = Aside::list(&path).unwrap();
                fs::write(aside.path_of(Stamp { millis: time, count: 0 }), "").unwrap();
            }
            let mut aside = Aside::list(&path).unwrap();
            aside.keep(keep).unwrap();
            let left: Vec<u64> =
                Aside::list(&path).unwrap().stamps.iter().map(|stamp| stamp.millis).collect();
            assert_eq!(left, (6 - expected..=5).collect::<Vec<u64>>(), "keep {keep}");
            assert!(directory.path().join("e.2026.log").exists());
        }
    }
}
