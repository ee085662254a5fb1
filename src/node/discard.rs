//! `discard`: counts the event and does nothing else. For benches and for trying things out.

use std::cell::Cell;

/// Counts events.
#[derive(Debug, Default)]
pub struct Discard {
    count: Cell<u64>,
}

impl Discard {
    #[inline]
    pub(super) fn run(&self) {
        self.count.set(self.count.get() + 1);
    }

    pub(super) fn take_count(&self) -> u64 {
        self.count.take()
    }
}
