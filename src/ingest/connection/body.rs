//! Bodies that have not arrived with their head: of known length into one buffer, or in chunks into one that grows.

use super::{Connection, INLINE_BODY_BYTES_MAX, Next, Owed, Transport};
use crate::buffer::Buf;
use crate::event::Slot;
use crate::http::answer;
use crate::http::chunked::{ChunkedDecoder, Step};
use crate::http::framing::Framing;
use crate::http::head::Expect;
use crate::http::{Problem, Reject, reject};
use crate::ingest::admission::{Admitted, Refusal};
use crate::ingest::deadlines::{Cause, Phase};
use crate::io;
use crate::metrics::clock_ns;

/// Bytes of one read of a large body: its neighbours on the core wait no longer than this takes.
const BODY_READ_BYTES: usize = 64 * 1024;
/// A chunked body starts in a buffer for this many bytes.
const CHUNKED_START_BYTES: usize = 4 * 1024;

/// Why no event came of a request whose body was being received.
enum Stop {
    /// The sender is told, and the connection closes: the rest of its body is nobody's.
    Refused(Reject),
    /// The peer is gone.
    Gone,
}

impl From<&'static Problem> for Stop {
    fn from(problem: &'static Problem) -> Self {
        Self::Refused(problem.into())
    }
}

