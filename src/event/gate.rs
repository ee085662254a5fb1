//! Whether a webhook takes events: its triggers close the gate when they fall behind, cores look at it.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The gate of one webhook. It is closed as long as one of those who run its triggers holds it closed.
///
/// A core that sees it a moment late lets a few events more through; they wait like the others, so nothing depends
/// on the order.
#[derive(Debug, Default)]
pub struct Gate(AtomicUsize);

impl Gate {
    /// Whether an event may pass.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Holds it closed, until [`Self::release`] was called as often.
    pub fn hold_closed(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back one [`Self::hold_closed`].
    pub fn release(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
