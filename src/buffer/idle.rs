//! Large buffers between two bodies, of all cores together.
//!
//! They keep their pages for a second, so that who posts large bodies in a loop does not fault in every page again:
//! that is as much work as receiving them (74 ms of CPU for 100 MB in place of 36). Together, because connections land
//! on any core: with a list for each, every core kept the pages of the last large body it saw.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Buf;
use super::pool::locked;

/// How long a buffer keeps its pages without being used.
const IDLE_TIME: Duration = Duration::from_secs(1);
/// What is kept at a time.
const IDLE_BYTES_MAX: usize = 160 << 20;
/// A buffer of this size that is made anew takes the place of those that lie idle, so that both are not resident.
const REPLACES_BYTES: usize = 8 << 20;

/// The buffers that nobody uses.
#[derive(Default)]
pub(super) struct Idle(Mutex<Bufs>);

#[derive(Default)]
struct Bufs {
    /// Each with the time at which it came, the warmest last, more or less. Dropping one unmaps it.
    all: Vec<(Buf, Instant)>,
    /// The sum of their capacities.
    bytes: usize,
}

impl Idle {
    /// A buffer of at least this capacity and at most a quarter more; it still has its old home.
    pub fn take(&self, capacity: usize) -> Option<Buf> {
        let mut bufs = locked(&self.0);
        let range = capacity..=capacity + capacity / 4;
        let found = bufs.all.iter().rposition(|(buf, _)| range.contains(&buf.capacity()))?;
        let (buf, _) = bufs.all.swap_remove(found);
        bufs.bytes -= buf.capacity();
        Some(buf)
    }

    /// Takes a buffer that stands in no charge.
    pub fn put(&self, buf: Buf) {
        let mut bufs = locked(&self.0);
        bufs.bytes += buf.capacity();
        bufs.all.push((buf, Instant::now()));
        while bufs.bytes > IDLE_BYTES_MAX {
            let (oldest, _) = bufs.all.remove(0);
            bufs.bytes -= oldest.capacity();
        }
    }

    /// Makes way for a buffer of this capacity.
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
        let mut bufs = locked(&self.0);
        let old: Vec<(Buf, Instant)> = bufs.all.extract_if(.., |(_, since)| since.elapsed() >= age).collect();
        bufs.bytes -= old.iter().map(|(buf, _)| buf.capacity()).sum::<usize>();
        // Unmapping takes time, which others need not wait for.
        drop(bufs);
        drop(old);
    }
}
