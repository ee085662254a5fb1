//! One core's buffers.
//!
//! Small classes are carved from runs of [`RUN_BYTES`]; free ones wait on a stack per class, so that the warmest is
//! taken next. The bottom of a stack that was not reached for a second is cold: its pages go back with madvise. A
//! large buffer is a mapping of its own, and lies between two bodies where every core finds it, [`super::idle`].
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};

use super::class::{SMALL, SPARE_BYTES, large_capacity, small_class};
use super::{Budget, Buf, LEASE_BYTES, OverBudget, READ_BYTES, SMALL_BODY_BYTES};

/// How much is mapped at a time for small classes.
const RUN_BYTES: usize = 1 << 20;
/// What a core holds of leased budget before it gives some back.
const LEASE_IDLE_BYTES_MAX: u64 = 2 * LEASE_BYTES;
/// How much of the next buffer is made ready while this one is filled. The CPU sees longer runs coming by itself.
const WARM_BYTES_MAX: usize = 1024;
const PAGE_BYTES: usize = 4096;

/// What buffers that are dropped away from their pool come home to; it outlives the core.
pub(super) struct Home {
    budget: Arc<Budget>,
    /// Mapped runs, unmapped when the last buffer is gone.
    runs: Mutex<Vec<usize>>,
    /// Small buffers that were dropped instead of put back.
    strays: Mutex<Vec<(usize, usize)>>,
}