impl<T: Transport> Connection<'_, T> {
    /// Receives the body of the request at `start`, judges it and hands the event over. `false`: the connection ends.
    pub(super) async fn receive(&mut self, admitted: Admitted) -> bool {
        let Some(slot) = &self.slot else { return false };
        let (framing, head_bytes) = (slot.head.framing, slot.head.bytes);
        let nothing_arrived = self.head_bytes().len() == head_bytes;
        let expects = slot.head.expect == Expect::Continue && nothing_arrived;
        let first = match framing {
            Framing::Length(length) => head_bytes as u64 + length,
            Framing::Chunked => (head_bytes + CHUNKED_START_BYTES) as u64,
        };
        let Ok(mut buf) = self.core.take_buf(first as usize) else {
            self.core.metrics().over_budget.add(1);
            self.refuse(admitted.refused(&reject::OVER_BUDGET));
            return true;
        };
        if expects {
            // Everything the head can decide has been accepted (RFC 9110 §10.1.1).
            self.answers.extend_from_slice(answer::CONTINUE);
            self.core.metrics().answered(100);
        }
        buf.extend_from_slice(&self.head_bytes()[..head_bytes]);
        self.start += head_bytes;
        if !self.flush().await {
            self.core.pool.put(buf);
            return false;
        }
        let received = match framing {
            Framing::Length(length) => self.receive_length(buf, length).await,
            Framing::Chunked => self.receive_chunked(buf, admitted.body_bytes_max).await,
        };
        match received {
            Ok(buf) => self.conclude(buf, head_bytes, admitted).await,
            Err((buf, stop)) => {
                self.give_up(buf, stop);
                self.flush().await;
                false
            }
        }
    }

    /// Receives `length` bytes behind the head in `buf`.
    async fn receive_length(&mut self, mut buf: Buf, length: u64) -> Result<Buf, (Buf, Stop)> {
        let whole = buf.len() + length as usize;
        let here = self.head_bytes();
        let taken = here.len().min(whole - buf.len());
        buf.extend_from_slice(&here[..taken]);
        self.start += taken;
        if buf.len() == whole {
            return Ok(buf);
        }
        // The whole rest goes straight into the body's buffer; the read buffer would only lie about.
        self.release_input();
        self.watch.wait_for(Phase::Body(Some(length)), self.core.now_ms());
        self.watch.received(taken);
        while buf.len() < whole {
            let limit = BODY_READ_BYTES.min(whole - buf.len());
            let (read, back) = self.read_body(buf, limit).await;
            buf = back;
            if let Err(stop) = read {
                return Err((buf, stop));
            }
        }
        Ok(buf)
    }

    /// Receives a chunked body behind the head in `buf`, decoded.
    async fn receive_chunked(&mut self, mut buf: Buf, body_bytes_max: u64) -> Result<Buf, (Buf, Stop)> {
        let mut decoder = ChunkedDecoder::new(body_bytes_max);
        let largest = buf.len() + body_bytes_max as usize;
        self.watch.wait_for(Phase::Body(None), self.core.now_ms());
        self.watch.received(self.head_bytes().len());
        loop {
            loop {
                let step = decoder.decode(self.head_bytes());
                match step {
                    Ok(Step::Need) => {
                        self.start += self.head_bytes().len();
                        break;
                    }
                    Ok(Step::Data { start, end }) => {
                        if buf.room() < end - start {
                            let need = buf.len() + (end - start);
                            let want = (buf.capacity() * 3 / 2).min(largest).max(need);
                            buf = self.core.pool.grow(buf, want).map_err(|(buf, _)| {
                                self.core.metrics().over_budget.add(1);
                                (buf, Stop::from(&reject::OVER_BUDGET))
                            })?;
                        }
                        buf.extend_from_slice(&self.head_bytes()[start..end]);
                        self.start += end;
                    }
                    Ok(Step::End { consumed }) => {
                        self.start += consumed;
                        return Ok(buf);
                    }
                    Err(reject) => return Err((buf, Stop::Refused(reject))),
                }
            }
            self.make_room();
            let Some(input) = self.input.take() else { return Err((buf, Stop::Gone)) };
            let (read, input) = self.read_body(input, BODY_READ_BYTES).await;
            self.input = Some(input);
            if let Err(stop) = read {
                return Err((buf, stop));
            }
        }
    }

    /// One read of a body.
    async fn read_body(&mut self, mut buf: Buf, limit: usize) -> (Result<(), Stop>, Buf) {
        loop {
            let (result, back) = self.stream.read(buf, limit, &self.watch.interrupt).await;
            buf = back;
            let stop = match result {
                // No event comes of a body that was cut short.
                Ok(0) => (&reject::TRUNCATED).into(),
                Ok(bytes) => {
                    self.watch.received(bytes);
                    self.core.metrics().bytes_read.add(bytes as u64);
                    self.core.read_clock();
                    self.give_way(bytes).await;
                    return (Ok(()), buf);
                }
                Err(error) if io::cancelled(&error) => match self.watch.take_cause() {
                    Some(Cause::Expired) => Stop::Refused(self.too_slow(&reject::BODY_TIMEOUT)),
                    _ => continue,
                },
                Err(_) => Stop::Gone,
            };
            return (Err(stop), buf);
        }
    }

    /// The body is complete: judges it, on the core if it is small, and hands the event over.
    async fn conclude(&mut self, buf: Buf, head_bytes: usize, admitted: Admitted) -> bool {
        let Some(mut slot) = self.slot.take() else { return false };
        slot.head_at = 0;
        slot.body = head_bytes..buf.len();
        slot.buf = Some(buf);
        let next = if slot.body.len() <= INLINE_BODY_BYTES_MAX {
            self.judge_and_push(slot, admitted)
        } else {
            let (mut slot, verdict) = self.await_verdict(slot).await;
            slot.pushed_at_ns = Some(clock_ns());
            self.core.read_clock();
            self.push(slot, admitted, verdict)
        };
        match next {
            Some(Next::Room(slot, owed)) => self.wait_for_room(slot, owed).await,
            _ => true,
        }
    }

    /// Waits for a judge. The slot is with it, so nothing can interrupt this; it is bounded by the body's size.
    async fn await_verdict(&mut self, slot: Box<Slot>) -> (Box<Slot>, Result<(), Reject>) {
        use std::task::Poll;
        self.watch.wait_for(Phase::Verdict, self.core.now_ms());
        self.core.submit(slot, self.key);
        std::future::poll_fn(|cx| match self.watch.verdict.borrow_mut().take() {
            Some(judged) => Poll::Ready(judged),
            None => {
                *self.watch.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    fn give_up(&mut self, buf: Buf, stop: Stop) {
        self.core.pool.put(buf);
        if let (Stop::Refused(reject), Some(slot)) = (stop, &self.slot) {
            let owed = Owed { version: slot.head.version, keep_alive: false };
            self.answer_problem(&reject, &owed, false);
        }
    }

    fn release_input(&mut self) {
        if let Some(input) = self.input.take() {
            self.core.pool.put(input);
        }
        self.start = 0;
    }
}

impl Admitted {
    /// The refusal of an admitted request for want of something of ours.
    pub(super) fn refused(&self, problem: &'static Problem) -> Refusal {
        Refusal { reject: problem.into(), cors_origin: self.cors_origin }
    }
}
