//! A file whose name a template makes of each event: `orders/{{ payload.body.customer }}.ndjson`.
//!
//! What a sender put into a hole is part of one name in one directory that the operator wrote, and of nothing else: a
//! slash, a dot at the start, or a link is refused.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::{File, Files, open};
use crate::config::{Problem, Rotation, Written};
use crate::event::{Event, HeldEvent, Reads};
use crate::expr::{Template, Variables};
use crate::node::compile::{expression_reads, template};
use crate::node::{AtOnce, EventLine, NodeError, Surroundings};

/// Files that one node has open on one worker; beyond it, the one that was longest not written to is closed.
const OPEN_MAX: usize = 64;
/// The longest name that file systems take, less what a rotation adds.
const NAME_BYTES_MAX: usize = 255 - 32;

/// Appends each event to a file of its own name.
pub struct NamedFiles {
    directory: PathBuf,
    name: Template,
    rotation: Rotation,
    variables: Arc<Variables>,
    files: Arc<Files>,
    open: RefCell<Open>,
}

/// The last one was written to last.
#[derive(Default)]
struct Open {
    files: Vec<(String, File)>,
    /// Closed as soon as what they hold back is written.
    closing: Vec<(String, File)>,
}

impl NamedFiles {
    pub(in crate::node) fn open(
        directory: &Path,
        name: &Written<String>,
        rotation: Rotation,
        around: &Surroundings<'_>,
    ) -> Result<Self, Problem> {
        let compiled = template("path", name)?;
        if name.value.rsplit("}}").next().is_some_and(|rest| rest.contains('/')) {
            let message = "`path`: holes may stand in the name of the file only, behind the last slash";
            return Err(Problem::at(name.place, message));
        }
        Ok(Self {
            directory: directory.to_owned(),
            name: compiled,
            rotation,
            variables: around.variables.clone(),
            files: around.files.clone(),
            open: RefCell::default(),
        })
    }

    pub(in crate::node) fn reads(&self) -> Reads {
        expression_reads(self.name.reads_body()).and(Reads { value_up_to: 0, text: true })
    }

    /// Appends, if the file is open and has room.
    pub(in crate::node) fn append_at_once(&self, event: &Event<'_>, line: &mut EventLine) -> AtOnce {
        let name = match self.name_for(event) {
            Ok(name) => name,
            Err(error) => return AtOnce::Done(Err(error)),
        };
        let mut open = self.open.borrow_mut();
        match open.find(&name) {
            Some(file) if file.append_at_once(event, line) => AtOnce::Done(Ok(())),
            _ => AtOnce::MustWait,
        }
    }

    /// Appends, opening the file on a thread that may wait.
    pub(in crate::node) async fn append(
        &self,
        event: &HeldEvent,
        line: &mut EventLine,
    ) -> Result<(), NodeError> {
        let name = self.name_for(&event.event())?;
        let found = self.open.borrow_mut().find(&name).cloned();
        let file = match found {
            Some(file) => file,
            None => {
                let (path, rotation, files) = (self.directory.join(&name), self.rotation, self.files.clone());
                let opened =
                    tokio::task::spawn_blocking(move || open_in_place(&path, rotation, &files)).await;
                opened.unwrap_or_else(|_| Err(failed("opening the file panicked".to_owned())))?
            }
        };
        // Before it waits for room, so that those who flush know it. Another event may have opened it meanwhile: then that
        // one is it.
        let file = self.open.borrow_mut().keep(name, file);
        file.append(event, line).await
    }

    fn name_for(&self, event: &Event<'_>) -> Result<String, NodeError> {
        let mut name = String::new();
        let rendered = self.name.render(event, &self.variables, &mut name);
        rendered.map_err(|error| failed(format!("`path` cannot be made: {error}")))?;
        match wrong_with(&name) {
            Some(wrong) => Err(failed(format!("`path` makes {name:?}, which {wrong}"))),
            None => Ok(name),
        }
    }

    pub(in crate::node) fn flush_due(&self) -> Option<Instant> {
        self.open.borrow().all().filter_map(File::flush_due).min()
    }

    pub(in crate::node) fn flush(&self) -> Result<(), NodeError> {
        let mut open = self.open.borrow_mut();
        let now = Instant::now();
        let due = open.all().filter(|file| file.flush_due().is_some_and(|due| due <= now));
        let flushed = due.map(File::flush).fold(Ok(()), Result::and);
        // Whoever waits for room in one of them has another share.
        open.closing.retain(|(_, file)| file.is_shared() || file.flush_due().is_some());
        flushed
    }

    pub(in crate::node) async fn settle(&self) -> Result<(), NodeError> {
        let files: Vec<File> = self.open.borrow().all().cloned().collect();
        // All at once: one that stands still must not keep the others from being written.
        let settled = join_all(files.iter().map(File::settle)).await;
        settled.into_iter().fold(Ok(()), Result::and)
    }
}

