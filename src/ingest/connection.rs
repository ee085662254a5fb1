//! One connection: the conductor of `head -> admission -> body -> json -> event queue -> answer`.
//!
//! What has arrived is served without waiting, request after request, into one vector of answers; only then is
//! something awaited: more bytes, the peer, room in a queue. So a pipelined batch costs one read and one
//! write, and a request that arrived whole touches no other task.
//!
//! Watermarks: `0 <= start <= input.len()`; `input[..start]` is served, `input[start..]` is not.

mod answers;
mod body;
mod waiting;

use super::admission::{Admitted, Asks, admit};
use super::core_thread::{Core, NotPushed};
use super::deadlines::{Phase, Watch};
use super::transport::Transport;
use super::verdict::{judge, judge_for_readers};
use crate::buffer::{Buf, OverBudget, READ_BYTES};
use crate::event::Slot;
use crate::http::framing::Framing;
use crate::http::head::{HeadReader, Version};
use crate::http::{Reject, Status, reject};
use crate::metrics::clock_ns;

/// Requests up to this size are copied out of the read buffer into a buffer of their own size: 8 KiB cost some
/// 0.1 µs, and a queue of small events does not hold a read buffer each. Larger ones take the read buffer along.
const COPY_BYTES_MAX: usize = 8 * 1024;
/// Answers are written out when a batch has grown to this.
const ANSWERS_BYTES_MAX: usize = 32 * 1024;
/// Bodies over this size are always timed, smaller ones by sample.
const INLINE_BODY_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a connection reads before the others of its core get their turn.
const TURN_BYTES_MAX: usize = 64 * 1024;
/// A refused body up to this size is read and dropped, so that the connection may go on.
const SKIP_BYTES_MAX: u64 = 64 * 1024;
/// The largest head, see [`crate::http::head`]; a read buffer grows to it when needed.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The life of a connection.
pub(super) struct Connection<'c, T: Transport> {
    stream: T,
    core: &'c Core,
    watch: &'c Watch,
    input: Option<Buf>,
    start: usize,
    reader: HeadReader,
    /// Bytes read since the connection last gave way to others.
    read_in_turn: usize,
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

impl Owed {
    fn by(slot: &Slot) -> Self {
        Self { version: slot.head.version, keep_alive: slot.head.keep_alive }
    }
}

/// Serves a connection until either side ends it.
pub(super) async fn serve<T: Transport>(mut connection: Connection<'_, T>) {
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

impl<'c, T: Transport> Connection<'c, T> {
    pub fn new(stream: T, core: &'c Core, watch: &'c Watch) -> Self {
        Self {
            stream,
            core,
            watch,
            input: None,
            start: 0,
            reader: HeadReader::default(),
            read_in_turn: 0,
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
            let admitted = admit(&self.core.webhooks(), &slot.head, bytes);
            match admitted {
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

    /// Judges the body of a whole request and hands the event over, or refuses it.
    fn judge_and_push(&mut self, mut slot: Box<Slot>, admitted: Admitted) -> Option<Next> {
        let started = self.core.is_sampled().then(clock_ns);
        let is_read = self.core.webhooks().get(admitted.webhook).is_some_and(|webhook| webhook.reads_body);
        let verdict = match is_read {
            true => judge_for_readers(&mut slot, &mut self.core.take_parser(), &self.core.pool),
            false => judge(slot.received_body()),
        };
        slot.pushed_at_ns = started.map(|started| {
            let now = clock_ns();
            self.core.metrics().parse_time.record(now - started);
            now
        });
        match verdict {
            Ok(facts) => {
                slot.facts = facts;
                self.push(slot, admitted)
            }
            Err(reject) => {
                self.answer_problem(&reject, &Owed::by(&slot), false);
                self.core.put_slot(slot);
                None
            }
        }
    }

    /// Hands an event over.
    fn push(&mut self, mut slot: Box<Slot>, admitted: Admitted) -> Option<Next> {
        let owed = Owed::by(&slot);
        slot.webhook = admitted.webhook;
        slot.suffix = admitted.suffix;
        match self.core.push(slot) {
            Ok(id) => {
                self.answer_accepted(id, &owed);
                None
            }
            Err(NotPushed::Full(slot) | NotPushed::Behind(slot)) => Some(Next::Room(slot, owed)),
            Err(NotPushed::Removed(slot)) => {
                self.answer_removed(slot, &owed);
                None
            }
        }
    }

    /// Answers a request whose webhook was removed while it was received.
    fn answer_removed(&mut self, slot: Box<Slot>, owed: &Owed) {
        self.answer_problem(&(&reject::UNKNOWN_WEBHOOK).into(), owed, false);
        self.core.put_slot(slot);
    }
}

impl<T: Transport> Drop for Connection<'_, T> {
    fn drop(&mut self) {
        self.watch.wait_for(Phase::Ended, self.core.now_ms());
        if let Some(input) = self.input.take() {
            self.core.pool.put(input);
        }
        if let Some(slot) = self.slot.take() {
            self.core.put_slot(slot);
        }
        self.core.put_answers(std::mem::take(&mut self.answers));
    }
}
