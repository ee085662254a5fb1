//! A trigger worker: a thread with its own tokio runtime that takes events from its queues and runs their triggers.

mod webhooks;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use super::lane::Offered;
use super::mailbox::{Crew, Mail, Mailbox, Passed};
use super::tail::{self, Tails};
use crate::event::{Event, HeldEvent, Slot, Source};
use crate::json::Parser;
use crate::metrics::{Metrics, WorkerMetrics, clock_ns};
use crate::node::{AnyNode, EventLine, NodeError};
use crate::queue::{Door, Inbox};
use webhooks::Webhooks;

/// Events taken before the worker lets its other tasks run.
const BATCH_EVENTS_MAX: usize = 256;
/// Lines that a node could not write are logged at most this often per worker; all such failures are counted.
const LOSS_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// When a worker is cut off, how long what its nodes hold back may take to be written.
const CUT_OFF_SETTLE: Duration = Duration::from_secs(1);

/// What a worker is made of.
pub struct WorkerParts {
    /// Its number, also its block in the metrics.
    pub index: usize,
    /// One for each core.
    pub inboxes: Vec<Inbox>,
    /// Where cores knock.
    pub door: Arc<Door>,
    /// What comes beside the queues, behind the same door; and what comes to the other workers.
    pub crew: Arc<Crew>,
    /// What may wait for a trigger.
    pub bounds: Bounds,
    /// Who watches the events.
    pub tails: Arc<Tails>,
    /// Everybody's counters.
    pub metrics: Arc<Metrics>,
}

/// How much may wait for one trigger on one worker before its webhook refuses more.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Events.
    pub events_max: usize,
    /// Bytes of their heads and bodies.
    pub bytes_max: usize,
}

/// A trigger worker.
pub struct Worker {
    parts: WorkerParts,
}

/// What the lanes of a worker share.
pub(super) struct Shared {
    pub index: usize,
    pub bounds: Bounds,
    pub crew: Arc<Crew>,
    /// Tasks that run events through nodes that wait.
    pub runs: Cell<usize>,
    /// A gate was opened: posts may wait for that on every core.
    pub gate_opened: Cell<bool>,
    metrics: Arc<Metrics>,
    last_loss_logged: Cell<Option<Instant>>,
}

impl Shared {
    fn metrics(&self) -> &WorkerMetrics {
        &self.metrics.workers[self.index]
    }

    /// The worker's own mailbox.
    pub fn mailbox(&self) -> &Mailbox {
        self.crew.mailbox(self.index)
    }

    /// Counts a failure of a node.
    pub fn count_failure(&self) {
        self.metrics().node_failures.add(1);
    }

    /// Whether lost lines are to be logged now.
    fn may_log_loss(&self) -> bool {
        let now = Instant::now();
        let log = self.last_loss_logged.get().is_none_or(|last| now - last >= LOSS_LOG_INTERVAL);
        if log {
            self.last_loss_logged.set(Some(now));
        }
        log
    }
}

/// What was lost because the time for stopping was over.
#[derive(Debug)]
struct CutOff {
    /// Events that were not run, or not to their end.
    events: usize,
    /// Whether lines that nodes held back were not written.
    lines: bool,
}

impl std::fmt::Display for CutOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the time for stopping was over: {} events were not run to their end", self.events)?;
        match self.lines {
            true => f.write_str(", and lines that nodes held back were not written"),
            false => Ok(()),
        }
    }
}

/// A worker at work. It stays on its thread: what it shares with its tasks is not for others.
struct AtWork {
    inboxes: Vec<Inbox>,
    door: Arc<Door>,
    mailbox: Arc<Mailbox>,
    /// Whether it may still pass events on to other workers.
    feeds: bool,
    tails: Arc<Tails>,
    webhooks: Webhooks,
    line: EventLine,
    parser: Parser,
    mail: Mail,
    /// Events that another worker passed on, until their trigger is here: that one may have had its orders first.
    passed: Vec<Passed>,
    shared: Rc<Shared>,
}

impl Worker {
    /// A worker made of `parts`.
    pub fn new(parts: WorkerParts) -> Self {
        Self { parts }
    }

