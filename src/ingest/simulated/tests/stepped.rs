//! Connections taken step by step: the peer sends when the test says so, and the test holds the clock. So what takes
//! ten seconds takes none, and nothing depends on how busy the machine is.

use std::collections::VecDeque;
use std::pin::Pin;

use super::*;
use crate::ingest::deadlines::TICK;

/// What lies between a peer and its connection.
#[derive(Default)]
struct Wire {
    arrived: VecDeque<u8>,
    written: Vec<u8>,
    /// The peer has finished sending.
    finished: bool,
    /// The connection has ended its sending side.
    shut: bool,
}

/// The connection's end of a wire.
struct End {
    wire: Rc<RefCell<Wire>>,
    watch: Rc<Watch>,
}

impl Transport for End {
    async fn read(&mut self, mut buf: Buf, limit: usize, _: &Interrupt) -> (io::Result<usize>, Buf) {
        let result = std::future::poll_fn(|_| {
            let mut wire = self.wire.borrow_mut();
            let bytes = wire.arrived.len().min(limit).min(buf.room());
            if bytes == 0 && buf.room() > 0 && !wire.finished {
                let cancelled = || Err(io::Error::from_raw_os_error(libc::ECANCELED));
                return if self.watch.is_interrupted() { Poll::Ready(cancelled()) } else { Poll::Pending };
            }
            let taken: Vec<u8> = wire.arrived.drain(..bytes).collect();
            buf.extend_from_slice(&taken);
            Poll::Ready(Ok(bytes))
        });
        (result.await, buf)
    }

    async fn write(&mut self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.wire.borrow_mut().written.extend_from_slice(&bytes);
        (Ok(()), bytes)
    }

    async fn readable(&self) -> io::Result<()> {
        std::future::poll_fn(|_| if self.has_bytes() { Poll::Ready(Ok(())) } else { Poll::Pending }).await
    }

    fn has_bytes(&self) -> bool {
        !self.wire.borrow().arrived.is_empty()
    }

    fn shutdown_write(&mut self) {
        self.wire.borrow_mut().shut = true;
    }
}

/// A connection, from its peer's side.
struct Stepped<'c> {
    core: &'c Core,
    wire: Rc<RefCell<Wire>>,
    watch: Rc<Watch>,
    life: Pin<Box<dyn Future<Output = ()> + 'c>>,
}

impl<'c> Stepped<'c> {
    fn new(core: &'c Core) -> Self {
        let wire = Rc::new(RefCell::new(Wire::default()));
        let watch = Watch::new(core.now_ms(), Breaker::none());
        let (end, theirs) = (End { wire: wire.clone(), watch: watch.clone() }, watch.clone());
        let life = Box::pin(async move { serve(Connection::new(end, core, &theirs)).await });
        Self { core, wire, watch, life }
    }

    /// Sends these bytes and lets the connection run until it waits. Returns whether it has ended.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.borrow_mut().arrived.extend(bytes.as_ref());
        self.run()
    }

    /// Finishes sending, and lets the connection run. Returns whether it has ended.
    fn finish(&mut self) -> bool {
        self.wire.borrow_mut().finished = true;
        self.run()
    }

    /// Wakes the connection, and lets it run until it waits. Returns whether it has ended.
    fn run(&mut self) -> bool {
        self.life.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Sweeps the connection when the clock stands at `now_ms`, and lets it run. Returns whether it has ended.
    fn sweep_at(&mut self, now_ms: u64) -> bool {
        self.core.set_now_ms(now_ms);
        self.watch.sweep(now_ms, &self.core.limits);
        self.run()
    }

    fn statuses(&self) -> Vec<u16> {
        statuses(&blanked(&self.wire.borrow().written))
    }
}

