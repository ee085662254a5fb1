//! What the tasks of one core share, and the life of the core's thread.

mod background;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use slab::Slab;

use super::deadlines::{Cause, Phase, TICK, Watch};
use super::verdict::Verdict;
use super::{Webhooks, accept};
use crate::buffer::{Budget, Buf, OverBudget, Pool};
use crate::event::{EventId, EventIds, Slot};
use crate::io::{self, BellRope, Driver, Interrupt, Listener, Yielded};
use crate::json::Parser;
use crate::limits::Limits;
use crate::metrics::{CoreMetrics, Metrics, clock_ns};
use crate::queue::{HomeBell, Outbox};

/// One event in this many is timed: a clock costs as much as everything else that is counted for a request.
const SAMPLE_EVENTS: u32 = 16;

/// A worker that fell asleep is woken by a core at most this often. A wake-up costs two context switches where both
/// share a CPU, some 3 µs; at 100,000 requests a second a turn has few events, and one knock per turn was 8 % of the
/// server's time. An event that finds the core idle is never held back.
const KNOCK_INTERVAL_NS: u64 = 200_000;
/// A knock that was held back is made up for after this, if no turn came before.
const LATE_KNOCK: Duration = Duration::from_millis(1);

/// What the server tells a core while it runs.
#[derive(Default)]
pub struct CoreControl {
    draining: AtomicBool,
    ending: AtomicBool,
    installed: Mutex<Option<Install>>,
}

/// A table of webhooks for a core, and what it calls once no event is pushed by the old one any more.
struct Install {
    webhooks: Arc<Webhooks>,
    done: Box<dyn FnOnce() + Send>,
}

impl CoreControl {
    /// Asks the core to finish what it has and stop. Ring its bell afterwards.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Gives the core another table of webhooks. It calls `done` when it is in force; a core that has ended drops it.
    /// Ring its bell afterwards.
    pub fn install(&self, webhooks: Arc<Webhooks>, done: impl FnOnce() + Send + 'static) {
        let done = Box::new(done);
        *self.installed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Install { webhooks, done });
    }

    fn take_install(&self) -> Option<Install> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Asks the core to end what is still unfinished. Ring its bell afterwards.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }
}

/// What a core is made of.
pub struct CoreParts {
    /// Its number, also its block in the metrics.
    pub index: usize,
    /// The carrier of its I/O.
    pub driver: Driver,
    /// Its listening socket.
    pub listener: TcpListener,
    /// The limits in force.
    pub limits: Arc<Limits>,
    /// The installed webhooks.
    pub webhooks: Arc<Webhooks>,
    /// The byte budget of all cores.
    pub budget: Arc<Budget>,
    /// One for each worker, in their order.
    pub outboxes: Vec<Outbox>,
    /// How many handles its home queues hold.
    pub handles_max: usize,
    /// Wakes the core.
    pub bell: Arc<HomeBell>,
    /// The core's end of its bell.
    pub rope: UnixStream,
    /// Orders of the server.
    pub control: Arc<CoreControl>,
    /// Everybody's counters.
    pub metrics: Arc<Metrics>,
    /// Seed of the core's event ids.
    pub seed: u64,
}

/// Why an event is not on its way to a worker.
pub(super) enum NotPushed {
    /// The queue has no room.
    Full(Box<Slot>),
    /// As many events wait for a trigger of its webhook as may.
    Behind(Box<Slot>),
    /// Its webhook was removed while it was received.
    Removed(Box<Slot>),
}

/// What the tasks of one core share. Not shared with any other thread.
pub(super) struct Core {
    pub limits: Arc<Limits>,
    webhooks: RefCell<Arc<Webhooks>>,
    pub pool: Pool,
    parser: RefCell<Parser>,
    pub yielded: Rc<Yielded>,
    pub connections: RefCell<Slab<Rc<Watch>>>,
    pub draining: Cell<bool>,
    pub accept_interrupt: Interrupt,
    pub accepting: Cell<bool>,
    /// Whether a read may be done the moment it is asked for, without a turn in between.
    pub reads_at_once: bool,
    index: usize,
    ids: RefCell<EventIds>,
    outboxes: RefCell<Vec<Outbox>>,
    // The boxes are the handles that cross to workers and come back: moving eight bytes, not a slot.
    #[allow(clippy::vec_box)]
    slots: RefCell<Vec<Box<Slot>>>,
    slots_made: Cell<usize>,
    handles_max: usize,
    /// Connections that wait for room in a queue or for a handle.
    waiting: RefCell<Slab<Waker>>,
    turn: RefCell<Option<Waker>>,
    turn_wanted: Cell<bool>,
    last_knock_ns: Cell<u64>,
    /// Wakes [`background::sweep_deadlines`] when no timer would.
    sweeper: RefCell<Option<Waker>>,
    /// Wakes [`background::knock_late`], when it waits for a knock that is held back.
    late_knock: RefCell<Option<Waker>>,
    answers: RefCell<Vec<Vec<u8>>>,
    // Boxes, because who borrows one keeps it across awaits.
    #[allow(clippy::vec_box)]
    verdicts: RefCell<Vec<Box<Verdict>>>,
    now_ms: Cell<u64>,
    unix_ms: Cell<u64>,
    date: Cell<[u8; 29]>,
    sample: Cell<u32>,
    started: Instant,
    ending: Cell<bool>,
    background_tasks: Cell<usize>,
    bell: Arc<HomeBell>,
    control: Arc<CoreControl>,
    metrics: Arc<Metrics>,
}

