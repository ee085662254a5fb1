//! One connection: the conductor of `head -> admission -> body -> json -> event queue -> answer`.
//!
//! What has arrived is served without waiting, request after request, into one vector of answers; only then is
//! something awaited: more bytes, the peer, room in a queue, a verdict. So a pipelined batch costs one read and one
//! write, and a request that arrived whole touches no other task.
//!
//! Watermarks: `0 <= start <= input.len()`; `input[..start]` is served, `input[start..]` is not.

mod body;

use super::admission::{Admitted, Asks, Refusal, admit};
use super::core_thread::Core;
use super::deadlines::{Cause, Phase, Watch};
use super::judges::judge;
use crate::buffer::{Buf, OverBudget, READ_BYTES};
use crate::event::Slot;
use crate::http::answer::{self, Meta};
use crate::http::framing::Framing;
use crate::http::head::{Expect, HeadReader, Method, Version};
use crate::http::{Reject, Span, Status, reject};
use crate::io::{self, Stream};
use crate::metrics::clock_ns;

/// Requests up to this size are copied out of the read buffer into a buffer of their own size: 8 KiB cost some
/// 0.1 µs, and a queue of small events does not hold a read buffer each. Larger ones take the read buffer along.
const COPY_BYTES_MAX: usize = 8 * 1024;
/// Answers are written out when a batch has grown to this.
const ANSWERS_BYTES_MAX: usize = 32 * 1024;
/// Bodies up to this size are judged on the core.
const INLINE_BODY_BYTES_MAX: usize = 64 * 1024;
/// A refused body up to this size is read and dropped, so that the connection may go on.
const SKIP_BYTES_MAX: u64 = 64 * 1024;
/// The largest head, see [`crate::http::head`]; a read buffer grows to it when needed.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The life of a connection.
pub(super) struct Connection<'c> {
    stream: Stream,
    core: &'c Core,
    watch: &'c Watch,
    key: usize,
    input: Option<Buf>,
    start: usize,
    reader: HeadReader,
    /// Bytes of a refused body that are still to be dropped.
    skip: u64,
    answers: Vec<u8>,
    /// The origin to echo in the next answer; empty for none. Kept here because the answer is written when the
    /// head has gone to the worker already.
    cors_origin: Vec<u8>,
    slot: Option<Box<Slot>>,
    /// Nothing is served after the answers that wait.
    closing: bool,
    /// The peer may still be sending something that nobody will read.
    unread: bool,
}

/// What a connection needs to go on.
enum Next {
    /// More bytes.
    Bytes,
    /// The body of this request, of which `input[start..]` is the head and the beginning.
    Body(Admitted),
    /// Room in the event queue.
    Room(Box<Slot>, Owed),
    /// A handle.
    Handle,
    /// Somebody to take the answers.
    Flush,
    /// Nothing any more.
    Close,
}

/// What an answer must say of its request, once the slot has gone to the worker.
#[derive(Debug, Clone, Copy)]
struct Owed {
    version: Version,
    keep_alive: bool,
}

/// Serves a connection until either side ends it.
pub(super) async fn serve(mut connection: Connection<'_>) {
    loop {
        let more = match connection.serve_input() {
            Next::Bytes => connection.flush().await && !connection.closing && connection.fill().await,
            Next::Body(admitted) => connection.receive(admitted).await,
            Next::Room(slot, owed) => connection.wait_for_room(slot, owed).await,
            Next::Handle => connection.wait_for_handle().await,
            Next::Flush => connection.flush().await,
            Next::Close => {
                connection.flush().await;
                false
            }
        };
        if !more {
            break;
        }
    }
    connection.finish().await;
}

impl<'c> Connection<'c> {
    pub fn new(stream: Stream, core: &'c Core, watch: &'c Watch, key: usize) -> Self {
        Self {
            stream,
            core,
            watch,
            key,
            input: None,
            start: 0,
            reader: HeadReader::default(),
            skip: 0,
            answers: core.take_answers(),
            cors_origin: Vec::new(),
            slot: None,
            closing: false,
            unread: false,
        }
    }

    /// Refuses a connection as a whole.
    pub async fn turn_away(mut self, reject: Reject) {
        self.refuse_connection(reject);
        self.flush().await;
        self.finish().await;
    }

    // ---- what has arrived ----

