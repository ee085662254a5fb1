//! The work wing: triggers, and the workers that run them.
//!
//! ```text
//!  event queue ─► worker ─► lane of each trigger ─┬─ `when` says no: counted, nothing else
//!                                                 ├─ `key` names another worker: passed on to its lane
//!                                                 ├─ its nodes need not wait: they run at once, on the borrowed event
//!                                                 ├─ a node must wait: the lane takes a share in the event, and the
//!                                                 │  worker goes on; at most `in_flight` of them
//!                                                 └─ so many are on their way: the share waits its turn in the lane,
//!                                                    and a long line closes the webhook's gate
//! ```
//!
//! So a slow node delays nobody but its own trigger, and nothing that was accepted is dropped for it.

mod lane;
mod mailbox;
mod tail;
mod worker;

use std::sync::Arc;

pub use mailbox::{Crew, Mailbox};
pub use tail::{Filter, NoTail, TAILS_MAX, Tails, Wanted, Watcher};
pub use worker::{Bounds, Worker, WorkerParts};

use crate::config::{self, OnError, Problem};
use crate::event::{Gate, Reads, Source};
use crate::expr::{Condition, Expression, Variables};
use crate::metrics::TriggerMetrics;
use crate::node::{AnyNode, Files, Native, Surroundings, expression_reads, mistake};

/// What runs for each event of a webhook: nodes, in order.
pub struct Trigger {
    /// Stable name, unique within its webhook.
    pub id: String,
    /// Which events it runs for; `None`: all.
    pub when: Option<Condition>,
    /// Events with one value of this run on one worker; `None`: all on that of the webhook.
    pub key: Option<Expression>,
    /// What its webhook keeps.
    pub variables: Arc<Variables>,
    /// The nodes.
    pub nodes: Vec<AnyNode>,
    /// Whether the nodes behind one that failed still run.
    pub on_error: OnError,
    /// Whether an event starts only when the one before has run.
    pub ordered: bool,
    /// What is counted of it.
    pub metrics: Arc<TriggerMetrics>,
}

/// What changes on a worker: at the start everything, on a reload what differs.
pub struct Update {
    /// Webhooks that are new or have changed, by index.
    pub webhooks: Vec<(u32, WebhookUpdate)>,
    /// Webhooks for which no core pushes an event any more. What was pushed before still runs.
    pub removed: Vec<u32>,
    /// Called when the next event will be run by what this says.
    pub done: Box<dyn FnOnce() + Send>,
}

/// What a webhook is from now on.
pub struct WebhookUpdate {
    /// The webhook, as nodes know it.
    pub source: Arc<Source>,
    /// Closed while a trigger is behind.
    pub gate: Arc<Gate>,
    /// Independent of each other. Those that are not named here go, once what they accepted has run.
    pub triggers: Vec<TriggerUpdate>,
}

/// What a trigger is from now on.
pub enum TriggerUpdate {
    /// What it was; its id.
    Keep(String),
    /// This.
    Set(Box<Trigger>),
}

impl Trigger {
    /// The trigger that the operator asked for, for one worker.
    ///
    /// # Errors
    /// When it has a mistake, or a node cannot get what it needs.
    pub fn open(
        config: &config::Trigger,
        metrics: Arc<TriggerMetrics>,
        files: &Arc<Files>,
        variables: &Arc<Variables>,
    ) -> Result<Self, Problem> {
        let around = Surroundings { files, variables, trigger: &config.id };
        let nodes = config.nodes.iter().map(|node| AnyNode::open(node, &around)).collect::<Result<_, _>>()?;
        let (when, key) = expressions(config)?;
        Ok(Self {
            id: config.id.clone(),
            when,
            key,
            variables: variables.clone(),
            nodes,
            on_error: config.on_error,
            ordered: config.ordered,
            metrics,
        })
    }

    /// The mistakes of what the operator asked for, as far as they can be found without touching a file that it writes.
    pub fn check(config: &config::Trigger) -> Vec<Problem> {
        let around = Surroundings { files: &Arc::default(), variables: &Arc::default(), trigger: &config.id };
        let nodes = config.nodes.iter().filter_map(|node| AnyNode::check(node, &around).err());
        nodes.chain(expressions(config).err()).collect()
    }

    /// A trigger with one node of the program that inrush is a part of.
    pub fn native(id: &str, node: &Native, metrics: Arc<TriggerMetrics>, variables: &Arc<Variables>) -> Self {
        Self {
            id: id.to_owned(),
            when: None,
            key: None,
            variables: variables.clone(),
            nodes: vec![AnyNode::native(node)],
            on_error: OnError::default(),
            ordered: false,
            metrics,
        }
    }

    /// What is read of the body for it.
    pub fn reads(&self) -> Reads {
        let when = self.when.as_ref().is_some_and(Condition::reads_body);
        let key = self.key.as_ref().is_some_and(Expression::reads_body);
        // With a key another worker may run it, and that may have a later version, which reads the text.
        let reads = expression_reads(when || key).and(Reads { value_up_to: 0, text: self.key.is_some() });
        self.nodes.iter().map(AnyNode::reads).fold(reads, Reads::and)
    }

    /// Whether a node of it has something that is not written yet.
    fn holds_back(&self) -> bool {
        self.nodes.iter().any(|node| node.flush_due().is_some())
    }

    /// How many events may be on their way through its nodes at once.
    fn in_flight_max(&self) -> usize {
        let least = self.nodes.iter().filter_map(AnyNode::in_flight_max).min();
        if self.ordered { 1 } else { least.unwrap_or(1) }
    }
}

/// A trigger's condition and its key.
fn expressions(config: &config::Trigger) -> Result<(Option<Condition>, Option<Expression>), Problem> {
    let when = config
        .when
        .as_ref()
        .map(|when| Condition::compile(&when.value).map_err(|error| mistake("when", when, &error)));
    let key = config
        .key
        .as_ref()
        .map(|key| Expression::compile(&key.value).map_err(|error| mistake("key", key, &error)));
    Ok((when.transpose()?, key.transpose()?))
}
