//! Bodies that have not arrived with their head: of known length into one buffer, or in chunks into one that grows.
//! Each is judged read by read, as its bytes come in.

use super::{Connection, INLINE_BODY_BYTES_MAX, Next, Owed, SKIP_BYTES_MAX, Transport};
use crate::buffer::{Buf, OverBudget};
use crate::http::answer;
use crate::http::chunked::{ChunkedDecoder, Step};
use crate::http::framing::Framing;
use crate::http::head::Expect;
use crate::http::{Problem, Reject, reject};
use crate::ingest::admission::{Admitted, Refusal};
use crate::ingest::deadlines::{Cause, Phase};
use crate::ingest::verdict::Verdict;
use crate::io;
use crate::json::Facts;
use crate::metrics::clock_ns;

/// Bytes of one read of a large body: its neighbours on the core wait no longer than it takes to read and judge them.
const BODY_READ_BYTES: usize = 64 * 1024;
/// A chunked body starts in a buffer for this many bytes.
const CHUNKED_START_BYTES: usize = 4 * 1024;

/// A request whose body arrives.
struct Arriving {
    /// Its head, and as much of its body as is here, decoded.
    buf: Buf,
    /// Where in `buf` the body starts.
    body_at: usize,
    verdict: Box<Verdict>,
}

impl Arriving {
    /// Judges what has come since the last call.
    fn judge(&mut self) -> Result<(), Reject> {
        self.verdict.follow(&self.buf.filled()[self.body_at..])
    }
}

/// Why no event came of a request whose body was being received.
enum Stop {
    /// The sender is told, and the connection closes: the rest of its body is nobody's.
    Refused(Reject),
    /// The sender is told, and the connection goes on behind the rest of the body, which is this many bytes.
    SteppedOver(Reject, u64),
    /// The peer is gone.
    Gone,
}

impl From<&'static Problem> for Stop {
    fn from(problem: &'static Problem) -> Self {
        Self::Refused(problem.into())
    }
}

/// A request that was received and judged, or what there is of one that was not.
type Received = Result<(Arriving, Facts), (Arriving, Stop)>;