    /// Serves every request that has arrived whole.
    fn serve_input(&mut self) -> Next {
        loop {
            if self.closing {
                return Next::Close;
            }
            if self.answers.len() > ANSWERS_BYTES_MAX {
                return Next::Flush;
            }
            let Some(input) = &self.input else { return Next::Bytes };
            if self.skip > 0 {
                let dropped = self.skip.min((input.len() - self.start) as u64);
                self.skip -= dropped;
                self.start += dropped as usize;
            }
            let bytes = &input.filled()[self.start..];
            if bytes.is_empty() {
                return Next::Bytes;
            }
            if self.slot.is_none() {
                self.slot = self.core.take_slot();
            }
            let Some(slot) = &mut self.slot else { return Next::Handle };
            match self.reader.read(bytes, &mut slot.head) {
                Ok(Status::Complete(())) => {}
                Ok(Status::Partial) => return Next::Bytes,
                Err(reject) => {
                    self.refuse_connection(reject);
                    return Next::Close;
                }
            }
            self.reader.reset();
            match admit(&self.core.webhooks, &slot.head, bytes) {
                Ok(admitted) => match self.serve_admitted(admitted) {
                    Some(next) => return next,
                    None => continue,
                },
                Err(refusal) => self.refuse(refusal),
            }
        }
    }

    /// Serves a request that its head lets in. `None`: it is served.
    fn serve_admitted(&mut self, admitted: Admitted) -> Option<Next> {
        self.note_origin(admitted.cors_origin);
        let slot = self.slot.as_ref()?;
        if admitted.asks != Asks::Event {
            self.answer_options(admitted.asks);
            return None;
        }
        let Framing::Length(length) = slot.head.framing else { return Some(Next::Body(admitted)) };
        let whole = slot.head.bytes as u64 + length;
        if whole > self.head_bytes().len() as u64 {
            return Some(Next::Body(admitted));
        }
        self.take_whole(admitted, whole as usize)
    }

    /// Makes an event of the request `input[start..start + whole]`.
    fn take_whole(&mut self, admitted: Admitted, whole: usize) -> Option<Next> {
        let taken = match &self.input {
            Some(input) if whole > COPY_BYTES_MAX && input.capacity() == READ_BYTES => self.take_input(whole),
            _ => self.copy_out(whole),
        };
        let Ok((buf, head_at)) = taken else {
            self.core.metrics().over_budget.add(1);
            self.refuse(admitted.refused(&reject::OVER_BUDGET));
            return None;
        };
        let mut slot = self.slot.take()?;
        slot.head_at = head_at;
        slot.body = head_at + slot.head.bytes..head_at + whole;
        slot.buf = Some(buf);
        self.judge_and_push(slot, admitted)
    }

    /// Copies a request into a buffer of its own size.
    fn copy_out(&mut self, whole: usize) -> Result<(Buf, usize), OverBudget> {
        let mut buf = self.core.take_buf(whole)?;
        buf.extend_from_slice(&self.head_bytes()[..whole]);
        self.start += whole;
        Ok((buf, 0))
    }

    /// Takes the read buffer along with the request in it; what was pipelined behind moves to a fresh one.
    fn take_input(&mut self, whole: usize) -> Result<(Buf, usize), OverBudget> {
        let mut input = self.input.take().unwrap_or_else(|| self.core.pool.take_read());
        if let Err(over) = self.core.pool.charge_read(&mut input) {
            self.input = Some(input);
            return Err(over);
        }
        let head_at = self.start;
        let mut rest = self.core.pool.take_read();
        rest.extend_from_slice(&input.filled()[head_at + whole..]);
        self.start = 0;
        self.input = Some(rest);
        Ok((input, head_at))
    }

    /// Judges the body of a whole request on the core and hands the event over.
    fn judge_and_push(&mut self, mut slot: Box<Slot>, admitted: Admitted) -> Option<Next> {
        let started = self.core.is_sampled().then(|| clock_ns());
        let verdict = judge_inline(&mut slot, self.core);
        if let Some(started) = started {
            let now = clock_ns();
            self.core.metrics().parse_time.record(now - started);
            slot.pushed_at_ns = Some(now);
        } else {
            slot.pushed_at_ns = None;
        }
        self.push(slot, admitted, verdict)
    }

    /// Hands a judged event over, or refuses it.
    fn push(&mut self, mut slot: Box<Slot>, admitted: Admitted, verdict: Result<(), Reject>) -> Option<Next> {
        let owed = Owed { version: slot.head.version, keep_alive: slot.head.keep_alive };
        if let Err(reject) = verdict {
            self.answer_problem(&reject, &owed, false);
            self.core.put_slot(slot);
            return None;
        }
        slot.webhook = admitted.webhook;
        slot.suffix = admitted.suffix;
        match self.core.push(slot) {
            Ok(id) => {
                self.answer_accepted(id, &owed);
                None
            }
            Err(slot) => Some(Next::Room(slot, owed)),
        }
    }

