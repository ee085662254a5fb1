//! Lines of events on their way to a sink: held back for a moment, and written many at a time on a thread that may wait.
//!
//! A disk that stands still, or a pipe that nobody reads, must hold up nobody but the trigger that writes there: so the
//! worker only appends to memory, and a thread of the runtime's pool writes. It costs two switches for some hundred
//! lines. While it writes, the next lines are held back; when these are too many, the trigger has to wait.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::line::{flatten, write_flat};
use super::{EventLine, NodeError};
use crate::event::{Event, HeldEvent};

/// Lines are held back up to this many bytes; a longer line is streamed from the event's buffer.
const HELD_BYTES_MAX: usize = 256 * 1024;
/// While a thread writes, the worker looks this often what became of it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Where lines go. It is handed a closure so that a whole batch, or one long line, is written under one lock.
pub trait Sink: Send + 'static {
    /// The node that writes there.
    const NODE: &'static str;

    /// Lends out the writer, under its lock.
    ///
    /// # Errors
    /// Those of the writer.
    fn write(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()>;

    /// What could not be done, when a write failed.
    fn purpose(&self) -> String;
}

/// Writes, or says what could not be done.
fn write_to<S: Sink>(
    sink: &mut S,
    write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Result<(), NodeError> {
    sink.write(write)
        .map_err(|error| NodeError { node: S::NODE, reason: format!("cannot {}: {error}", sink.purpose()) })
}

/// Lines that are held back.
pub struct Lines<S> {
    shared: Arc<Shared<S>>,
}

impl<S> Clone for Lines<S> {
    /// Another share in the same lines.
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<S> {
    state: Mutex<State<S>>,
    /// How long a line is held back.
    flush_after: Duration,
    /// The sink came back.
    returned: Notify,
}

struct State<S> {
    held: Vec<u8>,
    /// Since when the first of them is held.
    since: Option<Instant>,
    /// Not here while a thread writes.
    sink: Option<S>,
    /// The other vector of lines.
    spare: Vec<u8>,
    /// Why lines that were held back are lost, and since when.
    lost: Option<(Instant, NodeError)>,
}

impl<S: Sink> Lines<S> {
    pub fn new(sink: S, flush_after: Duration) -> Self {
        let state = State { held: Vec::new(), since: None, sink: Some(sink), spare: Vec::new(), lost: None };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), flush_after, returned: Notify::new() }) }
    }

    /// Whether others have a share, a write on its way among them.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    /// Takes the line of one event, if there is room.
    pub fn append_at_once(&self, event: &Event<'_>, line: &mut EventLine) -> bool {
        let (before, after) = line.around_body(event);
        let body = event.body();
        let bytes = before.len() + body.len() + after.len();
        let mut state = self.shared.lock();
        if state.held.len() + bytes > HELD_BYTES_MAX {
            if bytes > HELD_BYTES_MAX || state.sink.is_none() {
                return false;
            }
            self.shared.write_held(&mut state);
        }
        state.held.extend_from_slice(before);
        let body_at = state.held.len();
        state.held.extend_from_slice(body);
        flatten(&mut state.held[body_at..]);
        state.held.extend_from_slice(after);
        state.since.get_or_insert_with(Instant::now);
        true
    }

    /// Takes the line of one event, waiting for room, or writes it if it is long.
    ///
    /// # Errors
    /// When a long line could not be written.
    pub async fn append(&self, event: &HeldEvent, line: &mut EventLine) -> Result<(), NodeError> {
        loop {
            let returned = self.shared.returned.notified();
            let mut returned = std::pin::pin!(returned);
            returned.as_mut().enable();
            if self.append_at_once(&event.event(), line) {
                return Ok(());
            }
            if let Some(sink) = self.take_sink_for_long() {
                return self.write_long(sink, event, line).await;
            }
            returned.await;
        }
    }

    /// The sink, if it is here and no line is held back; else these are on their way to it afterwards.
    fn take_sink_for_long(&self) -> Option<S> {
        let mut state = self.shared.lock();
        match state.held.is_empty() {
            true => state.sink.take(),
            false => {
                self.shared.write_held(&mut state);
                None
            }
        }
    }

    async fn write_long(
        &self,
        mut sink: S,
        event: &HeldEvent,
        line: &mut EventLine,
    ) -> Result<(), NodeError> {
        let (before, after) = line.around_body(&event.event());
        let (before, after, event) = (before.to_owned(), after.to_owned(), event.clone());
        let shared = self.shared.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut scratch = Vec::new();
            let result = write_to(&mut sink, &mut |out| {
                out.write_all(&before)?;
                write_flat(out, event.event().body(), &mut scratch)?;
                out.write_all(&after)
            });
            drop(event);
            shared.give_back(sink);
            result
        });
        written.await.unwrap_or_else(|_| Err(NodeError { node: S::NODE, reason: "panicked".into() }))
    }

    /// When it wants to be flushed: when lines must not be held back any longer, or to see what became of a write.
    pub fn flush_due(&self) -> Option<Instant> {
        let state = self.shared.lock();
        match &state.sink {
            None => Some(Instant::now() + LOOK_AGAIN_AFTER),
            // A time that has passed, and not now: that is later than any now that it is compared with.
            Some(_) if state.lost.is_some() => state.lost.as_ref().map(|(since, _)| *since),
            Some(_) => state.since.map(|since| since + self.shared.flush_after),
        }
    }

    /// Has written what is held back.
    ///
    /// # Errors
    /// When lines could not be written since the last call; these are given up.
    pub fn flush(&self) -> Result<(), NodeError> {
        let mut state = self.shared.lock();
        self.shared.write_held(&mut state);
        state.lost.take().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn settle(&self) -> Result<(), NodeError> {
        let mut settled = Ok(());
        loop {
            let returned = self.shared.returned.notified();
            let mut returned = std::pin::pin!(returned);
            returned.as_mut().enable();
            // What failed does not keep the rest from being waited for.
            settled = settled.and(self.flush());
            let is_written = {
                let state = self.shared.lock();
                // The sink may have come back just now: what was held meanwhile needs another round.
                state.sink.is_some() && state.held.is_empty()
            };
            if is_written {
                return settled.and(self.flush());
            }
            returned.await;
        }
    }
}

impl<S: Sink> Shared<S> {
    /// Has a thread write what is held back, if the sink is here.
    fn write_held(self: &Arc<Self>, state: &mut State<S>) {
        if state.held.is_empty() {
            return;
        }
        let Some(mut sink) = state.sink.take() else { return };
        let spare = std::mem::take(&mut state.spare);
        let mut lines = std::mem::replace(&mut state.held, spare);
        state.since = None;
        let shared = self.clone();
        tokio::task::spawn_blocking(move || {
            let result = write_to(&mut sink, &mut |out| out.write_all(&lines));
            lines.clear();
            let mut state = shared.lock();
            state.lost = result.err().map(|error| (Instant::now(), error)).or(state.lost.take());
            state.spare = lines;
            drop(state);
            shared.give_back(sink);
        });
    }

    fn give_back(&self, sink: S) {
        self.lock().sink = Some(sink);
        self.returned.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State<S>> {
        // Lines are appended whole, whoever panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
