//! Lines in order, whole, and written by somebody else; what a sink that stands still or fails does to them.

use std::sync::mpsc;

use super::*;
use crate::buffer::{Budget, Pool};
use crate::event::{Home, Slot, Source};
use crate::http::head::HeadReader;

/// What came out of a [`Collected`].
#[derive(Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    writes: usize,
    pieces: usize,
}

/// A sink that keeps what it gets, waits before each write for a permit if it has a gate, and fails if it is told to.
struct Collected {
    seen: Arc<Mutex<Seen>>,
    gate: Option<mpsc::Receiver<io::Result<()>>>,
}

struct Writer<'s>(&'s mut Seen);

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.pieces += 1;
        self.0.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Collected {
    const NODE: &'static str = "test";

    fn write(&mut self, write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        if let Some(gate) = &self.gate {
            gate.recv().map_err(io::Error::other)??;
        }
        let mut seen = self.seen.lock().unwrap();
        seen.writes += 1;
        write(&mut Writer(&mut seen))
    }

    fn purpose(&self) -> String {
        "collect".to_owned()
    }
}

/// Drops the handles of a test.
struct Nowhere;

impl Home for Nowhere {
    fn come_home(&self, _queue: usize, _slot: Box<Slot>) {}
}

fn event(pool: &Pool, body: &[u8]) -> HeldEvent {
    let head = b"POST /x?a=1 HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut slot = Box::new(Slot::new());
    HeadReader::default().read(head, &mut slot.head).unwrap();
    let mut buf = pool.take(head.len() + body.len()).unwrap();
    buf.extend_from_slice(head);
    buf.extend_from_slice(body);
    slot.body = head.len()..buf.len();
    slot.buf = Some(buf);
    HeldEvent::new(slot, Arc::new(Source::named("w")), 0, Arc::new(Nowhere))
}

fn pool() -> Pool {
    Pool::new(Arc::new(Budget::new(1 << 30)))
}

fn lines(gate: Option<mpsc::Receiver<io::Result<()>>>) -> (Lines<Collected>, Arc<Mutex<Seen>>) {
    let seen: Arc<Mutex<Seen>> = Arc::default();
    (Lines::new(Collected { seen: seen.clone(), gate }, Duration::from_secs(3600)), seen)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The bodies of the lines, parsed.
fn bodies(bytes: &[u8]) -> Vec<serde_json::Value> {
    let lines = bytes.split_inclusive(|&b| b == b'\n');
    let body = |line| serde_json::from_slice::<serde_json::Value>(line).unwrap()["payload"]["body"].clone();
    lines.map(body).collect()
}

#[test]
fn short_lines_leave_together_and_a_long_one_keeps_its_place() {
    let pool = pool();
    let long = format!("[\n\"{}\"\r\n]", "x".repeat(3 * HELD_BYTES_MAX));
    let sent = [&b"1"[..], b"{\"a\":\n2}", long.as_bytes(), b"", b"4"];
    let (lines, seen) = lines(None);
    block_on(async {
        for body in sent {
            lines.append(&event(&pool, body), &mut EventLine::default()).await.unwrap();
        }
        assert!(lines.flush_due().is_some());
        lines.settle().await.unwrap();
        assert!(lines.flush_due().is_none());
    });
    let seen = seen.lock().unwrap();
    assert_eq!(seen.writes, 3, "two short, one long, two short");
    let expected: Vec<serde_json::Value> = sent
        .iter()
        .map(
            |body| {
                if body.is_empty() { serde_json::json!({}) } else { serde_json::from_slice(body).unwrap() }
            },
        )
        .collect();
    assert_eq!(bodies(&seen.bytes), expected);
}

#[test]
fn a_long_body_of_short_lines_leaves_in_large_pieces() {
    let pool = pool();
    let body = format!("[\r\n{}1]", "  \"a\",\n".repeat(400_000));
    let (lines, seen) = lines(None);
    block_on(lines.append(&event(&pool, body.as_bytes()), &mut EventLine::default())).unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.pieces < 40, "{} writes", seen.pieces);
    let line = std::str::from_utf8(&seen.bytes).unwrap();
    assert!(line.contains(&body.replace(['\r', '\n'], " ")));
    assert_eq!(line.matches('\n').count(), 1);
}