    // ---- answers ----

    fn answer_accepted(&mut self, id: crate::event::EventId, owed: &Owed) {
        let date = self.core.date();
        let close = self.closes_after(owed.keep_alive);
        let cors_origin = echoed(&self.cors_origin);
        let meta = Meta { date: &date, close, version: owed.version, cors_origin, head_only: false };
        answer::accepted(&mut self.answers, &id.text(), &meta);
        self.end_after(close);
        self.core.metrics().answered(200);
    }

    fn answer_problem(&mut self, reject: &Reject, owed: &Owed, head_only: bool) {
        let date = self.core.date();
        let close = reject.problem.close || self.closes_after(owed.keep_alive);
        let cors_origin = echoed(&self.cors_origin);
        let meta = Meta { date: &date, close, version: owed.version, cors_origin, head_only };
        answer::problem(&mut self.answers, reject, &meta);
        self.end_after(close);
        self.core.metrics().answered(reject.problem.status);
    }

    /// Whether the answer being written is the connection's last. While draining, every request of which a byte was
    /// read is answered first.
    fn closes_after(&self, keep_alive: bool) -> bool {
        let more = self.input.as_ref().is_some_and(|input| input.len() > self.start);
        !keep_alive || (self.core.draining.get() && !more && self.skip == 0)
    }

    /// Refuses what cannot be read as a request.
    fn refuse_connection(&mut self, reject: Reject) {
        // Before the version is known, the answer is one that every version understands.
        let owed = Owed { version: Version::Http11, keep_alive: false };
        self.cors_origin.clear();
        self.unread = true;
        self.answer_problem(&reject, &owed, false);
    }

    /// Refuses the request at `start` on its head, and steps over it.
    fn refuse(&mut self, refusal: Refusal) {
        let Some(slot) = &self.slot else { return };
        let head_only = slot.head.method == Method::Head;
        let owed = Owed { version: slot.head.version, keep_alive: slot.head.keep_alive };
        self.note_origin(refusal.cors_origin);
        let goes_on = self.step_over_request();
        let owed = Owed { keep_alive: owed.keep_alive && goes_on, ..owed };
        self.answer_problem(&refusal.reject, &owed, head_only);
    }

    /// Answers OPTIONS, which makes no event.
    fn answer_options(&mut self, asks: Asks) {
        let Some(slot) = &self.slot else { return };
        let (version, keep_alive) = (slot.head.version, slot.head.keep_alive);
        let asked = slot.head.request_headers.map(|span| span.of(self.head_bytes()).to_vec());
        let goes_on = self.step_over_request();
        let date = self.core.date();
        let close = self.closes_after(keep_alive && goes_on);
        let cors_origin = echoed(&self.cors_origin);
        let meta = Meta { date: &date, close, version, cors_origin, head_only: false };
        match asks {
            Asks::Preflight => answer::preflight(&mut self.answers, asked.as_deref(), &meta),
            _ => answer::options(&mut self.answers, &meta),
        }
        self.end_after(close);
        self.core.metrics().answered(204);
    }

    /// Keeps the origin to echo, named by a span of the head at `start`.
    #[inline]
    fn note_origin(&mut self, origin: Option<Span>) {
        self.cors_origin.clear();
        if let Some(origin) = origin
            && let Some(input) = &self.input
        {
            self.cors_origin.extend_from_slice(origin.of(&input.filled()[self.start..]));
        }
    }

    /// Ends the connection after the answer that was written, if it said so.
    #[inline]
    fn end_after(&mut self, close: bool) {
        self.closing = close;
        // What was pipelined behind the last answer is never served, but its sender must not be reset for it.
        self.unread |= close && !self.head_bytes().is_empty();
    }

    fn head_bytes(&self) -> &[u8] {
        self.input.as_ref().map_or(&[], |input| &input.filled()[self.start..])
    }

    /// Steps over the request at `start`, whose body nobody wants. Returns whether the connection may go on.
    fn step_over_request(&mut self) -> bool {
        let Some(slot) = &self.slot else { return false };
        let head = &slot.head;
        self.start += head.bytes;
        match head.framing {
            // Who asked for 100 and got a final answer may send the body or not (RFC 9110 §10.1.1): where the next
            // request starts is in doubt unless the body is here.
            Framing::Length(length) => {
                let here = self.head_bytes().len() as u64;
                self.skip = length;
                let sure = length <= here || head.expect == Expect::None;
                self.unread = !(sure && length <= SKIP_BYTES_MAX);
                !self.unread
            }
            Framing::Chunked => {
                self.unread = true;
                false
            }
        }
    }

