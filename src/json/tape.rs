//! simd-json behind RFC 8259: verdicts that are right where the library errs, and the one owner of a text and the
//! tape that points into it.
//!
//! Three things simd-json does have to be fenced in here:
//!
//! - **It rewrites strings that hold a backslash in place**, also when it fails later. A text with a backslash is
//!   therefore parsed from a pooled copy; the received bytes stay what they were.
//! - **It refuses valid documents** that its tape cannot hold: integers beyond 64 bits, numbers beyond the largest
//!   double, escaped lone surrogates. Whatever it refuses, [`naive::validate`] has the last word, and names the
//!   first bad byte if there is one. No document is known that it accepts and RFC 8259 does not: the corpus and
//!   the exhaustive and random comparisons beside this file look for one.
//! - **It reserves memory before it has looked at the grammar**, for every token the text could hold, and aborts
//!   when it cannot have it: 100 MB of `1 1 1 …` would reserve 1.4 GB. [`memory_charge`] holds for valid documents;
//!   a text that could cost far more than its charge is validated first.
//!
//! Known and left as it is: `-0` is the integer 0 on the tape, equal as a number but without its sign (JavaScript
//! prints it as `0` too). Duplicate keys are all on the tape: look up with [`get`], which takes the last.
//!
//! The owner, [`Document`], holds the text as a [`PaddedText`], a raw allocation. A `Box` or a `Vec` would claim
//! unique access to its bytes each time it moves, and the tape's strings point into them.
#![allow(unsafe_code)]

use super::naive;
use super::structurals::{Scan, scan};
use super::verdict::Invalid;
use simd_json::tape::Value;
use simd_json::{Buffers, Node, Tape};
use std::ptr::NonNull;

/// How many bytes behind a text must exist for simd-json to read past its end.
pub const SPARE_BYTES: usize = simd_json::INPUT_PADDING;

/// What any one piece of scratch may grow to and still be kept for the next document.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// What the pooled tapes and copies of one parser may hold together.
const POOL_BYTES_MAX: usize = 8 << 20;
/// What a text may reserve beyond its charge before its grammar has been looked at.
const UNCHECKED_BYTES_MAX: usize = 4 << 20;

/// What a valid document of `len` bytes makes resident while it is parsed and as a tape.
///
/// A node is 24 bytes and a token index 4, and there are at most two tokens for each structural byte; half of them
/// become no node.
pub fn memory_charge(len: usize, scan: Scan) -> usize {
    32 * scan.structurals + len
}

/// How simd-json's first pass over any bytes, valid or not, can exceed the charge: it indexes every structural byte
/// and everything that follows one or follows white space, and reserves a node for each index.
fn could_exceed_charge(len: usize, scan: Scan) -> bool {
    let indexes_max = len.min(2 * scan.structurals + scan.blanks + 1);
    indexes_max * (size_of::<u32>() + size_of::<Node<'_>>()) > memory_charge(len, scan) + UNCHECKED_BYTES_MAX
}

/// What became of a valid document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// The tape can hold it.
    Tape,
    /// Valid, but the tape cannot hold it: only its exact text says what it is.
    TextOnly,
}

/// Why there is no tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unparsed {
    /// Not JSON.
    Invalid(Invalid),
    /// JSON that the tape cannot hold, see [`Judged::TextOnly`].
    TextOnly,
}

/// Scratch of one thread: simd-json's buffers, tapes, and copies of texts with escapes. All of it is reused, and
/// dropped when it grew large.
pub struct Parser {
    buffers: Buffers,
    tapes: Vec<Tape<'static>>,
    copies: Vec<RawText>,
    pooled_bytes: usize,
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

    /// Judges `text[..len]`, of which `scan` is the scan. Afterwards every byte of `text` is as it was.
    ///
    /// # Panics
    /// When fewer than [`SPARE_BYTES`] bytes lie behind the document.
    pub fn judge(&mut self, text: &mut [u8], len: usize, scan: Scan) -> Result<Judged, Invalid> {
        assert!(text.len() >= len + SPARE_BYTES, "{SPARE_BYTES} bytes must lie behind the document");
        debug_assert!(scan.backslash || !text[..len].contains(&b'\\'), "this is not the scan of this text");
        if could_exceed_charge(len, scan) {
            naive::validate(&text[..len])?;
        }
        let mut tape = self.take_tape();
        let parsed = if scan.backslash {
            let mut copy = self.take_copy(&text[..len]);
            let parsed = self.fill(copy.padded_mut(), len, &mut tape);
            tape = tape.reset();
            self.keep_copy(copy);
            parsed
        } else {
            self.fill(text, len, &mut tape)
        };
        self.keep_tape(tape.reset());
        match parsed {
            true => Ok(Judged::Tape),
            // RFC 8259 decides, not the library.
            false => naive::validate(&text[..len]).map(|_| Judged::TextOnly),
        }
    }

