//! Starts a command by `fork`, where `posix_spawn` cannot close the descriptors that it was not told of.
//!
//! The standard library starts programs by `execvp`. That of glibc gives a file without a first line to a shell; that of
//! musl, for which this is, does not.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::Pid;

use super::Start;

/// See [`super::spawn`].
pub(super) fn spawn(start: Start<'_>) -> io::Result<Pid> {
    let text = |string: &CStr| OsStr::from_bytes(string.to_bytes()).to_owned();
    let mut command = Command::new(text(start.program));
    let mut argv = start.argv.iter().map(|argument| text(argument));
    if let Some(name) = argv.next() {
        command.arg0(name);
    }
    command.args(argv).env_clear();
    for pair in start.env {
        let mut parts = pair.to_bytes().splitn(2, |byte| *byte == b'=').map(OsStr::from_bytes);
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            command.env(name, value);
        }
    }
    if let Some(folder) = start.folder {
        command.current_dir(text(folder));
    }
    command.stdin(Stdio::from(start.stdin)).stdout(Stdio::null()).stderr(Stdio::from(start.stderr));
    // SAFETY: between fork and exec the closure makes system calls only. It marks the descriptors for closing at exec,
    // so that the one through which the child reports a failed exec still works.
    unsafe {
        command.pre_exec(|| {
            // The standard library unblocks signals, and cares for SIGPIPE alone.
            for signal in 1..=64 {
                libc::signal(signal, libc::SIG_DFL);
            }
            let closed =
                libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            if closed != 0 || libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let child = command.spawn()?;
    Pid::from_raw(child.id() as i32).ok_or_else(|| io::ErrorKind::Other.into())
}
