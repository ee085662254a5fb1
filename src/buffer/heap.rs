//! The heap beside the buffers: what a tape and its scratch are allocated from.
//!
//! It is the C library's. mimalloc was measured and left: it keeps 1 GiB of addresses from the start, which a limit on
//! the process's data counts as if it were used; an idle connection kept a quarter more, and a request allocates nothing
//! either way.
#![allow(unsafe_code)]

/// From here on an allocation is a mapping of its own and goes back to the system when it is freed. What the byte budget
/// is told of large scratch is then what the process has; otherwise the C library would raise the size with each large
/// piece that is freed, up to 32 MiB, and keep the rest.
const MAPPED_BYTES_MIN: i32 = 1 << 20;

/// Makes the heap give large pieces back. Call it once, at start.
pub fn return_large_pieces() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number, under the C library's own lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES_MIN);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = MAPPED_BYTES_MIN;
}
