//! mimalloc, told before its first allocation to take addresses as it needs them.
//!
//! Left alone it takes 1 GiB at once, which a limit on the process's data (`ulimit -d`, `LimitDATA=`) counts as if it
//! were used: under a limit that fits the byte budget, the bodies then had none left. Pieces larger than what it takes
//! at a time are mappings of their own and go back when they are freed, so that the scratch of a large parse, which the
//! byte budget was charged with, is gone when the charge is.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};

/// `mi_option_arena_reserve` of mimalloc 3, in KiB.
const ARENA_RESERVE: c_int = 23;
const ARENA_RESERVE_KIB: c_long = 32 << 10;
/// `mi_option_arena_max_object_size` of mimalloc 3, in KiB.
const ARENA_MAX_OBJECT_SIZE: c_int = 45;
const ARENA_MAX_OBJECT_SIZE_KIB: c_long = 1 << 10;

// SAFETY: this is mimalloc's own declaration (mimalloc.h), and mimalloc is linked in as the allocator.
unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

// SAFETY: the C library calls what stands in this section once, before `main` and before any other thread runs.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    // SAFETY: sets two numbers in a table, allocates nothing, and no other thread runs yet.
    unsafe {
        mi_option_set(ARENA_RESERVE, ARENA_RESERVE_KIB);
        mi_option_set(ARENA_MAX_OBJECT_SIZE, ARENA_MAX_OBJECT_SIZE_KIB);
    }
}
