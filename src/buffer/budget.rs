//! The byte budget of all bodies in flight, all cores together.
//!
//! Cores lease [`LEASE_BYTES`] at a time, so that a small body costs no atomic operation. A quarter of the budget is
//! kept for bodies up to 64 KiB: holders of large reservations cannot lock out small posts.

use std::sync::atomic::{AtomicU64, Ordering};

use super::idle::Idle;

/// How many bytes a core takes from the budget at a time.
pub const LEASE_BYTES: u64 = 4 << 20;

/// The budget has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverBudget;

/// The global budget. Invariant: `large <= used <= total` and `large <= total - total / 4`.
pub struct Budget {
    total: u64,
    used: AtomicU64,
    large: AtomicU64,
    /// What lies between two large bodies. It stands in no charge: what is taken from it is charged again.
    pub(super) idle: Idle,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        Self { total, used: AtomicU64::new(0), large: AtomicU64::new(0), idle: Idle::default() }
    }

    /// Takes up to `want` bytes, at least `need`, for small bodies.
    pub(super) fn lease(&self, need: u64, want: u64) -> Result<u64, OverBudget> {
        reserve(&self.used, want, self.total)
            .map(|()| want)
            .or_else(|OverBudget| reserve(&self.used, need, self.total).map(|()| need))
    }

    /// Gives back what [`Self::lease`] took.
    pub(super) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Takes `bytes` for one large body.
    pub(super) fn reserve_large(&self, bytes: u64) -> Result<(), OverBudget> {
        reserve(&self.large, bytes, self.total - self.total / 4)?;
        reserve(&self.used, bytes, self.total).inspect_err(|_| {
            self.large.fetch_sub(bytes, Ordering::AcqRel);
        })
    }

    /// Gives back what [`Self::reserve_large`] took.
    pub(super) fn release_large(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.large.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Bytes leased or reserved now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The whole budget.
    pub fn total(&self) -> u64 {
        self.total
    }
}

fn reserve(counter: &AtomicU64, bytes: u64, max: u64) -> Result<(), OverBudget> {
    counter
        .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|&sum| sum <= max)
        })
        .map(|_| ())
        .map_err(|_| OverBudget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_reservations_leave_a_quarter_for_small_bodies() {
        let budget = Budget::new(100 << 20);
        assert_eq!(budget.reserve_large(75 << 20), Ok(()));
        assert_eq!(budget.reserve_large(1), Err(OverBudget));
        assert_eq!(budget.lease(1, 25 << 20), Ok(25 << 20));
        assert_eq!(budget.lease(1, 1), Err(OverBudget));
        budget.release_large(75 << 20);
        budget.give_back(25 << 20);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_lease_shrinks_to_what_is_needed_when_the_rest_is_gone() {
        let budget = Budget::new(10);
        assert_eq!(budget.lease(2, 8), Ok(8));
        assert_eq!(budget.lease(2, 8), Ok(2));
        assert_eq!(budget.lease(2, 8), Err(OverBudget));
    }

    #[test]
    fn a_refused_large_reservation_takes_nothing() {
        let budget = Budget::new(100);
        assert_eq!(budget.lease(60, 60), Ok(60));
        assert_eq!(budget.reserve_large(50), Err(OverBudget));
        assert_eq!(budget.reserve_large(40), Ok(()));
    }
}
