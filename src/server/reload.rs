//! When the config is read anew, and what of it only a restart can change.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Config, Stamp};

/// How often the files are looked at. A change is taken when two looks in a row have seen the same, so that a file that
/// is being written is left alone.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Watches the files that the config was read from. It looks instead of being notified: that works on every file system,
/// for a file that is replaced, and for one behind links that are turned round, as Kubernetes does it.
pub(super) struct Watch {
    files: Vec<PathBuf>,
    known: Vec<Option<Stamp>>,
    seen: Vec<Option<Stamp>>,
}

impl Watch {
    /// Watches the files of `config`, beginning with how they stood when it was read: what was changed since is a change.
    pub fn new(config: &Config) -> Self {
        let files = config.files.iter().map(|file| file.path.clone()).collect();
        let known: Vec<_> = config.files.iter().map(|file| file.stamp).collect();
        Self { files, seen: known.clone(), known }
    }

    /// Waits until a file has changed and stands still.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if self.look() {
                return;
            }
        }
    }

    /// Takes the files as they are now: they are about to be read.
    pub fn take(&mut self) {
        self.seen = self.files.iter().map(|file| Stamp::of(file)).collect();
        self.known.clone_from(&self.seen);
    }

    /// Watches the files of `config` from now on, if they are others.
    pub fn follow(&mut self, config: &Config) {
        if !self.files.iter().eq(config.files.iter().map(|file| &file.path)) {
            *self = Self::new(config);
        }
    }

    /// Whether the files have changed since they were last taken, and stand still since the last look.
    fn look(&mut self) -> bool {
        let now: Vec<_> = self.files.iter().map(|file| Stamp::of(file)).collect();
        let still = now == self.seen;
        self.seen = now;
        still && self.seen != self.known && {
            self.known.clone_from(&self.seen);
            true
        }
    }
}

/// The keys that differ and are in force only after a restart.
pub(super) fn wants_restart(running: &Config, new: &Config) -> Vec<&'static str> {
    let (old, server) = (&running.server, &new.server);
    [
        ("server.listen", old.listen != server.listen),
        ("server.admin_listen", old.admin_listen != server.admin_listen),
        ("server.data_dir", old.data_dir != server.data_dir),
        ("server.cores", old.cores != server.cores),
        ("server.workers", old.workers != server.workers),
        ("[limits]", running.limits != new.limits),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, ReadFile};
    use std::path::Path;

    fn parse(text: &str) -> Config {
        Config::parse(Path::new("c.toml"), text, &Overrides::default(), &|_| None).unwrap()
    }

    #[test]
    fn a_change_is_taken_once_when_the_file_stands_still() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        std::fs::write(&file, "a").unwrap();
        let mut config = parse("");
        let secret = directory.path().join("secret");
        config.files = vec![ReadFile::about_to_be_read(&file), ReadFile::about_to_be_read(&secret)];
        let mut watch = Watch::new(&config);
        assert!(!watch.look() && !watch.look(), "nothing has changed");
        std::fs::write(&file, "ab").unwrap();
        assert!(!watch.look(), "it may still be written");
        std::fs::write(&file, "abc").unwrap();
        assert!(!watch.look(), "it was");
        assert!(watch.look() && !watch.look());
        // Replaced by a file of the same size, as editors and `inrush new` do it.
        std::fs::write(directory.path().join("new"), "xyz").unwrap();
        std::fs::rename(directory.path().join("new"), &file).unwrap();
        assert!(!watch.look() && watch.look() && !watch.look());
        std::fs::write(&secret, "s").unwrap();
        assert!(!watch.look() && watch.look(), "a file that was missing is one that changes");
        std::fs::remove_file(&file).unwrap();
        assert!(!watch.look() && watch.look());
    }

    /// A config that was edited while the server started was in force only after the next edit.
    #[test]
    fn a_change_between_reading_and_watching_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.toml");
        std::fs::write(&file, "").unwrap();
        let config = Config::load(&file, &Overrides::default()).unwrap();
        std::fs::write(&file, "# edited\n").unwrap();
        let mut watch = Watch::new(&config);
        assert!(!watch.look() && watch.look(), "it stands still, and is not what was read");
        assert!(!watch.look());
    }

    #[test]
    fn what_needs_a_restart_is_named() {
        let running = parse("[server]\ncores = 2\n[limits]\nqueue_events_max = 9\n");
        let rows: &[(&str, &[&str])] = &[
            ("[server]\ncores = 2\n[limits]\n\n\nqueue_events_max = 9\n", &[]),
            ("[server]\ncores = 2\npublic_url = 'https://h'\n[limits]\nqueue_events_max = 9\n", &[]),
            ("[server]\ncores = 3\n[limits]\nqueue_events_max = 9\n", &["server.cores"]),
            ("[server]\nlisten = '127.0.0.1:9'\ncores = 2\n", &["server.listen", "[limits]"]),
        ];
        for (text, expected) in rows {
            assert_eq!(wants_restart(&running, &parse(text)), *expected, "{text}");
        }
    }
}
