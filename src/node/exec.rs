//! `exec`: runs a command for each event, without a shell, with the event's line on its standard input.
//!
//! ```text
//!   event ──line──► stdin ─┐
//!                          ├─► command, leader of its own session and process group ──► /dev/null
//!   last line ◄── stderr ──┘        │ exits, or has had its time, or the run is given up
//!                                   ▼
//!                     the whole group is killed, and reaped
//! ```
//!
//! A command ends with its first process: what that leaves behind in its process group is killed. A process that calls
//! `setsid` leaves the group and lives on; let such a one be started by what supervises services.

mod environment;
mod group;
mod node;
mod pipes;
mod program;
mod spawn;

use std::ffi::CString;
use std::future::pending;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use tokio::net::unix::pipe::{Receiver, Sender};

pub use self::node::ExecNode;

use self::environment::Environment;
use self::group::{Ended, Group};
use self::pipes::Tail;
use super::{EventLine, NodeError};
use crate::event::{Event, HeldEvent};

/// What the operator wrote about a command, but for its arguments, which are rendered for each event.
#[derive(Debug, Clone, Copy)]
pub struct ExecOptions<'a> {
    /// An absolute path, a path from `base`, or a name to look for in the server's `PATH`.
    pub program: &'a str,
    /// The folder of the configuration, absolute.
    pub base: &'a Path,
    /// Where the command runs; where the server does if none.
    pub folder: Option<&'a Path>,
    /// Names of the server's environment variables that the command gets. One that is not set is left out.
    pub env: &'a [String],
    /// Variables with a value of their own; they win over those of the same name.
    pub env_set: &'a [(String, String)],
    /// How long it may run. Then its process group gets SIGTERM, and 2 s later SIGKILL.
    pub timeout: Duration,
    /// The trigger's id, `INRUSH_TRIGGER` of the command.
    pub trigger: &'a str,
}

/// Runs a command for each event.
pub struct Exec {
    /// As the operator wrote it; the command sees it as its own name.
    name: CString,
    program: CString,
    folder: Option<CString>,
    environment: Environment,
    timeout: Duration,
}

impl Exec {
    /// Finds the program, and fixes everything but the arguments.
    ///
    /// If the server was started with SIGCHLD ignored, it is from now on not: how a command ended could not be known.
    ///
    /// # Errors
    /// When the program cannot be executed, the folder is none, or a variable's name is not one.
    pub fn open(options: &ExecOptions<'_>) -> Result<Self, NodeError> {
        let open = || -> Result<Self, String> {
            let program = program::find(options.program, options.base, std::env::var_os("PATH").as_deref())?;
            if let Some(folder) = options.folder.filter(|folder| !folder.is_dir()) {
                return Err(format!("{} is not a folder to run it in", folder.display()));
            }
            Ok(Self {
                name: c_string("the program", options.program.as_bytes())?,
                program: c_string("the program", program.as_os_str().as_bytes())?,
                folder: match options.folder {
                    Some(folder) => Some(c_string("the folder", folder.as_os_str().as_bytes())?),
                    None => None,
                },
                environment: Environment::new(options.env, options.env_set, options.trigger, &|name| {
                    std::env::var_os(name)
                })?,
                timeout: options.timeout,
            })
        };
        let exec = open().map_err(|reason| NodeError { node: "exec", reason })?;
        spawn::keep_exited_children();
        Ok(exec)
    }

    /// Runs the command for one event and waits for its end. Needs a tokio runtime with I/O and time.
    ///
    /// A run that is dropped half way kills its command, as one that ends does; the thread is not held up for that.
    /// Starting takes the thread some 0.1 ms. An event is written from its own memory, whatever its size; beside it a
    /// run holds less than 300 KiB.
    ///
    /// # Errors
    /// When it cannot be started, exits with other than 0, is killed by a signal, or had its time. That it did not read
    /// its standard input is no failure.
    ///
    /// # Panics
    /// As [`Event::body`].
    pub async fn run(&self, event: &HeldEvent, arguments: &[String]) -> Result<(), NodeError> {
        let ran = self.command(&event.event(), arguments).await;
        let name = self.name.to_string_lossy();
        ran.map_err(|reason| NodeError { node: "exec", reason: format!("`{name}` {reason}") })
    }

    async fn command(&self, event: &Event<'_>, arguments: &[String]) -> Result<(), String> {
        let argv = self.argv(arguments)?;
        let (group, stdin, mut stderr) = self.start(event, &argv).map_err(cannot)?;
        let mut line = EventLine::default();
        let (before, after) = line.around_body(event);
        let mut tail = Tail::default();
        let ended = tokio::select! {
            ended = group.ended(self.timeout) => ended,
            // Both may fail or end before the command does: only its end counts.
            never = async {
                let _ = tokio::join!(
                    pipes::feed(stdin, before, event.body(), after),
                    tail.listen(&mut stderr),
                );
                pending().await
            } => never,
        };
        drop(group);
        tail.take_rest(&stderr);
        let reason = match ended.map_err(cannot)? {
            Ended::Exited(0) => return Ok(()),
            Ended::Exited(code) => format!("exited with {code}"),
            Ended::Killed(signal) => format!("was killed by signal {signal}"),
            Ended::TimedOut => format!("did not end within {}", humantime::format_duration(self.timeout)),
            Ended::Unknown => "ended, but something else in this process took its exit code".into(),
        };
        Err(match tail.last_line() {
            Some(line) => format!("{reason}: {line}"),
            None => reason,
        })
    }

    /// Starts the command; returns it with our ends of its standard input and standard error.
    fn start(&self, event: &Event<'_>, argv: &[CString]) -> io::Result<(Group, Sender, Receiver)> {
        let (to_stdin, stdin) = pipes::to_command()?;
        let (from_stderr, stderr) = pipes::from_command()?;
        let leader = spawn::spawn(spawn::Start {
            program: &self.program,
            argv,
            env: &self.environment.of(event),
            folder: self.folder.as_ref(),
            stdin,
            stderr,
        })?;
        Ok((Group::new(leader), to_stdin, from_stderr))
    }

    fn argv(&self, arguments: &[String]) -> Result<Vec<CString>, String> {
        let mut argv = vec![self.name.clone()];
        for (index, argument) in arguments.iter().enumerate() {
            argv.push(
                CString::new(argument.as_str())
                    .map_err(|_| format!("cannot be run: argument {} holds a zero byte", index + 1))?,
            );
        }
        Ok(argv)
    }
}

/// Why a command could not be run, and what to do where the system's own words do not say it.
fn cannot(error: io::Error) -> String {
    let remedy = match error.raw_os_error() {
        Some(libc::ENOENT) => "; it, its folder or the interpreter in its first line is gone",
        Some(libc::ENOEXEC) => "; a script needs a first line such as #!/bin/sh",
        Some(libc::E2BIG) => "; let it read the event from its standard input, which has no limit",
        Some(libc::EMFILE | libc::ENFILE) => "; raise `ulimit -n` (LimitNOFILE=)",
        Some(libc::EAGAIN) => "; raise `ulimit -u` (LimitNPROC=, TasksMax=), or lower `in_flight`",
        _ => "",
    };
    format!("cannot be run: {error}{remedy}")
}

fn c_string(what: &str, bytes: &[u8]) -> Result<CString, String> {
    CString::new(bytes).map_err(|_| format!("{what} holds a zero byte"))
}

#[cfg(test)]
mod tests;