    /// Fills the tape; false when simd-json refuses, whatever its reason.
    fn fill<'text>(&mut self, padded: &'text mut [u8], len: usize, tape: &mut Tape<'text>) -> bool {
        let parsed = simd_json::fill_tape_padded(padded, len, &mut self.buffers, tape).is_ok();
        let indexes = self.buffers.structural_indexes().len().max(len / 8);
        if len + indexes * size_of::<u32>() > KEPT_BYTES_MAX {
            self.buffers = Buffers::new(0);
        }
        parsed
    }

    fn take_tape<'new>(&mut self) -> Tape<'new> {
        let tape = self.tapes.pop().unwrap_or_else(|| Tape(Vec::new()));
        self.pooled_bytes -= tape_bytes(&tape);
        tape.reset()
    }

    fn keep_tape(&mut self, tape: Tape<'static>) {
        if self.has_room_for(tape_bytes(&tape)) {
            self.pooled_bytes += tape_bytes(&tape);
            self.tapes.push(tape);
        }
    }

    fn take_copy(&mut self, text: &[u8]) -> RawText {
        match self.copies.pop() {
            Some(mut copy) => {
                self.pooled_bytes -= copy.capacity;
                copy.replace(text);
                copy
            }
            None => RawText::from(text),
        }
    }

    fn keep_copy(&mut self, copy: RawText) {
        if self.has_room_for(copy.capacity) {
            self.pooled_bytes += copy.capacity;
            self.copies.push(copy);
        }
    }

    fn has_room_for(&self, bytes: usize) -> bool {
        bytes <= KEPT_BYTES_MAX && self.pooled_bytes + bytes <= POOL_BYTES_MAX
    }
}

fn tape_bytes(tape: &Tape<'_>) -> usize {
    tape.0.capacity() * size_of::<Node<'_>>()
}

/// An owner of a text with [`SPARE_BYTES`] bytes behind it.
///
/// # Safety
/// From the first call of `as_mut_ptr` until the owner is dropped or handed back by [`Document::into_text`]:
/// - the pointer is valid for reads and writes of `len() + SPARE_BYTES` initialised bytes, and both stay the same,
///   also when the owner moves (to another thread, if it is `Send`);
/// - moving the owner claims no unique access to these bytes: it holds them by a raw pointer, not as a `Box`, a
///   `Vec` or a `&mut`;
/// - nothing writes to them, and no `&mut` to them exists, except through `as_mut_ptr`; shared reading is fine.
pub unsafe trait PaddedText {
    /// Where the text starts.
    fn as_mut_ptr(&mut self) -> *mut u8;
    /// How long the text is, without the bytes behind it.
    fn len(&self) -> usize;
    /// Whether there is no text.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A text and the tape that points into it, or into a copy of it when the text holds escapes. The text itself is
/// exactly what was received, for as long as the document lives.
pub struct Document<B: PaddedText> {
    // Declared, and so dropped, before what it points into. It never is handed out as 'static, see `root`.
    tape: Tape<'static>,
    text: B,
    unescaped: Option<RawText>,
}

impl<B: PaddedText> Document<B> {
    /// Scans and parses `text`; gives it back when there is no tape to be had.
    pub fn parse(text: B, parser: &mut Parser) -> Result<Self, (B, Unparsed)> {
        let mut text = text;
        let scan = scan(received(&mut text));
        Self::parse_scanned(text, scan, parser)
    }

    /// Parses `text`, of which `scan` is the scan.
    pub fn parse_scanned(text: B, scan: Scan, parser: &mut Parser) -> Result<Self, (B, Unparsed)> {
        let (len, mut text) = (text.len(), text);
        if could_exceed_charge(len, scan)
            && let Err(invalid) = naive::validate(received(&mut text))
        {
            return Err((text, Unparsed::Invalid(invalid)));
        }
        let mut unescaped = scan.backslash.then(|| parser.take_copy(received(&mut text)));
        let start = match &mut unescaped {
            Some(copy) => copy.as_mut_ptr(),
            None => text.as_mut_ptr(),
        };
        // SAFETY: `PaddedText` promises so many bytes, valid for as long as the owner is not dropped, wherever it
        // moves. Nothing else refers to them now. The 'static of the slice is that of the tape, which is emptied
        // before the owner leaves this function or the document, and is handed out for a borrow of the document only.
        let padded: &'static mut [u8] = unsafe { std::slice::from_raw_parts_mut(start, len + SPARE_BYTES) };
        let mut tape = parser.take_tape();
        if parser.fill(padded, len, &mut tape) {
            return Ok(Self { tape, text, unescaped });
        }
        parser.keep_tape(tape.reset());
        if let Some(copy) = unescaped {
            parser.keep_copy(copy);
        }
        let unparsed =
            naive::validate(received(&mut text)).map_or_else(Unparsed::Invalid, |_| Unparsed::TextOnly);
        Err((text, unparsed))
    }

