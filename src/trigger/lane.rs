//! One trigger on one worker: which of its events run, which wait for their turn, and when it has too many.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::Trigger;
use super::worker::Shared;
use crate::config::OnError;
use crate::event::{Event, Gate, HeldEvent};
use crate::metrics::{NodeBlock, TriggerBlock};
use crate::node::{AtOnce, EventLine, NodeError};

/// The lane of one trigger. It outlives a reload: what waits in it is run by the trigger as it is when its turn comes.
pub(super) struct Lane {
    trigger: RefCell<Rc<Trigger>>,
    /// What it was before, as long as an event is on its way through it or it holds something back.
    former: RefCell<Vec<Rc<Trigger>>>,
    running: Cell<usize>,
    waiting: RefCell<VecDeque<HeldEvent>>,
    waiting_bytes: Cell<usize>,
    gate: Arc<Gate>,
    holds_gate: Cell<bool>,
    retired: Cell<bool>,
    /// When it was last said that it is behind.
    warned: Cell<Option<Instant>>,
    /// What was logged of each node's failures.
    logged: RefCell<Vec<Logged>>,
    shared: Rc<Shared>,
}

/// Failures of a node are logged at most this often; how many were not is said with the next.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// A trigger that is behind again and again says so at most this often.
const BEHIND_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What was logged of a node's failures.
#[derive(Clone, Copy, Default)]
struct Logged {
    last: Option<Instant>,
    left_out: u64,
}

/// What became of an event that was offered to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// The trigger is done with it.
    Done,
    /// The lane needs a share, and goes on from there.
    Needs(Start),
    /// It is for the lane of another worker.
    IsFor(usize),
}

/// Where a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// When it is its turn, at the first node.
    InTurn,
    /// Now, at this node; the ones before have run.
    At(usize),
}

impl Lane {
    pub fn new(trigger: Trigger, gate: Arc<Gate>, shared: Rc<Shared>) -> Self {
        Self {
            trigger: RefCell::new(Rc::new(trigger)),
            former: RefCell::default(),
            running: Cell::new(0),
            waiting: RefCell::default(),
            waiting_bytes: Cell::new(0),
            gate,
            holds_gate: Cell::new(false),
            retired: Cell::new(false),
            warned: Cell::new(None),
            logged: RefCell::default(),
            shared,
        }
    }

    /// The trigger as it is now.
    pub fn trigger(&self) -> Rc<Trigger> {
        self.trigger.borrow().clone()
    }

    /// Replaces the trigger. What is on its way ends with the old one, what waits begins with the new.
    pub fn replace(self: &Rc<Self>, trigger: Trigger) {
        let former = self.trigger.replace(Rc::new(trigger));
        self.former.borrow_mut().push(former);
        while self.running.get() < self.trigger.borrow().in_flight_max()
            && let Some(event) = self.next()
        {
            self.begin(event, 0);
        }
        self.show();
    }

    /// The trigger as it is now and as it was, where something may still be held back. Former ones that are done go.
    pub fn for_each_trigger(&self, mut visit: impl FnMut(&Rc<Trigger>)) {
        visit(&self.trigger.borrow());
        let mut former = self.former.borrow_mut();
        if !former.is_empty() {
            former.iter().for_each(&mut visit);
            former.retain(|trigger| Rc::strong_count(trigger) > 1 || trigger.holds_back());
        }
    }

    /// The trigger is no longer installed: what its lane still does is no reason to refuse events of its webhook.
    pub fn retire(&self) {
        self.retired.set(true);
        self.release_gate();
    }

    /// Whether nothing runs or waits.
    pub fn is_idle(&self) -> bool {
        self.running.get() == 0 && self.waiting.borrow().is_empty()
    }

    /// Runs the trigger for an event, if that meets its condition, as far as that can be done at once. With `timed`, nodes
    /// are timed.
    pub fn offer(&self, event: &Event<'_>, line: &mut EventLine, timed: bool) -> Offered {
        let trigger = self.trigger.borrow();
        if let Some(when) = &trigger.when {
            let block = self.block(&trigger);
            match when.eval(event, &trigger.variables) {
                Ok(true) => {}
                Ok(false) => {
                    block.skipped.add(1);
                    return Offered::Done;
                }
                Err(error) => {
                    block.condition_errors.add(1);
                    tracing::debug!(event = %event.id(), webhook = event.webhook(), trigger = trigger.id, "`when`: {error}");
                    return Offered::Done;
                }
            }
        }
        match self.worker_for(&trigger, event) {
            Some(other) if other != self.shared.index => Offered::IsFor(other),
            _ => self.begin_at_once(&trigger, event, line, timed),
        }
    }

