//! Asking the CPU for memory that is about to be written.
//!
//! Handles and buffers of events come home from a worker in batches, so the next one to be taken has been out of the
//! first-level cache for some hundred events. Written cold, it holds up whoever reads the bytes back soonest: the
//! parser, right behind the copy. Asked for one request ahead, it is there in time.
#![allow(unsafe_code)]

/// Bytes that a CPU fetches at a time.
#[cfg(target_arch = "x86_64")]
const LINE_BYTES: usize = 64;

/// Asks for the first `bytes` bytes at `start`, whatever is there. Only a hint: nothing is read.
#[inline]
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
pub fn warm<T>(start: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..bytes).step_by(LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address, mapped or not, has no effect that a program can see.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.cast::<i8>().wrapping_add(line)) };
    }
}
