//! One pooled buffer: a raw mapping with one owner.
//!
//! The memory comes zeroed from the kernel, so every byte up to the capacity may be read at any time. A `Buf` is a
//! pointer, not a `Box` or a `Vec`: moving it must not claim unique access to bytes that a tape points into or that
//! the kernel is writing.
//!
//! Watermarks: `0 <= len <= capacity - SPARE_BYTES`.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::sync::Arc;

use super::SPARE_BYTES;
use super::pool::Home;

/// A buffer of a [`super::Pool`]: `len` received bytes, room behind them, and [`SPARE_BYTES`] behind that.
pub struct Buf {
    ptr: NonNull<u8>,
    capacity: usize,
    len: usize,
    /// Whether the capacity stands in the byte budget.
    pub(super) charged: bool,
    home: Arc<Home>,
}

// SAFETY: a `Buf` owns its memory alone; nothing in it is tied to a thread.
unsafe impl Send for Buf {}
// SAFETY: `&Buf` only reads.
unsafe impl Sync for Buf {}

impl Buf {
    /// Takes ownership of `capacity` bytes at `ptr`.
    ///
    /// # Safety
    /// `ptr..ptr + capacity` is mapped, initialised, and owned by nobody else until the `Buf` is dropped, when
    /// `home` takes it back.
    pub(super) unsafe fn from_raw(ptr: NonNull<u8>, capacity: usize, home: Arc<Home>) -> Self {
        debug_assert!(capacity > SPARE_BYTES);
        Self { ptr, capacity, len: 0, charged: false, home }
    }

    /// Bytes mapped, the spare ones included: what it is charged as.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes received.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was received.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more bytes fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.capacity - SPARE_BYTES - self.len
    }

    /// The bytes received.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        // SAFETY: the mapping is initialised, ours, and `len` lies within it.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The whole buffer, the spare bytes included.
    #[inline]
    pub fn whole_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is initialised and ours, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.capacity) }
    }

    /// Where the buffer starts, for a reader that promises to write only within [`Self::room`].
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Says that `bytes` more were written behind the filled part.
    ///
    /// # Panics
    /// When they do not fit: a writer went past the end.
    #[inline]
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.room(), "a reader wrote past the end of its buffer");
        self.len += bytes;
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    /// When they do not fit.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "{} bytes do not fit", bytes.len());
        let len = self.len;
        self.whole_mut()[len..len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Forgets all but the first `len` bytes.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Drops the first `bytes` and moves the rest to the front.
    #[inline]
    pub fn consume(&mut self, bytes: usize) {
        let rest = self.len - bytes;
        if rest > 0 && bytes > 0 {
            let end = self.len;
            self.whole_mut().copy_within(bytes..end, 0);
        }
        self.len = rest;
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Gives up ownership without handing the memory back.
    pub(super) fn into_raw(self) -> (NonNull<u8>, usize, Arc<Home>) {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped, so `home` is moved out exactly once.
        (this.ptr, this.capacity, unsafe { std::ptr::read(&this.home) })
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        // Reached off the common path only: a panicking connection, an event on its way when the process stops.
        self.home.take_back(self.ptr, self.capacity, self.charged);
    }
}

impl std::fmt::Debug for Buf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buf")
            .field("len", &self.len)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
