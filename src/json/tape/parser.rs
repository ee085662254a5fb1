//! The scratch of one thread: simd-json's buffers, tapes, and copies of texts.

use simd_json::{Buffers, Node, Tape};

use super::text::RawText;
use crate::json::verdict::Facts;

/// What any one piece of scratch may grow to and still be kept for the next document.
pub(super) const KEPT_BYTES_MAX: usize = 1 << 20;
/// What the pooled tapes and copies of one parser may hold together.
pub(super) const POOL_BYTES_MAX: usize = 8 << 20;

/// The most that a document of `len` bytes takes while it is parsed and as a tape, in addresses: a process that runs
/// under a limit is ended for those, whether they become resident or not.
///
/// | bytes | simd-json 0.19's |
/// | --- | --- |
/// | `len` | room for the longest string, touched where escapes are undone |
/// | `len / 2`, or 8 for each token | an index of 4 bytes for each token, in a vector that starts at an eighth of the text and doubles |
/// | 24 for each token | a node, though half the tokens become none |
/// | `len` | the copy, if there is one |
///
/// While the indexes double for the last time, old and new stand side by side with 12 bytes for each token; the nodes
/// come only afterwards, so that is no peak.
pub fn memory_charge(len: usize, facts: &Facts, is_copied: bool) -> usize {
    let indexes = (len / 2).max(2 * size_of::<u32>() * facts.structurals);
    let nodes = size_of::<Node<'_>>() * facts.structurals;
    len + indexes + nodes + if is_copied { len } else { 0 }
}

/// Scratch of one thread. All of it is reused, and dropped when it grew large.
pub struct Parser {
    pub(super) buffers: Buffers,
    pub(super) tapes: Vec<Tape<'static>>,
    pub(super) copies: Vec<RawText>,
    pub(super) pooled_bytes: usize,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// Scratch that grows to what the documents need.
    pub fn new() -> Self {
        Self { buffers: Buffers::new(0), tapes: Vec::new(), copies: Vec::new(), pooled_bytes: 0 }
    }

    /// Whether the next tape would have to be made.
    pub fn is_exhausted(&self) -> bool {
        self.tapes.is_empty()
    }

    /// Fills the tape and says how many tokens there were; `None` when simd-json refuses, whatever its reason.
    pub(super) fn fill<'text>(
        &mut self,
        padded: &'text mut [u8],
        len: usize,
        tape: &mut Tape<'text>,
    ) -> Option<usize> {
        let parsed = simd_json::fill_tape_padded(padded, len, &mut self.buffers, tape).is_ok();
        let structurals = self.buffers.structural_indexes().len();
        if len + structurals.max(len / 8) * size_of::<u32>() > KEPT_BYTES_MAX {
            self.buffers = Buffers::new(0);
        }
        parsed.then_some(structurals)
    }

    /// An empty tape for so many tokens. A large one is made anew: growing a pooled one would double it.
    pub(super) fn take_tape<'new>(&mut self, structurals: usize) -> Tape<'new> {
        let is_large = structurals * size_of::<Node<'_>>() > KEPT_BYTES_MAX;
        let tape = if is_large { None } else { self.tapes.pop() };
        let tape = tape.unwrap_or_else(|| Tape(Vec::new()));
        self.pooled_bytes -= tape_bytes(&tape);
        tape.reset()
    }

    pub(super) fn keep_tape(&mut self, tape: Tape<'static>) {
        if self.has_room_for(tape_bytes(&tape)) {
            self.pooled_bytes += tape_bytes(&tape);
            self.tapes.push(tape);
        }
    }

    pub(super) fn take_copy(&mut self, text: &[u8]) -> RawText {
        let pooled = if text.len() > KEPT_BYTES_MAX { None } else { self.copies.pop() };
        match pooled {
            Some(mut copy) => {
                self.pooled_bytes -= copy.capacity();
                copy.replace(text);
                copy
            }
            None => RawText::from(text),
        }
    }

    pub(super) fn keep_copy(&mut self, copy: RawText) {
        if self.has_room_for(copy.capacity()) {
            self.pooled_bytes += copy.capacity();
            self.copies.push(copy);
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        bytes <= KEPT_BYTES_MAX && self.pooled_bytes + bytes <= POOL_BYTES_MAX
    }
}

pub(super) fn tape_bytes(tape: &Tape<'_>) -> usize {
    tape.0.capacity() * size_of::<Node<'_>>()
}
