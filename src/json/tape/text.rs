//! Owners of texts that a tape can point into.
//!
//! Each holds its bytes by a raw pointer. A `Box` or a `Vec` would claim unique access to its bytes each time it moves,
//! and the tape's strings point into them.

use std::ops::Range;
use std::ptr::NonNull;

use crate::buffer::{self, Buf};

/// How many bytes behind a text must exist for simd-json to read past its end.
pub const SPARE_BYTES: usize = simd_json::INPUT_PADDING;

/// An owner of a text with [`SPARE_BYTES`] bytes behind it.
///
/// # Safety
/// From the first call of `as_mut_ptr` until the owner is dropped or handed back by
/// [`super::Document::into_text`]:
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

/// The bytes of a text that no tape points into.
pub(super) fn received<B: PaddedText>(text: &mut B) -> &[u8] {
    let len = text.len();
    // SAFETY: `PaddedText` promises that so many bytes are readable, and nobody writes while `text` is borrowed.
    unsafe { std::slice::from_raw_parts(text.as_mut_ptr(), len) }
}

/// The body of an event, in the pooled buffer that holds its head too.
pub struct BodyText {
    buf: Buf,
    body: Range<usize>,
}

// What a buffer keeps free behind its bytes is what simd-json wants to find there.
const _: () = assert!(buffer::SPARE_BYTES >= SPARE_BYTES);

impl BodyText {
    /// The text `buf[body]`.
    ///
    /// # Panics
    /// When the buffer does not hold so much.
    pub fn new(buf: Buf, body: Range<usize>) -> Self {
        assert!(body.start <= body.end && body.end <= buf.len(), "a body lies within its buffer");
        Self { buf, body }
    }

    /// The buffer, head and body.
    pub fn buf(&self) -> &Buf {
        &self.buf
    }

    /// The buffer, to do anything with: a document gives its text back only when no tape points into it any more.
    pub fn into_buf(self) -> Buf {
        self.buf
    }
}

// SAFETY: the bytes are a mapping that stays where it is until the `Buf` is given up, held by a raw pointer. The body
// ends at or before `Buf::len`, behind which every buffer has its spare bytes, and a mapping is initialised. This type
// gives no `&mut` to the buffer away, so nothing else writes.
unsafe impl PaddedText for BodyText {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        // SAFETY: the body starts within the mapping.
        unsafe { self.buf.as_mut_ptr().add(self.body.start) }
    }

    fn len(&self) -> usize {
        self.body.len()
    }
}

/// A text in a raw allocation of its own: what documents with escapes are parsed from when their text is kept.
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
        Self::followed_by(text, 0)
    }
}

impl RawText {
    /// A text whose spare bytes are all `spare`.
    pub fn followed_by(text: &[u8], spare: u8) -> Self {
        let mut bytes = Vec::with_capacity(text.len() + SPARE_BYTES);
        bytes.extend_from_slice(text);
        bytes.resize(text.len() + SPARE_BYTES, spare);
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        // SAFETY: a vector's pointer is never null. It is not taken from a slice, which would end before the capacity.
        let start = unsafe { NonNull::new_unchecked(bytes.as_mut_ptr()) };
        Self { start, len: text.len(), capacity: bytes.capacity() }
    }

    /// How many bytes are allocated.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Holds `text` from now on, in the same allocation if it fits. No tape may point into this one.
    pub(super) fn replace(&mut self, text: &[u8]) {
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
}

impl std::ops::Deref for RawText {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes are allocated and were written when the text was.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

// SAFETY: the bytes are one allocation, held by a raw pointer; `replace` is private to the tape, which does not call it
// while a tape points into the text, and nothing else writes.
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
        // SAFETY: pointer and capacity are those of the vector that `followed_by` took apart; bytes need no dropping.
        drop(unsafe { Vec::from_raw_parts(self.start.as_ptr(), 0, self.capacity) });
    }
}