    /// Runs on this thread until every core is gone and every event has run, or until it is told to end; what has not
    /// run then is cut off.
    ///
    /// # Errors
    /// When the system refuses a runtime, or something was cut off.
    pub fn run(self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut at_work = AtWork::new(self.parts);
        let tasks = tokio::task::LocalSet::new();
        let cut_off = tasks.block_on(&runtime, at_work.work());
        // Runs that were cut off end here, and clean up: a node must not leave a process behind.
        drop(tasks);
        drop(at_work);
        // A thread that is stuck in a write has had its time.
        runtime.shutdown_background();
        match cut_off {
            CutOff { events: 0, lines: false } => Ok(()),
            cut_off => Err(std::io::Error::other(cut_off.to_string())),
        }
    }
}

impl AtWork {
    fn new(parts: WorkerParts) -> Self {
        let shared = Rc::new(Shared {
            index: parts.index,
            bounds: parts.bounds,
            crew: parts.crew,
            runs: Cell::new(0),
            gate_opened: Cell::new(false),
            metrics: parts.metrics,
            last_loss_logged: Cell::new(None),
        });
        Self {
            inboxes: parts.inboxes,
            door: parts.door,
            mailbox: shared.crew.mailbox(parts.index).clone(),
            feeds: true,
            tails: parts.tails,
            webhooks: Webhooks::default(),
            line: EventLine::default(),
            parser: Parser::new(),
            mail: Mail::default(),
            passed: Vec::new(),
            shared,
        }
    }

    async fn work(&mut self) -> CutOff {
        loop {
            let from_mail = self.take_mail();
            if self.mail.end {
                break;
            }
            let taken = self.run_batch();
            self.flush_where(|due, now| due <= now);
            if self.shared.gate_opened.take() {
                self.inboxes.iter().for_each(Inbox::announce_home);
            }
            if taken == BATCH_EVENTS_MAX || (taken + from_mail > 0 && self.shared.runs.get() > 0) {
                // The runs that wait get their turn, however steadily events come.
                tokio::task::yield_now().await;
            } else if taken + from_mail == 0 {
                self.look_at_queues();
                self.webhooks.drop_retired();
                if self.is_done() {
                    break;
                }
                self.sleep().await;
            }
        }
        let lines = !self.settle().await;
        let waiting: usize = self.inboxes.iter().map(Inbox::depth).sum();
        CutOff { events: self.mailbox.held() + waiting, lines }
    }

    /// Whether no event can come any more, and every one that came has run.
    fn is_done(&self) -> bool {
        // In this order: what the last one that fed passed on lies in the mailbox before it says that it is done.
        let none_comes = !self.feeds && !self.shared.crew.is_feeding() && self.mailbox.is_empty();
        none_comes && self.passed.is_empty() && self.mailbox.held() == 0 && self.webhooks.are_idle()
    }

    /// Says so when its queues are closed and empty.
    fn look_at_queues(&mut self) {
        if self.feeds && self.inboxes.iter().all(Inbox::is_closed) {
            self.feeds = false;
            self.shared.crew.stop_feeding();
        }
    }

    /// Runs the triggers of at most [`BATCH_EVENTS_MAX`] events, from the queues in turn.
    fn run_batch(&mut self) -> usize {
        let mut taken = 0;
        let depth = self.inboxes.iter().map(Inbox::depth).sum::<usize>();
        self.shared.metrics().queue_depth.set(depth as u64);
        let share = BATCH_EVENTS_MAX.div_ceil(self.inboxes.len().max(1));
        for queue in 0..self.inboxes.len() {
            let before = taken;
            while taken < BATCH_EVENTS_MAX && taken - before < share {
                let Some(slot) = self.inboxes[queue].pop() else { break };
                taken += 1;
                let timed = slot.pushed_at_ns;
                let start = timed.map(|pushed| {
                    let now = clock_ns();
                    self.shared.metrics().queue_wait.record(now.saturating_sub(pushed));
                    now
                });
                if let Some(slot) = self.run_event(slot, queue) {
                    send_home(&mut self.inboxes[queue], slot);
                }
                self.webhooks.took(queue);
                if let Some(start) = start {
                    self.shared.metrics().node_time.record(clock_ns().saturating_sub(start));
                }
            }
            if taken > before {
                self.inboxes[queue].flush_home();
            }
        }
        if taken > 0 {
            let metrics = self.shared.metrics();
            metrics.events.add(taken as u64);
            metrics.batches.add(1);
        }
        taken
    }

