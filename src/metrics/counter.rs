//! What is counted with: numbers that one thread writes and another now and then reads.
//!
//! An increment is a relaxed load and a relaxed store, not a read-modify-write: no `lock` prefix, no waiting for
//! a cache line. That is right because each number has exactly one writer; a second one would lose increments.
//! (It would lose counts only: everything here is safe from any thread.) Readers see each number some
//! nanoseconds late, and two numbers not quite of the same moment, which is what a scrape can live with.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows. One thread writes it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `n` more.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// How much was counted so far.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that rises and falls. One thread writes it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces the number; this alone may also be done by a thread that is not the writer of `add` and `sub`,
    /// as long as those two are not used.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Raises it by `n`.
    #[inline]
    pub fn add(&self, n: u64) {
        self.set(self.get().saturating_add(n));
    }

    /// Lowers it by `n`. It stops at zero: an account that does not balance must not show as 18 quintillion.
    #[inline]
    pub fn sub(&self, n: u64) {
        self.set(self.get().saturating_sub(n));
    }

    /// Where it stands.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The lowest bound of a [`Histogram`] is two to the power of this: 256 ns, in which the parse of a small body
/// still shows.
const FIRST_BOUND_LOG2: u32 = 8;
/// The highest finite bound is two to the power of this: 8.59 s, about the deadline of a head.
const LAST_BOUND_LOG2: u32 = 33;
/// How many buckets there are, the last one without an upper bound.
pub(super) const BUCKETS: usize = (LAST_BOUND_LOG2 - FIRST_BOUND_LOG2) as usize + 2;

/// How long things took. One thread writes it.
///
/// The buckets are powers of two in nanoseconds: at most 256, 512, 1024, … 2^33 (8.59 s), and all above. So the
/// bucket of a value is found by counting its leading zeros, and a quantile read from it is off by less than a
/// factor of two.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_ns: Counter,
}

impl Histogram {
    /// Counts one thing that took `ns` nanoseconds.
    #[inline]
    pub fn record(&self, ns: u64) {
        self.buckets[bucket_of(ns)].add(1);
        self.sum_ns.add(ns);
    }

    /// All the nanoseconds recorded, together.
    pub fn sum(&self) -> u64 {
        self.sum_ns.get()
    }

    /// How many values were recorded. The sum of the buckets and not a number of its own, so that the two can
    /// never disagree.
    pub fn count(&self) -> u64 {
        self.buckets().iter().sum()
    }

    /// How many values each bucket holds, not cumulative.
    pub(super) fn buckets(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|at| self.buckets[at].get())
    }
}

/// The upper bound of the bucket `at`, inclusive, in nanoseconds; `None` for the last.
pub(super) fn bound_ns(at: usize) -> Option<u64> {
    (at + 1 < BUCKETS).then(|| 1 << (FIRST_BOUND_LOG2 as usize + at))
}

/// The first bucket whose upper bound is not below `ns`.
#[inline]
fn bucket_of(ns: u64) -> usize {
    let log2_rounded_up = u64::BITS - ns.saturating_sub(1).leading_zeros();
    (log2_rounded_up.saturating_sub(FIRST_BOUND_LOG2) as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bucket as the words say it: the first bound that is not below the value.
    fn naive_bucket_of(ns: u64) -> usize {
        (0..BUCKETS).find(|at| bound_ns(*at).is_none_or(|bound| ns <= bound)).unwrap()
    }

    #[test]
    fn buckets_at_every_edge() {
        for at in 0..BUCKETS {
            let Some(bound) = bound_ns(at) else { continue };
            for ns in [bound - 1, bound, bound + 1] {
                assert_eq!(bucket_of(ns), naive_bucket_of(ns), "{ns} ns");
            }
            assert_eq!((bucket_of(bound), bucket_of(bound + 1)), (at, at + 1));
        }
        assert_eq!((bucket_of(0), bucket_of(1), bucket_of(u64::MAX)), (0, 0, BUCKETS - 1));
        assert_eq!((bound_ns(0), bound_ns(BUCKETS - 2)), (Some(256), Some(8_589_934_592)));
    }

    proptest! {
        #[test]
        fn bucket_is_the_naive_one(ns: u64, shift in 0u32..64) {
            prop_assert_eq!(bucket_of(ns >> shift), naive_bucket_of(ns >> shift));
        }

        #[test]
        fn a_histogram_counts_what_it_was_given(values in prop::collection::vec(0u64..1 << 40, 0..100)) {
            let histogram = Histogram::default();
            values.iter().for_each(|ns| histogram.record(*ns));
            prop_assert_eq!(histogram.count(), values.len() as u64);
            prop_assert_eq!(histogram.sum(), values.iter().sum::<u64>());
            for (at, held) in histogram.buckets().into_iter().enumerate() {
                prop_assert_eq!(held, values.iter().filter(|ns| naive_bucket_of(**ns) == at).count() as u64);
            }
        }
    }

    #[test]
    fn a_gauge_stops_at_zero() {
        let gauge = Gauge::default();
        gauge.add(5);
        gauge.sub(2);
        assert_eq!(gauge.get(), 3);
        gauge.sub(4);
        assert_eq!(gauge.get(), 0);
        gauge.set(7);
        assert_eq!(gauge.get(), 7);
    }

    #[test]
    fn another_thread_reads_what_the_writer_counted() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..10_000).for_each(|_| counter.add(3)));
            let mut last = 0;
            for _ in 0..1_000 {
                let now = counter.get();
                assert!(now >= last, "a counter went back from {last} to {now}");
                last = now;
            }
        });
        assert_eq!(counter.get(), 30_000);
    }
}
