//! The JSON verdict on a body: at once on one that is all there, in step with the reads on one that arrives in parts.
//!
//! A part is judged when it has been read and while it is still in the cache, so the verdict stands when the last
//! byte does, and a sender of garbage is answered at its first bad byte.

use crate::buffer::Pool;
use crate::event::Slot;
use crate::http::{Reject, reject};
use crate::json::{Facts, Invalid, InvalidKind, Parser, Validator, stream};
use crate::metrics::clock_ns;

/// What is known of `{}`, which an absent or empty body stands for.
fn empty_object() -> Facts {
    Facts { structurals: 2, nodes: 1, ..Facts::default() }
}

/// Judges a body that is all there.
#[inline]
pub(super) fn judge(body: &[u8]) -> Result<Facts, Reject> {
    if body.is_empty() {
        return Ok(empty_object());
    }
    if is_skipped() {
        return Ok(unknown());
    }
    stream::validate(body).map_err(refusal)
}

/// Bodies up to this size are read where they are judged, in the same pass.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Judges a body that is all there and that nodes will read.
#[inline]
pub(super) fn judge_for_readers(slot: &mut Slot, parser: &mut Parser, pool: &Pool) -> Result<Facts, Reject> {
    match slot.body.len() {
        1..=READ_BYTES_MAX if !is_skipped() => {
            slot.judge_body(parser, |bytes| pool.charge_beside(bytes)).map_err(refusal)
        }
        _ => judge(slot.received_body()),
    }
}

/// The answer to a body that is no document.
fn refusal(invalid: Invalid) -> Reject {
    let problem = match invalid.kind {
        InvalidKind::TooDeep => &reject::JSON_TOO_DEEP,
        _ => &reject::INVALID_JSON,
    };
    Reject::from(problem).at(invalid.offset as u64)
}

/// The verdict on a body that arrives in parts. It is lent by the core while the body is received: in the connection's
/// own state it would be 300 bytes of every idle one.
#[derive(Default)]
pub(super) struct Verdict {
    validator: Validator,
    /// How many bytes of the body it has seen.
    judged: usize,
    /// The time it took so far, if it is timed.
    took_ns: Option<u64>,
}

impl Verdict {
    /// Begins anew, before the first byte of a body.
    pub fn begin(&mut self, timed: bool) {
        *self = Self { validator: Validator::new(), judged: 0, took_ns: timed.then_some(0) };
    }

    /// Judges what has come since the last call; `body` is all that has come.
    pub fn follow(&mut self, body: &[u8]) -> Result<(), Reject> {
        let started = self.took_ns.map(|_| clock_ns());
        let piece = &body[self.judged..];
        self.judged = body.len();
        let judged = if is_skipped() { Ok(()) } else { self.validator.feed(piece) };
        if let (Some(took), Some(started)) = (&mut self.took_ns, started) {
            *took += clock_ns() - started;
        }
        judged.map_err(refusal)
    }

    /// Nothing follows what it has seen.
    pub fn finish(&self) -> Result<Facts, Reject> {
        if self.judged == 0 {
            return Ok(empty_object());
        }
        if is_skipped() {
            return Ok(unknown());
        }
        self.validator.finish().map_err(refusal)
    }

    /// The time of all its pieces together, if it is timed.
    pub fn took_ns(&self) -> Option<u64> {
        self.took_ns
    }
}

/// Whether bodies are let in unjudged. Never, except in a build for benches that is told so.
#[inline]
fn is_skipped() -> bool {
    #[cfg(inrush_bench)]
    {
        use std::sync::LazyLock;
        static SKIPPED: LazyLock<bool> =
            LazyLock::new(|| std::env::var("INRUSH_BENCH_UNVALIDATED").is_ok_and(|value| value == "1"));
        *SKIPPED
    }
    #[cfg(not(inrush_bench))]
    false
}

/// What is known of a body that nobody judged: nothing that a tape could be built from.
fn unknown() -> Facts {
    Facts { beyond_tape: true, ..Facts::default() }
}
