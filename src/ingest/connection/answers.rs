//! What a connection answers, and how it steps over a request that it refuses.

use super::{Connection, Owed, SKIP_BYTES_MAX, Transport};
use crate::event::EventId;
use crate::http::answer::{self, Meta};
use crate::http::framing::Framing;
use crate::http::head::{Expect, Method, Version};
use crate::http::{Reject, Span};
use crate::ingest::admission::{Asks, Refusal};

impl<T: Transport> Connection<'_, T> {
    pub(super) fn answer_accepted(&mut self, id: EventId, owed: &Owed) {
        let date = self.core.date();
        let close = self.closes_after(owed.keep_alive);
        let cors_origin = echoed(&self.cors_origin);
        let meta = Meta { date: &date, close, version: owed.version, cors_origin, head_only: false };
        answer::accepted(&mut self.answers, &id.text(), &meta);
        self.end_after(close);
        self.core.metrics().answered(200);
    }

    pub(super) fn answer_problem(&mut self, reject: &Reject, owed: &Owed, head_only: bool) {
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
    pub(super) fn closes_after(&self, keep_alive: bool) -> bool {
        let more = self.input.as_ref().is_some_and(|input| input.len() > self.start);
        !keep_alive || (self.core.draining.get() && !more && self.skip == 0)
    }

    /// Refuses what cannot be read as a request.
    pub(super) fn refuse_connection(&mut self, reject: Reject) {
        // RFC 9110 §9.3.2: an answer to HEAD has no body, however little of the request was understood.
        let head_only = self.head_bytes().starts_with(b"HEAD ");
        // Before the version is known, the answer is one that every version understands.
        let owed = Owed { version: Version::Http11, keep_alive: false };
        self.cors_origin.clear();
        self.answer_problem(&reject, &owed, head_only);
    }

    /// Refuses the request at `start` on its head, and steps over it.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        let Some(slot) = &self.slot else { return };
        let head_only = slot.head.method == Method::Head;
        let owed = Owed::by(slot);
        self.note_origin(refusal.cors_origin);
        let goes_on = self.step_over_request();
        let owed = Owed { keep_alive: owed.keep_alive && goes_on, ..owed };
        self.answer_problem(&refusal.reject, &owed, head_only);
    }

    /// Answers OPTIONS, which makes no event.
    pub(super) fn answer_options(&mut self, asks: Asks) {
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
    pub(super) fn note_origin(&mut self, origin: Option<Span>) {
        self.cors_origin.clear();
        if let Some(origin) = origin
            && let Some(input) = &self.input
        {
            self.cors_origin.extend_from_slice(origin.of(&input.filled()[self.start..]));
        }
    }

    /// Ends the connection after the answer that was written, if it said so.
    #[inline]
    pub(super) fn end_after(&mut self, close: bool) {
        self.closing = close;
        // Whatever the peer still sends, pipelined or the rest of a body, is never served, but a close with it unread
        // would be a reset, which may overtake the answer.
        self.unread |= close;
    }

    pub(super) fn head_bytes(&self) -> &[u8] {
        self.input.as_ref().map_or(&[], |input| &input.filled()[self.start..])
    }

    /// Steps over the request at `start`, whose body nobody wants. Returns whether the connection may go on.
    pub(super) fn step_over_request(&mut self) -> bool {
        let Some(slot) = &self.slot else { return false };
        let head = &slot.head;
        self.start += head.bytes;
        match head.framing {
            // Who asked for 100 and got a final answer may send the body or not (RFC 9110 §10.1.1): where the next
            // request starts is in doubt. That some or all of it has come says nothing: what looks like a body may be
            // the next request, and the answer must not depend on how the bytes were split.
            Framing::Length(length) => {
                self.skip = length;
                (length == 0 || head.expect == Expect::None) && length <= SKIP_BYTES_MAX
            }
            Framing::Chunked => false,
        }
    }
}

#[inline]
fn echoed(origin: &[u8]) -> Option<&[u8]> {
    (!origin.is_empty()).then_some(origin)
}
