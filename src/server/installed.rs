//! What is installed: every webhook at an index that it keeps for life, and what another config would change.
//!
//! A change is prepared as a whole before any of it is in force: files are opened, expressions compiled. What fails
//! there changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::ServeError;
use crate::config::{self, Config};
use crate::event::{Gate, Reads, Source};
use crate::http::cors::AllowedOrigins;
use crate::ingest::{Webhook, Webhooks};
use crate::limits::Limits;
use crate::metrics::TriggerMetrics;
use crate::node::{AnyNode, Files, NodeError};
use crate::trigger::{Trigger, TriggerUpdate, WebhookUpdate};
use crate::verify::Secrets;

/// The installed webhooks.
pub(super) struct Installed {
    /// By index; the place of a removed one stays empty.
    webhooks: Vec<Option<Entry>>,
    files: Files,
    limits: Arc<Limits>,
}

/// One installed webhook.
#[derive(Clone)]
struct Entry {
    config: config::Webhook,
    gate: Arc<Gate>,
    /// In the order of the config.
    triggers: Vec<TriggerEntry>,
    ingest: Arc<Webhook>,
}

/// One trigger of an installed webhook.
#[derive(Clone)]
struct TriggerEntry {
    counts: Arc<TriggerMetrics>,
    reads: Reads,
}

/// A config that is ready to be put in force.
pub(super) struct Change {
    /// What cores look up from then on.
    pub webhooks: Arc<Webhooks>,
    /// For each worker, what changes on it.
    pub updates: Vec<Vec<(u32, WebhookUpdate)>>,
    /// Indexes of webhooks that go.
    pub removed: Vec<u32>,
    /// For [`Installed::commit`].
    pub entries: Entries,
}

/// What will be installed.
pub(super) struct Entries(Vec<Option<Entry>>);

impl Installed {
    /// Nothing yet.
    pub fn new(limits: Arc<Limits>) -> Self {
        Self { webhooks: Vec::new(), files: Files::default(), limits }
    }

    /// Prepares what `config` asks for.
    ///
    /// # Errors
    /// When a node cannot be set up; nothing has changed then.
    pub fn prepare(&self, config: &Config) -> Result<Change, ServeError> {
        let mut entries = vec![None; self.webhooks.len()];
        let mut updates: Vec<Vec<_>> = (0..self.limits.workers).map(|_| Vec::new()).collect();
        let known: HashMap<Uuid, usize> =
            self.installed().map(|(index, entry)| (entry.config.id, index)).collect();
        for webhook in &config.webhooks {
            let index = known.get(&webhook.id).copied().unwrap_or(entries.len());
            let former = self.webhooks.get(index).and_then(Option::as_ref);
            let (entry, update) = self.prepare_webhook(webhook, index, former)?;
            for (worker, update) in updates.iter_mut().zip(update) {
                worker.push((index as u32, update));
            }
            match entries.get_mut(index) {
                Some(place) => *place = Some(entry),
                None => entries.push(Some(entry)),
            }
        }
        let removed = self.installed().filter(|(index, _)| entries[*index].is_none());
        let removed = removed.map(|(index, _)| index as u32).collect();
        let of_core = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.ingest.clone());
        let webhooks = Arc::new(Webhooks::new(entries.iter().map(of_core).collect()));
        Ok(Change { webhooks, updates, removed, entries: Entries(entries) })
    }

    /// Takes note that a change is in force.
    pub fn commit(&mut self, entries: Entries) {
        self.webhooks = entries.0;
    }

    /// What is counted of each trigger that is installed.
    pub fn counts(&self) -> Vec<Arc<TriggerMetrics>> {
        let triggers = self.installed().flat_map(|(_, entry)| &entry.triggers);
        triggers.map(|trigger| trigger.counts.clone()).collect()
    }

    fn installed(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.webhooks.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    /// What `webhook` is at `index`, for cores and for each worker.
    fn prepare_webhook(
        &self,
        webhook: &config::Webhook,
        index: usize,
        former: Option<&Entry>,
    ) -> Result<(Entry, Vec<WebhookUpdate>), ServeError> {
        let failed = |trigger: &str, reason| ServeError::Node {
            webhook: webhook.name.clone(),
            trigger: trigger.to_owned(),
            reason,
        };
        let workers = self.limits.workers;
        let gate = former.map_or_else(Arc::default, |former| former.gate.clone());
        let source = Arc::new(Source::new(&webhook.name, &webhook.keep_headers));
        let mut triggers = Vec::new();
        let mut updates: Vec<WebhookUpdate> = (0..workers)
            .map(|_| WebhookUpdate { source: source.clone(), gate: gate.clone(), triggers: Vec::new() })
            .collect();
        for trigger in &webhook.triggers {
            let kept = former.filter(|former| former.config.name == webhook.name).and_then(|former| {
                let at = former.config.triggers.iter().position(|former| former == trigger)?;
                Some(former.triggers[at].clone())
            });
            if let Some(kept) = kept {
                triggers.push(kept);
                let keep = || TriggerUpdate::Keep(trigger.id.clone());
                updates.iter_mut().for_each(|update| update.triggers.push(keep()));
                continue;
            }
            let kinds = trigger.nodes.iter().map(config::Node::kind).collect();
            let counts = Arc::new(TriggerMetrics::new(&webhook.name, &trigger.id, kinds, workers));
            let mut reads = Reads::default();
            for update in &mut updates {
                let opened = open(trigger, &counts, &self.files);
                let opened = opened.map_err(|error| failed(&trigger.id, error.to_string()))?;
                reads = opened.reads();
                update.triggers.push(TriggerUpdate::Set(opened));
            }
            triggers.push(TriggerEntry { counts, reads });
        }
        let origins = AllowedOrigins::new(&webhook.allowed_origins).map_err(|reason| failed("", reason))?;
        let ingest = Webhook {
            id: webhook.id,
            secrets: Secrets::new(webhook.secrets.iter().map(|secret| secret.expose().as_bytes())),
            origins,
            body_bytes_max: self.limits.body_bytes_max_of(webhook),
            reads_body: triggers.iter().any(|trigger| trigger.reads.value()),
            worker: index % workers,
            gate: gate.clone(),
        };
        Ok((Entry { config: webhook.clone(), gate, triggers, ingest: Arc::new(ingest) }, updates))
    }
}

/// The trigger that `config` describes, for one worker. Files are shared between workers.
fn open(config: &config::Trigger, counts: &Arc<TriggerMetrics>, files: &Files) -> Result<Trigger, NodeError> {
    let nodes = config.nodes.iter().map(|node| AnyNode::open(node, files)).collect::<Result<_, _>>()?;
    Ok(Trigger {
        id: config.id.clone(),
        nodes,
        on_error: config.on_error,
        ordered: config.ordered,
        metrics: counts.clone(),
    })
}
