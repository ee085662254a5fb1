//! What is installed: every webhook at an index that it keeps for life, and what another config would change.
//!
//! A change is prepared as a whole before any of it is in force: files are opened, expressions compiled. What fails
//! there changes nothing.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::ServeError;
use super::builder::NativeTrigger;
use super::saving::Named;
use crate::config::{self, Config, Problem};
use crate::event::{Gate, Reads, Source};
use crate::expr::Variables;
use crate::http::cors::AllowedOrigins;
use crate::ingest::{Webhook, Webhooks};
use crate::limits::Limits;
use crate::metrics::TriggerMetrics;
use crate::node::Files;
use crate::trigger::{Trigger, TriggerUpdate, WebhookUpdate};
use crate::verify::Secrets;

/// The installed webhooks.
pub(super) struct Installed {
    /// By index; the place of a removed one stays empty.
    webhooks: Vec<Option<Entry>>,
    /// Triggers of the program that the server is a part of.
    natives: Vec<NativeTrigger>,
    files: Arc<Files>,
    /// Of webhooks that were removed while the server runs.
    former_variables: Vec<(Uuid, String, Arc<Variables>)>,
    /// One file for each webhook that keeps any.
    variables_dir: PathBuf,
    limits: Arc<Limits>,
}

/// One installed webhook.
#[derive(Clone)]
struct Entry {
    config: config::Webhook,
    gate: Arc<Gate>,
    variables: Arc<Variables>,
    /// Those of the config in its order, then those of the program.
    triggers: Vec<TriggerEntry>,
    ingest: Arc<Webhook>,
}

/// One trigger of an installed webhook.
#[derive(Clone)]
struct TriggerEntry {
    /// None: of the program, which never changes it.
    config: Option<config::Trigger>,
    id: String,
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
    pub fn new(limits: Arc<Limits>, natives: Vec<NativeTrigger>, variables_dir: PathBuf) -> Self {
        Self {
            webhooks: Vec::new(),
            natives,
            files: Arc::default(),
            former_variables: Vec::new(),
            variables_dir,
            limits,
        }
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
            let (entry, update) = self.prepare_webhook(config, webhook, index, former)?;
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
        let former = std::mem::replace(&mut self.webhooks, entries.0);
        for (index, entry) in former.into_iter().enumerate() {
            if let (Some(entry), None) = (entry, &self.webhooks[index]) {
                self.former_variables.push((entry.config.id, entry.config.name, entry.variables));
            }
        }
        self.former_variables
            .retain(|(id, ..)| self.webhooks.iter().flatten().all(|entry| entry.config.id != *id));
    }

    /// What each installed webhook keeps.
    pub fn kept(&self) -> Named {
        self.installed().map(|(_, entry)| (entry.config.name.clone(), entry.variables.clone())).collect()
    }

    /// What is kept in memory and has to be saved. Variables of a webhook that was removed are among it for as long as a
    /// run may change them, and until they are saved.
    pub fn variables(&mut self) -> Named {
        let mut all = self.kept();
        all.extend(
            self.former_variables.iter().map(|(_, name, variables)| (name.clone(), variables.clone())),
        );
        // Held here and in `all`.
        self.former_variables
            .retain(|(_, _, variables)| Arc::strong_count(variables) > 2 || variables.is_changed());
        all
    }

    /// What a webhook that is new has kept in an earlier life.
    fn load_variables(&self, webhook: &config::Webhook) -> Result<Arc<Variables>, ServeError> {
        if let Some((_, _, former)) = self.former_variables.iter().find(|(id, ..)| *id == webhook.id) {
            return Ok(former.clone());
        }
        let path = self.variables_dir.join(format!("{}.json", webhook.id));
        let loaded = Variables::load(&path).map_err(|error| ServeError::Variables {
            webhook: webhook.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Arc::new(loaded))
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
        config: &Config,
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
        let variables = match former {
            Some(former) => former.variables.clone(),
            None => self.load_variables(webhook)?,
        };
        let source = Arc::new(Source::new(&webhook.name, &webhook.keep_headers));
        let mut triggers = Vec::new();
        let mut updates: Vec<WebhookUpdate> = (0..workers)
            .map(|_| WebhookUpdate { source: source.clone(), gate: gate.clone(), triggers: Vec::new() })
            .collect();
        let natives = self.natives.iter().filter(|native| native.webhook == webhook.name);
        let wanted = webhook.triggers.iter().map(Wanted::Config).chain(natives.map(Wanted::Native));
        // The webhook's name stands on what is counted, and in every event.
        let former = former.filter(|former| former.config.name == webhook.name);
        for wanted in wanted {
            if triggers.iter().any(|trigger: &TriggerEntry| trigger.id == wanted.id()) {
                return Err(failed(wanted.id(), "two triggers have this id; rename one".to_owned()));
            }
            let kept = former.and_then(|former| former.triggers.iter().find(|former| wanted.is(former)));
            if let Some(kept) = kept {
                triggers.push(kept.clone());
                let keep = || TriggerUpdate::Keep(kept.id.clone());
                updates.iter_mut().for_each(|update| update.triggers.push(keep()));
                continue;
            }
            let counts = Arc::new(TriggerMetrics::new(&webhook.name, wanted.id(), wanted.kinds(), workers));
            let mut reads = Reads::default();
            for update in &mut updates {
                let opened = wanted.open(&counts, &self.files, &variables);
                let opened = opened.map_err(|problem| ServeError::config(config, vec![problem]))?;
                reads = opened.reads();
                update.triggers.push(TriggerUpdate::Set(Box::new(opened)));
            }
            triggers.push(TriggerEntry {
                config: wanted.config(),
                id: wanted.id().to_owned(),
                counts,
                reads,
            });
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
        Ok((Entry { config: webhook.clone(), gate, variables, triggers, ingest: Arc::new(ingest) }, updates))
    }
}

/// A trigger that is to be installed.
enum Wanted<'a> {
    Config(&'a config::Trigger),
    Native(&'a NativeTrigger),
}

impl Wanted<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Config(config) => &config.id,
            Self::Native(native) => &native.id,
        }
    }

    fn config(&self) -> Option<config::Trigger> {
        match self {
            Self::Config(config) => Some((*config).clone()),
            Self::Native(_) => None,
        }
    }

    /// Whether `entry` is just that.
    fn is(&self, entry: &TriggerEntry) -> bool {
        match self {
            Self::Config(config) => entry.config.as_ref() == Some(config),
            Self::Native(native) => entry.config.is_none() && entry.id == native.id,
        }
    }

    fn kinds(&self) -> Vec<&'static str> {
        match self {
            Self::Config(config) => config.nodes.iter().map(config::Node::kind).collect(),
            Self::Native(_) => vec!["native"],
        }
    }

    /// The trigger for one worker. Files and variables are shared between workers.
    fn open(
        &self,
        counts: &Arc<TriggerMetrics>,
        files: &Arc<Files>,
        variables: &Arc<Variables>,
    ) -> Result<Trigger, Problem> {
        match self {
            Self::Config(config) => Trigger::open(config, counts.clone(), files, variables),
            Self::Native(native) => Ok(Trigger::native(&native.id, &native.node, counts.clone(), variables)),
        }
    }
}
