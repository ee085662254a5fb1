//! The console over real sockets, on a thread of its own as in the server.

use super::*;
use crate::http::reject;
use crate::metrics::{ByStatus, TriggerMetrics};
use bytes::Bytes;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Longer than anything here takes; a test that waits this long has failed.
const FOREVER: Duration = Duration::from_secs(20);

struct Console {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    tails: Arc<FakeTails>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Console {
    fn start() -> Self {
        Self::start_at("127.0.0.1:0", Bounds { farewell: FOREVER, ..Bounds::DEFAULT })
    }

    fn start_at(address: &str, bounds: Bounds) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let metrics = Arc::new(Metrics::new(2, 1));
        let readiness = Arc::new(Readiness::default());
        let (stop, stopped) = oneshot::channel();
        let tails = Arc::new(FakeTails::default());
        let (numbers, state, open_tail) = (metrics.clone(), readiness.clone(), FakeTails::opener(&tails));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                serve_within(bounds, listener, numbers, state, open_tail, async { stopped.await.unwrap() })
                    .await
            })
        });
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), metrics, readiness, tails, stop, thread }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        stream
    }

    /// Sends the bytes on a connection of their own and reads until its end.
    fn send(&self, bytes: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        Answer::parse(&text)
    }

    fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address))
    }

    /// Stops it and says how long that took.
    fn stop(self) -> Duration {
        let begun = Instant::now();
        self.stop.send(()).unwrap();
        self.thread.join().unwrap().unwrap();
        begun.elapsed()
    }
}

/// Tails without events: lines come from the test, and it is seen when they are let go.
#[derive(Default)]
struct FakeTails {
    wanted: Mutex<Vec<TailWanted>>,
    lines: Mutex<Vec<mpsc::UnboundedSender<Bytes>>>,
}

impl FakeTails {
    fn opener(tails: &Arc<Self>) -> OpenTail {
        let tails = tails.clone();
        Arc::new(move |wanted: TailWanted| {
            match wanted.webhook.as_deref() {
                Some("nobody") => return Err(TailRefused::NoSuchWebhook("no webhook \"nobody\"".into())),
                Some("crowd") => return Err(TailRefused::TooMany(16)),
                Some("late") => return Err(TailRefused::Ending),
                _ => {}
            }
            if let Some(filter) = &wanted.filter {
                return Err(TailRefused::BadFilter(format!("1:1: {filter}")));
            }
            let (lines, mut watched) = mpsc::unbounded_channel();
            tails.wanted.lock().unwrap().push(wanted);
            tails.lines.lock().unwrap().push(lines);
            Ok(Box::pin(futures_util::stream::poll_fn(move |cx| watched.poll_recv(cx))))
        })
    }

    fn wait_for(&self, what: &str, found: impl Fn(&[mpsc::UnboundedSender<Bytes>]) -> bool) {
        let begun = Instant::now();
        while !found(&self.lines.lock().unwrap()) {
            assert!(begun.elapsed() < FOREVER, "{what}");
            std::thread::yield_now();
        }
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// That it is a problem document of this status and code.
    #[track_caller]
    fn check_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!((&body["status"], &body["code"]), (&status.into(), &code.into()), "{self:?}");
        for member in ["title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {self:?}");
        }
    }
}

/// Reads one answer of a connection that stays open, by its declared length.
fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        text.push(byte[0]);
    }
    let head = Answer::parse(std::str::from_utf8(&text).unwrap());
    let mut body = vec![0; head.header("content-length").unwrap().parse().unwrap()];
    stream.read_exact(&mut body).unwrap();
    Answer { body: String::from_utf8(body).unwrap(), ..head }
}

/// Waits until the other side has closed or reset the connection, and says how long that took.
fn wait_for_end(mut stream: TcpStream) -> Duration {
    let begun = Instant::now();
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "it did not end"),
    }
    begun.elapsed()
}

