//! How an event crosses from a core to a trigger worker, and its handle back home.
//!
//! ```text
//!            ┌── event queue: one bounded SPSC ring per (core, worker) ──►┐
//!     core ──┤                                                            ├── worker
//!            └◄── home queue: one per (worker, core), holds every handle ─┘
//! ```
//!
//! The rings are `rtrb`'s: wait-free, one producer, one consumer. What is ours is who wakes whom. A busy worker costs
//! a core no system call; a sleeping one is woken at most once per turn of the core's executor, and a core under load
//! spaces its knocks further ([`Outbox::wants_knock`], [`Outbox::flush`]). Measured on one CPU at 200 B: waking at each
//! push costs 1.71 × the floor, because the scheduler lets the worker preempt the core for every event; once per turn
//! costs 1.19 ×.
//!
//! Falling asleep is Dekker's pattern: the sleeper stores *asleep*, then looks at the queue once more; the waker pushes,
//! then looks at *asleep*. A `SeqCst` fence between the two steps on each side means that one of them sees the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rtrb::{Consumer, Producer, PushError, RingBuffer};
use tokio::sync::Notify;

use crate::event::Slot;

/// A worker's door: where cores knock when it sleeps.
#[derive(Debug, Default)]
pub struct Door {
    asleep: AtomicBool,
    knock: Notify,
}

impl Door {
    /// Whether the worker sleeps. If not, it will see everything that was pushed before this was called.
    #[inline]
    fn is_asleep(&self) -> bool {
        fence(Ordering::SeqCst);
        self.asleep.load(Ordering::Relaxed)
    }

    /// Wakes the worker, unless somebody else did.
    fn knock(&self) {
        if self.asleep.swap(false, Ordering::AcqRel) {
            self.knock.notify_one();
        }
    }

    /// Wakes the worker, if it sleeps, for something that was put where it looks before it sleeps.
    pub fn knock_if_asleep(&self) {
        if self.is_asleep() {
            self.knock();
        }
    }

    /// Sleeps until a knock, unless there is work once the door says *asleep*.
    pub async fn sleep_unless(&self, mut has_work: impl FnMut() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if has_work() {
            self.asleep.store(false, Ordering::Relaxed);
            return;
        }
        self.knock.notified().await;
    }
}

/// Whether a core waits for handles to come home, and what wakes it then.
pub struct HomeBell {
    wanted: AtomicBool,
    ring: Box<dyn Fn() + Send + Sync>,
}

impl HomeBell {
    /// A bell that nobody waits for yet.
    pub fn new(ring: impl Fn() + Send + Sync + 'static) -> Self {
        Self { wanted: AtomicBool::new(false), ring: Box::new(ring) }
    }

    /// Asks to be rung when handles come home. The caller looks at its home queues once more afterwards.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Rings if the core waits.
    #[inline]
    fn ring_if_wanted(&self) {
        fence(Ordering::SeqCst);
        if self.wanted.load(Ordering::Relaxed) && self.wanted.swap(false, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// Rings in any case.
    pub fn ring(&self) {
        (self.ring)();
    }
}

/// A core's side of one (core, worker) pair.
pub struct Outbox {
    events: Producer<Box<Slot>>,
    home: Consumer<Box<Slot>>,
    pushed: bool,
    /// Last, because fields are dropped in order: the worker is woken once `events` is gone, not before.
    door: Farewell,
}

struct Farewell(Arc<Door>);

impl Drop for Farewell {
    fn drop(&mut self) {
        // A worker asleep must see that nobody will push any more.
        self.0.knock.notify_one();
    }
}

/// A worker's side of one (core, worker) pair.
pub struct Inbox {
    events: Consumer<Box<Slot>>,
    home: Producer<Box<Slot>>,
    bell: Arc<HomeBell>,
}

/// The pair of ends: an event queue of `events_max`, and a way home for all of the core's `handles_max`.
pub fn pair(events_max: usize, handles_max: usize, door: Arc<Door>, bell: Arc<HomeBell>) -> (Outbox, Inbox) {
    let (events_in, events_out) = RingBuffer::new(events_max);
    let (home_in, home_out) = RingBuffer::new(handles_max);
    (
        Outbox { events: events_in, home: home_out, door: Farewell(door), pushed: false },
        Inbox { events: events_out, home: home_in, bell },
    )
}

impl Outbox {
    /// Hands an event over. Gives it back when the queue is full.
    #[inline]
    pub fn push(&mut self, slot: Box<Slot>) -> Result<(), Box<Slot>> {
        match self.events.push(slot) {
            Ok(()) => {
                self.pushed = true;
                Ok(())
            }
            Err(PushError::Full(slot)) => Err(slot),
        }
    }

    /// Whether the worker has no room.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.events.is_full()
    }

    /// Whether the worker sleeps on something that was pushed. Asking costs no system call.
    #[inline]
    pub fn wants_knock(&mut self) -> bool {
        self.pushed && {
            let asleep = self.door.0.is_asleep();
            self.pushed = asleep;
            asleep
        }
    }

    /// Wakes the worker for what was pushed since the last flush, if it sleeps.
    pub fn flush(&mut self) {
        if self.wants_knock() {
            self.pushed = false;
            self.door.0.knock();
        }
    }

    /// The next handle that came home.
    #[inline]
    pub fn pop_home(&mut self) -> Option<Box<Slot>> {
        self.home.pop().ok()
    }

    /// Events waiting for the worker.
    pub fn depth(&self) -> usize {
        self.events.buffer().capacity() - self.events.slots()
    }
}

impl Inbox {
    /// The next event.
    #[inline]
    pub fn pop(&mut self) -> Option<Box<Slot>> {
        self.events.pop().ok()
    }

    /// Whether no event waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Events waiting.
    #[inline]
    pub fn depth(&self) -> usize {
        self.events.slots()
    }

    /// Whether the core is gone and took its last event out.
    pub fn is_closed(&self) -> bool {
        // The order matters: a core pushes before it goes.
        self.events.is_abandoned() && self.events.is_empty()
    }

    /// Sends a handle home. It always fits: the home queue holds as many as the core has handles.
    #[inline]
    pub fn send_home(&mut self, slot: Box<Slot>) {
        if let Err(PushError::Full(_)) = self.home.push(slot) {
            unreachable!("the home queue holds every handle of its core");
        }
    }

    /// Tells the core that a handle came home, whether it waits or not: with it comes memory that others need.
    pub fn announce_home(&self) {
        self.bell.ring();
    }

    /// Tells the core, if it waits, that handles came home.
    #[inline]
    pub fn flush_home(&self) {
        self.bell.ring_if_wanted();
    }
}