/// Runs a core on this thread until it has drained.
///
/// `up` is called when it accepts.
///
/// # Errors
/// When the kernel refuses the driver or a socket.
pub fn run(parts: CoreParts, up: impl FnOnce()) -> std::io::Result<()> {
    let driver = parts.driver;
    let (core, listener, rope) = Core::new(parts);
    io::block_on(driver, async move {
        let listener = Listener::new(listener, driver)?;
        let rope = BellRope::new(rope, driver)?;
        let core = Rc::new(core);
        let _fate = Fate(core.clone());
        core.background(accept::accept_all(core.clone(), listener));
        core.background(background::answer_bell(core.clone(), rope));
        core.background(background::sweep_deadlines(core.clone()));
        core.background(background::knock_late(core.clone()));
        up();
        core.turn_until_done().await;
        Ok(())
    })?
}

impl Core {
    pub fn new(parts: CoreParts) -> (Self, TcpListener, UnixStream) {
        let core = Self {
            pool: Pool::new(parts.budget),
            parser: RefCell::new(Parser::new()),
            yielded: Rc::default(),
            connections: RefCell::default(),
            draining: Cell::new(false),
            accept_interrupt: Interrupt::default(),
            accepting: Cell::new(true),
            reads_at_once: parts.driver == Driver::Epoll,
            index: parts.index,
            ids: RefCell::new(EventIds::new(parts.seed)),
            outboxes: RefCell::new(parts.outboxes),
            slots: RefCell::default(),
            slots_made: Cell::new(0),
            handles_max: parts.handles_max,
            waiting: RefCell::default(),
            turn: RefCell::new(None),
            turn_wanted: Cell::new(false),
            last_knock_ns: Cell::new(0),
            sweeper: RefCell::new(None),
            late_knock: RefCell::new(None),
            answers: RefCell::default(),
            verdicts: RefCell::default(),
            now_ms: Cell::new(0),
            unix_ms: Cell::new(0),
            date: Cell::new(*b"Thu, 01 Jan 1970 00:00:00 GMT"),
            sample: Cell::new(0),
            started: Instant::now(),
            ending: Cell::new(false),
            background_tasks: Cell::new(0),
            bell: parts.bell,
            control: parts.control,
            metrics: parts.metrics,
            limits: parts.limits,
            webhooks: RefCell::new(parts.webhooks),
        };
        core.read_clock();
        (core, parts.listener, parts.rope)
    }

    /// A task that must end before the runtime is dropped.
    fn background(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let core = self.clone();
        core.background_tasks.set(core.background_tasks.get() + 1);
        io::spawn(async move {
            task.await;
            core.background_tasks.set(core.background_tasks.get() - 1);
            core.want_turn();
        });
    }

    /// The core's counters.
    #[inline]
    pub fn metrics(&self) -> &CoreMetrics {
        &self.metrics.cores[self.index]
    }

    // ---- time ----

    /// Coarse milliseconds of this core, for deadlines: the time of the last sweep.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// Sets [`Self::now_ms`] as a sweep does, for a test that holds the clock.
    #[cfg(test)]
    pub fn set_now_ms(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
    }

    /// Reads the wall clock, once per batch of bytes, and keeps the `Date` of answers current.
    #[inline]
    pub fn read_clock(&self) -> u64 {
        let now = SystemTime::now();
        let unix_ms = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        if unix_ms / 1000 != self.unix_ms.get() / 1000 {
            let mut date = self.date.get();
            let text = httpdate::fmt_http_date(now);
            if let Ok(fixed) = text.as_bytes().try_into() {
                date = fixed;
            }
            self.date.set(date);
        }
        self.unix_ms.set(unix_ms);
        unix_ms
    }

    /// Wall clock of the last [`Self::read_clock`].
    #[inline]
    pub fn unix_ms(&self) -> u64 {
        self.unix_ms.get()
    }

    /// The `Date` of answers.
    #[inline]
    pub fn date(&self) -> [u8; 29] {
        self.date.get()
    }

