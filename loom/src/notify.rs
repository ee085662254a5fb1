//! tokio's `Notify` for one waiter: a permit that `notify_one` leaves and `notified` takes.
//!
//! It blocks the thread instead of returning `Pending`: the worker has nothing else to do then, and loom's own
//! `block_on` with its `AtomicWaker` reports deadlocks where a permit is there.

use loom::sync::{Condvar, Mutex};

/// A permit to go on.
pub struct Notify {
    permit: Mutex<bool>,
    changed: Condvar,
}

impl Default for Notify {
    fn default() -> Self {
        Self { permit: Mutex::new(false), changed: Condvar::new() }
    }
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Notify")
    }
}

impl Notify {
    /// Leaves a permit, one at most.
    pub fn notify_one(&self) {
        *self.permit.lock().expect("no panic while locked") = true;
        self.changed.notify_one();
    }

    /// Takes the permit, waiting for it.
    pub async fn notified(&self) {
        let mut permit = self.permit.lock().expect("no panic while locked");
        while !*permit {
            permit = self.changed.wait(permit).expect("no panic while locked");
        }
        *permit = false;
    }
}
