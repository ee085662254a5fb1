//! What is installed on a worker, and how it changes while events come.
//!
//! A removed webhook or trigger goes in steps, so that every event that was accepted runs once: cores stop pushing
//! first; then what lies in the queues is taken; then what runs or waits in its lanes ends.

use std::rc::Rc;
use std::sync::Arc;

use super::Shared;
use crate::event::{Reads, Source};
use crate::trigger::lane::Lane;
use crate::trigger::{TriggerUpdate, Update, WebhookUpdate};

/// One webhook on this worker.
pub(super) struct Webhook {
    pub source: Arc<Source>,
    pub reads: Reads,
    pub lanes: Vec<Rc<Lane>>,
}

/// The webhooks of a worker, and what is left of former ones.
#[derive(Default)]
pub(super) struct Webhooks {
    by_index: Vec<Option<Webhook>>,
    /// Removed, but events of theirs may lie in the queues.
    leaving: Vec<Leaving>,
    /// Lanes that get no events from this worker any more and have not done all that they got.
    retired: Vec<Retired>,
}

/// Webhooks that were removed: no core pushes an event for them any more.
struct Leaving {
    webhooks: Vec<u32>,
    /// How many events lay in each queue then. When these are taken, none of theirs is left.
    to_take: Vec<usize>,
    /// Called then: until every worker has, one may pass events of theirs on to another.
    done: Box<dyn FnOnce() + Send>,
}

struct Retired {
    webhook: u32,
    lane: Rc<Lane>,
    /// Whether an update came since. The server sends the next one when all workers have taken the last, so nobody
    /// passes events on for this lane from then on.
    is_settled: bool,
}

impl Webhooks {
    /// The webhook at `index`.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&Webhook> {
        self.by_index.get(index as usize)?.as_ref()
    }

    /// The lane of a trigger, for events that another worker passes on.
    pub fn lane(&self, webhook: u32, trigger: &str) -> Option<&Rc<Lane>> {
        let installed = self.get(webhook).into_iter().flat_map(|webhook| &webhook.lanes);
        let retired = self.retired.iter().filter(|retired| retired.webhook == webhook);
        let mut lanes = installed.chain(retired.map(|retired| &retired.lane));
        lanes.find(|lane| lane.trigger().id == trigger)
    }

    /// Whether no lane has anything to do.
    pub fn are_idle(&self) -> bool {
        self.lanes().all(|lane| lane.is_idle())
    }

    /// Every lane that may have something to do.
    pub fn lanes(&self) -> impl Iterator<Item = &Rc<Lane>> {
        self.by_index
            .iter()
            .flatten()
            .flat_map(|webhook| &webhook.lanes)
            .chain(self.retired.iter().map(|retired| &retired.lane))
    }

    /// Puts an update in force and calls what it wants called, when that holds. `depths` are those of the queues now.
    pub fn apply(&mut self, update: Update, depths: Vec<usize>, shared: &Rc<Shared>) {
        self.retired.iter_mut().for_each(|retired| retired.is_settled = true);
        for (webhook_index, webhook) in update.webhooks {
            let index = webhook_index as usize;
            if self.by_index.len() <= index {
                self.by_index.resize_with(index + 1, || None);
            }
            let former = self.by_index[index].take().map_or_else(Vec::new, |former| former.lanes);
            let (webhook, rest) = Webhook::set(webhook, former, shared);
            self.by_index[index] = Some(webhook);
            self.retire(webhook_index, rest);
        }
        self.leaving.push(Leaving { webhooks: update.removed, to_take: depths, done: update.done });
        self.let_go_of_those_that_left();
    }

    /// Takes note that an event was taken from a queue and offered.
    #[inline]
    pub fn took(&mut self, queue: usize) {
        if !self.leaving.is_empty() {
            for leaving in &mut self.leaving {
                leaving.to_take[queue] = leaving.to_take[queue].saturating_sub(1);
            }
            self.let_go_of_those_that_left();
        }
    }

    fn let_go_of_those_that_left(&mut self) {
        let has_left = |leaving: &mut Leaving| {
            leaving.webhooks.is_empty() || leaving.to_take.iter().all(|&events| events == 0)
        };
        for Leaving { webhooks, done, .. } in self.leaving.extract_if(.., has_left).collect::<Vec<_>>() {
            for index in webhooks {
                let webhook = self.by_index.get_mut(index as usize).and_then(Option::take);
                self.retire(index, webhook.map_or_else(Vec::new, |webhook| webhook.lanes));
            }
            done();
        }
    }

    fn retire(&mut self, webhook: u32, lanes: Vec<Rc<Lane>>) {
        lanes.iter().for_each(|lane| lane.retire());
        self.retired.extend(lanes.into_iter().map(|lane| Retired { webhook, lane, is_settled: false }));
    }

    /// Lets go of lanes that have done all that they got.
    pub fn drop_retired(&mut self) {
        self.retired
            .retain(|Retired { lane, is_settled, .. }| !is_settled || !lane.is_idle() || lane.holds_back());
    }
}

impl Webhook {
    /// The webhook that `update` says, with its former lanes where there are any; and those that are left over.
    fn set(update: WebhookUpdate, mut former: Vec<Rc<Lane>>, shared: &Rc<Shared>) -> (Self, Vec<Rc<Lane>>) {
        let mut lanes = Vec::with_capacity(update.triggers.len());
        for trigger in update.triggers {
            let id = match &trigger {
                TriggerUpdate::Keep(id) => id,
                TriggerUpdate::Set(trigger) => &trigger.id,
            };
            let lane =
                former.iter().position(|lane| lane.trigger().id == *id).map(|at| former.swap_remove(at));
            lanes.extend(match (trigger, lane) {
                (TriggerUpdate::Keep(_), lane) => lane,
                (TriggerUpdate::Set(trigger), Some(lane)) => {
                    lane.replace(*trigger);
                    Some(lane)
                }
                (TriggerUpdate::Set(trigger), None) => {
                    Some(Rc::new(Lane::new(*trigger, update.gate.clone(), shared.clone())))
                }
            });
        }
        let reads = lanes.iter().map(|lane| lane.trigger().reads()).fold(Reads::default(), Reads::and);
        (Self { source: update.source, reads, lanes }, former)
    }
}
