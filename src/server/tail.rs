//! What the admin API needs to show events: webhooks and what they keep, filters, and the workers' tails.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use futures_util::stream;

use super::saving::Named;
use crate::console::{OpenTail, TailRefused, TailWanted};
use crate::expr::{Condition, Variables};
use crate::trigger::{Filter, NoTail, TAILS_MAX, Tails, Wanted};

/// The tails of the running server, and what may be asked of them.
#[derive(Clone, Default)]
pub(super) struct Watched {
    /// Shared with every worker.
    pub tails: Arc<Tails>,
    /// By name.
    webhooks: Arc<RwLock<HashMap<String, Arc<Variables>>>>,
}

impl Watched {
    /// Takes note of what is installed.
    pub fn installed(&self, webhooks: Named) {
        *self.webhooks.write().unwrap_or_else(PoisonError::into_inner) = webhooks.into_iter().collect();
    }

    /// What the admin API opens tails with.
    pub fn opener(&self) -> OpenTail {
        let watched = self.clone();
        Arc::new(move |wanted| {
            let watcher = watched.tails.watch(watched.understand(wanted)?).map_err(|no| match no {
                NoTail::TooMany => TailRefused::TooMany(TAILS_MAX),
                NoTail::Ending => TailRefused::Ending,
            })?;
            let lines = stream::unfold(watcher, async |mut watcher| Some((watcher.next().await?, watcher)));
            Ok(Box::pin(lines))
        })
    }

    fn understand(&self, wanted: TailWanted) -> Result<Wanted, TailRefused> {
        let TailWanted { webhook, filter, every } = wanted;
        if let Some(name) = &webhook
            && !self.webhooks().contains_key(name)
        {
            let mut names: Vec<String> = self.webhooks().keys().cloned().collect();
            names.sort();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let wrong = format!("The running server has no webhook {name:?}; it has: {there}.");
            return Err(TailRefused::NoSuchWebhook(wrong));
        }
        let filter = filter.map(|text| self.filter(&text)).transpose()?;
        Ok(Wanted { webhook, filter, every })
    }

    /// The filter that a condition describes: over the event, and what its webhook keeps at that moment.
    fn filter(&self, condition: &str) -> Result<Filter, TailRefused> {
        let refused = |error| TailRefused::BadFilter(format!("The filter is no condition: {error}."));
        let condition = Condition::compile(condition).map_err(refused)?;
        let (watched, none) = (self.clone(), Arc::new(Variables::new()));
        Ok(Box::new(move |event| {
            let variables = watched.webhooks().get(event.webhook()).unwrap_or(&none).clone();
            condition.eval(event, &variables).ok()
        }))
    }

    fn webhooks(&self) -> RwLockReadGuard<'_, HashMap<String, Arc<Variables>>> {
        self.webhooks.read().unwrap_or_else(PoisonError::into_inner)
    }
}