    /// Whether this event is one of those that are timed.
    #[inline]
    pub fn is_sampled(&self) -> bool {
        let turn = self.sample.get().wrapping_add(1);
        self.sample.set(turn);
        turn.is_multiple_of(SAMPLE_EVENTS)
    }

    // ---- handles and buffers ----

    /// A handle for the next request, if there is one.
    #[inline]
    pub fn take_slot(&self) -> Option<Box<Slot>> {
        if let Some(slot) = self.pop_slot() {
            return Some(slot);
        }
        self.collect_home();
        if let Some(slot) = self.pop_slot() {
            return Some(slot);
        }
        (self.slots_made.get() < self.handles_max).then(|| {
            self.slots_made.set(self.slots_made.get() + 1);
            Box::default()
        })
    }

    #[inline]
    fn pop_slot(&self) -> Option<Box<Slot>> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.pop();
        if let Some(next) = slots.last() {
            next.warm();
        }
        slot
    }

    /// Takes a handle back, its buffer, and the tape if this core made it: a worker keeps its own.
    #[inline]
    pub fn put_slot(&self, mut slot: Box<Slot>) {
        if let Some(charge) = slot.drop_value(&mut self.parser.borrow_mut()) {
            self.pool.release(charge);
        }
        if let Some(buf) = slot.buf.take() {
            self.pool.put(buf);
        }
        self.slots.borrow_mut().push(slot);
    }

    /// A buffer for an event of `bytes`, from those that came home if the pool has none.
    #[inline]
    pub fn take_buf(&self, bytes: usize) -> Result<Buf, OverBudget> {
        if self.pool.is_exhausted(bytes) {
            self.collect_home();
        }
        self.pool.take(bytes).or_else(|OverBudget| {
            self.collect_home();
            self.pool.take(bytes)
        })
    }

    /// What bodies are read with, and the tapes that came home if it has none.
    pub fn take_parser(&self) -> RefMut<'_, Parser> {
        if self.parser.borrow().is_exhausted() {
            self.collect_home();
        }
        self.parser.borrow_mut()
    }

    /// Takes in the handles that workers sent home. Returns how many came.
    fn collect_home(&self) -> usize {
        let mut outboxes = self.outboxes.borrow_mut();
        let mut came = 0;
        for outbox in outboxes.iter_mut() {
            while let Some(slot) = outbox.pop_home() {
                self.put_slot(slot);
                came += 1;
            }
        }
        came
    }

    /// An empty vector for answers, with its old allocation.
    pub fn take_answers(&self) -> Vec<u8> {
        self.answers.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes an idle connection's vector back.
    pub fn put_answers(&self, mut answers: Vec<u8>) {
        /// Many answers of one batch; more is not kept.
        const ANSWERS_BYTES_KEPT: usize = 16 * 1024;
        const ANSWERS_KEPT: usize = 256;
        answers.clear();
        let mut kept = self.answers.borrow_mut();
        if (1..=ANSWERS_BYTES_KEPT).contains(&answers.capacity()) && kept.len() < ANSWERS_KEPT {
            kept.push(answers);
        }
    }

    /// A verdict on a body that arrives in parts, before its first byte.
    pub fn take_verdict(&self, timed: bool) -> Box<Verdict> {
        let mut verdict = self.verdicts.borrow_mut().pop().unwrap_or_default();
        verdict.begin(timed);
        verdict
    }

    /// Takes a verdict back.
    pub fn put_verdict(&self, verdict: Box<Verdict>) {
        const VERDICTS_KEPT: usize = 256;
        let mut kept = self.verdicts.borrow_mut();
        if kept.len() < VERDICTS_KEPT {
            kept.push(verdict);
        }
    }

    // ---- the event queue ----

    /// The installed webhooks.
    #[inline]
    pub fn webhooks(&self) -> Ref<'_, Arc<Webhooks>> {
        self.webhooks.borrow()
    }

    /// Puts another table of webhooks in force, if there is one. Events are pushed by this one from now on.
    fn install(&self) {
        if let Some(Install { webhooks, done }) = self.control.take_install() {
            self.webhooks.replace(webhooks);
            done();
        }
    }

    /// Gives the event its id and hands it to its worker, or gives it back.
    #[inline]
    pub fn push(&self, mut slot: Box<Slot>) -> Result<EventId, NotPushed> {
        let found = self.webhooks().get(slot.webhook).map(|webhook| (webhook.worker, webhook.gate.is_open()));
        let worker = match found {
            Some((worker, true)) => worker,
            Some((_, false)) => return Err(NotPushed::Behind(slot)),
            None => return Err(NotPushed::Removed(slot)),
        };
        let mut outboxes = self.outboxes.borrow_mut();
        let outbox = &mut outboxes[worker];
        if outbox.is_full() {
            return Err(NotPushed::Full(slot));
        }
        slot.received_at_ms = self.unix_ms();
        let id = self.ids.borrow_mut().next(slot.received_at_ms);
        slot.id = id;
        outbox.push(slot).map_err(NotPushed::Full)?;
        drop(outboxes);
        self.metrics().events.add(1);
        self.want_turn();
        Ok(id)
    }

    /// Waits until handles come home or the connection is interrupted; may return early. The caller looks again.
    pub async fn wait_for_home(&self, watch: &Watch) {
        let mut place = Place { core: self, key: None };
        std::future::poll_fn(|cx| {
            if place.key.is_some() || watch.is_interrupted() {
                return Poll::Ready(());
            }
            place.key = Some(self.waiting.borrow_mut().insert(cx.waker().clone()));
            *watch.waker.borrow_mut() = Some(cx.waker().clone());
            self.bell.want();
            // What came home before the bell was armed rings it no more.
            if self.collect_home() > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// How many wakers of waiting connections the core keeps.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.waiting.borrow().len()
    }

    fn wake_waiting(&self) {
        for (_, waker) in self.waiting.borrow().iter() {
            waker.wake_by_ref();
        }
    }

    // ---- turns ----

    /// Asks for [`Self::end_of_turn`] when the ready tasks have run.
    #[inline]
    pub fn want_turn(&self) {
        if !self.turn_wanted.replace(true)
            && let Some(waker) = &*self.turn.borrow()
        {
            waker.wake_by_ref();
        }
    }

    /// Yields to the other tasks of this core.
    pub async fn yield_turn(&self) {
        self.want_turn();
        self.yielded.turn().await;
    }

    /// The main future of the runtime: monoio polls it when the ready tasks have run, if it was woken.
    async fn turn_until_done(&self) {
        std::future::poll_fn(|cx| {
            if self.turn.borrow().is_none() {
                *self.turn.borrow_mut() = Some(cx.waker().clone());
            }
            self.turn_wanted.set(false);
            self.end_of_turn();
            if self.is_done() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn end_of_turn(&self) {
        if self.outboxes.borrow_mut().iter_mut().any(Outbox::wants_knock) {
            let now = clock_ns();
            if now - self.last_knock_ns.get() >= KNOCK_INTERVAL_NS {
                self.last_knock_ns.set(now);
                self.knock();
            } else if let Some(waker) = self.late_knock.borrow_mut().take() {
                waker.wake();
            }
        }
        if !self.yielded.is_empty() {
            // With a task always ready the runtime never parks, and its timers stand still: the sweep that could
            // end that task must come from here.
            let now_ms = self.started.elapsed().as_millis() as u64;
            if now_ms.saturating_sub(self.now_ms.get()) >= TICK.as_millis() as u64
                && let Some(waker) = self.sweeper.borrow_mut().take()
            {
                waker.wake();
            }
            self.yielded.wake_all();
        }
    }

    fn knock(&self) {
        self.outboxes.borrow_mut().iter_mut().for_each(Outbox::flush);
    }

    // ---- draining ----

    /// Whether no connection is left and no more will come.
    fn has_drained(&self) -> bool {
        self.draining.get() && !self.accepting.get() && self.connections.borrow().is_empty()
    }

    fn is_done(&self) -> bool {
        self.has_drained() && self.background_tasks.get() == 0
    }

    /// A connection or the acceptor ended.
    pub fn ended(&self) {
        if self.has_drained() {
            // Wakes the background tasks, so that they see it.
            self.bell.ring();
            if let Some(waker) = self.late_knock.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    fn begin_drain(&self) {
        self.draining.set(true);
        self.accept_interrupt.fire();
        for (_, watch) in self.connections.borrow().iter() {
            if watch.phase() == Phase::Idle {
                watch.interrupt(Cause::Drain);
            }
        }
    }

    fn end_all(&self) {
        self.ending.set(true);
        for (_, watch) in self.connections.borrow().iter() {
            if watch.phase() != Phase::Ended {
                watch.interrupt(Cause::Expired);
            }
        }
    }

    /// Whether the time for draining is over.
    pub fn is_ending(&self) -> bool {
        self.ending.get()
    }
}

/// What becomes of a core whose thread panics. The kernel may still write into buffers of running operations, so
/// they must not be freed: everything the core holds is leaked. But its queues are closed, so that the workers and
/// the server see that it is gone.
struct Fate(Rc<Core>);

impl Drop for Fate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            if let Ok(mut outboxes) = self.0.outboxes.try_borrow_mut() {
                outboxes.clear();
            }
            std::mem::forget(self.0.clone());
        }
    }
}

struct Place<'a> {
    core: &'a Core,
    key: Option<usize>,
}

impl Drop for Place<'_> {
    /// A connection leaves its place among those that wait for handles, however its wait ends.
    fn drop(&mut self) {
        self.key.map(|key| self.core.waiting.borrow_mut().remove(key));
    }
}