impl Open {
    fn all(&self) -> impl Iterator<Item = &File> {
        self.files.iter().chain(&self.closing).map(|(_, file)| file)
    }

    /// The open file of this name, from now on the one that was written to last. One that was about to be closed is taken
    /// back: two on one file would write their lines in any order.
    fn find(&mut self, name: &str) -> Option<&File> {
        let is_it = |(open, _): &(String, File)| open == name;
        let found = match self.files.iter().rposition(is_it) {
            Some(at) => self.files.remove(at),
            None => {
                let at = self.closing.iter().position(is_it)?;
                self.closing.swap_remove(at)
            }
        };
        Some(self.push(found))
    }

    /// Keeps a file open under its name, unless one is; returns the one that is.
    fn keep(&mut self, name: String, file: File) -> File {
        if let Some(open) = self.find(&name) {
            return open.clone();
        }
        self.push((name, file)).clone()
    }

    fn push(&mut self, file: (String, File)) -> &File {
        if self.files.len() >= OPEN_MAX {
            self.closing.push(self.files.remove(0));
        }
        self.files.push(file);
        let at = self.files.len() - 1;
        &self.files[at].1
    }
}

/// Opens a file that is no link: a link in the directory would lead out of it.
fn open_in_place(path: &Path, rotation: Rotation, files: &Files) -> Result<File, NodeError> {
    match path.symlink_metadata() {
        Ok(found) if !found.is_file() => {
            Err(failed(format!("{} is there, and is no regular file", path.display())))
        }
        _ => open(path, rotation, files),
    }
}

/// What is wrong with a name that a template has made.
fn wrong_with(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        _ if name.len() > NAME_BYTES_MAX => Some("is longer than 223 bytes"),
        _ if name.contains('/') => Some("holds a slash"),
        _ if name.starts_with('.') => Some("starts with a dot"),
        _ if name.chars().any(char::is_control) => Some("holds a control character"),
        _ => None,
    }
}