/// A sink that stands still takes a batch, the next one is held back, and then there is no room: whoever writes there
/// has to wait, and nobody who holds the runtime does. When it moves again, every line comes out, in order.
#[test]
fn a_sink_that_stands_still_holds_up_only_those_who_write_there() {
    let pool = pool();
    let (permit, gate) = mpsc::channel();
    let (lines, seen) = lines(Some(gate));
    let body = |number: usize| format!("[{number},\"{}\"]", "x".repeat(100_000));
    let count = block_on(async {
        let mut count = 0;
        let mut line = EventLine::default();
        loop {
            let event = event(&pool, body(count).as_bytes());
            line.reset();
            if !lines.append_at_once(&event.event(), &mut line) {
                break;
            }
            count += 1;
        }
        assert!((4..=6).contains(&count), "{count}: two batches of 256 KiB");
        let last = event(&pool, body(count).as_bytes());
        let mut line = EventLine::default();
        let mut waiting = std::pin::pin!(lines.append(&last, &mut line));
        let waited = std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx))).await;
        assert!(waited.is_pending() && seen.lock().unwrap().writes == 0, "nothing moves");
        let soon = lines.flush_due().expect("it looks what became of the write");
        assert!(soon <= Instant::now() + LOOK_AGAIN_AFTER);
        for _ in 0..3 {
            permit.send(Ok(())).unwrap();
        }
        waiting.await.unwrap();
        lines.settle().await.unwrap();
        count + 1
    });
    let numbers: Vec<_> =
        bodies(&seen.lock().unwrap().bytes).iter().map(|body| body[0].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..count as u64).collect::<Vec<_>>());
}

#[test]
fn lines_that_could_not_be_written_are_reported_once_and_the_next_are_written() {
    let pool = pool();
    let (permit, gate) = mpsc::channel();
    let (lines, seen) = lines(Some(gate));
    permit.send(Err(io::Error::other("full"))).unwrap();
    block_on(async {
        lines.append(&event(&pool, b"1"), &mut EventLine::default()).await.unwrap();
        let error = lines.settle().await.expect_err("the disk is full");
        assert_eq!(error.to_string(), "node `test`: cannot collect: full");
        assert!(lines.flush_due().is_none());
        permit.send(Ok(())).unwrap();
        lines.append(&event(&pool, b"2"), &mut EventLine::default()).await.unwrap();
        lines.settle().await.unwrap();
        let written = seen.lock().unwrap().bytes.len();
        // The last lines are waited for even if the ones before were lost.
        permit.send(Err(io::Error::other("full again"))).unwrap();
        lines.append(&event(&pool, b"3"), &mut EventLine::default()).await.unwrap();
        lines.flush().unwrap();
        let is_back = || {
            let state = lines.shared.lock();
            state.lost.is_some() && state.sink.is_some()
        };
        while !is_back() {
            tokio::task::yield_now().await;
        }
        assert!(lines.flush_due().is_some_and(|due| due <= Instant::now()), "it is due to be told");
        lines.append(&event(&pool, b"4"), &mut EventLine::default()).await.unwrap();
        permit.send(Ok(())).unwrap();
        assert_eq!(lines.settle().await.unwrap_err().reason, "cannot collect: full again");
        assert!(lines.shared.lock().held.is_empty() && bodies(&seen.lock().unwrap().bytes) == [2, 4]);
        seen.lock().unwrap().bytes.truncate(written);
        permit.send(Err(io::Error::other("still full"))).unwrap();
        let long = format!("\"{}\"", "x".repeat(HELD_BYTES_MAX));
        let failed = lines.append(&event(&pool, long.as_bytes()), &mut EventLine::default()).await;
        assert_eq!(failed.unwrap_err().reason, "cannot collect: still full");
    });
    assert_eq!(bodies(&seen.lock().unwrap().bytes), [2]);
}
