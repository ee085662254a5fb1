//! Lines of events on their way to a sink: held back for a moment and written many at a time.

use std::io::{self, Write};
use std::time::Instant;

use super::EventLine;
use super::line::{flatten, write_flat};
use crate::event::Event;

/// Lines are held back up to this many bytes; a longer line is streamed from the event's buffer.
const HELD_BYTES_MAX: usize = 256 * 1024;

/// Where lines go. It is handed a closure so that a whole batch, or one long line, is written under one lock.
pub(super) trait Sink {
    fn write(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()>;
}

/// Lines that are held back.
#[derive(Default)]
pub(super) struct Lines<S> {
    held: Vec<u8>,
    since: Option<Instant>,
    sink: S,
}

impl<S: Sink> Lines<S> {
    pub fn new(sink: S) -> Self {
        Self { held: Vec::new(), since: None, sink }
    }

    pub fn sink(&self) -> &S {
        &self.sink
    }

    /// Takes the line of one event.
    ///
    /// # Errors
    /// When lines held back, or this one, could not be written.
    pub fn append(&mut self, event: &Event<'_>, line: &mut EventLine) -> io::Result<()> {
        let (before, after) = line.around_body(event);
        let body = event.body();
        let bytes = before.len() + body.len() + after.len();
        if self.held.len() + bytes > HELD_BYTES_MAX {
            self.flush()?;
        }
        if bytes > HELD_BYTES_MAX {
            // Nothing is held back now, so there is room for a piece of a body with line ends.
            let scratch = &mut self.held;
            let result = self.sink.write(&mut |out| {
                out.write_all(before)?;
                write_flat(out, body, scratch)?;
                out.write_all(after)
            });
            self.held.clear();
            return result;
        }
        self.held.extend_from_slice(before);
        let body_at = self.held.len();
        self.held.extend_from_slice(body);
        flatten(&mut self.held[body_at..]);
        self.held.extend_from_slice(after);
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Since when a line is held back.
    pub fn held_since(&self) -> Option<Instant> {
        self.since
    }

    /// Writes what is held back. What could not be written is given up, and the error says so.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let held = &self.held;
        let result = self.sink.write(&mut |out| out.write_all(held));
        self.held.clear();
        self.since = None;
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Budget, Pool};
    use crate::event::{Slot, Source};
    use crate::http::head::HeadReader;

    #[derive(Default)]
    struct Collected {
        bytes: Vec<u8>,
        writes: usize,
        pieces: usize,
    }

    impl Write for Collected {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.pieces += 1;
            self.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Collected {
        fn write(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
            self.writes += 1;
            write(self)
        }
    }

    fn slot(pool: &Pool, body: &[u8]) -> Slot {
        let head = b"POST /x?a=1 HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut slot = Slot::new();
        HeadReader::default().read(head, &mut slot.head).unwrap();
        let mut buf = pool.take(head.len() + body.len()).unwrap();
        buf.extend_from_slice(head);
        buf.extend_from_slice(body);
        slot.body = head.len()..buf.len();
        slot.buf = Some(buf);
        slot
    }

    #[test]
    fn short_lines_leave_together_and_a_long_one_keeps_its_place() {
        let pool = Pool::new(std::sync::Arc::new(Budget::new(1 << 30)));
        let long = format!("[\n\"{}\"\r\n]", "x".repeat(3 * HELD_BYTES_MAX));
        let bodies = [&b"1"[..], b"{\"a\":\n2}", long.as_bytes(), b"", b"4"];
        let mut lines = Lines::new(Collected::default());
        for body in bodies {
            let slot = slot(&pool, body);
            lines.append(&Event::new(&slot, &Source::named("w")), &mut EventLine::default()).unwrap();
        }
        assert!(lines.held_since().is_some());
        lines.flush().unwrap();
        assert!(lines.held_since().is_none());
        let Collected { bytes, writes, .. } = lines.sink;
        assert_eq!(writes, 3, "two short, one long, two short");
        let read: Vec<serde_json::Value> = bytes
            .split_inclusive(|&b| b == b'\n')
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        let expected: Vec<serde_json::Value> =
            bodies
                .iter()
                .map(|body| {
                    if body.is_empty() {
                        serde_json::json!({})
                    } else {
                        serde_json::from_slice(body).unwrap()
                    }
                })
                .collect();
        assert_eq!(read.iter().map(|line| line["payload"]["body"].clone()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_long_body_of_short_lines_leaves_in_large_pieces() {
        let pool = Pool::new(std::sync::Arc::new(Budget::new(1 << 30)));
        let body = format!("[\r\n{}1]", "  \"a\",\n".repeat(400_000));
        let slot = slot(&pool, body.as_bytes());
        let mut lines = Lines::new(Collected::default());
        lines.append(&Event::new(&slot, &Source::named("w")), &mut EventLine::default()).unwrap();
        assert!(lines.held_since().is_none() && lines.held.is_empty());
        assert!(lines.held.capacity() <= 2 * HELD_BYTES_MAX, "{} bytes of scratch", lines.held.capacity());
        let Collected { bytes, pieces, .. } = lines.sink;
        assert!(pieces < 40, "{pieces} writes");
        let line = String::from_utf8(bytes).unwrap();
        assert!(line.contains(&body.replace(['\r', '\n'], " ")));
        assert_eq!(line.matches('\n').count(), 1);
    }
}