#[test]
fn alive_in_every_state() {
    let console = Console::start();
    for state in [ReadyState::Starting, ReadyState::Ready, ReadyState::Draining] {
        console.readiness.advance(state);
        let answer = console.get("/healthz");
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{state:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    console.stop();
}

#[test]
fn ready_only_between_start_and_end() {
    let console = Console::start();
    console.get("/readyz").check_problem(503, "starting");
    console.readiness.advance(ReadyState::Ready);
    let answer = console.get("/readyz");
    assert_eq!((answer.status, answer.body.as_str()), (200, "ready"));
    console.readiness.advance(ReadyState::Draining);
    console.get("/readyz").check_problem(503, "draining");
    console.stop();
}

#[test]
fn metrics_are_those_of_now() {
    let console = Console::start();
    let line = "\ninrush_requests_total{core=\"1\",status=\"200\"} ";
    assert!(console.get("/metrics").body.contains(&format!("{line}0\n")));
    console.metrics.cores[1].answered(200);
    let answer = console.get("/metrics");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.body.contains(&format!("{line}1\n")), "{}", answer.body);
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    console.stop();
}

#[test]
fn anything_else_is_a_problem() {
    let console = Console::start();
    for path in ["/", "/healthz/", "/metrics/x", "/HEALTHZ", "/..%2fmetrics", "/?healthz"] {
        console.get(path).check_problem(404, "not_found");
    }
    let post = "POST /healthz HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let answer = console.send(post);
    answer.check_problem(405, "method_not_allowed");
    assert_eq!(answer.header("allow"), Some("get,head"), "the header was lower-cased above");
    let head = console.send("HEAD /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!((head.status, head.body.as_str(), head.header("content-length")), (200, "", Some("2")));
    assert_eq!(console.send("nonsense\r\n\r\n").status, 400);
    console.stop();
}

#[test]
fn a_page_that_rebound_its_name_reads_nothing() {
    let console = Console::start();
    console.readiness.advance(ReadyState::Ready);
    let ask = |path: &str, host: &str| {
        console.send(&format!("GET {path} HTTP/1.1\r\n{host}connection: close\r\n\r\n"))
    };
    for path in ["/healthz", "/readyz", "/metrics", "/elsewhere"] {
        ask(path, "host: evil.example\r\n").check_problem(403, "foreign_host");
        ask(path, "").check_problem(400, "bad_host");
        ask(path, "host: localhost\r\nhost: localhost\r\n").check_problem(400, "bad_host");
    }
    let port = console.address.port();
    for host in [format!("localhost:{port}"), "localhost".into(), format!("127.0.0.1:{port}"), "[::1]".into()]
    {
        assert_eq!(ask("/readyz", &format!("host: {host}\r\n")).status, 200, "{host}");
    }
    assert_eq!(console.send("GET /healthz HTTP/1.0\r\n\r\n").status, 200);
    console.stop();
}

#[test]
fn an_address_open_to_others_goes_by_any_name() {
    let console = Console::start_at("0.0.0.0:0", Bounds::DEFAULT);
    let answer = console.send("GET /healthz HTTP/1.1\r\nhost: inrush.example\r\nconnection: close\r\n\r\n");
    assert_eq!(answer.status, 200);
    console.stop();
}

#[test]
fn a_connection_serves_many_requests() {
    let console = Console::start_at("127.0.0.1:0", Bounds { request_bytes_max: 200, ..Bounds::DEFAULT });
    let mut stream = console.connect();
    for _ in 0..50 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert_eq!(read_answer(&mut stream).body, "ok");
    }
    drop(stream);
    console.stop();
}

#[test]
fn a_silent_or_trickling_peer_is_sent_away() {
    let answer_within = Duration::from_millis(300);
    let console = Console::start_at("127.0.0.1:0", Bounds { answer_within, ..Bounds::DEFAULT });
    let silent = console.connect();
    let mut half = console.connect();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").unwrap();
    let mut idle = console.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut idle).status, 200);
    // A byte at a time, always well within the limit: only the whole request counts.
    let mut trickling = console.connect();
    let begun = Instant::now();
    trickling.write_all(b"GET /healthz HTTP/1.1\r\nx: ").unwrap();
    while trickling.write_all(b"x").is_ok() {
        assert!(begun.elapsed() < FOREVER / 2, "bytes that trickle in bought time");
        std::thread::sleep(answer_within / 30);
    }
    for stream in [silent, half, idle] {
        assert!(wait_for_end(stream) < FOREVER / 2);
    }
    assert_eq!(console.get("/healthz").status, 200);
    console.stop();
}

