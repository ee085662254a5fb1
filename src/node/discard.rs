//! `discard`: counts the event and does nothing else. For benches and for trying things out.

/// Counts events.
#[derive(Debug, Default)]
pub struct Discard {
    count: u64,
}

impl Discard {
    #[inline]
    pub(super) fn run(&mut self) {
        self.count += 1;
    }

    pub(super) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }
}
