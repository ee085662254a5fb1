//! Starts a command by `posix_spawn`, which shares our memory with the child until it has become the command.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::{io, mem, ptr};

use rustix::process::Pid;

use super::Start;

/// See [`super::spawn`].
pub(super) fn spawn(start: Start<'_>) -> io::Result<Pid> {
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

fn pointers(strings: &[CString]) -> Vec<*mut libc::c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr().cast_mut());
    pointers.chain([ptr::null_mut()]).collect()
}

/// These calls return the error number.
fn checked(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

struct Attributes(libc::posix_spawnattr_t);

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

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and is destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}

struct Actions(libc::posix_spawn_file_actions_t);

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

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: it was initialised, and is destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}