    /// Offers an event to every lane of its webhook. The handle comes back unless a lane took a share.
    ///
    /// A node that fails or panics stops neither the other triggers nor the worker.
    fn run_event(&mut self, mut slot: Box<Slot>, queue: usize) -> Option<Box<Slot>> {
        let index = slot.webhook;
        let Some(webhook) = self.webhooks.get(index) else {
            tracing::error!(event = %slot.id, "an event of no webhook: a bug in inrush");
            return Some(slot);
        };
        self.line.reset();
        let is_watched = self.tails.any();
        let mut reads = webhook.reads;
        if is_watched {
            reads = reads.and(tail::reads(slot.body.len()));
        }
        // What has to wait may be run by what a reload has made of its trigger, which may read the text.
        reads.text |= self.shared.runs.get() > 0;
        let built = catch_unwind(AssertUnwindSafe(|| slot.build_value(reads, &mut self.parser)));
        if built.is_err() {
            // The body is lost with the parser: better no node sees the event than one sees another body.
            self.parser = Parser::new();
            self.shared.metrics().node_failures.add(1);
            tracing::error!(event = %slot.id, webhook = webhook.source.name(), "reading the body panicked: the event is lost");
            return Some(slot);
        }
        let timed = slot.pushed_at_ns.is_some();
        let mut handle = Handle::new(slot);
        if is_watched {
            self.tails.offer(&handle.event(&webhook.source), &mut self.line);
        }
        for lane in &webhook.lanes {
            let event = handle.event(&webhook.source);
            let line = &mut self.line;
            let offered = catch_unwind(AssertUnwindSafe(|| lane.offer(&event, line, timed)));
            match offered {
                Ok(Offered::Done) => {}
                Ok(Offered::Needs(start)) => {
                    lane.take(handle.share(&webhook.source, queue, &self.mailbox), start);
                }
                Ok(Offered::IsFor(worker)) => {
                    let event = handle.share(&webhook.source, queue, &self.mailbox);
                    let trigger = lane.trigger().id.clone();
                    self.shared.crew.pass(worker, Passed { webhook: index, trigger, event });
                }
                Err(_) => lane.panicked(&event),
            }
        }
        let mut slot = handle.owned?;
        slot.drop_built_value(&mut self.parser);
        Some(slot)
    }

    /// Does what lies in the mailbox. Returns how much of it was events and handles.
    fn take_mail(&mut self) -> usize {
        self.mailbox.take(&mut self.mail);
        let count = self.mail.returned.len();
        let passed = self.mail.passed.len();
        self.passed.append(&mut self.mail.passed);
        self.run_passed();
        // After the events that were passed on before: they may be for what it removes. Or for what it installs.
        if !self.mail.updates.is_empty() {
            for update in self.mail.updates.drain(..) {
                let depths = self.inboxes.iter().map(Inbox::depth).collect();
                self.webhooks.apply(update, depths, &self.shared);
            }
            self.run_passed();
        }
        // An event that comes next must not find the line of this one.
        self.line.reset();
        for (queue, mut slot) in self.mail.returned.drain(..) {
            slot.drop_built_value(&mut self.parser);
            send_home(&mut self.inboxes[queue], slot);
        }
        if count > 0 {
            self.inboxes.iter().for_each(Inbox::flush_home);
        }
        count + passed
    }

    /// Runs what other workers passed on, but for events whose trigger is not here yet.
    fn run_passed(&mut self) {
        let mut passed = std::mem::take(&mut self.passed);
        passed.retain(|Passed { webhook, trigger, event }| {
            let Some(lane) = self.webhooks.lane(*webhook, trigger) else { return true };
            self.line.reset();
            let received = catch_unwind(AssertUnwindSafe(|| lane.receive(event.clone(), &mut self.line)));
            if received.is_err() {
                lane.panicked(&event.event());
            }
            false
        });
        self.passed = passed;
    }

