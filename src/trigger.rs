//! The work wing: triggers, and the workers that run them.
//!
//! ```text
//!  event queue ─► worker ─► lane of each trigger ─┬─ `when` says no: counted, nothing else
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
mod worker;

use std::sync::Arc;

pub use mailbox::Mailbox;
pub use worker::{Bounds, Worker, WorkerParts};

use crate::config::OnError;
use crate::event::{Gate, Reads, Source};
use crate::metrics::TriggerMetrics;
use crate::node::AnyNode;

/// What runs for each event of a webhook: nodes, in order.
pub struct Trigger {
    /// Stable name, unique within its webhook.
    pub id: String,
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
    Set(Trigger),
}

impl Trigger {
    /// What is read of the body for it.
    pub fn reads(&self) -> Reads {
        self.nodes.iter().map(AnyNode::reads).fold(Reads::default(), Reads::and)
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
