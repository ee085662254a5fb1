//! What a connection waits for: bytes, its peer, room in a queue, a handle; and its end.

use std::task::Poll;

use super::{Connection, HEAD_BYTES_MAX, Owed, TURN_BYTES_MAX, Transport};
use crate::buffer::READ_BYTES;
use crate::event::Slot;
use crate::http::{Problem, Reject, reject};
use crate::ingest::core_thread::NotPushed;
use crate::ingest::deadlines::{Cause, Phase};
use crate::io;

impl<T: Transport> Connection<'_, T> {
    /// Waits until the queue takes the event, at most as long as the limits say.
    pub(super) async fn wait_for_room(&mut self, mut slot: Box<Slot>, owed: Owed) -> bool {
        self.core.metrics().queue_waits.add(1);
        self.watch.wait_for(Phase::Queue, self.core.now_ms());
        loop {
            let problem;
            (slot, problem) = match self.core.push(slot) {
                Ok(id) => {
                    self.answer_accepted(id, &owed);
                    return true;
                }
                Err(NotPushed::Full(slot)) => (slot, &reject::QUEUE_FULL),
                Err(NotPushed::Behind(slot)) => (slot, &reject::TRIGGER_BEHIND),
                Err(NotPushed::Removed(slot)) => {
                    self.answer_removed(slot, &owed);
                    return true;
                }
            };
            if self.watch.take_cause() == Some(Cause::Expired) {
                self.core.metrics().queue_full.add(1);
                self.answer_problem(&problem.into(), &owed, false);
                self.core.put_slot(slot);
                return true;
            }
            self.core.wait_for_home(self.watch).await;
        }
    }

    /// Waits for a handle: as many requests are on their way as the core allows.
    pub(super) async fn wait_for_handle(&mut self) -> bool {
        self.watch.wait_for(Phase::Queue, self.core.now_ms());
        loop {
            self.slot = self.core.take_slot();
            if self.slot.is_some() {
                return true;
            }
            if self.watch.take_cause() == Some(Cause::Expired) {
                self.core.metrics().queue_full.add(1);
                self.refuse_connection((&reject::QUEUE_FULL).into());
                self.flush().await;
                return false;
            }
            self.core.wait_for_home(self.watch).await;
        }
    }

    /// Writes the answers that wait. `false`: the peer does not take them.
    pub(super) async fn flush(&mut self) -> bool {
        if self.answers.is_empty() {
            return true;
        }
        self.watch.wait_for(Phase::Answer, self.core.now_ms());
        let answers = std::mem::take(&mut self.answers);
        let bytes = answers.len() as u64;
        let (result, answers) = self.stream.write(answers).await;
        self.answers = answers;
        self.answers.clear();
        self.core.metrics().bytes_written.add(bytes);
        if result.is_err() {
            self.unread = false;
        }
        result.is_ok()
    }

    /// Reads more. `false`: the connection ends.
    pub(super) async fn fill(&mut self) -> bool {
        self.make_room();
        if self.closing {
            return true;
        }
        loop {
            let Some(input) = self.input.take() else { return false };
            let between_requests = input.is_empty() && self.skip == 0;
            if between_requests && self.core.draining.get() && !self.has_more_to_read() {
                self.input = Some(input);
                return false;
            }
            let phase = match () {
                () if between_requests => Phase::Idle,
                () if self.skip > 0 => Phase::Linger,
                () => Phase::Head,
            };
            self.watch.wait_for(phase, self.core.now_ms());
            self.watch.set_holds_buffer(true);
            let (result, input) = self.stream.read(input, READ_BYTES, &self.watch.interrupt).await;
            self.watch.set_holds_buffer(false);
            self.input = Some(input);
            match result {
                Ok(0) => return self.end_of_stream(between_requests),
                Ok(bytes) => {
                    self.core.read_clock();
                    self.core.metrics().bytes_read.add(bytes as u64);
                    self.give_way(bytes).await;
                    return true;
                }
                Err(error) if io::cancelled(&error) => match self.watch.take_cause() {
                    Some(Cause::Expired) if between_requests || self.skip > 0 => return false,
                    Some(Cause::Expired) => {
                        self.refuse_connection(self.too_slow(&reject::HEAD_TIMEOUT));
                        self.flush().await;
                        return false;
                    }
                    Some(Cause::GiveBuffer) if between_requests => {
                        if !self.rest().await {
                            return false;
                        }
                    }
                    Some(Cause::GiveBuffer | Cause::Drain) | None => {}
                },
                Err(_) => return false,
            }
        }
    }

    /// Whether bytes of another request have arrived already. A connection that is being drained reads these, so that
    /// what the backlog held, or crossed with the drain, is answered and not reset.
    fn has_more_to_read(&self) -> bool {
        self.stream.has_bytes()
    }

    /// Lets the other connections of this core run when this one has read its share. On the epoll driver a read
    /// returns at once as long as there is data, so nothing else would.
    #[inline]
    pub(super) async fn give_way(&mut self, bytes: usize) {
        if !self.core.reads_at_once {
            return;
        }
        self.read_in_turn += bytes;
        if self.read_in_turn >= TURN_BYTES_MAX {
            self.read_in_turn = 0;
            self.core.yield_turn().await;
        }
    }

    pub(super) fn too_slow(&self, problem: &'static Problem) -> Reject {
        if self.core.is_ending() { (&reject::DRAINING).into() } else { problem.into() }
    }

    /// The peer has finished sending.
    pub(super) fn end_of_stream(&mut self, between_requests: bool) -> bool {
        if !between_requests && self.skip == 0 {
            // It may still read: a client that closed only its sending side learns what was missing.
            self.refuse_connection((&reject::TRUNCATED).into());
            self.unread = false;
            return true;
        }
        false
    }

    /// Moves what is not served to the front, and makes room behind it.
    pub(super) fn make_room(&mut self) {
        let mut input = match self.input.take() {
            Some(input) => input,
            None => self.core.pool.take_read(),
        };
        input.consume(self.start);
        self.start = 0;
        if input.room() == 0 {
            // A head that fills the read buffer; what it may grow to is bounded by the head's own limits.
            match self.core.take_buf(HEAD_BYTES_MAX + READ_BYTES) {
                Ok(mut larger) => {
                    larger.extend_from_slice(input.filled());
                    self.core.pool.put(std::mem::replace(&mut input, larger));
                }
                Err(_) => {
                    self.core.metrics().over_budget.add(1);
                    self.refuse_connection((&reject::OVER_BUDGET).into());
                }
            }
        }
        self.input = Some(input);
    }

    /// Gives everything back that a silent connection does not need, and waits for the next byte.
    pub(super) async fn rest(&mut self) -> bool {
        if self.core.draining.get() {
            return false;
        }
        if let Some(input) = self.input.take() {
            self.core.pool.put(input);
        }
        if let Some(slot) = self.slot.take() {
            self.core.put_slot(slot);
        }
        self.core.put_answers(std::mem::take(&mut self.answers));
        let woken = self.readable_or_interrupted().await;
        if !woken {
            return false;
        }
        self.input = Some(self.core.pool.take_read());
        self.answers = self.core.take_answers();
        self.start = 0;
        true
    }

    /// `true`: there is something to read. Waiting for readiness holds no bytes, so it may be dropped.
    pub(super) async fn readable_or_interrupted(&self) -> bool {
        let mut readable = std::pin::pin!(self.stream.readable());
        std::future::poll_fn(|cx| {
            if self.watch.take_cause().is_some() {
                return Poll::Ready(false);
            }
            *self.watch.waker.borrow_mut() = Some(cx.waker().clone());
            readable.as_mut().poll(cx).map(|result| result.is_ok())
        })
        .await
    }

    /// Closes so that the peer can read the last answer: a close with unread bytes behind it would be a reset, and
    /// a reset may overtake the answer (RFC 9112 §9.6).
    pub(super) async fn finish(mut self) {
        if !self.unread {
            return;
        }
        self.stream.shutdown_write();
        self.watch.take_cause();
        self.watch.wait_for(Phase::Linger, self.core.now_ms());
        let mut dropped = 0;
        while dropped < self.core.limits.linger_bytes_max {
            let mut input = self.input.take().unwrap_or_else(|| self.core.pool.take_read());
            input.truncate(0);
            let (result, input) = self.stream.read(input, READ_BYTES, &self.watch.interrupt).await;
            self.input = Some(input);
            match result {
                Ok(bytes) if bytes > 0 => {
                    dropped += bytes as u64;
                    self.give_way(bytes).await;
                }
                Err(error) if io::cancelled(&error) && self.watch.take_cause() != Some(Cause::Expired) => {}
                _ => break,
            }
        }
    }
}
