//! Builds both wings, runs them, and takes them down again.
//!
//! ```text
//! lock the data directory ─► probe and bind ─► workers ─► cores ─► admin ─► ready
//! SIGTERM ─► not ready ─► drain_delay ─► cores: finish, stop accepting ─► workers: empty the queues ─► exit
//! ```
//!
//! Threads: one per core, pinned; one per worker; and the thread that called [`run`], which carries the control plane
//! (admin listener, signals) on a tokio runtime of its own.

mod build;
mod installed;
mod reload;
mod socket;

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::Config;
use crate::console::{self, Readiness, ReadyState};
use crate::limits::Limits;
use build::{Ended, Running};
use reload::Watch;

/// After the time for draining is over, how long connections get to say so to their peers.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the server did not start, or stopped.
#[derive(Debug)]
pub enum ServeError {
    /// Somebody listens there already.
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// The flag that names another.
        flag: &'static str,
    },
    /// The address cannot be listened on for another reason.
    AddressUnavailable {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// Another inrush uses the data directory.
    Locked {
        /// The directory.
        data_dir: PathBuf,
    },
    /// A node of the configuration cannot be set up.
    Node {
        /// Its webhook.
        webhook: String,
        /// Its trigger.
        trigger: String,
        /// What is wrong.
        reason: String,
    },
    /// `INRUSH_DRIVER` asks for what cannot be.
    Driver {
        /// What it says.
        asked: String,
        /// What is wrong with that.
        reason: &'static str,
    },
    /// The system refused something.
    Io {
        /// What was wanted.
        what: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A thread of the server died; the others were drained.
    Died {
        /// Which, and of what.
        what: String,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse { address, flag } => write!(
                f,
                "{address} is in use by another process; stop it, or choose another address with {flag} or in the \
                 [server] table of the configuration"
            ),
            Self::AddressUnavailable { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Locked { data_dir } => write!(
                f,
                "another inrush uses the data directory {}; stop it, or choose another with --data-dir",
                data_dir.display()
            ),
            Self::Node { webhook, trigger, reason } => {
                write!(f, "webhook `{webhook}`, trigger `{trigger}`: {reason}")
            }
            Self::Driver { asked, reason } => write!(f, "INRUSH_DRIVER is `{asked}`: {reason}"),
            Self::Io { what, error } => write!(f, "{what}: {error}"),
            Self::Died { what } => write!(f, "{what}; the server has stopped"),
        }
    }
}

impl std::error::Error for ServeError {}

/// What a running server says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    /// Where webhooks are posted to.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub admin_listen: SocketAddr,
    /// What carries the I/O.
    pub driver: crate::io::Driver,
}

/// Runs the server until SIGTERM or SIGINT, and everything that was accepted until then to its end.
///
/// `started` is called once, when every core accepts. `read` is called on SIGHUP and when a file of the config has
/// changed: it reads the config anew, or says why that cannot be. What it gives is put in force without closing a
/// connection, but for what needs a restart; what is wrong with it leaves everything as it was. Both are logged.
///
/// # Errors
/// When something needed cannot be had, or a thread died.
pub fn run(
    config: Config,
    limits: Limits,
    started: impl FnOnce(&Started),
    read: impl FnMut() -> Result<Config, String>,
) -> Result<(), ServeError> {
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| ServeError::io("cannot start the control thread", error))?;
    control.block_on(serve(config, limits, started, read))
}

