//! Who watches events as they happen. As a rule nobody does, and then an event costs one relaxed load.
//!
//! ```text
//!   worker ─► any? ─► each tail: its webhook? ─► its filter? ─► its turn? ─► in time, and room? ─► line ─► watcher
//!                                                                              no: counted, told before the next line
//! ```
//!
//! A tail never waits: one that is read too slowly, or wants more than it may have, loses lines and is told how many.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::event::{Event, Reads};
use crate::node::EventLine;

/// So many tails at once.
pub const TAILS_MAX: usize = 16;
/// So many lines may wait for a watcher, and so many bytes but for the last line.
const LINES_MAX: usize = 256;
const LINES_BYTES_MAX: usize = 4 << 20;
/// So many lines in one second.
const LINES_PER_SECOND_MAX: u32 = 1000;
/// A longer body is left out of its line.
const BODY_BYTES_MAX: usize = 64 << 10;
/// What there is to tell is told after so long without a line,
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// and after so many times without anything to tell there is a sign of life: 10 s.
const TELLS_PER_SIGN_OF_LIFE: u32 = 10;

/// Says whether an event is to be shown; `None`: it cannot be said, and the event is not shown. One event at a time.
pub type Filter = Box<dyn FnMut(&Event<'_>) -> Option<bool> + Send>;

/// Which events a tail shows.
pub struct Wanted {
    /// Those of the webhook of this name; `None`: of all.
    pub webhook: Option<String>,
    /// Of these, those that it lets through.
    pub filter: Option<Filter>,
    /// Of these, every so many.
    pub every: NonZeroU64,
}

/// Why there is no tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTail {
    /// There are [`TAILS_MAX`].
    TooMany,
    /// There are no more events to come.
    Ending,
}

/// All tails; shared by every worker.
#[derive(Default)]
pub struct Tails {
    /// How many there are. On its own, because every event reads it.
    count: AtomicUsize,
    list: RwLock<List>,
}

#[derive(Default)]
struct List {
    tails: Vec<Arc<Tail>>,
    is_closed: bool,
}

/// What is read of a body of so many bytes for a tail: the text it will show must not be given up for a value.
pub(super) fn reads(body_bytes: usize) -> Reads {
    Reads { value_up_to: 0, text: body_bytes <= BODY_BYTES_MAX }
}

impl Tails {
    /// Whether anybody watches.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) != 0
    }

    /// Begins to watch.
    ///
    /// # Errors
    /// When there are too many, or the server ends.
    pub fn watch(self: &Arc<Self>, wanted: Wanted) -> Result<Watcher, NoTail> {
        let (lines, watched) = mpsc::channel(LINES_MAX);
        let flow = Flow {
            filter: wanted.filter,
            every: wanted.every,
            matched: 0,
            second: None,
            lines_this_second: 0,
            missed: Missed::default(),
            lines: Some(lines),
        };
        let tail = Arc::new(Tail {
            webhook: wanted.webhook,
            flow: Mutex::new(flow),
            waiting_bytes: AtomicUsize::new(0),
        });
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        if list.is_closed {
            return Err(NoTail::Ending);
        }
        if list.tails.len() >= TAILS_MAX {
            return Err(NoTail::TooMany);
        }
        list.tails.push(tail.clone());
        self.count.store(list.tails.len(), Ordering::Relaxed);
        drop(list);
        Ok(Watcher { tails: self.clone(), tail, lines: watched })
    }

    /// Shows an event to whom it concerns. `line` is that of the event.
    pub fn offer(&self, event: &Event<'_>, line: &mut EventLine) {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        for tail in &list.tails {
            if catch_unwind(AssertUnwindSafe(|| tail.offer(event, line))).is_err() {
                // The panic hook has said where. Half a line is nobody's.
                line.reset();
                tail.flow().missed.filter_errors += 1;
            }
        }
    }

    /// Ends every tail, once what was shown has been read; there will be no other.
    pub fn close(&self) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.is_closed = true;
        list.tails.iter().for_each(|tail| tail.flow().lines = None);
        list.tails.clear();
        self.count.store(0, Ordering::Relaxed);
    }

    fn leave(&self, tail: &Arc<Tail>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.tails.retain(|other| !Arc::ptr_eq(other, tail));
        self.count.store(list.tails.len(), Ordering::Relaxed);
    }
}

