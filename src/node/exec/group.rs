//! A command that runs: a process group of which nothing is left when this value is gone.
//!
//! Signals go to the group by its number, and a number whose process is gone may be given to a stranger. It is not: the
//! kernel gives a number out again only when no process has it as its own, its group or its session. The leader has
//! it until it is reaped, and nobody but [`Group::drop`] reaps it, after the last signal. To learn how it ended, it is
//! waited for without being reaped (`WNOWAIT`).
//!
//! SIGKILL to a group misses no member: the kernel lets no process with a fatal signal fork. What can get away is a
//! process that left the group, by `setsid` or `setpgid`, before.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};
use tokio::time::timeout;

use super::spawn::watch;

/// How long a group has after SIGTERM, and how long we look on after SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// A process group that we lead by its first process.
pub(super) struct Group {
    leader: Pid,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Killed(i32),
    TimedOut,
    /// Somebody else reaped it.
    Unknown,
}

impl Group {
    /// Takes charge of the group of `leader`, a child of ours that nobody reaps.
    pub(super) fn new(leader: Pid) -> Self {
        Self { leader }
    }

    /// Waits until the leader has exited; after `limit` it is told to, then made to.
    ///
    /// # Errors
    /// When the process cannot be watched.
    pub(super) async fn ended(&self, limit: Duration) -> io::Result<Ended> {
        let process = watch(self.leader)?;
        if let Ok(exited) = timeout(limit, process.readable()).await {
            return exited.map(|_| self.how());
        }
        for signal in [Signal::TERM, Signal::KILL] {
            self.signal(signal);
            // One that is stuck in the kernel outlasts even the second; then the drop leaves it to a thread.
            if timeout(GRACE, process.readable()).await.is_ok() {
                break;
            }
        }
        Ok(Ended::TimedOut)
    }

    fn how(&self) -> Ended {
        let unreaped = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.leader), unreaped).ok().flatten();
        let code = |status: &WaitIdStatus| status.exit_status().map(Ended::Exited);
        let signal = |status: &WaitIdStatus| status.terminating_signal().map(Ended::Killed);
        status.and_then(|status| code(&status).or_else(|| signal(&status))).unwrap_or(Ended::Unknown)
    }

    fn signal(&self, signal: Signal) {
        // It fails only when nobody is left, or when the command took another user's identity.
        let _ = kill_process_group(self.leader, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if reap(self.leader, WaitIdOptions::NOHANG) {
            return;
        }
        // Killed is not yet gone, and this thread has others to serve.
        let leader = self.leader;
        let reaper = std::thread::Builder::new().name("exec-reaper".into()).stack_size(64 * 1024);
        if reaper.spawn(move || reap(leader, WaitIdOptions::empty())).is_err() {
            reap(leader, WaitIdOptions::empty());
        }
    }
}

/// Reaps the group: its leader, and what became ours because its parent died before it, as in a container whose first
/// process we are. Returns whether all is done; without `NOHANG` it waits until it is.
///
/// Until the last one is reaped the group keeps its number. One that is not ours yet has a parent in the group that is,
/// and becomes ours before that parent can be reaped.
fn reap(group: Pid, how: WaitIdOptions) -> bool {
    loop {
        match waitid(WaitId::Pgid(Some(group)), WaitIdOptions::EXITED | how) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}