#[test]
fn a_request_of_too_many_bytes_is_cut_off() {
    let bounds = Bounds { request_bytes_max: 1000, ..Bounds::DEFAULT };
    let console = Console::start_at("127.0.0.1:0", bounds);
    let ask = |bytes: usize| {
        let (front, back) =
            ("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: ", "\r\nconnection: close\r\n\r\n");
        let mut stream = console.connect();
        let filling = "x".repeat(bytes - front.len() - back.len());
        stream.write_all(format!("{front}{filling}{back}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        // Cut off may show as a reset; what counts is that there is no answer.
        stream.read_to_end(&mut answer).ok();
        String::from_utf8(answer).unwrap()
    };
    assert_eq!(Answer::parse(&ask(1000)).status, 200);
    assert_eq!(ask(1001), "");
    console.stop();
}

#[test]
fn further_connections_wait_for_a_seat() {
    let console = Console::start_at("127.0.0.1:0", Bounds { connections_max: 2, ..Bounds::DEFAULT });
    let mut seated = [console.connect(), console.connect()];
    for stream in &mut seated {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        assert_eq!(read_answer(stream).status, 200);
    }
    let mut waiting = console.connect();
    waiting.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let early = waiting.read(&mut [0; 1]).unwrap_err().kind();
    assert!(matches!(early, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{early:?}");
    drop(seated);
    waiting.set_read_timeout(Some(FOREVER)).unwrap();
    assert_eq!(read_answer(&mut waiting).status, 200);
    drop(waiting);
    console.stop();
}

#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let console = Console::start();
    let mut idle = console.connect();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut idle).status, 200);
    let address = console.address;
    assert!(console.stop() < FOREVER / 2);
    wait_for_end(idle);
    assert!(TcpStream::connect(address).is_err(), "the listener is still open");
}

#[test]
fn a_stuck_connection_holds_up_the_end_only_so_long() {
    let farewell = Duration::from_millis(100);
    let console = Console::start_at("127.0.0.1:0", Bounds { farewell, ..Bounds::DEFAULT });
    // Half a first head: the server beneath waits for the rest even when asked to end.
    let mut stuck = console.connect();
    stuck.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").unwrap();
    // Accepted later and answered, so the other one has been read by now.
    assert_eq!(console.get("/healthz").status, 200);
    assert!(console.stop() < FOREVER / 2);
}

#[test]
fn triggers_are_counted() {
    let console = Console::start();
    assert_eq!(console.get("/triggers").body, "[]\n");
    let counts = Arc::new(TriggerMetrics::new("w \"1\"", "t", vec!["log"], 2));
    console.metrics.set_triggers(vec![counts.clone()]);
    counts.workers[1].events.add(7);
    counts.workers[0].nodes[0].runs.add(5);
    let answer = console.get("/triggers");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let found: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&found[0]["webhook"], &found[0]["events"]), (&"w \"1\"".into(), &7.into()));
    assert_eq!(
        found[0]["nodes"][0],
        serde_json::json!({"node": "log", "runs": 5, "failures": 0, "mean_us": null})
    );
    console.stop();
}

/// Reads until the bytes end with these.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {text:?}"));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_tail_passes_lines_on_until_one_side_ends() {
    let console = Console::start();
    let watch = || {
        let mut stream = console.connect();
        stream.write_all(b"GET /tail?webhook=a%20b&every=2 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let head = Answer::parse(&read_until(&mut stream, "\r\n\r\n"));
        assert_eq!((head.status, head.header("content-type")), (200, Some("application/x-ndjson")));
        stream
    };
    let (mut first, second) = (watch(), watch());
    let asked = console.tails.wanted.lock().unwrap()[0].clone();
    assert_eq!((asked.webhook.as_deref(), asked.every.get()), (Some("a b"), 2));
    let send =
        |line: &'static str| console.tails.lines.lock().unwrap()[0].send(Bytes::from_static(line.as_bytes()));
    for line in ["{\"id\":1}\n", "\n", "{\"id\":2}\n"] {
        send(line).unwrap();
        read_until(&mut first, &format!("{line}\r\n"));
    }
    // The second goes away although nothing was ever said to it.
    drop(second);
    console.tails.wait_for("it is let go", |lines| lines[1].is_closed() && !lines[0].is_closed());
    console.tails.lines.lock().unwrap().clear();
    assert_eq!(read_until(&mut first, "0\r\n\r\n"), "0\r\n\r\n", "the last chunk: it ended in order");
    console.stop();
}

#[test]
fn a_tail_that_cannot_be_is_a_problem() {
    let console = Console::start();
    for (query, status, code) in [
        ("every=0", 400, "bad_query"),
        ("fliter=a", 400, "bad_query"),
        ("webhook=nobody", 400, "no_such_webhook"),
        ("filter=a%20%3D", 400, "bad_filter"),
        ("webhook=crowd", 503, "too_many_tails"),
        ("webhook=late", 503, "draining"),
    ] {
        console.get(&format!("/tail?{query}")).check_problem(status, code);
    }
    console.stop();
    let open = Console::start_at("0.0.0.0:0", Bounds::DEFAULT);
    open.get("/tail").check_problem(403, "not_on_loopback");
    assert!(open.tails.wanted.lock().unwrap().is_empty());
    open.stop();
}

/// A tail that is not read holds nothing up but its own connection, and that one not for long.
#[test]
fn a_tail_that_is_not_read_is_let_go() {
    let answer_within = Duration::from_millis(300);
    let console = Console::start_at("127.0.0.1:0", Bounds { answer_within, ..Bounds::DEFAULT });
    let mut stream = console.connect();
    stream.write_all(b"GET /tail HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    console.tails.wait_for("it begins", |lines| lines.len() == 1);
    let much = Bytes::from(vec![b'\n'; 1 << 20]);
    (0..64).for_each(|_| console.tails.lines.lock().unwrap()[0].send(much.clone()).unwrap());
    console.tails.wait_for("it is let go", |lines| lines[0].is_closed());
    drop(stream);
    console.stop();
}

/// Each refusal of the HTTP table must show in the metrics under its own status.
#[test]
fn every_refusal_has_its_counter() {
    for problem in reject::ALL {
        assert!(ByStatus::knows(problem.status), "{} ({})", problem.status, problem.code);
    }
}
