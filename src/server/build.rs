//! Putting the parts together: queues between every core and every worker, and the threads of both.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use ring::rand::{SecureRandom, SystemRandom};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::sync::mpsc;

use super::builder::NativeTrigger;
use super::installed::Installed;
use super::saving::Named;
use super::tail::Watched;
use super::{ServeError, socket};
use crate::buffer::Budget;
use crate::config::Config;
use crate::ingest::{self, CoreControl, CoreParts};
use crate::io::{self, Driver};
use crate::limits::{Limits, allowed_cpus};
use crate::metrics::Metrics;
use crate::queue::{self, Door, HomeBell, Inbox, Outbox};
use crate::trigger::{Bounds, Crew, Mailbox, Update, Worker, WorkerParts};

/// So many triggers may be behind, each with as much as may wait for it, before handles run short and cores have to wait.
const TRIGGERS_BEHIND: usize = 16;
/// What waits for one trigger may keep so much of the byte budget busy: one part in this many.
const TRIGGER_BUDGET_SHARE: u64 = 4;

/// A thread says that it is up, or has ended.
pub(super) enum Ended {
    Up,
    Core(usize, Result<(), String>),
    Worker(usize, Result<(), String>),
}

/// The running server.
pub(super) struct Running {
    pub listen: SocketAddr,
    pub driver: Driver,
    pub metrics: Arc<Metrics>,
    pub watched: Watched,
    installed: Installed,
    cores: Vec<(Arc<CoreControl>, Arc<HomeBell>)>,
    mailboxes: Vec<Arc<Mailbox>>,
    cores_left: usize,
    workers_left: usize,
}

impl Running {
    /// Waits until every core accepts. Returns what died instead.
    pub async fn wait_until_up(&mut self, ended: &mut mpsc::UnboundedReceiver<Ended>) -> Option<String> {
        for _ in 0..self.cores_left {
            match ended.recv().await {
                Some(Ended::Up) => {}
                Some(other) => return Some(self.lose(other)),
                None => return Some("every thread died".into()),
            }
        }
        None
    }

    /// Counts a thread that should not have ended, and says so.
    pub fn lose(&mut self, ended: Ended) -> String {
        let (kind, index, end) = match ended {
            Ended::Up => return "a core came up twice".into(),
            Ended::Core(index, end) => {
                self.cores_left -= 1;
                ("core", index, end)
            }
            Ended::Worker(index, end) => {
                self.workers_left -= 1;
                ("worker", index, end)
            }
        };
        match end {
            Ok(()) => format!("{kind} {index} ended by itself"),
            Err(reason) => format!("{kind} {index} died: {reason}"),
        }
    }

    /// Counts a thread that ended while draining. Returns what to say if it died.
    pub fn note(&mut self, ended: Ended) -> Option<String> {
        let died = matches!(ended, Ended::Core(_, Err(_)) | Ended::Worker(_, Err(_)));
        let said = self.lose(ended);
        died.then_some(said)
    }

    /// Puts another config in force, for the events that come from now on. Returns when it is.
    ///
    /// Workers learn of what is new before cores admit it, and of what is gone after cores have stopped to: so every
    /// event finds its triggers, and runs by one version of them.
    ///
    /// # Errors
    /// When something of it cannot be set up; nothing has changed then.
    pub async fn reload(&mut self, config: &Config) -> Result<(), ServeError> {
        let change = self.installed.prepare(config)?;
        let acknowledged = Acknowledged::default();
        for (mailbox, webhooks) in self.mailboxes.iter().zip(change.updates) {
            mailbox.update(Update { webhooks, removed: Vec::new(), done: acknowledged.one() });
        }
        acknowledged.by_all().await;
        // Before a core admits an event of what is new: a stop that comes now still saves its variables.
        self.installed.commit(change.entries);
        self.metrics.set_triggers(self.installed.counts());
        self.watched.installed(self.installed.kept());
        let acknowledged = Acknowledged::default();
        for (control, bell) in &self.cores {
            control.install(change.webhooks.clone(), acknowledged.one());
            bell.ring();
        }
        acknowledged.by_all().await;
        let acknowledged = Acknowledged::default();
        for mailbox in &self.mailboxes {
            let removed = change.removed.clone();
            mailbox.update(Update { webhooks: Vec::new(), removed, done: acknowledged.one() });
        }
        acknowledged.by_all().await;
        Ok(())
    }

