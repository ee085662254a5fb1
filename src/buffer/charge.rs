//! What stands in the budget beside a buffer, such as the tape of its body.

use std::sync::Arc;

use super::pool::{Home, charge_global, uncharge_global};
use super::{Buf, OverBudget, Pool};

/// Bytes in the budget for as long as this lives.
pub struct Charge {
    home: Arc<Home>,
    bytes: usize,
}

impl Buf {
    /// Charges `bytes` beside this buffer, on any thread.
    ///
    /// # Errors
    /// [`OverBudget`] when there is no room.
    pub fn charge_beside(&self, bytes: usize) -> Result<Charge, OverBudget> {
        let home = self.home().ok_or(OverBudget)?;
        charge_global(home.budget(), bytes)?;
        Ok(Charge { home: home.clone(), bytes })
    }
}

impl Pool {
    /// Charges `bytes` beside a buffer of this core, from its lease.
    ///
    /// # Errors
    /// [`OverBudget`] when there is no room.
    #[inline]
    pub fn charge_beside(&self, bytes: usize) -> Result<Charge, OverBudget> {
        self.charge(bytes)?;
        Ok(Charge { home: self.home().clone(), bytes })
    }

    /// Takes back what [`Self::charge_beside`] gave. Dropped elsewhere it goes back to the budget instead.
    #[inline]
    pub fn release(&self, mut charge: Charge) {
        debug_assert!(Arc::ptr_eq(&charge.home, self.home()), "a charge goes back to the core that made it");
        self.uncharge(std::mem::take(&mut charge.bytes));
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            uncharge_global(self.home.budget(), self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Budget, LEASE_BYTES};

    #[test]
    fn a_charge_goes_back_wherever_it_ends() {
        let budget = Arc::new(Budget::new(64 << 20));
        let pool = Pool::new(budget.clone());
        let buf = pool.take(100).unwrap();
        let before = budget.used();
        for bytes in [1, 70_000, 1 << 20, 32 << 20] {
            let charge = buf.charge_beside(bytes).unwrap();
            assert_eq!(budget.used(), before + bytes as u64);
            std::thread::spawn(move || drop(charge)).join().unwrap();
            assert_eq!(budget.used(), before);

            pool.release(pool.charge_beside(bytes).unwrap());
            assert!(budget.used() <= before + LEASE_BYTES);
        }
        assert!(buf.charge_beside(60 << 20).is_err(), "a quarter is kept for small bodies");
        let lost = pool.charge_beside(10).unwrap();
        pool.put(buf);
        drop(pool);
        drop(lost);
        assert_eq!(budget.used(), 0);
    }
}