    /// Runs the trigger for an event that another worker passed on.
    pub fn receive(self: &Rc<Self>, event: HeldEvent, line: &mut EventLine) {
        let offered = self.begin_at_once(&self.trigger(), &event.event(), line, false);
        if let Offered::Needs(start) = offered {
            self.take(event, start);
        }
    }

    /// The worker that the trigger's key names. Without a key, or without a value of it, this one.
    fn worker_for(&self, trigger: &Trigger, event: &Event<'_>) -> Option<usize> {
        let value = trigger.key.as_ref()?.eval(event, &trigger.variables).ok()?;
        let mut hasher = DefaultHasher::new();
        value.to_string().hash(&mut hasher);
        Some((hasher.finish() % self.shared.crew.size() as u64) as usize)
    }

    fn begin_at_once(
        &self,
        trigger: &Trigger,
        event: &Event<'_>,
        line: &mut EventLine,
        timed: bool,
    ) -> Offered {
        let block = self.block(trigger);
        block.events.add(1);
        if !self.waiting.borrow().is_empty() || self.running.get() >= trigger.in_flight_max() {
            return Offered::Needs(Start::InTurn);
        }
        for (index, node) in trigger.nodes.iter().enumerate() {
            let counts = &block.nodes[index];
            let started = timed.then(Instant::now);
            let result = match catch_unwind(AssertUnwindSafe(|| node.run_at_once(event, line))) {
                Ok(AtOnce::MustWait) => return Offered::Needs(Start::At(index)),
                Ok(AtOnce::Done(result)) => result,
                Err(_) => {
                    // The panic hook has printed where. Half a line is nobody's.
                    line.reset();
                    Err(NodeError { node: node.kind(), reason: "panicked".into() })
                }
            };
            counts.runs.add(1);
            if let Some(started) = started {
                time(counts, started);
            }
            if let Err(error) = result
                && self.failed(trigger, event, index, &error) == OnError::Stop
            {
                break;
            }
        }
        Offered::Done
    }

    /// Whether a node has something that is not written yet.
    pub fn holds_back(&self) -> bool {
        let mut any = false;
        self.for_each_trigger(|trigger| any |= trigger.holds_back());
        any
    }

    /// Takes a share of an event that was offered.
    pub fn take(self: &Rc<Self>, event: HeldEvent, start: Start) {
        match start {
            Start::At(node) => self.begin(event, node),
            Start::InTurn => {
                self.waiting_bytes.set(self.waiting_bytes.get() + event.bytes());
                self.waiting.borrow_mut().push_back(event);
                self.look_at_the_line();
            }
        }
    }

    /// Counts an event whose condition or key panicked, which is a bug in inrush.
    pub fn panicked(&self, event: &Event<'_>) {
        let trigger = self.trigger();
        self.block(&trigger).condition_errors.add(1);
        tracing::error!(event = %event.id(), webhook = event.webhook(), trigger = trigger.id, "the condition panicked");
    }

    fn begin(self: &Rc<Self>, event: HeldEvent, node: usize) {
        self.running.set(self.running.get() + 1);
        self.shared.runs.set(self.shared.runs.get() + 1);
        self.show();
        // The version that ran the nodes before `node`: a reload may come before the task is polled.
        tokio::task::spawn_local(self.clone().run(self.trigger(), event, node));
    }

    /// Runs one event from `node` on, then those whose turn it is.
    async fn run(self: Rc<Self>, mut trigger: Rc<Trigger>, mut event: HeldEvent, mut node: usize) {
        loop {
            self.run_nodes(&trigger, &event, node).await;
            // Events that began before the next one may, but have not been polled yet, start before it.
            tokio::task::yield_now().await;
            let Some(next) = self.next() else { break };
            (trigger, event, node) = (self.trigger(), next, 0);
        }
        self.running.set(self.running.get() - 1);
        self.shared.runs.set(self.shared.runs.get() - 1);
        self.show();
        // The event may be another worker's, and so its handle wakes that one. This one may have waited for the run to end.
        self.shared.mailbox().knock();
    }