    /// What webhooks keep, each with the name of its webhook.
    pub fn variables(&mut self) -> Named {
        self.installed.variables()
    }

    /// Asks every core to finish.
    pub fn drain(&self) {
        for (control, bell) in &self.cores {
            control.drain();
            bell.ring();
        }
    }

    /// Asks every core to end what is unfinished.
    pub fn end(&self) {
        for (control, bell) in &self.cores {
            control.end();
            bell.ring();
        }
    }

    /// Tells every worker to cut off what its nodes have not done.
    pub fn cut_off(&self) {
        self.mailboxes.iter().for_each(|mailbox| mailbox.end());
    }

    pub fn threads_left(&self) -> usize {
        self.cores_left + self.workers_left
    }
}

/// Waits until every thread that was told something has done it, or is gone.
struct Acknowledged {
    sender: mpsc::Sender<()>,
    receiver: mpsc::Receiver<()>,
}

impl Default for Acknowledged {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver }
    }
}

impl Acknowledged {
    /// What one of them calls, or drops.
    fn one(&self) -> Box<dyn FnOnce() + Send> {
        let sender = self.sender.clone();
        Box::new(move || drop(sender))
    }

    async fn by_all(mut self) {
        drop(self.sender);
        // Nobody sends anything: this ends when the last sender is gone.
        let _ = self.receiver.recv().await;
    }
}

/// Where webhooks keep their variables, in the data directory.
const VARIABLES_DIR: &str = "variables";

