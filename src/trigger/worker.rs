//! A trigger worker: a thread with its own tokio runtime that takes events from its queues and runs their triggers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::WebhookTriggers;
use crate::event::{Event, Slot};
use crate::json::Parser;
use crate::metrics::{Metrics, WorkerMetrics, clock_ns};
use crate::node::{EventLine, NodeError};
use crate::queue::{Door, Inbox};

/// Events taken before the worker lets its other tasks run.
const BATCH_EVENTS_MAX: usize = 256;
/// Failures of nodes are logged at most this often per worker; all are counted.
const FAILURE_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What a worker is made of.
pub struct WorkerParts {
    /// Its number, also its block in the metrics.
    pub index: usize,
    /// One for each core.
    pub inboxes: Vec<Inbox>,
    /// Where cores knock.
    pub door: Arc<Door>,
    /// The triggers of every webhook, by the webhook's index.
    pub webhooks: Vec<WebhookTriggers>,
    /// Everybody's counters.
    pub metrics: Arc<Metrics>,
}

/// A trigger worker.
pub struct Worker {
    index: usize,
    inboxes: Vec<Inbox>,
    door: Arc<Door>,
    webhooks: Vec<WebhookTriggers>,
    lines: Vec<EventLine>,
    parser: Parser,
    metrics: Arc<Metrics>,
    last_failure_logged: Option<Instant>,
}

impl Worker {
    /// A worker made of `parts`.
    pub fn new(parts: WorkerParts) -> Self {
        let lines = parts.webhooks.iter().map(|_| EventLine::default()).collect();
        Self {
            index: parts.index,
            inboxes: parts.inboxes,
            door: parts.door,
            webhooks: parts.webhooks,
            lines,
            parser: Parser::new(),
            metrics: parts.metrics,
            last_failure_logged: None,
        }
    }

    /// Runs on this thread until every core is gone and every event has run.
    ///
    /// # Errors
    /// When the system refuses a runtime.
    pub fn run(mut self) -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.work());
        Ok(())
    }

    async fn work(&mut self) {
        loop {
            let taken = self.run_batch();
            self.flush_where(|due, now| due <= now);
            if taken == BATCH_EVENTS_MAX {
                tokio::task::yield_now().await;
            } else if taken == 0 {
                if self.inboxes.iter().all(Inbox::is_closed) {
                    break;
                }
                self.sleep().await;
            }
        }
        self.flush_where(|_, _| true);
    }

    fn metrics(&self) -> &WorkerMetrics {
        &self.metrics.workers[self.index]
    }

    /// Runs the triggers of at most [`BATCH_EVENTS_MAX`] events, from the queues in turn.
    fn run_batch(&mut self) -> usize {
        let mut taken = 0;
        self.metrics().queue_depth.set(self.inboxes.iter().map(Inbox::depth).sum::<usize>() as u64);
        let share = BATCH_EVENTS_MAX.div_ceil(self.inboxes.len().max(1));
        for queue in 0..self.inboxes.len() {
            let before = taken;
            while taken < BATCH_EVENTS_MAX && taken - before < share {
                let Some(mut slot) = self.inboxes[queue].pop() else { break };
                taken += 1;
                if let Some(pushed) = slot.pushed_at_ns {
                    self.metrics().queue_wait.record(clock_ns().saturating_sub(pushed));
                }
                let timed = slot.pushed_at_ns.map(|_| clock_ns());
                self.run_event(&mut slot);
                if let Some(start) = timed {
                    self.metrics().node_time.record(clock_ns().saturating_sub(start));
                }
                self.inboxes[queue].send_home(slot);
            }
            if taken > before {
                self.inboxes[queue].flush_home();
            }
        }
        if taken > 0 {
            let metrics = self.metrics();
            metrics.events.add(taken as u64);
            metrics.batches.add(1);
        }
        taken
    }

    /// Runs every trigger of the event's webhook. A node that fails or panics stops neither the others nor the worker.
    fn run_event(&mut self, slot: &mut Slot) {
        let index = slot.webhook as usize;
        self.lines[index].reset();
        let came_with_value = slot.has_value();
        for trigger in 0..self.webhooks[index].triggers.len() {
            let outcome = catch_unwind(AssertUnwindSafe(|| self.run_trigger(slot, trigger)));
            match outcome {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.failed(slot, &error),
                Err(_) => {
                    // Half a line, or half a tape, is nobody's.
                    self.lines[index].reset();
                    self.parser = Parser::new();
                    self.failed(slot, &NodeError { node: "?", reason: "panicked".into() });
                }
            }
        }
        if !came_with_value {
            // The tape is this worker's; one that came from the core goes home with the handle.
            slot.drop_value(&mut self.parser);
        }
    }

    /// Runs the nodes of one trigger, in order, until one fails.
    fn run_trigger(&mut self, slot: &mut Slot, trigger: usize) -> Result<(), NodeError> {
        let index = slot.webhook as usize;
        let webhook = &mut self.webhooks[index];
        if webhook.triggers[trigger].reads_body() {
            slot.build_value(webhook.reads_text(), &mut self.parser);
        }
        let event = Event::new(slot, &webhook.source);
        let line = &mut self.lines[index];
        webhook.triggers[trigger].nodes.iter_mut().try_for_each(|node| node.run(&event, line))
    }

    /// Counts a failure, and says whether it is to be logged.
    fn count_failure(&mut self) -> bool {
        self.metrics().node_failures.add(1);
        let now = Instant::now();
        let log = self.last_failure_logged.is_none_or(|last| now - last >= FAILURE_LOG_INTERVAL);
        if log {
            self.last_failure_logged = Some(now);
        }
        log
    }

    fn failed(&mut self, slot: &Slot, error: &NodeError) {
        if self.count_failure() {
            tracing::error!(event = %slot.id, webhook = self.webhooks[slot.webhook as usize].source.name(), "{error}");
        }
    }

    /// Writes what nodes hold back where `is_due` says so.
    fn flush_where(&mut self, is_due: impl Fn(Instant, Instant) -> bool) {
        let mut now = None;
        let mut discarded = 0;
        let mut failures = Vec::new();
        for webhook in &mut self.webhooks {
            for node in webhook.triggers.iter_mut().flat_map(|trigger| &mut trigger.nodes) {
                discarded += node.take_discarded();
                #[cfg(inrush_bench)]
                {
                    let (found, missed) = node.take_reads();
                    self.metrics.workers[self.index].fields_found.add(found);
                    self.metrics.workers[self.index].fields_missed.add(missed);
                }
                let Some(due) = node.flush_due() else { continue };
                if is_due(due, *now.get_or_insert_with(Instant::now))
                    && let Err(error) = node.flush()
                {
                    failures.push(error);
                }
            }
        }
        self.metrics().discarded.add(discarded);
        for error in failures {
            if self.count_failure() {
                tracing::error!("{error}; the lines held back are lost");
            }
        }
    }

    /// Sleeps until a core knocks or a node must write what it holds back.
    async fn sleep(&mut self) {
        let due =
            self.webhooks.iter().flat_map(|webhook| &webhook.triggers).flat_map(|trigger| &trigger.nodes);
        let due = due.filter_map(crate::node::Node::flush_due).min();
        self.metrics().sleeps.add(1);
        let inboxes = &self.inboxes;
        let knock = self.door.sleep_unless(|| {
            inboxes.iter().any(|inbox| !inbox.is_empty()) || inboxes.iter().all(Inbox::is_closed)
        });
        match due {
            Some(due) => {
                let _ = tokio::time::timeout_at(due.into(), knock).await;
            }
            None => knock.await,
        }
    }
}

#[cfg(test)]
mod tests;
