//! The work wing: triggers, and the workers that run them.

mod worker;

pub use worker::{Worker, WorkerParts};

use std::sync::Arc;

use crate::event::Source;
use crate::node::Node;

/// What runs for each event of a webhook: nodes, in order.
pub struct Trigger {
    /// Stable name, unique within its webhook.
    pub id: String,
    /// The nodes.
    pub nodes: Vec<Node>,
}

/// The triggers of one webhook.
pub struct WebhookTriggers {
    /// The webhook, as nodes know it.
    pub source: Arc<Source>,
    /// Independent of each other.
    pub triggers: Vec<Trigger>,
}

impl Trigger {
    /// Whether a node of it reads the body as a value.
    pub fn reads_body(&self) -> bool {
        self.nodes.iter().any(Node::reads_body)
    }
}

impl WebhookTriggers {
    /// Whether a node of it reads the body as a value.
    pub fn reads_body(&self) -> bool {
        self.triggers.iter().any(Trigger::reads_body)
    }

    /// Whether a node of it needs the exact text of the body.
    pub fn reads_text(&self) -> bool {
        self.triggers.iter().flat_map(|trigger| &trigger.nodes).any(Node::reads_text)
    }
}
