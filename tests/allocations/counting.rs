//! An allocator that counts what one thread takes, and remembers from where.
//!
//! It counts only while it is armed, and only on the thread whose name it was armed with: the name is asked of the
//! kernel once per thread, because asking the standard library may allocate.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mimalloc::MiMalloc;

/// The name of the thread that is counted.
const COUNTED: &[u8] = b"inrush-core-0\0";
/// Places remembered between two calls of [`measure`]; what lies beyond is counted all the same.
const PLACES_MAX: usize = 512;

/// The allocator of the product, with the count before it.
pub struct Counting;

static ARMED: AtomicBool = AtomicBool::new(false);
static TAKEN: AtomicU64 = AtomicU64::new(0);
static PLACES: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Unknown,
    Counted,
    Other,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Unknown) };
    /// Capturing a backtrace allocates too.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: every call goes to mimalloc unchanged; what stands before it neither touches the memory nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise, passed on.
        unsafe { MiMalloc.realloc(ptr, layout, new_size) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { MiMalloc.dealloc(ptr, layout) }
    }
}

fn note() {
    if !ARMED.load(Ordering::Relaxed) || INSIDE.replace(true) {
        return;
    }
    if role() == Role::Counted {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() < PLACES_MAX {
            places.push(Backtrace::force_capture());
        }
    }
    INSIDE.set(false);
}

fn role() -> Role {
    if ROLE.get() == Role::Unknown {
        let mut name = [0_u8; 16];
        // SAFETY: PR_GET_NAME writes at most 16 bytes, the end included.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        ROLE.set(if name.starts_with(COUNTED) { Role::Counted } else { Role::Other });
    }
    ROLE.get()
}

/// What the counted thread allocated.
pub struct Taken {
    /// How often.
    pub count: u64,
    /// From where, for the first of them: function names, innermost first.
    pub places: Vec<String>,
}

/// Runs `work` and says what the counted thread allocated meanwhile.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Taken) {
    TAKEN.store(0, Ordering::SeqCst);
    PLACES.lock().unwrap_or_else(PoisonError::into_inner).clear();
    ARMED.store(true, Ordering::SeqCst);
    let done = work();
    ARMED.store(false, Ordering::SeqCst);
    let places = std::mem::take(&mut *PLACES.lock().unwrap_or_else(PoisonError::into_inner));
    // Names are looked up only now: it takes longer than everything that is measured.
    let places = places.iter().map(names).collect();
    (done, Taken { count: TAKEN.load(Ordering::SeqCst), places })
}

/// The functions of the server and of its runtime in a backtrace, each with its line.
fn names(backtrace: &Backtrace) -> String {
    let text = backtrace.to_string();
    let mut lines = text.lines().map(str::trim).peekable();
    let mut names = String::new();
    while let Some(line) = lines.next() {
        let place = lines.next_if(|next| next.starts_with("at ")).unwrap_or_default();
        if line.contains("inrush::") || line.contains("monoio::") {
            names += &format!("    {line} {place}\n");
        }
    }
    names
}