    /// The value of the document. Nothing of it outlives the borrow of the document.
    pub fn root(&self) -> Value<'_, '_> {
        self.tape.as_value()
    }

    /// The owner of the text, whose bytes are exactly those received.
    pub fn text(&self) -> &B {
        &self.text
    }

    /// How many nodes the tape holds.
    pub fn nodes(&self) -> usize {
        self.tape.0.len()
    }

    /// Takes the document apart: the tape is emptied and goes home to the parser's pool, and the text is free again.
    pub fn into_text(self, parser: &mut Parser) -> B {
        let Self { tape, text, unescaped } = self;
        parser.keep_tape(tape.reset());
        if let Some(copy) = unescaped {
            parser.keep_copy(copy);
        }
        text
    }
}

/// The bytes of a text that no tape points into.
fn received<B: PaddedText>(text: &mut B) -> &[u8] {
    let len = text.len();
    // SAFETY: `PaddedText` promises that so many bytes are readable, and nobody writes while `text` is borrowed.
    unsafe { std::slice::from_raw_parts(text.as_mut_ptr(), len) }
}

/// The value of `key` in an object; the last one if the key occurs more than once, as JavaScript and serde_json do
/// (RFC 8259 §4 leaves it open). simd-json's own `get` takes the first. `None` for anything but an object.
pub fn get<'tape, 'text>(object: Value<'tape, 'text>, key: &str) -> Option<Value<'tape, 'text>> {
    object.as_object()?.iter().filter(|(name, _)| *name == key).last().map(|(_, value)| value)
}

/// A text in a raw allocation of its own: what documents with escapes are parsed from.
pub struct RawText {
    start: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: it is the only owner of plain bytes.
unsafe impl Send for RawText {}
// SAFETY: through a shared reference the bytes can only be read.
unsafe impl Sync for RawText {}

impl From<&[u8]> for RawText {
    fn from(text: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + SPARE_BYTES);
        bytes.extend_from_slice(text);
        bytes.resize(text.len() + SPARE_BYTES, 0);
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        // SAFETY: a vector's pointer is never null. It is not taken from a slice, which would end before the capacity.
        let start = unsafe { NonNull::new_unchecked(bytes.as_mut_ptr()) };
        Self { start, len: text.len(), capacity: bytes.capacity() }
    }
}

impl RawText {
    /// Holds `text` from now on, in the same allocation if it fits.
    fn replace(&mut self, text: &[u8]) {
        if text.len() + SPARE_BYTES > self.capacity {
            *self = Self::from(text);
            return;
        }
        // SAFETY: the allocation has room for the text and the bytes behind it, as just asked, and a text that is
        // borrowed cannot lie in an allocation that is borrowed mutably.
        unsafe {
            self.start.as_ptr().copy_from_nonoverlapping(text.as_ptr(), text.len());
            self.start.as_ptr().add(text.len()).write_bytes(0, SPARE_BYTES);
        }
        self.len = text.len();
    }

    /// The text and the bytes behind it.
    fn padded_mut(&mut self) -> &mut [u8] {
        // SAFETY: so many bytes are allocated and were written when the text was.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len + SPARE_BYTES) }
    }
}

impl std::ops::Deref for RawText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes are allocated and were written when the text was.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

// SAFETY: the bytes are one allocation, held by a raw pointer; `replace` and `padded_mut` are private to this file,
// which calls neither while a tape points into the text, and nothing else writes.
unsafe impl PaddedText for RawText {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    fn len(&self) -> usize {
        self.len
    }
}

impl Drop for RawText {
    fn drop(&mut self) {
        // SAFETY: pointer and capacity are those of the vector that `from` took apart; bytes need no dropping.
        drop(unsafe { Vec::from_raw_parts(self.start.as_ptr(), 0, self.capacity) });
    }
}

#[cfg(test)]
mod tests;
