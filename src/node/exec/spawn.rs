//! Starts a command, and watches for its end.
//!
//! With glibc by `posix_spawn`, which shares our memory with the child until it has become the command. A `fork` copies
//! the page tables and makes every page copy-on-write. Measured beside 500 MB of touched memory: 20 ms against 0.12 ms
//! per command for us, and 64 KiB writes of a neighbouring thread at 11 µs against 0.7 µs (p50) and 6 ms against 15 µs
//! (p99.9). musl's `posix_spawn` cannot close the descriptors it was not told of, so there it is a `fork`.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::{io, mem, ptr};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What is started.
pub(super) struct Start<'a> {
    /// An absolute path.
    pub program: &'a CString,
    /// The name of the program as the operator wrote it, then its arguments.
    pub argv: &'a [CString],
    /// `NAME=value`, and nothing else.
    pub env: &'a [CString],
    /// Where it runs; as the server does if none.
    pub folder: Option<&'a CString>,
    /// Its standard input and standard error. Its standard output is `/dev/null`.
    pub stdin: OwnedFd,
    pub stderr: OwnedFd,
}

/// Exited children must wait for us to ask how they ended. A server that was started with SIGCHLD ignored, which
/// `execve` hands down, would lose them.
pub(super) fn keep_exited_children() {
    // SAFETY: both calls read and write only the action given; the default one has no code of ours to run.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
        {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// A descriptor of a process that is readable when the process has exited.
///
/// # Errors
/// When the process may open no more descriptors.
pub(super) fn watch(process: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    let process = pidfd_open(process, PidfdFlags::empty())?;
    // SAFETY: an `OwnedFd` stays open, and the same, until the `AsyncFd` that owns it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) }?)
}

/// Starts a command as the leader of a session and process group of its own, with no signal blocked or ignored, and with
/// no descriptor but the three.
///
/// A session, not only a group, so that it cannot ask for a password at the terminal that the server runs in.
///
/// # Errors
/// What the system says: no such program, no permission, arguments too long, no more processes.
#[cfg(target_env = "gnu")]
pub(super) fn spawn(start: Start<'_>) -> io::Result<Pid> {
    use std::os::fd::AsRawFd;

    let (argv, env) = (pointers(start.argv), pointers(start.env));
    let (mut attributes, mut actions) = (Attributes::new()?, Actions::new()?);
    let flags = libc::POSIX_SPAWN_SETSID as i32 | libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
    let mut pid = 0;
    // SAFETY: `attributes` and `actions` were initialised and are destroyed when they drop. Every pointer outlives the
    // call, argv and env end with null, and the strings are not written to, whatever the type of argv says. The child
    // shares our memory, but runs only the C library's own code for it, while this thread waits.
    unsafe {
        let mut signals = mem::zeroed();
        libc::sigemptyset(&mut signals);
        checked(libc::posix_spawnattr_setsigmask(&mut attributes.0, &signals))?;
        libc::sigfillset(&mut signals);
        checked(libc::posix_spawnattr_setsigdefault(&mut attributes.0, &signals))?;
        checked(libc::posix_spawnattr_setflags(&mut attributes.0, flags as libc::c_short))?;

        let actions = &mut actions.0;
        checked(libc::posix_spawn_file_actions_adddup2(actions, start.stdin.as_raw_fd(), 0))?;
        checked(libc::posix_spawn_file_actions_addopen(
            actions,
            1,
            c"/dev/null".as_ptr(),
            libc::O_WRONLY,
            0,
        ))?;
        checked(libc::posix_spawn_file_actions_adddup2(actions, start.stderr.as_raw_fd(), 2))?;
        // Sockets that the core threads accept are not close-on-exec, and may appear at any moment: only the child,
        // whose table of descriptors is its own copy, can close them all.
        checked(libc::posix_spawn_file_actions_addclosefrom_np(actions, 3))?;
        if let Some(folder) = start.folder {
            checked(libc::posix_spawn_file_actions_addchdir_np(actions, folder.as_ptr()))?;
        }
        checked(libc::posix_spawn(
            &mut pid,
            start.program.as_ptr(),
            actions,
            &attributes.0,
            argv.as_ptr(),
            env.as_ptr(),
        ))?;
    }
    Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::Other.into())
}

#[cfg(target_env = "gnu")]
fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr().cast_mut());
    pointers.chain([ptr::null_mut()]).collect()
}

/// These calls return the error number.
#[cfg(target_env = "gnu")]
fn checked(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

#[cfg(target_env = "gnu")]
struct Attributes(libc::posix_spawnattr_t);

#[cfg(target_env = "gnu")]
impl Attributes {
    fn new() -> io::Result<Self> {
        // SAFETY: it is plain memory, which `init` fills; it may move, as it holds no pointer to itself.
        unsafe {
            let mut attributes = mem::zeroed();
            checked(libc::posix_spawnattr_init(&mut attributes))?;
            Ok(Self(attributes))
        }
    }
}

#[cfg(target_env = "gnu")]
impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and is destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

#[cfg(target_env = "gnu")]
struct Actions(libc::posix_spawn_file_actions_t);

#[cfg(target_env = "gnu")]
impl Actions {
    fn new() -> io::Result<Self> {
        // SAFETY: it is plain memory, which `init` fills; it may move, as it holds no pointer to itself.
        unsafe {
            let mut actions = mem::zeroed();
            checked(libc::posix_spawn_file_actions_init(&mut actions))?;
            Ok(Self(actions))
        }
    }
}

#[cfg(target_env = "gnu")]
impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and is destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

/// The same through `fork`.
#[cfg(not(target_env = "gnu"))]
pub(super) fn spawn(start: Start<'_>) -> io::Result<Pid> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

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
