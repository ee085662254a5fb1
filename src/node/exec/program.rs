//! Which file a command is, found once when its node is opened.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Where a server without a `PATH` looks, as a shell would.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The absolute path of `program`: one with a slash counts from `base`, a bare name is looked for in `path`, the server's
/// `PATH`. Entries of it that are not absolute are passed over: they would mean whatever folder the server runs in.
///
/// # Errors
/// When there is no such program, or it cannot be executed.
pub(super) fn find(program: &str, base: &Path, path: Option<&OsStr>) -> Result<PathBuf, String> {
    if program.is_empty() {
        return Err("the command is empty; its first word has to be a program".into());
    }
    if program.contains('/') {
        let file = base.join(program);
        return match check(&file) {
            Ok(()) => Ok(file),
            Err(why) => Err(format!("{} {why}", file.display())),
        };
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let folders = env::split_paths(path).filter(|folder| folder.is_absolute());
    let files = folders.map(|folder| folder.join(program));
    files.into_iter().find(|file| check(file).is_ok()).ok_or_else(|| {
        let path = path.to_string_lossy();
        format!("there is no program `{program}` in the server's PATH ({path}); write its path with a slash")
    })
}

fn check(file: &Path) -> Result<(), &'static str> {
    match file.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err("lies in a folder that the server may not enter")
        }
        Err(_) => Err("does not exist"),
        Ok(metadata) if !metadata.is_file() => Err("is not a file"),
        Ok(_) if access(file, Access::EXEC_OK).is_err() => {
            Err("is not executable for the server; `chmod +x` makes it so")
        }
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn programs_are_found_or_the_reason_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path();
        std::fs::create_dir_all(base.join("bin/folder")).unwrap();
        for (name, mode) in [("run", 0o755), ("bin/tool", 0o755), ("bin/plain", 0o644)] {
            std::fs::write(base.join(name), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(base.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let bin = base.join("bin").into_os_string();
        let mut relative_first = std::ffi::OsString::from(":.:bin:");
        relative_first.push(&bin);
        let at = |name: &str| base.join(name).to_str().unwrap().to_owned();
        for (program, path, expected) in [
            ("./run", None, Ok(at("./run"))),
            ("bin/tool", None, Ok(at("bin/tool"))),
            ("/bin/sh", None, Ok("/bin/sh".to_owned())),
            ("tool", Some(&bin), Ok(at("bin/tool"))),
            ("tool", Some(&relative_first), Ok(at("bin/tool"))),
            ("", None, Err("is empty")),
            ("run", Some(&bin), Err("no program `run`")),
            ("plain", Some(&bin), Err("no program `plain`")),
            ("folder", Some(&bin), Err("no program `folder`")),
            ("./missing", None, Err("missing does not exist")),
            ("bin/folder", None, Err("is not a file")),
            ("bin/plain", None, Err("is not executable")),
        ] {
            let found = find(program, base, path.map(|path| path.as_os_str()));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, Path::new(&expected), "{program}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{program}: {why}"),
                (found, expected) => panic!("{program}: {found:?}, not {expected:?}"),
            }
        }
        assert!(find("sh", base, None).is_ok(), "without a PATH the usual folders count");
    }
}
