//! Whether `file` nodes could append to their files, found out without making or changing one.
//!
//! `check` asks. `serve` opens the files and sees for itself, and whoever lists webhooks or adds one need not be the
//! user that the server runs as.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::{Config, ConfigError, Node, Problem, Written};

/// The longest name that Linux file systems take (NAME_MAX).
const NAME_BYTES_MAX: usize = 255;
/// What rotation adds to a name: `.2026-11-25T03-47-31.123Z_0001`.
const STAMP_BYTES: usize = 30;

impl Config {
    /// Refuses each `file` node whose file this user could not append to, or not make.
    ///
    /// # Errors
    /// Names every such node at its place.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let nodes =
            self.webhooks.iter().flat_map(|webhook| &webhook.triggers).flat_map(|trigger| &trigger.nodes);
        let problem = |node: &Node| match node {
            Node::File { path: Written { value: directory, place }, name: Some(_), .. } => {
                let error = lets_make_files(directory).err()?;
                let message = format!("cannot make files in {}: {error}", directory.display());
                Some(Problem::at(*place, message))
            }
            Node::File { path: Written { value: path, place }, name: None, rotation } => {
                let message = match (appendable(path), rotation.is_on()) {
                    (Err(error), _) => format!(
                        "cannot append to {}: {error}; let this user write there, or name another file",
                        path.display()
                    ),
                    (Ok(()), true) => {
                        let error = rotatable(path).err()?;
                        format!(
                            "cannot rotate {}: {error}; or remove rotate_bytes and rotate_after_s",
                            path.display()
                        )
                    }
                    (Ok(()), false) => return None,
                };
                Some(Problem::at(*place, message))
            }
            Node::Log | Node::Exec(_) | Node::Forward(_) | Node::Variable(_) | Node::Discard => None,
            #[cfg(inrush_bench)]
            Node::Read { .. } => None,
        };
        let problems: Vec<Problem> = nodes.filter_map(problem).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError::new(&self.path, problems)) }
    }
}

/// What opening `path` as a `file` node does would come to.
fn appendable(path: &Path) -> io::Result<()> {
    match path.metadata() {
        Ok(found) if found.is_file() || found.file_type().is_char_device() => {
            OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(path).map(drop)
        }
        // Not opened even to see: with a FIFO, its reader would take the close for the end.
        Ok(_) => Err(io::Error::other("it is neither a regular file nor a character device")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = directory_of(&end_of_links(path));
            lets_make_files(&directory).map_err(|error| {
                io::Error::other(format!(
                    "it is not there, and cannot be made in {}: {error}",
                    directory.display()
                ))
            })
        }
        Err(error) => Err(error),
    }
}

/// Whether `path`, which can be appended to, could be set aside for a new file.
fn rotatable(path: &Path) -> Result<(), String> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        return Err("it is a character device; name a file".into());
    }
    // A link stays; what it leads to is renamed.
    let path = end_of_links(path);
    let name = path.file_name().map_or(0, OsStr::len);
    if name + STAMP_BYTES > NAME_BYTES_MAX {
        return Err(format!(
            "its name has {name} bytes, and {STAMP_BYTES} more come with the time; shorten it"
        ));
    }
    let directory = directory_of(&path);
    lets_make_files(&directory).map_err(|error| {
        format!("nothing can be made in {}: {error}; let this user write there", directory.display())
    })
}

fn lets_make_files(directory: &Path) -> io::Result<()> {
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The file that would be made for `path`: links that lead nowhere yet are followed. They end somewhere, or looking
/// for the file would have failed otherwise.
fn end_of_links(path: &Path) -> PathBuf {
    let mut end = path.to_owned();
    while let Ok(target) = end.read_link() {
        end = directory_of(&end).join(target);
    }
    end
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    use crate::config::Overrides;

    const ID: &str = "9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80";

    /// What `check_files` says of one `file` node with this path, in a config file in `directory`.
    fn check(directory: &Path, path: &str) -> Result<(), String> {
        check_with(directory, path, "")
    }

    fn check_with(directory: &Path, path: &str, keys: &str) -> Result<(), String> {
        let text = format!(
            "[[webhook]]\nname = 'a'\nid = '{ID}'\n[[webhook.trigger]]\nid = 'main'\nnodes = [{{ type = 'file', path = '{path}' {keys} }}]\n"
        );
        let config =
            Config::parse(&directory.join("c.toml"), &text, &Overrides::default(), &|_| None).unwrap();
        config.check_files().map_err(|error| error.to_string())
    }

    #[test]
    fn what_can_be_appended_to_is_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("there"), "1\n").unwrap();
        std::os::unix::fs::symlink("later", directory.path().join("link")).unwrap();
        for path in ["there", "new", "link", "/dev/null", "/dev/full"] {
            assert_eq!(check(directory.path(), path), Ok(()), "{path}");
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is made");
        assert_eq!(std::fs::read(directory.path().join("there")).unwrap(), b"1\n");
    }

    #[test]
    fn what_cannot_is_named_at_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
        let (nowhere, circle) = (directory.path().join("nowhere"), directory.path().join("circle"));
        std::os::unix::fs::symlink("no/such/file", nowhere).unwrap();
        std::os::unix::fs::symlink("circle", circle).unwrap();
        // The kernel lets nobody write to this one, not even root.
        let read_only = "/proc/sys/kernel/ostype";
        for (path, part) in [
            ("socket", "socket: it is neither a regular file nor a character device"),
            ("nowhere", "no/such: No such file or directory"),
            ("circle", "circle: Too many levels of symbolic links"),
            (read_only, "cannot append to /proc/sys/kernel/ostype: "),
        ] {
            let said = check(directory.path(), path).expect_err(path);
            assert!(said.contains("c.toml:6:34: cannot append to ") && said.contains(part), "{said}");
        }
    }

    #[test]
    fn what_cannot_be_rotated_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let longest = "x".repeat(NAME_BYTES_MAX - STAMP_BYTES);
        let too_long = format!("{longest}x");
        std::os::unix::fs::symlink(&too_long, directory.path().join("link")).unwrap();
        let fixed = directory.path().join("fixed");
        std::fs::create_dir(&fixed).unwrap();
        std::fs::write(fixed.join("there"), "").unwrap();
        std::fs::set_permissions(&fixed, std::fs::Permissions::from_mode(0o555)).unwrap();
        // root may write anywhere.
        let root = rustix::process::geteuid().is_root();
        let in_fixed = if root { Ok(()) } else { Err("nothing can be made in ") };
        for (path, expected) in [
            ("events.ndjson", Ok(())),
            (&longest, Ok(())),
            (&too_long, Err("its name has 226 bytes")),
            ("link", Err("its name has 226 bytes")),
            ("/dev/null", Err("cannot rotate /dev/null: it is a character device; name a file; or remove")),
            ("/dev/full", Err("it is a character device")),
            ("fixed/there", in_fixed),
        ] {
            assert_eq!(check(directory.path(), path), Ok(()), "{path}");
            let said = check_with(directory.path(), path, ", rotate_bytes = 4096");
            match (said, expected) {
                (Ok(()), Ok(())) => {}
                (Err(said), Err(part)) => assert!(said.contains(part), "{said}"),
                (said, _) => panic!("{path}: {said:?}"),
            }
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is made");
    }
}
