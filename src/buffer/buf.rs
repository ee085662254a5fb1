//! One pooled buffer: a raw mapping with one owner.
//!
//! The memory comes zeroed from the kernel, so every byte up to the capacity may be read at any time. A `Buf` holds a
//! pointer, not a `Box<[u8]>` or a `Vec`: moving it must not claim unique access to bytes that a tape points into or that
//! the kernel is writing.
//!
//! Watermarks: `0 <= len <= capacity - SPARE_BYTES`.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;

use super::SPARE_BYTES;
use super::pool::Home;

/// A buffer of a [`super::Pool`]: `len` received bytes, room behind them, and [`SPARE_BYTES`] behind that.
///
/// A handle of eight bytes: a buffer is moved some ten times on its way through a read and into an event, and moves of
/// five words, written in pieces and read in vectors, stalled the core more than the pointer does.
pub struct Buf(Box<Mapping>);

/// What a [`Buf`] stands for. Its box stays with the memory for as long as that is pooled.
struct Mapping {
    ptr: NonNull<u8>,
    capacity: usize,
    len: usize,
    /// Whether the capacity stands in the byte budget.
    charged: bool,
    home: Arc<Home>,
}

// SAFETY: a `Mapping` owns its memory alone; nothing in it is tied to a thread.
unsafe impl Send for Mapping {}
// SAFETY: `&Mapping` only reads.
unsafe impl Sync for Mapping {}

impl Buf {
    /// Takes ownership of `capacity` bytes at `ptr`.
    ///
    /// # Safety
    /// `ptr..ptr + capacity` is mapped, initialised, and owned by nobody else until the `Buf` is dropped, when
    /// `home` takes it back.
    pub(super) unsafe fn from_raw(ptr: NonNull<u8>, capacity: usize, home: Arc<Home>) -> Self {
        debug_assert!(capacity > SPARE_BYTES);
        Self(Box::new(Mapping { ptr, capacity, len: 0, charged: false, home }))
    }

    /// Bytes mapped, the spare ones included: what it is charged as.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// Bytes received.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether nothing was received.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// How many more bytes fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.0.capacity - SPARE_BYTES - self.0.len
    }

    /// The bytes received.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        // SAFETY: the mapping is initialised, ours, and `len` lies within it.
        unsafe { std::slice::from_raw_parts(self.0.ptr.as_ptr(), self.0.len) }
    }

    /// The whole buffer, the spare bytes included.
    #[inline]
    pub fn whole_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is initialised and ours, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.0.ptr.as_ptr(), self.0.capacity) }
    }

    /// Where the buffer starts, for a reader that promises to write only within [`Self::room`].
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.ptr.as_ptr()
    }

    /// Says that `bytes` more were written behind the filled part.
    ///
    /// # Panics
    /// When they do not fit: a writer went past the end.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.room(), "a reader wrote past the end of its buffer");
        self.0.len += bytes;
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    /// When they do not fit.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "{} bytes do not fit", bytes.len());
        let len = self.0.len;
        self.whole_mut()[len..len + bytes.len()].copy_from_slice(bytes);
        self.0.len += bytes.len();
    }

    /// Forgets all but the first `len` bytes.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.0.len = self.0.len.min(len);
    }

    /// Drops the first `bytes` and moves the rest to the front.
    #[inline]
    pub fn consume(&mut self, bytes: usize) {
        let rest = self.0.len - bytes;
        if rest > 0 && bytes > 0 {
            let end = self.0.len;
            self.whole_mut().copy_within(bytes..end, 0);
        }
        self.0.len = rest;
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.0.home
    }

    /// Gives an idle large buffer, whose mapping is no part of its home, another.
    pub(super) fn set_home(&mut self, home: &Arc<Home>) {
        if !Arc::ptr_eq(&self.0.home, home) {
            self.0.home = home.clone();
        }
    }

    /// Makes the first `bytes` bytes ready to be written.
    #[inline]
    pub(super) fn warm(&self, bytes: usize) {
        super::warm(self.0.ptr.as_ptr(), bytes);
    }

    /// Whether the capacity stands in the byte budget.
    #[inline]
    pub(super) fn is_charged(&self) -> bool {
        self.0.charged
    }

    #[inline]
    pub(super) fn set_charged(&mut self, charged: bool) {
        self.0.charged = charged;
    }

    /// Says that the kernel has moved the mapping.
    ///
    /// # Safety
    /// As of [`Self::from_raw`], and what was at the old address is mapped there no more.
    pub(super) unsafe fn moved_to(&mut self, ptr: NonNull<u8>, capacity: usize) {
        debug_assert!(capacity >= self.0.len + SPARE_BYTES);
        (self.0.ptr, self.0.capacity) = (ptr, capacity);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Reached off the common path only: a panicking connection, an event on its way when the process stops.
        self.home.take_back(self.ptr, self.capacity, self.charged);
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buf")
            .field("len", &self.0.len)
            .field("capacity", &self.0.capacity)
            .finish_non_exhaustive()
    }
}