/// One tail, as workers see it.
struct Tail {
    webhook: Option<String>,
    flow: Mutex<Flow>,
    /// Bytes of lines that the watcher has not taken.
    waiting_bytes: AtomicUsize,
}

struct Flow {
    filter: Option<Filter>,
    every: NonZeroU64,
    /// Events that the filter let through.
    matched: u64,
    /// When the second began in which so many lines were shown.
    second: Option<Instant>,
    lines_this_second: u32,
    missed: Missed,
    /// `None`: it has ended.
    lines: Option<mpsc::Sender<Bytes>>,
}

/// What the watcher was not shown, and has not been told.
#[derive(Default)]
struct Missed {
    skipped: u64,
    filter_errors: u64,
}

impl Tail {
    fn offer(&self, event: &Event<'_>, line: &mut EventLine) {
        if self.webhook.as_deref().is_some_and(|webhook| webhook != event.webhook()) {
            return;
        }
        let flow = &mut *self.flow();
        match flow.filter.as_mut().map_or(Some(true), |filter| filter(event)) {
            Some(true) => {}
            Some(false) => return,
            None => return flow.missed.filter_errors += 1,
        }
        let is_its_turn = flow.matched.is_multiple_of(flow.every.get());
        flow.matched = flow.matched.wrapping_add(1);
        if !is_its_turn {
            return;
        }
        let is_in_time = flow.is_in_time(Instant::now());
        let has_room = self.waiting_bytes.load(Ordering::Relaxed) < LINES_BYTES_MAX;
        let Some(lines) = &flow.lines else { return };
        match lines.try_reserve() {
            Ok(place) if is_in_time && has_room => {
                let mut text = flow.missed.take_lines();
                line.append_to(&mut text, event, BODY_BYTES_MAX);
                self.waiting_bytes.fetch_add(text.len(), Ordering::Relaxed);
                flow.lines_this_second += 1;
                place.send(text.into());
            }
            _ => flow.missed.skipped += 1,
        }
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        // A filter that panicked has changed nothing else.
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flow {
    /// Whether another line may be shown in this second.
    fn is_in_time(&mut self, now: Instant) -> bool {
        if self.second.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.lines_this_second = 0;
        }
        self.lines_this_second < LINES_PER_SECOND_MAX
    }
}

impl Missed {
    /// A line for each number that is not zero; they are zero then.
    fn take_lines(&mut self) -> Vec<u8> {
        let mut lines = String::new();
        for (name, number) in [("skipped", &mut self.skipped), ("filter_errors", &mut self.filter_errors)] {
            let number = std::mem::take(number);
            if number > 0 {
                let _ = writeln!(lines, "{{\"{name}\":{number}}}");
            }
        }
        lines.into_bytes()
    }
}

/// Who reads a tail. It ends when this is dropped.
pub struct Watcher {
    tails: Arc<Tails>,
    tail: Arc<Tail>,
    lines: mpsc::Receiver<Bytes>,
}

impl Watcher {
    /// The next lines: an event's, before it what was missed; or that alone if no event comes; or an empty line now and
    /// then. `None`: there will be no more.
    pub async fn next(&mut self) -> Option<Bytes> {
        for _ in 0..TELLS_PER_SIGN_OF_LIFE {
            match tokio::time::timeout(TELL_INTERVAL, self.lines.recv()).await {
                Ok(Some(lines)) => {
                    self.tail.waiting_bytes.fetch_sub(lines.len(), Ordering::Relaxed);
                    return Some(lines);
                }
                Ok(None) => return self.take_missed(),
                Err(_) => {}
            }
            if let Some(missed) = self.take_missed() {
                return Some(missed);
            }
        }
        Some(Bytes::from_static(b"\n"))
    }

    fn take_missed(&self) -> Option<Bytes> {
        let lines = self.tail.flow().missed.take_lines();
        (!lines.is_empty()).then(|| lines.into())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.tails.leave(&self.tail);
    }
}

#[cfg(test)]
mod tests;