    /// Writes what nodes hold back where `is_due` says so.
    fn flush_where(&mut self, is_due: impl Fn(Instant, Instant) -> bool) {
        let mut now = None;
        let mut discarded = 0;
        let metrics = self.shared.metrics();
        let mut visit = |node: &AnyNode| {
            discarded += node.take_discarded();
            #[cfg(inrush_bench)]
            {
                let (found, missed) = node.take_reads();
                metrics.fields_found.add(found);
                metrics.fields_missed.add(missed);
            }
            let Some(due) = node.flush_due() else { return };
            if is_due(due, *now.get_or_insert_with(Instant::now))
                && let Err(error) = node.flush()
            {
                self.lost(&error);
            }
        };
        for lane in self.webhooks.lanes() {
            lane.for_each_trigger(|trigger| trigger.nodes.iter().for_each(&mut visit));
        }
        metrics.discarded.add(discarded);
    }

    /// Has every node write what it holds back, and waits until they have, or until there is no more time for it. Returns
    /// whether all was written or reported.
    async fn settle(&mut self) -> bool {
        self.flush_where(|_, _| true);
        let mut triggers = Vec::new();
        for lane in self.webhooks.lanes() {
            lane.for_each_trigger(|trigger| triggers.push(trigger.clone()));
        }
        // All at once: one that stands still must not keep the others from being written.
        let nodes = triggers.iter().flat_map(|trigger| &trigger.nodes).map(AnyNode::settle);
        let mut settling = std::pin::pin!(join_all(nodes));
        let mut settled = None;
        if !self.mail.end {
            tokio::select! {
                results = &mut settling => settled = Some(results),
                () = self.told_to_end() => {}
            }
        }
        if settled.is_none() {
            settled = tokio::time::timeout(CUT_OFF_SETTLE, settling).await.ok();
        }
        settled
            .iter()
            .flatten()
            .filter_map(|result| result.as_ref().err())
            .for_each(|error| self.lost(error));
        settled.is_some()
    }

    async fn told_to_end(&self) {
        while !self.mailbox.says_end() {
            self.door.sleep_unless(|| self.mailbox.says_end()).await;
        }
    }

    /// Counts and reports that what a node held back is lost.
    fn lost(&self, error: &NodeError) {
        self.shared.count_failure();
        if self.shared.may_log_loss() {
            tracing::error!("{error}; the lines held back are lost");
        }
    }

    /// Sleeps until somebody knocks or a node must write what it holds back.
    async fn sleep(&mut self) {
        let mut due: Option<Instant> = None;
        let mut visit = |node: &AnyNode| due = node.flush_due().into_iter().chain(due).min();
        for lane in self.webhooks.lanes() {
            lane.for_each_trigger(|trigger| trigger.nodes.iter().for_each(&mut visit));
        }
        self.shared.metrics().sleeps.add(1);
        let knock = self.door.sleep_unless(|| {
            self.inboxes.iter().any(|inbox| !inbox.is_empty())
                || !self.mailbox.is_empty()
                || self.is_done()
                || (self.feeds && self.inboxes.iter().all(Inbox::is_closed))
        });
        match due {
            Some(due) => {
                let _ = tokio::time::timeout_at(due.into(), knock).await;
            }
            None => knock.await,
        }
    }
}

/// Sends a handle home. A core that has nothing to do collects its handles at its next sweep, some time later: what a
/// large body holds of the budget would be missing to the next one until then.
fn send_home(inbox: &mut Inbox, slot: Box<Slot>) {
    let is_heavy = slot.is_heavy();
    inbox.send_home(slot);
    if is_heavy {
        inbox.announce_home();
    }
}

/// The handle of an event while it is offered: ours alone until a lane wants a share.
struct Handle {
    owned: Option<Box<Slot>>,
    held: Option<HeldEvent>,
}

impl Handle {
    fn new(slot: Box<Slot>) -> Self {
        Self { owned: Some(slot), held: None }
    }

    fn event<'a>(&'a self, source: &'a Source) -> Event<'a> {
        match (&self.owned, &self.held) {
            (Some(slot), _) => Event::new(slot, source),
            (None, Some(held)) => held.event(),
            (None, None) => unreachable!("it is the one or the other"),
        }
    }

    fn share(&mut self, source: &Arc<Source>, queue: usize, mailbox: &Arc<Mailbox>) -> HeldEvent {
        if let Some(slot) = self.owned.take() {
            mailbox.hold();
            self.held = Some(HeldEvent::new(slot, source.clone(), queue, mailbox.clone()));
        }
        self.held.clone().unwrap_or_else(|| unreachable!("it is the one or the other"))
    }
}

#[cfg(test)]
mod tests;