fn failed(reason: String) -> NodeError {
    NodeError { node: "file", reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Budget, Pool};
    use crate::event::{Home, Slot, Source};
    use crate::http::head::HeadReader;
    use crate::json::validate;

    struct Nowhere;

    impl Home for Nowhere {
        fn come_home(&self, _queue: usize, _slot: Box<Slot>) {}
    }

    fn event(pool: &Pool, body: &str) -> HeldEvent {
        let head = b"POST /x HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut slot = Box::new(Slot::new());
        HeadReader::default().read(head, &mut slot.head).unwrap();
        let mut buf = pool.take(head.len() + body.len()).unwrap();
        buf.extend_from_slice(head);
        buf.extend_from_slice(body.as_bytes());
        slot.body = head.len()..buf.len();
        slot.buf = Some(buf);
        slot.facts = validate(body.as_bytes()).unwrap();
        HeldEvent::new(slot, Arc::new(Source::named("w")), 0, Arc::new(Nowhere))
    }

    fn node(directory: &Path, name: &str) -> Result<NamedFiles, String> {
        let around = Surroundings { files: &Arc::default(), variables: &Arc::default(), trigger: "t" };
        let name = Written { value: name.to_owned(), place: crate::config::Place::default() };
        NamedFiles::open(directory, &name, Rotation::default(), &around).map_err(|problem| problem.message)
    }

    fn append(
        node: &NamedFiles,
        pool: &Pool,
        bodies: impl IntoIterator<Item = String>,
    ) -> Vec<Result<(), String>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut results = Vec::new();
            for body in bodies {
                let event = event(pool, &body);
                let mut line = EventLine::default();
                let result = match node.append_at_once(&event.event(), &mut line) {
                    AtOnce::Done(result) => result,
                    AtOnce::MustWait => node.append(&event, &mut line).await,
                };
                results.push(result.map_err(|error| error.reason));
            }
            node.settle().await.unwrap();
            results
        })
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn each_event_goes_to_its_own_file() {
        let (directory, pool) = (tempfile::tempdir().unwrap(), Pool::new(Arc::new(Budget::new(64 << 20))));
        let node = node(directory.path(), "c-{{ payload.body.c }}.ndjson").unwrap();
        let bodies = ["a", "b", "a", "ä ö"].map(|name| format!("{{\"c\":\"{name}\"}}"));
        assert!(append(&node, &pool, bodies).iter().all(Result::is_ok));
        assert_eq!(names(directory.path()), ["c-a.ndjson", "c-b.ndjson", "c-ä ö.ndjson"]);
        let text = std::fs::read_to_string(directory.path().join("c-a.ndjson")).unwrap();
        assert_eq!(text.lines().count(), 2);
    }

    /// Whatever a sender writes, nothing comes to be outside the directory, and the operator reads why.
    #[test]
    fn a_name_cannot_leave_its_directory() {
        let (directory, pool) = (tempfile::tempdir().unwrap(), Pool::new(Arc::new(Budget::new(64 << 20))));
        let inside = directory.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink("../outside", inside.join("link")).unwrap();
        std::fs::create_dir(inside.join("directory")).unwrap();
        let node = node(&inside, "{{ payload.body.c }}").unwrap();
        for (name, reason) in [
            ("../outside", "holds a slash"),
            ("/etc/outside", "holds a slash"),
            ("a/b", "holds a slash"),
            ("..", "starts with a dot"),
            (".hidden", "starts with a dot"),
            ("", "is empty"),
            ("a\\u0000b", "holds a control character"),
            ("a\\nb", "holds a control character"),
            (&"x".repeat(300), "is longer than 223 bytes"),
            ("link", "is no regular file"),
            ("directory", "is no regular file"),
        ] {
            let results = append(&node, &pool, [format!("{{\"c\":\"{name}\"}}")]);
            let error = results[0].as_ref().expect_err(name);
            assert!(error.contains(reason), "{name}: {error}");
        }
        assert_eq!(names(directory.path()), ["in"]);
        assert_eq!(names(&inside), ["directory", "link"]);
        let missing = append(&node, &pool, ["{}".to_owned()]);
        assert!(missing[0].as_ref().unwrap_err().contains("`path` cannot be made"), "{missing:?}");
    }

    #[test]
    fn many_names_keep_few_files_open_and_every_line() {
        let (directory, pool) = (tempfile::tempdir().unwrap(), Pool::new(Arc::new(Budget::new(64 << 20))));
        let node = node(directory.path(), "{{ payload.body.c }}").unwrap();
        let bodies = (0..600).map(|number| format!("{{\"c\":\"{}\"}}", number * 7 % 200));
        assert!(append(&node, &pool, bodies).iter().all(Result::is_ok));
        assert_eq!(node.open.borrow().files.len(), OPEN_MAX);
        let lines: usize = names(directory.path())
            .iter()
            .map(|name| std::fs::read_to_string(directory.path().join(name)).unwrap().lines().count())
            .sum();
        assert_eq!((names(directory.path()).len(), lines), (200, 600));
        node.flush().unwrap();
        assert!(node.flush_due().is_none() && node.open.borrow().closing.is_empty());
    }

    /// Each had lines of its own, and only those of one were ever flushed.
    #[test]
    fn events_that_open_one_name_at_once_share_its_lines() {
        let (directory, pool) = (tempfile::tempdir().unwrap(), Pool::new(Arc::new(Budget::new(64 << 20))));
        let node = node(directory.path(), "{{ payload.body.c }}").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let events: Vec<_> = (0..8).map(|_| event(&pool, "{\"c\":\"a\"}")).collect();
            let all = events.iter().map(|event| async {
                let mut line = EventLine::default();
                node.append(event, &mut line).await
            });
            for result in futures_util::future::join_all(all).await {
                result.unwrap();
            }
            node.settle().await.unwrap();
        });
        let text = std::fs::read_to_string(directory.path().join("a")).unwrap();
        assert_eq!(text.lines().count(), 8);
    }

    /// The time at which a loss was due to be told was always later than the one it was compared with: it never was, and
    /// no line of that file left by time again.
    #[test]
    fn a_write_that_fails_is_told_and_the_file_goes_on() {
        let (directory, pool) = (tempfile::tempdir().unwrap(), Pool::new(Arc::new(Budget::new(64 << 20))));
        let node = node(directory.path(), "{{ payload.body.c }}").unwrap();
        let full = open(Path::new("/dev/full"), Rotation::default(), &node.files).unwrap();
        node.open.borrow_mut().keep("a".to_owned(), full);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let event = event(&pool, "{\"c\":\"a\"}");
            node.append(&event, &mut EventLine::default()).await.unwrap();
            let deadline = Instant::now() + std::time::Duration::from_secs(20);
            let error = loop {
                if let Err(error) = node.flush() {
                    break error;
                }
                assert!(Instant::now() < deadline, "it is never told");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            };
            assert!(error.reason.contains("/dev/full"), "{error}");
            assert!(node.flush_due().is_none(), "there is nothing more to tell");
        });
    }

    #[test]
    fn mistakes_in_the_path_are_named() {
        for (name, message) in [
            ("{{ payload.body.c }}/x", "behind the last slash"),
            ("{{ payload.body.c", "does not end"),
            ("{{ body.c }}", "column"),
        ] {
            let error = node(Path::new("."), name).err().expect(name);
            assert!(error.starts_with("`path`: ") && error.contains(message), "{name}: {error}");
        }
    }
}
