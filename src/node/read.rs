//! `read`: reads one field of the body through the tape and does nothing else. Only in builds for benches.

use crate::event::{BodyValue, Event};
use crate::json;

/// Counts events by whether a field of their body could be read.
#[derive(Debug)]
pub struct Read {
    field: String,
    hits: u64,
    misses: u64,
}

impl Read {
    pub(super) fn new(field: &str) -> Self {
        Self { field: field.to_owned(), hits: 0, misses: 0 }
    }

    pub(super) fn run(&mut self, event: &Event<'_>) {
        let found = match event.body_value() {
            BodyValue::Value(body) => json::get(body, &self.field),
            BodyValue::TextOnly => None,
        };
        match std::hint::black_box(found) {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
    }

    pub(super) fn take_counts(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.hits), std::mem::take(&mut self.misses))
    }
}
