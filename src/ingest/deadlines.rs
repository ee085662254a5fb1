//! Deadlines of connections: one sweep per core instead of a timer per read.
//!
//! Every connection keeps a small record of what it waits for and since when, in the core's own coarse time: the
//! tick of the last sweep, so that the hot path reads no clock. That time lags by up to one [`TICK`], so a whole tick is
//! added to every limit: a deadline may come late by up to two ticks, never early.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use crate::io::{Breaker, Interrupt};
use crate::limits::Limits;

/// Time between two sweeps.
pub const TICK: Duration = Duration::from_millis(200);

/// How many connections a sweep looks at before it lets others run.
pub const SWEEP_CONNECTIONS_MAX: usize = 2048;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// A body of this many bytes, or of unknown length.
    Body(Option<u64>),
    /// Room in the event queue.
    Queue,
    /// The peer to take an answer.
    Answer,
    /// The peer to close, after a refusal.
    Linger,
    /// Nothing any more: its stream is gone, though a sweep may still hold this record.
    Ended,
}

/// Why a connection was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its deadline passed.
    Expired,
    /// It has been idle for a tick: its buffer is wanted back.
    GiveBuffer,
    /// The core is draining and no request is on its way here.
    Drain,
}

/// What the sweep and a connection share.
pub struct Watch {
    phase: Cell<Phase>,
    since_ms: Cell<u64>,
    received: Cell<u64>,
    holds_buffer: Cell<bool>,
    cause: Cell<Option<Cause>>,
    /// Cancels the read that the connection waits for.
    pub interrupt: Interrupt,
    /// Ends the write that it waits for. Used in [`Phase::Answer`] only, in which the stream exists.
    breaker: Breaker,
    /// Wakes the connection when it waits for something other than an operation.
    pub waker: RefCell<Option<Waker>>,
}

impl Watch {
    /// The record of a connection accepted at `now_ms`.
    pub fn new(now_ms: u64, breaker: Breaker) -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Idle),
            since_ms: Cell::new(now_ms),
            received: Cell::new(0),
            holds_buffer: Cell::new(false),
            cause: Cell::new(None),
            interrupt: Interrupt::default(),
            breaker,
            waker: RefCell::new(None),
        })
    }

    /// Starts to wait for `phase`. A head, or a refused rest, that is already being waited for keeps its start: these
    /// deadlines are in total, and a peer that sends a byte now and then does not move them.
    #[inline]
    pub fn wait_for(&self, phase: Phase, now_ms: u64) {
        // An interrupt that came too late for what was waited for before says nothing about this.
        self.cause.set(None);
        if phase == self.phase.get() && matches!(phase, Phase::Head | Phase::Linger) {
            return;
        }
        self.phase.set(phase);
        self.since_ms.set(now_ms);
        self.received.set(0);
    }

    /// Counts bytes of the body that arrived.
    #[inline]
    pub fn received(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
    }

    /// Says whether the connection holds a read buffer that it could give back.
    #[inline]
    pub fn set_holds_buffer(&self, holds: bool) {
        self.holds_buffer.set(holds);
    }

    /// What the connection waits for.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Why the connection was interrupted since the last call.
    #[inline]
    pub fn take_cause(&self) -> Option<Cause> {
        self.cause.take()
    }

    /// Whether it was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.cause.get().is_some()
    }

    /// Ends what the connection waits for.
    pub fn interrupt(&self, cause: Cause) {
        if cause == Cause::GiveBuffer && self.cause.get().is_some() {
            return;
        }
        self.cause.set(Some(cause));
        if self.phase.get() == Phase::Answer {
            return self.breaker.sever();
        }
        self.wake();
        self.interrupt.fire();
    }

    /// Wakes the connection if it waits for something other than an operation.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// What the sweep at `now_ms` does to this connection.
    fn due(&self, now_ms: u64, limits: &Limits) -> Option<Cause> {
        let waited_ms = now_ms.saturating_sub(self.since_ms.get() + TICK.as_millis() as u64);
        let expired = match self.phase.get() {
            Phase::Idle if waited_ms >= limits.idle_timeout_ms => true,
            // A whole tick without a byte: the first sweep after the read began may come at once.
            Phase::Idle if self.holds_buffer.get() && waited_ms > 0 => return Some(Cause::GiveBuffer),
            Phase::Idle | Phase::Ended => false,
            Phase::Head => waited_ms > limits.head_read_timeout_ms,
            Phase::Body(length) => self.body_is_late(length, waited_ms, limits),
            Phase::Queue => waited_ms > limits.queue_wait_ms,
            Phase::Answer => waited_ms > limits.write_timeout_ms,
            Phase::Linger => waited_ms > limits.linger_timeout_ms,
        };
        expired.then_some(Cause::Expired)
    }

    /// A body must average at least `body_rate_min_bytes_per_s` after a grace time, one of declared length at least
    /// what brings it in within `body_read_timeout_ms`, and one of unknown length must be there by then.
    fn body_is_late(&self, length: Option<u64>, waited_ms: u64, limits: &Limits) -> bool {
        if waited_ms > limits.body_read_timeout_ms {
            return true;
        }
        if waited_ms <= limits.body_rate_grace_ms {
            return false;
        }
        let whole = length.unwrap_or(0).saturating_mul(1000) / limits.body_read_timeout_ms.max(1);
        let rate = whole.max(limits.body_rate_min_bytes_per_s);
        self.received.get() < rate.saturating_mul(waited_ms) / 1000
    }

    /// Interrupts the connection if its time is up. Returns whether a deadline passed.
    pub fn sweep(&self, now_ms: u64, limits: &Limits) -> bool {
        let cause = self.due(now_ms, limits);
        if let Some(cause) = cause {
            self.interrupt(cause);
        }
        cause == Some(Cause::Expired)
    }
}
