//! Large buffers between two bodies, of all cores together.
//!
//! They keep their pages for a second, so that who posts large bodies in a loop does not fault in every page again:
//! that is as much work as receiving them (74 ms of CPU for 100 MB in place of 36). Together, because connections land
//! on any core: with a list for each, every core kept the pages of the last large body it saw.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Buf;
use super::pool::locked;

/// How long a mapping keeps its pages without being used.
const IDLE_TIME: Duration = Duration::from_secs(1);
/// Mappings kept at a time, in bytes.
const IDLE_BYTES_MAX: usize = 128 << 20;
/// A mapping of this size that is made anew takes the place of those that lie idle, so that both are not resident.
const REPLACES_BYTES: usize = 8 << 20;

/// The buffers that nobody uses.
#[derive(Default)]
pub(super) struct Idle(Mutex<Buffers>);

#[derive(Default)]
struct Buffers {
    /// The warmest last, more or less, each since when.
    all: Vec<(Buf, Instant)>,
    /// The sum of their capacities.
    bytes: usize,
}

impl Idle {
    /// A buffer of at least this capacity and at most a quarter more. It has no home.
    pub fn take(&self, capacity: usize) -> Option<Buf> {
        let mut buffers = locked(&self.0);
        let fits = |(buf, _): &(Buf, Instant)| (capacity..=capacity + capacity / 4).contains(&buf.capacity());
        let found = buffers.all.iter().rposition(fits)?;
        let (taken, _) = buffers.all.swap_remove(found);
        buffers.bytes -= taken.capacity();
        Some(taken)
    }

    /// Takes an empty buffer from its home.
    pub fn put(&self, mut buf: Buf) {
        buf.set_home(None);
        let mut buffers = locked(&self.0);
        buffers.bytes += buf.capacity();
        buffers.all.push((buf, Instant::now()));
        let mut surplus = Vec::new();
        while buffers.bytes > IDLE_BYTES_MAX {
            let (oldest, _) = buffers.all.remove(0);
            buffers.bytes -= oldest.capacity();
            surplus.push(oldest);
        }
        // Unmapping takes time, which others need not wait for.
        drop(buffers);
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
        let mut buffers = locked(&self.0);
        let is_old = |(_, since): &mut (Buf, Instant)| since.elapsed() >= age;
        let old: Vec<(Buf, Instant)> = buffers.all.extract_if(.., is_old).collect();
        buffers.bytes -= old.iter().map(|(buf, _)| buf.capacity()).sum::<usize>();
        // Unmapping takes time, which others need not wait for.
        drop(buffers);
    }
}
