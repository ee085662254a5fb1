//! The life of a server, on its control thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::build::{self, Ended, Running};
use super::orders::{Order, Orders};
use super::reload::{self, Watch};
use super::saving::{self, Saver};
use super::{Plan, ReadConfig, ServeError, Started, check, socket};
use crate::config::Config;
use crate::console::{self, Readiness, ReadyState};
use crate::limits::Limits;

/// After the time for draining is over, how long connections get to say so to their peers.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How long saving the variables for the last time may take: a disk that stands still must not keep the process.
const SAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the server until it is told to stop, and everything that was accepted until then to its end.
pub(super) async fn serve(
    plan: Plan,
    started: impl FnOnce(&Started),
    mut orders: Orders,
) -> Result<(), ServeError> {
    let Plan { mut config, limits, natives, mut read } = plan;
    let driver = build::choose_driver()?;
    let _lock = build::lock_data_dir(&config.server.data_dir)?;
    let (admin, admin_listen) = socket::bind_admin(config.server.admin_listen).await?;
    let (ended_in, mut ended) = mpsc::unbounded_channel();
    let limits = Arc::new(limits);
    let mut running = build::start(&config, limits.clone(), natives, driver, ended_in)?;
    let readiness = Arc::new(Readiness::default());
    let (stop_admin, admin_stopped) = tokio::sync::oneshot::channel::<()>();
    let (metrics, open_tail) = (running.metrics.clone(), running.watched.opener());
    let admin = tokio::spawn(console::serve(admin, metrics, readiness.clone(), open_tail, async {
        let _ = admin_stopped.await;
    }));

    let mut saver = Saver::default();
    let mut died = running.wait_until_up(&mut ended).await;
    if died.is_none() {
        readiness.advance(ReadyState::Ready);
        started(&Started { listen: running.listen, admin_listen, driver: running.driver });
        let mut watch = Watch::new(&config);
        let mut saves = tokio::time::interval(saving::INTERVAL);
        saves.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        died = loop {
            tokio::select! {
                order = orders.next() => if order == Order::Stop { break None },
                Some(thread) = ended.recv() => break Some(running.lose(thread)),
                () = watch.changed() => {}
                _ = saves.tick() => {
                    saver.save(|| running.variables()).await;
                    continue;
                }
            }
            watch.take();
            tokio::select! {
                () = orders.next_stop() => break None,
                Some(thread) = ended.recv() => break Some(running.lose(thread)),
                () = reload(&mut running, &mut config, &mut *read) => watch.follow(&config),
            }
        };
    }
    readiness.advance(ReadyState::Draining);
    if died.is_none() && limits.drain_delay_ms > 0 {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(limits.drain_delay_ms)) => {}
            () = orders.next_stop() => {}
        }
    }
    let death = drain(&mut running, &mut ended, &mut orders, &limits).await;
    let saved = tokio::select! {
        saved = saver.finish(running.variables()) => saved,
        () = tokio::time::sleep(SAVE_TIMEOUT) => Err("the variables could not be saved in time".to_owned()),
        () = orders.next_stop() => Err("the variables were not saved: a further signal came".to_owned()),
    };
    running.watched.tails.close();
    let _ = stop_admin.send(());
    let _ = admin.await;
    match died.or(death).or(saved.err()) {
        Some(what) => Err(ServeError::Died { what }),
        None => Ok(()),
    }
}

/// Reads the config anew and puts it in force, or says why not.
async fn reload(running: &mut Running, config: &mut Config, read: &mut ReadConfig) {
    let refuse = |running: &Running, error: &str| {
        tracing::error!("the configuration stays as it was: {error}");
        // Whoever waits for the count finds the words.
        running.metrics.config_refusals.add(1);
    };
    let checked = read().and_then(|new| check(&new).map_err(|error| error.to_string()).map(|()| new));
    let new = match checked {
        Ok(new) => new,
        Err(error) => return refuse(running, &error),
    };
    if let Err(error) = running.reload(&new).await {
        return refuse(running, &error.to_string());
    }
    tracing::info!(webhooks = new.webhooks.len(), "the configuration was read anew and is in force");
    for key in reload::wants_restart(config, &new) {
        tracing::warn!("{key} has changed: that is in force after a restart only");
    }
    running.metrics.config_reloads.add(1);
    // What runs is what it was started with, whatever the file says by now.
    *config = Config { server: config.server.clone(), limits: config.limits.clone(), ..new };
}

/// Lets the cores finish, then the workers. Returns what died on the way.
async fn drain(
    running: &mut Running,
    ended: &mut mpsc::UnboundedReceiver<Ended>,
    orders: &mut Orders,
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
            () = orders.next_stop(), if stage == Stage::Draining => deadline = tokio::time::Instant::now(),
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
