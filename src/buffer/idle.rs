//! Large buffers between two bodies, of all cores together.
//!
//! They keep their pages for a second, so that who posts large bodies in a loop does not fault in every page again:
//! that is as much work as receiving them (74 ms of CPU for 100 MB in place of 36). Together, because connections land
//! on any core: with a list for each, every core kept the pages of the last large body it saw.

use std::ptr::NonNull;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::pool::{locked, unmap};

/// How long a mapping keeps its pages without being used.
const IDLE_TIME: Duration = Duration::from_secs(1);
/// Mappings kept at a time, in bytes.
const IDLE_BYTES_MAX: usize = 160 << 20;
/// A mapping of this size that is made anew takes the place of those that lie idle, so that both are not resident.
const REPLACES_BYTES: usize = 8 << 20;

struct Mapping {
    address: usize,
    capacity: usize,
    since: Instant,
}

/// The mappings that nobody uses.
#[derive(Default)]
pub(super) struct Idle(Mutex<Mappings>);

#[derive(Default)]
struct Mappings {
    /// The warmest last, more or less.
    all: Vec<Mapping>,
    /// The sum of their capacities.
    bytes: usize,
}

impl Idle {
    /// A mapping of at least this capacity and at most a quarter more; it is the caller's now.
    pub fn take(&self, capacity: usize) -> Option<(NonNull<u8>, usize)> {
        let mut mappings = locked(&self.0);
        let fits = |mapping: &Mapping| (capacity..=capacity + capacity / 4).contains(&mapping.capacity);
        let found = mappings.all.iter().rposition(fits)?;
        let taken = mappings.all.swap_remove(found);
        mappings.bytes -= taken.capacity;
        NonNull::new(taken.address as *mut u8).map(|ptr| (ptr, taken.capacity))
    }

    /// Takes a mapping over that the caller alone owned.
    pub fn put(&self, ptr: NonNull<u8>, capacity: usize) {
        let mapping = Mapping { address: ptr.as_ptr().addr(), capacity, since: Instant::now() };
        let mut mappings = locked(&self.0);
        mappings.all.push(mapping);
        mappings.bytes += capacity;
        while mappings.bytes > IDLE_BYTES_MAX {
            let oldest = mappings.all.remove(0);
            mappings.bytes -= oldest.capacity;
            oldest.unmap();
        }
    }

    /// Makes way for a mapping of this capacity.
    pub fn make_way(&self, capacity: usize) {
        if capacity >= REPLACES_BYTES {
            self.clear();
        }
    }

    /// Unmaps what was not used for a second.
    pub fn sweep(&self) {
        self.unmap_older_than(IDLE_TIME);
    }

    /// Unmaps everything.
    pub fn clear(&self) {
        self.unmap_older_than(Duration::ZERO);
    }

    /// How many bytes are mapped.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        locked(&self.0).bytes
    }

    fn unmap_older_than(&self, age: Duration) {
        let mut mappings = locked(&self.0);
        let is_old = |mapping: &mut Mapping| mapping.since.elapsed() >= age;
        let old: Vec<Mapping> = mappings.all.extract_if(.., is_old).collect();
        mappings.bytes -= old.iter().map(|mapping| mapping.capacity).sum::<usize>();
        // Unmapping takes time, which others need not wait for.
        drop(mappings);
        old.into_iter().for_each(Mapping::unmap);
    }
}

impl Mapping {
    fn unmap(self) {
        if let Some(ptr) = NonNull::new(self.address as *mut u8) {
            unmap(ptr, self.capacity);
        }
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.clear();
    }
}
