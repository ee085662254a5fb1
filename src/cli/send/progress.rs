//! How far a request is: for the person who watches, and for whoever has to notice that nothing moves any more.

use std::cell::{Cell, OnceCell};
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// Smaller documents are sent before a bar could be seen.
const SHOWN_FROM_BYTES: u64 = 1024 * 1024;

/// What is known of a request under way.
pub struct Progress {
    length: Option<u64>,
    sent: Cell<u64>,
    read: Cell<u64>,
    moved: Cell<Instant>,
    waits_for_input: Cell<bool>,
    bar: OnceCell<ProgressBar>,
    watched: bool,
}

impl Progress {
    /// Nothing is sent yet of `length` bytes.
    pub fn new(length: Option<u64>) -> Self {
        Self {
            length,
            sent: Cell::new(0),
            read: Cell::new(0),
            moved: Cell::new(Instant::now()),
            waits_for_input: Cell::new(false),
            bar: OnceCell::new(),
            watched: std::io::stderr().is_terminal(),
        }
    }

    /// The system took so many bytes, those of the head among them.
    pub fn sent(&self, bytes: usize) {
        self.moved();
        self.sent.set(self.sent.get() + bytes as u64);
        if self.watched && self.length.unwrap_or(self.sent.get()) >= SHOWN_FROM_BYTES {
            let bar = self.bar.get_or_init(|| bar(self.length));
            bar.set_position(self.length.unwrap_or(u64::MAX).min(self.sent.get()));
        }
    }

    /// Something came back.
    pub fn moved(&self) {
        self.moved.set(Instant::now());
    }

    /// Whether the server waits for us, and we for whoever writes our stdin.
    pub fn waits_for_input(&self, waits: bool) {
        self.waits_for_input.set(waits);
        if !waits {
            self.moved();
        }
    }

    /// So much of the document was read and is on its way.
    pub fn read(&self, bytes: usize) {
        self.read.set(self.read.get() + bytes as u64);
    }

    /// Bytes of the document that were read: all of them, unless an answer came early.
    pub fn document_bytes(&self) -> u64 {
        self.read.get()
    }

    /// Comes back once nothing has moved for `patience`, and it is not our own input that is late.
    pub async fn stalled(&self, patience: Duration) {
        loop {
            let due = self.moved.get() + patience;
            tokio::time::sleep_until(due).await;
            if self.waits_for_input.get() {
                self.moved();
            } else if self.moved.get() + patience <= Instant::now() {
                return;
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

fn bar(length: Option<u64>) -> ProgressBar {
    let (bar, template) = match length {
        Some(length) => (
            ProgressBar::new(length),
            "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {binary_bytes}, {binary_bytes_per_sec}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_right() {
        for length in [Some(1), None] {
            let bar = bar(length);
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
            bar.set_position(1);
            assert_eq!(bar.length(), length);
        }
    }
}