impl Home {
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(super) fn take_back(&self, ptr: NonNull<u8>, capacity: usize, charged: bool) {
        if charged {
            uncharge_global(&self.budget, capacity);
        }
        if SMALL.contains(&capacity) {
            locked(&self.strays).push((ptr.as_ptr() as usize, capacity));
        } else {
            unmap(ptr, capacity);
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        for &run in locked(&self.runs).iter() {
            if let Some(ptr) = NonNull::new(run as *mut u8) {
                unmap(ptr, RUN_BYTES);
            }
        }
    }
}

/// The free buffers of one small class.
#[derive(Default)]
struct Stack {
    free: Vec<Buf>,
    /// How many at the bottom have no pages.
    cold: usize,
    /// The least height since the last sweep.
    low: usize,
}

/// The pool of one core. Not shared: it holds no lock and no atomic on the path of a small request.
pub struct Pool {
    home: Arc<Home>,
    small: [RefCell<Stack>; SMALL.len()],
    /// Leased from the budget and not charged to a buffer.
    lease: Cell<u64>,
    /// Charged by this core and not given back to it.
    charged: Cell<u64>,
}

impl Pool {
    /// An empty pool that charges to `budget`.
    pub fn new(budget: Arc<Budget>) -> Self {
        let home = Home { budget, runs: Mutex::new(Vec::new()), strays: Mutex::new(Vec::new()) };
        Self { home: Arc::new(home), small: Default::default(), lease: Cell::new(0), charged: Cell::new(0) }
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// A buffer for reading a connection. It belongs to the connections' term of the memory, not to the budget.
    #[inline]
    pub fn take_read(&self) -> Buf {
        self.take_small(SMALL.len() - 1)
    }

    /// A buffer with room for `bytes`, charged to the budget.
    #[inline]
    pub fn take(&self, bytes: usize) -> Result<Buf, OverBudget> {
        match small_class(bytes) {
            Some(class) => {
                self.charge(SMALL[class])?;
                let mut buf = self.take_small(class);
                if let Some(next) = self.small[class].borrow().free.last() {
                    next.warm(bytes.min(WARM_BYTES_MAX));
                }
                buf.set_charged(true);
                Ok(buf)
            }
            None => self.take_large(large_capacity(bytes + SPARE_BYTES)),
        }
    }

    /// Charges a read buffer that becomes part of an event.
    #[inline]
    pub fn charge_read(&self, buf: &mut Buf) -> Result<(), OverBudget> {
        debug_assert!(!buf.is_charged() && buf.capacity() == READ_BYTES);
        self.charge(READ_BYTES)?;
        buf.set_charged(true);
        Ok(())
    }

    /// Whether the next buffer for `bytes` would have to be made.
    #[inline]
    pub fn is_exhausted(&self, bytes: usize) -> bool {
        small_class(bytes).is_some_and(|class| self.small[class].borrow().free.is_empty())
    }

    /// Takes a buffer back. It must come from this pool.
    #[inline]
    pub fn put(&self, mut buf: Buf) {
        let is_ours = buf.home().is_some_and(|home| Arc::ptr_eq(home, &self.home));
        debug_assert!(is_ours, "a buffer goes back to the core that owns it");
        buf.truncate(0);
        if buf.is_charged() {
            buf.set_charged(false);
            self.uncharge(buf.capacity());
        }
        match SMALL.iter().position(|&capacity| capacity == buf.capacity()) {
            Some(class) => self.small[class].borrow_mut().free.push(buf),
            None => self.home.budget.idle.put(buf),
        }
    }

    /// Moves the bytes of `buf` into a buffer with room for `bytes`.
    pub fn grow(&self, mut buf: Buf, bytes: usize) -> Result<Buf, (Buf, OverBudget)> {
        if SMALL.contains(&buf.capacity()) {
            return match self.take(bytes) {
                Ok(mut larger) => {
                    larger.extend_from_slice(buf.filled());
                    self.put(buf);
                    Ok(larger)
                }
                Err(over) => Err((buf, over)),
            };
        }
        // A large buffer moves by its page tables, not by its bytes: copying 64 MB would hold the core for 10 ms.
        let capacity = large_capacity(bytes + SPARE_BYTES);
        if let Err(over) = self.recharge(buf.capacity(), capacity) {
            return Err((buf, over));
        }
        let idle = &self.home.budget.idle;
        idle.make_way(capacity);
        let (old, old_capacity) = (buf.as_mut_ptr(), buf.capacity());
        let moved = remap(old, old_capacity, capacity).or_else(|| {
            // What lies idle may be what the system misses.
            idle.clear();
            remap(old, old_capacity, capacity)
        });
        match moved {
            Some(new) => {
                // SAFETY: `new` is the mapping we own, anonymous and hence initialised.
                unsafe { buf.moved_to(new, capacity) };
                buf.set_charged(true);
                Ok(buf)
            }
            None => {
                self.uncharge(capacity);
                // What was charged before the attempt fits again: it was just given back.
                buf.set_charged(self.charge(old_capacity).is_ok());
                Err((buf, OverBudget))
            }
        }
    }

    /// Replaces a charge of `old` bytes by one of `new`, which is not less.
    fn recharge(&self, old: usize, new: usize) -> Result<(), OverBudget> {
        if is_large(old) {
            let more = (new - old) as u64;
            self.home.budget.reserve_large(more)?;
            self.charged.set(self.charged.get() + more);
            return Ok(());
        }
        self.charge(new)?;
        self.uncharge(old);
        Ok(())
    }

    /// Charges `bytes` to the budget.
    #[inline]
    pub fn charge(&self, bytes: usize) -> Result<(), OverBudget> {
        let need = bytes as u64;
        if is_large(bytes) {
            self.home.budget.reserve_large(need)?;
            self.charged.set(self.charged.get() + need);
            return Ok(());
        }
        if self.lease.get() < need {
            let missing = need - self.lease.get();
            let leased = self.home.budget.lease(missing, LEASE_BYTES.max(missing))?;
            self.lease.set(self.lease.get() + leased);
        }
        self.lease.set(self.lease.get() - need);
        self.charged.set(self.charged.get() + need);
        Ok(())
    }

    /// Gives back what [`Self::charge`] took.
    #[inline]
    pub fn uncharge(&self, bytes: usize) {
        self.charged.set(self.charged.get().saturating_sub(bytes as u64));
        if is_large(bytes) {
            return self.home.budget.release_large(bytes as u64);
        }
        self.lease.set(self.lease.get() + bytes as u64);
        if self.lease.get() > LEASE_IDLE_BYTES_MAX {
            self.return_lease(LEASE_BYTES);
        }
    }

    /// Bytes this core has taken from the budget, in use or leased.
    pub fn leased_bytes(&self) -> u64 {
        self.charged.get() + self.lease.get()
    }

    /// Bytes mapped for small classes.
    pub fn mapped_bytes(&self) -> u64 {
        (locked(&self.home.runs).len() * RUN_BYTES) as u64
    }

    /// Gives back what was not used since the last call: cold pages, idle large buffers, surplus lease. Call it
    /// about once a second.
    pub fn sweep(&self) {
        for stack in &self.small {
            stack.borrow_mut().sweep();
        }
        self.home.budget.idle.sweep();
        self.return_lease(LEASE_BYTES);
    }

    fn return_lease(&self, keep: u64) {
        let surplus = self.lease.get().saturating_sub(keep);
        if surplus > 0 {
            self.lease.set(keep);
            self.home.budget.give_back(surplus);
        }
    }

    #[inline]
    fn take_small(&self, class: usize) -> Buf {
        let mut stack = self.small[class].borrow_mut();
        if stack.free.is_empty() {
            self.refill(class, &mut stack.free);
        }
        let buf = stack.free.pop();
        stack.low = stack.low.min(stack.free.len());
        stack.cold = stack.cold.min(stack.free.len());
        buf.unwrap_or_else(|| unreachable!("a refill adds at least one buffer"))
    }

    #[cold]
    fn refill(&self, class: usize, free: &mut Vec<Buf>) {
        let capacity = SMALL[class];
        let mut strays = locked(&self.home.strays);
        let mut add = |address: usize| {
            if let Some(ptr) = NonNull::new(address as *mut u8) {
                // SAFETY: the bytes lie in one of our runs and, being a stray or fresh, are owned by nobody.
                free.push(unsafe { Buf::from_raw(ptr, capacity, self.home.clone()) });
            }
        };
        strays.retain(|&(address, of)| {
            if of == capacity {
                add(address);
            }
            of != capacity
        });
        drop(strays);
        if free.is_empty() {
            let run = map(RUN_BYTES)
                .unwrap_or_else(|error| panic!("cannot map {RUN_BYTES} bytes for small buffers: {error}"));
            let run = run.as_ptr() as usize;
            locked(&self.home.runs).push(run);
            for index in (0..RUN_BYTES / capacity).rev() {
                if let Some(ptr) = NonNull::new((run + index * capacity) as *mut u8) {
                    // SAFETY: a fresh part of a run, owned by nobody yet.
                    free.push(unsafe { Buf::from_raw(ptr, capacity, self.home.clone()) });
                }
            }
        }
    }

    fn take_large(&self, capacity: usize) -> Result<Buf, OverBudget> {
        let idle = &self.home.budget.idle;
        // One that the budget has no room for is dropped: its size may be the reason, and its memory is missed.
        if let Some(mut buf) = idle.take(capacity)
            && self.charge(buf.capacity()).is_ok()
        {
            buf.set_home(Some(self.home.clone()));
            buf.set_charged(true);
            return Ok(buf);
        }
        self.charge(capacity)?;
        idle.make_way(capacity);
        let mapped = map(capacity).or_else(|_| {
            // What lies idle may be what the system misses.
            idle.clear();
            map(capacity)
        });
        let Ok(ptr) = mapped else {
            // The system gives less than the budget: for the sender that is the same.
            self.uncharge(capacity);
            return Err(OverBudget);
        };
        // SAFETY: a fresh mapping, owned by nobody else.
        let mut buf = unsafe { Buf::from_raw(ptr, capacity, self.home.clone()) };
        buf.set_charged(true);
        Ok(buf)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.home.budget.give_back(self.lease.get());
    }
}

impl Stack {
    fn sweep(&mut self) {
        for buf in self.free.iter_mut().take(self.low).skip(self.cold) {
            forget_pages(buf);
        }
        self.cold = self.cold.max(self.low);
        self.low = self.free.len();
    }
}

/// Whether `bytes` is charged directly, against the share of large bodies.
#[inline]
fn is_large(bytes: usize) -> bool {
    bytes > SMALL_BODY_BYTES + SMALL_BODY_BYTES / 4
}

pub(super) fn charge_global(budget: &Budget, bytes: usize) -> Result<(), OverBudget> {
    let bytes_wide = bytes as u64;
    if is_large(bytes) {
        budget.reserve_large(bytes_wide)
    } else {
        budget.lease(bytes_wide, bytes_wide).map(drop)
    }
}

pub(super) fn uncharge_global(budget: &Budget, bytes: usize) {
    if is_large(bytes) { budget.release_large(bytes as u64) } else { budget.give_back(bytes as u64) }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A list of addresses is whole even if a holder panicked.
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn map(bytes: usize) -> std::io::Result<NonNull<u8>> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches nothing of ours.
    let ptr = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    match NonNull::new(ptr.cast::<u8>()) {
        Some(ptr) if ptr.as_ptr().cast() != libc::MAP_FAILED => Ok(ptr),
        _ => Err(std::io::Error::last_os_error()),
    }
}

pub(super) fn unmap(ptr: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller gives up the only owner of this mapping.
    let done = unsafe { libc::munmap(ptr.as_ptr().cast(), bytes) };
    debug_assert_eq!(done, 0);
}

/// Makes a mapping larger, at another address if need be; it stays as it was if the system has no room.
fn remap(old: *mut u8, old_capacity: usize, capacity: usize) -> Option<NonNull<u8>> {
    // SAFETY: the caller owns the mapping at `old` whole; on success it is replaced by the one returned.
    let new = unsafe { libc::mremap(old.cast(), old_capacity, capacity, libc::MREMAP_MAYMOVE) };
    NonNull::new(new.cast::<u8>()).filter(|new| new.as_ptr().cast() != libc::MAP_FAILED)
}

/// Gives the whole pages of a free buffer back to the kernel; they read as zeroes afterwards.
fn forget_pages(buf: &mut Buf) {
    let start = (buf.as_mut_ptr() as usize).next_multiple_of(PAGE_BYTES);
    let end = (buf.as_mut_ptr() as usize + buf.capacity()) & !(PAGE_BYTES - 1);
    if start < end {
        // SAFETY: whole pages inside a buffer that is ours and holds nothing.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests;