impl<T: Transport> Connection<'_, T> {
    /// Receives the body of the request at `start`, judges it and hands the event over. `false`: the connection ends.
    pub(super) async fn receive(&mut self, admitted: Admitted) -> bool {
        let Some(slot) = &self.slot else { return false };
        let (framing, head_bytes) = (slot.head.framing, slot.head.bytes);
        let nothing_arrived = self.head_bytes().len() == head_bytes;
        let expects = slot.head.expect == Expect::Continue && nothing_arrived;
        let (first, is_large) = match framing {
            Framing::Length(length) => (head_bytes as u64 + length, length > INLINE_BODY_BYTES_MAX as u64),
            Framing::Chunked => ((head_bytes + CHUNKED_START_BYTES) as u64, false),
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
        let verdict = self.core.take_verdict(is_large || self.core.is_sampled());
        let arriving = Arriving { buf, body_at: head_bytes, verdict };
        let received = match framing {
            Framing::Length(length) => self.receive_length(arriving, length).await,
            Framing::Chunked => self.receive_chunked(arriving, admitted.body_bytes_max).await,
        };
        match received {
            Ok((arriving, facts)) => self.conclude(arriving, facts, admitted).await,
            Err((arriving, stop)) => self.give_up(arriving, stop).await,
        }
    }

    /// Receives `length` bytes behind the head.
    async fn receive_length(&mut self, mut arriving: Arriving, length: u64) -> Received {
        let whole = arriving.buf.len() + length as usize;
        let here = self.head_bytes();
        let taken = here.len().min(length as usize);
        arriving.buf.extend_from_slice(&here[..taken]);
        self.start += taken;
        if arriving.buf.len() < whole {
            // The whole rest goes straight into the body's buffer; the read buffer would only lie about.
            self.release_input();
            self.watch.wait_for(Phase::Body(Some(length)), self.core.now_ms());
            self.watch.received(taken);
        }
        loop {
            let left = whole - arriving.buf.len();
            let judged = match arriving.judge() {
                Ok(()) if left == 0 => arriving.verdict.finish().map(Some),
                judged => judged.map(|()| None),
            };
            match judged {
                Ok(Some(facts)) => return Ok((arriving, facts)),
                Ok(None) => {}
                Err(reject) => return Err((arriving, refused(reject, length, left as u64))),
            }
            let (read, back) = self.read_body(arriving.buf, BODY_READ_BYTES.min(left)).await;
            arriving.buf = back;
            if let Err(stop) = read {
                return Err((arriving, stop));
            }
        }
    }

    /// Receives a chunked body behind the head, decoded.
    async fn receive_chunked(&mut self, mut arriving: Arriving, body_bytes_max: u64) -> Received {
        let mut decoder = ChunkedDecoder::new(body_bytes_max);
        let largest = arriving.body_at + body_bytes_max as usize;
        self.watch.wait_for(Phase::Body(None), self.core.now_ms());
        self.watch.received(self.head_bytes().len());
        loop {
            let (buf, decoded) = self.decode_input(arriving.buf, &mut decoder, largest);
            arriving.buf = buf;
            // What stands before a fault of the framing is judged first: the answer does not depend on how the bytes
            // came in.
            if let Err(reject) = arriving.judge() {
                return Err((arriving, Stop::Refused(reject)));
            }
            match decoded {
                Ok(false) => {}
                Ok(true) => {
                    return match arriving.verdict.finish() {
                        Ok(facts) => Ok((arriving, facts)),
                        Err(reject) => Err((arriving, Stop::SteppedOver(reject, 0))),
                    };
                }
                Err(stop) => return Err((arriving, stop)),
            }
            self.make_room();
            let Some(input) = self.input.take() else { return Err((arriving, Stop::Gone)) };
            let (read, input) = self.read_body(input, BODY_READ_BYTES).await;
            self.input = Some(input);
            if let Err(stop) = read {
                return Err((arriving, stop));
            }
        }
    }

    /// Decodes the chunks that have arrived. Returns whether the last one was among them.
    fn decode_input(
        &mut self,
        mut buf: Buf,
        decoder: &mut ChunkedDecoder,
        largest: usize,
    ) -> (Buf, Result<bool, Stop>) {
        loop {
            match decoder.decode(self.head_bytes()) {
                Ok(Step::Need) => {
                    self.start += self.head_bytes().len();
                    return (buf, Ok(false));
                }
                Ok(Step::Data { start, end }) => {
                    if buf.room() < end - start {
                        let need = buf.len() + (end - start);
                        let want = (buf.capacity() * 3 / 2).min(largest).max(need);
                        buf = match self.core.pool.grow(buf, want) {
                            Ok(grown) => grown,
                            Err((buf, OverBudget)) => {
                                self.core.metrics().over_budget.add(1);
                                return (buf, Err((&reject::OVER_BUDGET).into()));
                            }
                        };
                    }
                    buf.extend_from_slice(&self.head_bytes()[start..end]);
                    self.start += end;
                }
                Ok(Step::End { consumed }) => {
                    self.start += consumed;
                    return (buf, Ok(true));
                }
                Err(reject) => return (buf, Err(Stop::Refused(reject))),
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

    /// The body is complete and valid: hands the event over.
    async fn conclude(&mut self, arriving: Arriving, facts: Facts, admitted: Admitted) -> bool {
        let Some(mut slot) = self.slot.take() else { return false };
        let Arriving { buf, body_at, verdict } = arriving;
        slot.head_at = 0;
        slot.body = body_at..buf.len();
        slot.buf = Some(buf);
        slot.facts = facts;
        slot.pushed_at_ns = verdict.took_ns().map(|took_ns| {
            self.core.metrics().parse_time.record(took_ns);
            clock_ns()
        });
        self.core.put_verdict(verdict);
        match self.push(slot, admitted) {
            Some(Next::Room(slot, owed)) => self.wait_for_room(slot, owed).await,
            _ => true,
        }
    }

    /// Says why there is no event. `false`: the connection ends.
    async fn give_up(&mut self, arriving: Arriving, stop: Stop) -> bool {
        self.core.pool.put(arriving.buf);
        self.core.put_verdict(arriving.verdict);
        let (reject, keep_alive) = match stop {
            Stop::Refused(reject) => (reject, false),
            Stop::SteppedOver(reject, left) => {
                self.skip = left;
                (reject, true)
            }
            Stop::Gone => return false,
        };
        let Some(slot) = &self.slot else { return false };
        let keep_alive = keep_alive && slot.head.keep_alive;
        self.answer_problem(&reject, &Owed { version: slot.head.version, keep_alive }, false);
        self.flush().await && keep_alive
    }

    fn release_input(&mut self) {
        if let Some(input) = self.input.take() {
            self.core.pool.put(input);
        }
        self.start = 0;
    }
}

/// What becomes of a request whose body is not JSON, with `left` bytes of it still to come. The place of the first bad
/// byte alone decides whether the connection goes on, so that the answer does not depend on how the bytes came in.
fn refused(reject: Reject, length: u64, left: u64) -> Stop {
    let behind = length.saturating_sub(reject.offset.unwrap_or(0));
    if behind <= SKIP_BYTES_MAX { Stop::SteppedOver(reject, left) } else { Stop::Refused(reject) }
}

impl Admitted {
    /// The refusal of an admitted request for want of something of ours.
    pub(super) fn refused(&self, problem: &'static Problem) -> Refusal {
        Refusal { reject: problem.into(), cors_origin: self.cors_origin }
    }
}