    // ---- waiting ----

    /// Waits until the queue takes the event, at most as long as the limits say.
    async fn wait_for_room(&mut self, mut slot: Box<Slot>, owed: Owed) -> bool {
        self.core.metrics().queue_waits.add(1);
        self.watch.wait_for(Phase::Queue, self.core.now_ms());
        loop {
            slot = match self.core.push(slot) {
                Ok(id) => {
                    self.answer_accepted(id, &owed);
                    return true;
                }
                Err(slot) => slot,
            };
            if self.watch.take_cause() == Some(Cause::Expired) {
                self.core.metrics().queue_full.add(1);
                self.answer_problem(&(&reject::QUEUE_FULL).into(), &owed, false);
                self.core.put_slot(slot);
                return true;
            }
            self.core.wait_for_home(self.watch).await;
        }
    }

    /// Waits for a handle: as many requests are on their way as the core allows.
    async fn wait_for_handle(&mut self) -> bool {
        self.watch.wait_for(Phase::Queue, self.core.now_ms());
        loop {
            self.slot = self.core.take_slot();
            if self.slot.is_some() {
                return true;
            }
            if self.watch.take_cause() == Some(Cause::Expired) {
                self.core.metrics().queue_full.add(1);
                self.refuse_connection((&reject::QUEUE_FULL).into());
                return self.flush().await && false;
            }
            self.core.wait_for_home(self.watch).await;
        }
    }

    /// Writes the answers that wait. `false`: the peer does not take them.
    async fn flush(&mut self) -> bool {
        if self.answers.is_empty() {
            return true;
        }
        self.watch.wait_for(Phase::Answer, self.core.now_ms());
        let answers = std::mem::take(&mut self.answers);
        let bytes = answers.len() as u64;
        let (result, answers) = self.stream.write(answers, &self.watch.interrupt).await;
        self.answers = answers;
        self.answers.clear();
        self.core.metrics().bytes_written.add(bytes);
        if result.is_err() {
            self.unread = false;
        }
        result.is_ok()
    }

    /// Reads more. `false`: the connection ends.
    async fn fill(&mut self) -> bool {
        self.make_room();
        loop {
            let Some(input) = self.input.take() else { return false };
            let between_requests = input.is_empty() && self.skip == 0;
            if between_requests && self.core.draining.get() {
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
                    return true;
                }
                Err(error) if io::cancelled(&error) => match self.watch.take_cause() {
                    Some(Cause::Expired) if between_requests || self.skip > 0 => return false,
                    Some(Cause::Expired) => {
                        self.refuse_connection(self.too_slow(&reject::HEAD_TIMEOUT));
                        return self.flush().await && false;
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

    fn too_slow(&self, problem: &'static crate::http::Problem) -> Reject {
        if self.core.is_ending() { (&reject::DRAINING).into() } else { problem.into() }
    }

    /// The peer has finished sending.
    fn end_of_stream(&mut self, between_requests: bool) -> bool {
        if !between_requests && self.skip == 0 {
            // It may still read: a client that closed only its sending side learns what was missing.
            self.refuse_connection((&reject::TRUNCATED).into());
            self.unread = false;
            return true;
        }
        false
    }

    /// Moves what is not served to the front, and makes room behind it.
    fn make_room(&mut self) {
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
    async fn rest(&mut self) -> bool {
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
    async fn readable_or_interrupted(&self) -> bool {
        use std::task::Poll;
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

    // ---- the end ----

    /// Closes so that the peer can read the last answer: a close with unread bytes behind it would be a reset, and
    /// a reset may overtake the answer (RFC 9112 §9.6).
    async fn finish(mut self) {
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
                Ok(bytes) if bytes > 0 => dropped += bytes as u64,
                Err(error) if io::cancelled(&error) && self.watch.take_cause() != Some(Cause::Expired) => {}
                _ => break,
            }
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            self.core.pool.put(input);
        }
        if let Some(slot) = self.slot.take() {
            self.core.put_slot(slot);
        }
        self.core.put_answers(std::mem::take(&mut self.answers));
    }
}

#[inline]
fn echoed(origin: &[u8]) -> Option<&[u8]> {
    (!origin.is_empty()).then_some(origin)
}

#[inline]
fn judge_inline(slot: &mut Slot, core: &Core) -> Result<(), Reject> {
    let mut charged = 0;
    let verdict = judge(slot, &mut core.parser.borrow_mut(), |bytes| {
        let fits = core.pool.charge(bytes).is_ok();
        charged = if fits { bytes } else { 0 };
        fits
    });
    if charged > 0 {
        core.pool.uncharge(charged);
    }
    verdict
}