async fn serve(
    mut config: Config,
    limits: Limits,
    started: impl FnOnce(&Started),
    mut read: impl FnMut() -> Result<Config, String>,
) -> Result<(), ServeError> {
    let driver = build::choose_driver()?;
    let mut signals = Signals::listen()?;
    let mut hangup = listen_for(SignalKind::hangup())?;
    let _lock = build::lock_data_dir(&config.server.data_dir)?;
    let (admin, admin_listen) = socket::bind_admin(config.server.admin_listen).await?;
    let (ended_in, mut ended) = mpsc::unbounded_channel();
    let limits = Arc::new(limits);
    let mut running = build::start(&config, limits.clone(), driver, ended_in)?;
    let readiness = Arc::new(Readiness::default());
    let (stop_admin, admin_stopped) = tokio::sync::oneshot::channel::<()>();
    let admin = tokio::spawn(console::serve(admin, running.metrics.clone(), readiness.clone(), async {
        let _ = admin_stopped.await;
    }));

    let mut died = running.wait_until_up(&mut ended).await;
    if died.is_none() {
        readiness.advance(ReadyState::Ready);
        started(&Started { listen: running.listen, admin_listen, driver: running.driver });
        let mut watch = Watch::new(&config);
        died = loop {
            tokio::select! {
                () = signals.first() => break None,
                Some(thread) = ended.recv() => break Some(running.lose(thread)),
                _ = hangup.recv() => {}
                () = watch.changed() => {}
            }
            watch.take();
            tokio::select! {
                () = signals.first() => break None,
                Some(thread) = ended.recv() => break Some(running.lose(thread)),
                () = reload(&mut running, &mut config, &mut read) => watch.follow(&config),
            }
        };
    }
    readiness.advance(ReadyState::Draining);
    if died.is_none() && limits.drain_delay_ms > 0 {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(limits.drain_delay_ms)) => {}
            () = signals.first() => {}
        }
    }
    let death = drain(&mut running, &mut ended, &mut signals, &limits).await;
    let _ = stop_admin.send(());
    let _ = admin.await;
    match died.or(death) {
        Some(what) => Err(ServeError::Died { what }),
        None => Ok(()),
    }
}

/// Reads the config anew and puts it in force, or says why not.
async fn reload(
    running: &mut Running,
    config: &mut Config,
    read: &mut impl FnMut() -> Result<Config, String>,
) {
    let refuse = |running: &Running, error: &str| {
        let refusals = &running.metrics.config_refusals;
        refusals.set(refusals.get() + 1);
        tracing::error!("the configuration stays as it was: {error}");
    };
    let new = match read() {
        Ok(new) => new,
        Err(error) => return refuse(running, &error),
    };
    if let Err(error) = running.reload(&new).await {
        return refuse(running, &error.to_string());
    }
    let reloads = &running.metrics.config_reloads;
    reloads.set(reloads.get() + 1);
    tracing::info!(webhooks = new.webhooks.len(), "the configuration was read anew and is in force");
    for key in reload::wants_restart(config, &new) {
        tracing::warn!("{key} has changed: that is in force after a restart only");
    }
    // What runs is what it was started with, whatever the file says by now.
    *config = Config { server: config.server.clone(), limits: config.limits.clone(), ..new };
}

/// Lets the cores finish, then the workers. Returns what died on the way.
async fn drain(
    running: &mut Running,
    ended: &mut mpsc::UnboundedReceiver<Ended>,
    signals: &mut Signals,
    limits: &Limits,
) -> Option<String> {
    running.drain();
    let mut death = None;
    let mut deadline = tokio::time::Instant::now() + Duration::from_millis(limits.drain_timeout_ms);
    let mut stage = Stage::Draining;
    while running.threads_left() > 0 {
        tokio::select! {
            thread = ended.recv() => match thread {
                Some(thread) => death = running.note(thread).or(death),
                None => break,
            },
            () = signals.first(), if stage == Stage::Draining => deadline = tokio::time::Instant::now(),
            () = tokio::time::sleep_until(deadline) => {
                deadline = tokio::time::Instant::now() + END_TIMEOUT;
                match stage {
                    Stage::Draining => running.end(),
                    Stage::Ending => running.cut_off(),
                    Stage::CutOff => {
                        death = death.or(Some("connections or nodes did not end in time and were left behind".into()));
                        break;
                    }
                }
                stage = stage.next();
            }
        }
    }
    death
}

/// How far a stop has come, by what was asked last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Cores finish what they have, then workers.
    Draining,
    /// Cores end connections; workers run what was accepted.
    Ending,
    /// Workers end what their nodes have not done.
    CutOff,
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::Draining => Self::Ending,
            Self::Ending | Self::CutOff => Self::CutOff,
        }
    }
}

impl ServeError {
    fn io(what: impl Into<String>, error: io::Error) -> Self {
        Self::Io { what: what.into(), error }
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, ServeError> {
        Ok(Self {
            terminate: listen_for(SignalKind::terminate())?,
            interrupt: listen_for(SignalKind::interrupt())?,
        })
    }

    /// The next of those that end the server.
    async fn first(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen_for(kind: SignalKind) -> Result<Signal, ServeError> {
    signal(kind).map_err(|error| ServeError::io("cannot listen for signals", error))
}

/// Writes a line for the operator. Stdout belongs to the `log` node.
pub fn say(line: fmt::Arguments<'_>) {
    // Without a stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
