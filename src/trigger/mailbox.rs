//! What comes to a worker beside the events of its queues: handles that its runs, or other threads, let go of, events
//! that another worker passed on because of their key, and orders of the server. It wakes the worker as a core does, by
//! its door.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Update;
use crate::event::{HeldEvent, Home, Slot};
use crate::queue::Door;

/// The mailbox of one worker.
pub struct Mailbox {
    door: Arc<Door>,
    mail: Mutex<Mail>,
    /// Events of this worker that somebody holds.
    held: AtomicUsize,
}

/// Every worker's mailbox, and how many workers may still pass events on.
pub struct Crew {
    mailboxes: Vec<Arc<Mailbox>>,
    feeding: AtomicUsize,
}

/// An event that another worker has taken from its queue, for a trigger whose condition it meets.
pub(super) struct Passed {
    pub webhook: u32,
    pub trigger: String,
    pub event: HeldEvent,
}

/// What lies in a mailbox.
#[derive(Default)]
pub(super) struct Mail {
    /// Handles that nobody holds any more, each with the queue it came through.
    pub returned: Vec<(usize, Box<Slot>)>,
    /// Events to run, in order.
    pub passed: Vec<Passed>,
    /// Orders of the server, in order.
    pub updates: Vec<Update>,
    /// Whether runs that have not ended are to be cut off.
    pub end: bool,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.passed.is_empty() && self.updates.is_empty() && !self.end
    }
}

impl Crew {
    /// A crew of workers, each with its mailbox.
    pub fn new(mailboxes: Vec<Arc<Mailbox>>) -> Self {
        Self { feeding: AtomicUsize::new(mailboxes.len()), mailboxes }
    }

    /// How many they are.
    pub(super) fn size(&self) -> usize {
        self.mailboxes.len()
    }

    pub(super) fn mailbox(&self, worker: usize) -> &Arc<Mailbox> {
        &self.mailboxes[worker]
    }

    /// Gives an event to a worker.
    pub(super) fn pass(&self, worker: usize, passed: Passed) {
        let mailbox = &self.mailboxes[worker];
        mailbox.lock().passed.push(passed);
        mailbox.door.knock_if_asleep();
    }

    /// A worker will pass nothing on any more: its queues are closed and empty.
    pub(super) fn stop_feeding(&self) {
        if self.feeding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.mailboxes.iter().for_each(|mailbox| mailbox.door.knock_if_asleep());
        }
    }

    /// Whether anybody may still pass events on.
    pub(super) fn is_feeding(&self) -> bool {
        self.feeding.load(Ordering::Acquire) > 0
    }
}

impl Mailbox {
    /// The mailbox of the worker behind `door`.
    pub fn new(door: Arc<Door>) -> Self {
        Self { door, mail: Mutex::default(), held: AtomicUsize::new(0) }
    }

    /// Tells the worker what is installed from now on.
    pub fn update(&self, update: Update) {
        self.lock().updates.push(update);
        self.door.knock_if_asleep();
    }

    /// Tells the worker to cut off what has not ended.
    pub fn end(&self) {
        self.lock().end = true;
        self.door.knock_if_asleep();
    }

    /// Has the worker look again, if it sleeps.
    pub(super) fn knock(&self) {
        self.door.knock_if_asleep();
    }

    /// Whether the worker is told to cut off what has not ended, and has not read it yet.
    pub(super) fn says_end(&self) -> bool {
        self.lock().end
    }

    /// Counts an event that is held from now on; it comes home once.
    pub(super) fn hold(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// How many events are held and have not been taken from the mailbox.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Whether nothing lies there.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes out what lies there. `into` is emptied and left in the box, so that neither allocates in the long run.
    pub(super) fn take(&self, into: &mut Mail) {
        into.returned.clear();
        into.passed.clear();
        into.updates.clear();
        into.end = false;
        let mut mail = self.lock();
        std::mem::swap(&mut *mail, into);
        self.held.fetch_sub(into.returned.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        // Nothing panics while it is locked.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home for Mailbox {
    fn come_home(&self, queue: usize, slot: Box<Slot>) {
        self.lock().returned.push((queue, slot));
        self.door.knock_if_asleep();
    }
}