    async fn run_nodes(&self, trigger: &Trigger, event: &HeldEvent, from: usize) {
        let block = self.block(trigger);
        for (index, node) in trigger.nodes.iter().enumerate().skip(from) {
            let started = Instant::now();
            let result = AssertUnwindSafe(node.run(event)).catch_unwind().await;
            let counts = &block.nodes[index];
            counts.runs.add(1);
            time(counts, started);
            let result = result.unwrap_or_else(|_| {
                // The panic hook has printed where it came from.
                Err(NodeError { node: node.kind(), reason: "panicked".into() })
            });
            if let Err(error) = result
                && self.failed(trigger, &event.event(), index, &error) == OnError::Stop
            {
                break;
            }
        }
    }

    /// The event whose turn it is, if another may run.
    fn next(&self) -> Option<HeldEvent> {
        // A reload may have lowered what may run.
        if self.running.get() > self.trigger.borrow().in_flight_max() {
            return None;
        }
        let next = self.waiting.borrow_mut().pop_front()?;
        self.waiting_bytes.set(self.waiting_bytes.get() - next.bytes());
        self.look_at_the_line();
        Some(next)
    }

    /// Closes the webhook's gate when too many wait, and opens it when half of them are gone.
    fn look_at_the_line(&self) {
        let bounds = self.shared.bounds;
        let (events, bytes) = (self.waiting.borrow().len(), self.waiting_bytes.get());
        if !self.holds_gate.get()
            && !self.retired.get()
            && (events > bounds.events_max || bytes > bounds.bytes_max)
        {
            self.gate.hold_closed();
            self.holds_gate.set(true);
            self.warn_that_it_is_behind(events);
        } else if self.holds_gate.get() && events <= bounds.events_max / 2 && bytes <= bounds.bytes_max / 2 {
            self.release_gate();
        }
        self.show();
    }

    /// Under a steady overload the gate opens and closes many times a second.
    fn warn_that_it_is_behind(&self, waiting: usize) {
        let now = Instant::now();
        if self.warned.get().is_some_and(|last| now - last < BEHIND_LOG_INTERVAL) {
            return;
        }
        self.warned.set(Some(now));
        let trigger = self.trigger();
        tracing::warn!(
            webhook = trigger.metrics.webhook,
            trigger = trigger.id,
            waiting,
            "the trigger is behind; posts to its webhook wait for half of it to run, and are answered 503 if that takes long"
        );
    }

    fn release_gate(&self) {
        if self.holds_gate.replace(false) {
            self.gate.release();
            self.shared.gate_opened.set(true);
            self.shared.mailbox().knock();
        }
    }

    fn show(&self) {
        let trigger = self.trigger.borrow();
        let block = self.block(&trigger);
        block.running.set(self.running.get() as u64);
        block.waiting.set(self.waiting.borrow().len() as u64);
    }

    fn block<'t>(&self, trigger: &'t Trigger) -> &'t TriggerBlock {
        &trigger.metrics.workers[self.shared.index]
    }

    /// Counts and reports a node that failed, and says whether the next ones run.
    fn failed(&self, trigger: &Trigger, event: &Event<'_>, node: usize, error: &NodeError) -> OnError {
        self.block(trigger).nodes[node].failures.add(1);
        self.shared.count_failure();
        let mut logged = self.logged.borrow_mut();
        if logged.len() <= node {
            logged.resize(node + 1, Logged::default());
        }
        let logged = &mut logged[node];
        let now = Instant::now();
        if logged.last.is_some_and(|last| now - last < FAILURE_LOG_INTERVAL) {
            logged.left_out += 1;
            return trigger.on_error;
        }
        let (event, webhook, id) = (event.id(), event.webhook(), &trigger.id);
        match std::mem::take(&mut logged.left_out) {
            0 => tracing::error!(%event, webhook, trigger = id, "{error}"),
            left_out => tracing::error!(%event, webhook, trigger = id, left_out, "{error}"),
        }
        logged.last = Some(now);
        trigger.on_error
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.release_gate();
    }
}

fn time(counts: &NodeBlock, started: Instant) {
    counts.timed_runs.add(1);
    counts.timed_ns.add(started.elapsed().as_nanos() as u64);
}