/// Makes the data directory, readable by its owner only, and locks it for as long as the file lives.
pub(super) fn lock_data_dir(data_dir: &Path) -> Result<File, ServeError> {
    let failed =
        |error| ServeError::io(format!("cannot use the data directory {}", data_dir.display()), error);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(data_dir.join(VARIABLES_DIR)).map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data_dir.join("lock"))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ServeError::Locked { data_dir: data_dir.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Starts every thread.
pub(super) fn start(
    config: &Config,
    limits: Arc<Limits>,
    natives: Vec<NativeTrigger>,
    driver: Driver,
    ended: mpsc::UnboundedSender<Ended>,
) -> Result<Running, ServeError> {
    raise_descriptor_limit(limits.descriptors_max() as u64);
    let listeners = socket::bind_cores(config.server.listen, limits.cores)?;
    let listen =
        listeners[0].local_addr().map_err(|error| ServeError::io("cannot read the bound address", error))?;
    let mut installed = Installed::new(limits.clone(), natives, config.server.data_dir.join(VARIABLES_DIR));
    let change = installed.prepare(config)?;
    let metrics = Arc::new(Metrics::new(limits.cores, limits.workers));
    metrics.budget_bytes.set(limits.budget_bytes);
    let budget = Arc::new(Budget::new(limits.budget_bytes));
    let mut bells = Vec::new();
    for _ in 0..limits.cores {
        let (ringer, rope) =
            io::bell().map_err(|error| ServeError::io("cannot make a core's bell", error))?;
        bells.push((Arc::new(HomeBell::new(move || ringer.ring())), rope));
    }
    let handles_max = limits.connections_max
        + limits.workers * (limits.queue_events_max + TRIGGERS_BEHIND * limits.trigger_events_max);
    let (outboxes, inboxes, doors) = connect(&limits, handles_max, &bells);

    let bounds = Bounds {
        events_max: limits.trigger_events_max,
        bytes_max: (limits.budget_bytes / TRIGGER_BUDGET_SHARE) as usize,
    };
    let watched = Watched::default();
    let mailboxes: Vec<_> = doors.iter().map(|door| Arc::new(Mailbox::new(door.clone()))).collect();
    let crew = Arc::new(Crew::new(mailboxes.clone()));
    for (index, (inboxes, door)) in inboxes.into_iter().zip(doors).enumerate() {
        let (crew, tails, metrics) = (crew.clone(), watched.tails.clone(), metrics.clone());
        let worker = Worker::new(WorkerParts { index, inboxes, door, crew, bounds, tails, metrics });
        let ended = ended.clone();
        spawn(format!("inrush-worker-{index}"), move || {
            let end = caught(|| worker.run());
            let _ = ended.send(Ended::Worker(index, end));
        })?;
    }

    // Before a core accepts anything: a worker looks into its mailbox before its queues.
    for (mailbox, webhooks) in mailboxes.iter().zip(change.updates) {
        mailbox.update(Update { webhooks, removed: Vec::new(), done: Box::new(|| {}) });
    }
    installed.commit(change.entries);
    metrics.set_triggers(installed.counts());
    watched.installed(installed.kept());

    let cpus = allowed_cpus().unwrap_or_default();
    let mut cores = Vec::new();
    for (index, ((listener, outboxes), (bell, rope))) in
        listeners.into_iter().zip(outboxes).zip(bells).enumerate()
    {
        let control = Arc::new(CoreControl::default());
        cores.push((control.clone(), bell.clone()));
        let parts = CoreParts {
            index,
            driver,
            listener,
            limits: limits.clone(),
            webhooks: change.webhooks.clone(),
            budget: budget.clone(),
            outboxes,
            handles_max,
            bell,
            rope,
            control,
            metrics: metrics.clone(),
            seed: seed()?,
        };
        let ended = ended.clone();
        let cpu = cpus.get(index % cpus.len().max(1)).copied();
        spawn(format!("inrush-core-{index}"), move || {
            pin(index, cpu);
            let up = ended.clone();
            let end = caught(|| {
                ingest::run(parts, move || {
                    let _ = up.send(Ended::Up);
                })
            });
            let _ = ended.send(Ended::Core(index, end));
        })?;
    }
    let (cores_left, workers_left) = (limits.cores, limits.workers);
    Ok(Running { listen, driver, metrics, watched, installed, cores, mailboxes, cores_left, workers_left })
}

/// One queue each way between every core and every worker.
#[allow(clippy::type_complexity)]
fn connect(
    limits: &Limits,
    handles_max: usize,
    bells: &[(Arc<HomeBell>, std::os::unix::net::UnixStream)],
) -> (Vec<Vec<Outbox>>, Vec<Vec<Inbox>>, Vec<Arc<Door>>) {
    let doors: Vec<Arc<Door>> = (0..limits.workers).map(|_| Arc::default()).collect();
    let mut outboxes: Vec<Vec<Outbox>> = Vec::new();
    let mut inboxes: Vec<Vec<Inbox>> = doors.iter().map(|_| Vec::new()).collect();
    for (bell, _) in bells {
        let mut of_core = Vec::new();
        for (door, inboxes) in doors.iter().zip(&mut inboxes) {
            let (outbox, inbox) =
                queue::pair(limits.queue_events_max, handles_max, door.clone(), bell.clone());
            of_core.push(outbox);
            inboxes.push(inbox);
        }
        outboxes.push(of_core);
    }
    (outboxes, inboxes, doors)
}

/// The driver that `INRUSH_DRIVER` asks for, or the best there is.
pub(super) fn choose_driver() -> Result<Driver, ServeError> {
    let asked = std::env::var("INRUSH_DRIVER").unwrap_or_default();
    let refused = |reason| Err(ServeError::Driver { asked: asked.clone(), reason });
    match asked.as_str() {
        "" | "auto" => Ok(Driver::probe()),
        "epoll" => Ok(Driver::Epoll),
        "io_uring" | "uring" if Driver::probe() == Driver::IoUring => Ok(Driver::IoUring),
        "io_uring" | "uring" => {
            refused("this kernel, or the policy of this container, refuses io_uring; use epoll")
        }
        _ => refused("use io_uring, epoll or auto"),
    }
}

/// Asks for as many descriptors as the limits may need. With fewer, accepting waits for connections to end.
fn raise_descriptor_limit(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    if most < wanted || raised.is_err() {
        tracing::warn!(
            wanted,
            most,
            "the process may open fewer descriptors than connections_max needs; raise `ulimit -n` (LimitNOFILE=)"
        );
    }
}

fn pin(core: usize, cpu: Option<usize>) {
    let Some(cpu) = cpu else { return };
    let mut set = CpuSet::new();
    set.set(cpu);
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!(core, cpu, %error, "cannot pin the core to its CPU; it runs unpinned");
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<(), ServeError> {
    let started = thread::Builder::new().name(name.clone()).spawn(body);
    started.map(drop).map_err(|error| ServeError::io(format!("cannot start the thread {name}"), error))
}

/// Runs the life of a thread. The panic hook has printed where a panic came from.
fn caught(body: impl FnOnce() -> std::io::Result<()>) -> Result<(), String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("it panicked".into()),
    }
}

fn seed() -> Result<u64, ServeError> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| no_randomness())?;
    Ok(u64::from_le_bytes(bytes))
}

fn no_randomness() -> ServeError {
    ServeError::io("the system gives no random bytes", std::io::ErrorKind::Unsupported.into())
}