fn post(id: &str, headers: &str, body: &str) -> String {
    format!("POST /{id} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Every wait for a worker left a waker with the core until the worker took something, so memory grew for as long as
/// one was stuck: with each refusal, and with each wake-up of a connection that then waited on.
#[test]
fn who_waits_for_a_stuck_worker_leaves_nothing_behind() {
    for (what, handles_max) in [("room in the queue", 100), ("a handle", 1)] {
        let room = Room { queue_events_max: 1, handles_max, ..PLENTY };
        let Simulation { core, mut inbox } = Simulation::with(room).unwrap();
        let mut first = Stepped::new(&core);
        first.send(post(OPEN, "", "1"));
        assert_eq!((first.statuses(), core.waiting()), (vec![200], 0), "the queue holds one event");

        let too_long_ms = core.limits.queue_wait_ms + 2 * TICK.as_millis() as u64;
        for round in 1..=20 {
            let mut refused = Stepped::new(&core);
            refused.send(post(OPEN, "", "2"));
            for _ in 0..10 {
                refused.run();
            }
            assert_eq!(
                (refused.statuses(), core.waiting()),
                (vec![], 1),
                "one waits for {what}, round {round}"
            );
            refused.sweep_at(core.now_ms() + too_long_ms);
            assert_eq!(
                (refused.statuses(), core.waiting()),
                (vec![503], 0),
                "{what}, after {round} refusals"
            );
        }
        let mut cut_off = Stepped::new(&core);
        cut_off.send(post(OPEN, "", "3"));
        assert_eq!(core.waiting(), 1, "one waits for {what}");
        drop(cut_off);
        assert_eq!(core.waiting(), 0, "{what}: a connection that is gone waits for nothing");

        let mut patient = Stepped::new(&core);
        patient.send(post(OPEN, "", "4"));
        assert_eq!((patient.statuses(), core.waiting()), (vec![], 1), "one waits for {what}");
        let taken = inbox.pop().expect("the first event is in the queue");
        inbox.send_home(taken);
        patient.run();
        assert_eq!((patient.statuses(), core.waiting()), (vec![200], 0), "{what} is there again");
    }
}

/// The deadline of what is still to come of a refused request started anew with each byte, so a peer that dripped
/// held its connection for ever.
#[test]
fn a_refused_rest_that_drips_ends_in_time() {
    let rows = [
        ("a body that is stepped over", post(GUARDED, "", &" ".repeat(60_000)), 401),
        (
            "anything, the answer being the last",
            post(GUARDED, "Connection: close\r\n", &" ".repeat(60_000)),
            401,
        ),
        ("what is no request", "hello\r\n\r\n".to_owned(), 400),
    ];
    let Simulation { core, .. } = Simulation::new().unwrap();
    for (name, request, status) in rows {
        let (tick_ms, limit_ms) = (TICK.as_millis() as u64, core.limits.linger_timeout_ms);
        let start_ms = core.now_ms();
        let mut peer = Stepped::new(&core);
        let head = request.find("\r\n\r\n").map_or(0, |end| end + 4);
        assert!(!peer.send(&request[..head]), "{name}: it waits for the rest");
        assert_eq!(peer.statuses(), [status], "{name}");
        let mut now_ms = start_ms;
        let ended = loop {
            now_ms += tick_ms;
            if peer.send(" ") || peer.sweep_at(now_ms) {
                break now_ms - start_ms;
            }
            assert!(now_ms < start_ms + 2 * limit_ms, "{name}: still held after {} ms", now_ms - start_ms);
        };
        assert!((limit_ms..=limit_ms + 2 * tick_ms).contains(&ended), "{name}: it ended after {ended} ms");
        assert_eq!(peer.statuses(), [status], "{name}: one answer");
    }
}

/// A close with unread bytes behind it would be a reset, which may overtake the last answer (RFC 9112 §9.6).
#[test]
fn whatever_ends_a_connection_its_peer_may_send_on() {
    let long = " ".repeat(100_000);
    let chunked = |headers: &str, chunks: &str| {
        format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\n{headers}Transfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    let head_of = |request: String| request.trim_end_matches(' ').to_owned();
    let close = "Connection: close\r\n";
    let rows = [
        ("an event, the last that is asked for", post(OPEN, close, "1") + "more", 200),
        ("invalid JSON likewise", post(OPEN, close, "{") + "more", 400),
        ("OPTIONS with a chunked body", chunked("", "").replace("POST", "OPTIONS"), 204),
        ("no request", "hello\r\n\r\n".to_owned(), 400),
        ("a refused body too long to step over", head_of(post(GUARDED, "", &long)), 401),
        ("a refused chunked body", chunked("", "").replace(OPEN, GUARDED), 401),
        ("a refusal in place of 100", head_of(post(GUARDED, "Expect: 100-continue\r\n", "   ")), 401),
        ("a length over the limit", head_of(post(OPEN, "", &long)), 413),
        ("a chunk over the limit", chunked("", "fff\r\n"), 413),
        ("a bad chunk", chunked("", "x\r\n"), 400),
        ("a head that is too slow", "POST".to_owned(), 408),
        ("a body that is too slow", head_of(post(OPEN, "", "   ")), 408),
        ("a chunked body that is too slow", chunked("", "1\r\n"), 408),
    ];
    let Simulation { core, mut inbox } = Simulation::new().unwrap();
    for (name, bytes, status) in rows {
        let mut peer = Stepped::new(&core);
        assert!(!peer.send(bytes), "{name}: it ends with its peer still sending");
        if peer.statuses().is_empty() {
            let late_ms = core.limits.head_read_timeout_ms.max(core.limits.body_read_timeout_ms);
            let ended = peer.sweep_at(core.now_ms() + late_ms + 2 * TICK.as_millis() as u64);
            assert!(!ended, "{name}: it ends with its peer still sending");
        }
        assert_eq!(peer.statuses(), [status], "{name}");
        assert!(peer.wire.borrow().shut, "{name}: the peer does not learn that the answer was the last");
        assert!(!peer.send(post(OPEN, "", "1").repeat(100)), "{name}: it ends with its peer still sending");
        assert!(peer.wire.borrow().arrived.is_empty(), "{name}: bytes lie unread");
        assert!(peer.finish(), "{name}: nothing is left to wait for");
        assert_eq!(peer.statuses(), [status], "{name}: nothing is served after the last answer");
        while let Some(slot) = inbox.pop() {
            inbox.send_home(slot);
        }
    }
}

/// The sender of a large body is answered at its first bad byte, however it came in, and long before its last.
#[test]
fn the_first_bad_byte_is_answered_at_once() {
    const LENGTH: usize = 200_000;
    let room = Room { body_bytes_max: LENGTH as u64, ..PLENTY };
    let Simulation { core, .. } = Simulation::with(room).unwrap();
    let declared = format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n");
    let chunked =
        format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\n");
    let texts = [r#"{"a":[1,-2.5e3,tru"#, r#"["\u00e9\ud83d"#, "[\"é", "  ", "[0", "123"];
    for head in [&declared, &chunked] {
        for text in texts {
            // No document could go on with this byte at any of these places.
            for cut in 0..=text.len() {
                let mut peer = Stepped::new(&core);
                let before = [head.as_bytes(), &text.as_bytes()[..cut]].concat();
                assert!(!peer.send(&before), "{text}");
                assert!(!peer.send(&text.as_bytes()[cut..]), "{text}");
                assert!(peer.statuses().is_empty(), "{text}: nothing is wrong yet");
                assert!(!peer.send(b"\x01"), "{text}: it ends with its peer still sending");
                let answer = String::from_utf8_lossy(&peer.wire.borrow().written).into_owned();
                assert_eq!(peer.statuses(), [400], "{text}");
                assert!(answer.contains(&format!("\"offset\":{}", text.len())), "{text}: {answer}");
                assert!(answer.to_ascii_lowercase().contains("connection: close"), "{text}: {answer}");
                assert!(
                    peer.wire.borrow().shut,
                    "{text}: the peer does not learn that the answer was the last"
                );
                assert!(!peer.send(" ".repeat(LENGTH / 2)), "{text}: it may send on");
                // What it sends is more than is read in one turn.
                (0..4).for_each(|_| assert!(!peer.run(), "{text}: it may send on"));
                assert!(peer.wire.borrow().arrived.is_empty(), "{text}: bytes lie unread");
                assert!(peer.finish(), "{text}: nothing is left to wait for");
            }
        }
    }
    // A little behind the bad byte is stepped over instead, and the connection goes on.
    let mut peer = Stepped::new(&core);
    let (body, left) = (" ".repeat(LENGTH - 60_000), "x".repeat(60_000));
    peer.send(post(OPEN, "", &format!("{body}{left}")).trim_end_matches('x'));
    (0..4).for_each(|_| assert!(!peer.run()));
    assert!(peer.statuses().is_empty());
    peer.send("x");
    assert_eq!(peer.statuses(), [400]);
    peer.send(&left[1..]);
    peer.send(post(OPEN, "", "1"));
    assert_eq!(peer.statuses(), [400, 200]);
}

#[test]
fn a_peer_that_finished_inside_a_request_is_told_and_not_waited_for() {
    let chunked = format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n");
    let Simulation { core, .. } = Simulation::new().unwrap();
    for start in ["POST".to_owned(), post(OPEN, "", "[1]").replace("1]", ""), chunked] {
        let mut peer = Stepped::new(&core);
        assert!(!peer.send(&start), "{start:?}");
        assert!(peer.finish(), "{start:?}: nothing is left to wait for");
        assert_eq!(peer.statuses(), [400], "{start:?}");
    }
}
