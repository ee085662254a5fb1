//! No allocation per request on a core, once it has seen the like: counted by the allocator of the process, on the
//! core's thread only, while whole requests pass over real sockets.
//!
//! What is not per request is allowed, and told apart by where it comes from:
//! - by the clock: the tick of the deadline sweep makes a timer entry, and the `Date` of answers is formatted anew
//!   each second ([`BY_THE_CLOCK`]);
//! - by growth: vectors, handles and pages of buffers, until there are as many as requests are on their way at once.
//!   Hence the rule: [`CLEAN_ROUNDS`] rounds in a row without one, within [`ROUNDS_MAX`]. An allocation that comes
//!   with a request makes every round unclean;
//! - by connection: accepting one allocates its task and what it shares with the sweep. The test holds their number.
//!
//! Each driver is measured in a process of its own: the driver, the allocator and SIGTERM are the process's.
// What was measured is part of what these tests are for.
#![allow(clippy::print_stdout)]

#[path = "allocations/counting.rs"]
mod counting;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use counting::{Taken, measure};
use inrush::config::{Config, Overrides};
use inrush::limits::Limits;
use inrush::server::{ServeError, Server, Started};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const ID: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0042";
/// A webhook whose node reads the body, in a build for benches.
#[cfg(inrush_bench)]
const READ_ID: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b0043";
const SECRET: &str = "correct-horse-battery-staple";
/// Set in the process that measures.
const MEASURES: &str = "ALLOCATIONS_ARE_MEASURED_HERE";

/// Connections that send at the same time.
const CONNECTIONS: usize = 4;
/// Requests of each connection in one round, and bytes where those are large.
const REQUESTS: usize = 1024;
const ROUND_BYTES: usize = 2 << 20;
/// Rounds in a row that must be without any allocation.
const CLEAN_ROUNDS: usize = 3;
/// Rounds until then. Growth is bounded by the queue of [`QUEUE_EVENTS_MAX`], so it ends.
const ROUNDS_MAX: usize = 40;
/// Small, so that the worst case of events on their way is soon seen.
const QUEUE_EVENTS_MAX: usize = 64;
/// What accepting a connection and serving its first request may allocate.
const PER_CONNECTION_MAX: u64 = 12;
/// Functions that allocate by the clock.
const BY_THE_CLOCK: &[&str] = &["sweep_deadlines", "Core::read_clock"];

#[test]
fn a_request_allocates_nothing_on_io_uring() {
    in_a_process_of_its_own("a_request_allocates_nothing_on_io_uring", "io_uring");
}

#[test]
fn a_request_allocates_nothing_on_epoll() {
    in_a_process_of_its_own("a_request_allocates_nothing_on_epoll", "epoll");
}

fn in_a_process_of_its_own(test: &str, driver: &str) {
    if std::env::var_os(MEASURES).is_some() {
        return measure_all_shapes();
    }
    let mut child = Command::new(std::env::current_exe().expect("the path of this test"));
    child.args([test, "--exact", "--nocapture"]).env("INRUSH_DRIVER", driver).env(MEASURES, "1");
    let output = child.output().expect("run this test again");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{driver}:\n{said}");
    assert!(output.status.success(), "on {driver}:\n{said}");
    assert!(said.contains(" 0 allocations"), "nothing was measured on {driver}:\n{said}");
}

/// One kind of request.
struct Shape {
    name: String,
    request: Vec<u8>,
    status: &'static str,
}

impl Shape {
    /// How often each connection sends it in a round: a multiple of every depth.
    fn requests(&self) -> usize {
        (ROUND_BYTES / self.request.len()).clamp(64, REQUESTS) / 16 * 16
    }
}

fn post(name: &str, secret: &str, body: &str) -> Shape {
    post_to(ID, name, secret, body)
}

fn post_to(id: &str, name: &str, secret: &str, body: &str) -> Shape {
    let head = format!(
        "POST /{id}/orders?shop=7 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         x-bp-secret: {secret}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Shape { name: name.to_owned(), request: [head.as_bytes(), body.as_bytes()].concat(), status: "200" }
}

fn shapes() -> Vec<Shape> {
    let chunked = {
        let body = document(1024, "plain");
        let (first, second) = body.split_at(100);
        let request = format!(
            "POST /{ID} HTTP/1.1\r\nHost: h\r\nx-bp-secret: {SECRET}\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        );
        Shape { name: "chunked 1 KiB".to_owned(), request: request.into_bytes(), status: "200" }
    };
    vec![
        post("200 B", SECRET, &document(200, "plain")),
        post("1 KiB", SECRET, &document(1024, "plain")),
        post("16 KiB", SECRET, &document(16 * 1024, "plain")),
        post("1 KiB with escapes", SECRET, &document(1024, r"line\nbreak \u00e9")),
        post("80 KiB, judged as it arrives", SECRET, &document(80 * 1024, "plain")),
        post("no body", SECRET, ""),
        #[cfg(inrush_bench)]
        post_to(READ_ID, "1 KiB, read", SECRET, &document(1024, "plain")),
        #[cfg(inrush_bench)]
        post_to(READ_ID, "16 KiB with escapes, read", SECRET, &document(16 * 1024, r"line\nbreak \u00e9")),
        #[cfg(inrush_bench)]
        post_to(READ_ID, "80 KiB, read", SECRET, &document(80 * 1024, "plain")),
        chunked,
        Shape { status: "400", ..post("not JSON", SECRET, "{\"a\":nul}") },
        Shape { status: "401", ..post("wrong secret", "wrong", &document(200, "plain")) },
    ]
}

/// A JSON document of exactly so many bytes, with numbers, strings and structure.
fn document(bytes: usize, text: &str) -> String {
    let mut document = String::from("[");
    let mut number = 0;
    while document.len() + 120 < bytes {
        number += 1;
        let _ = write!(
            document,
            r#"{{"id":{number},"price":{number}.25,"text":"{text}","tags":["a","b"],"paid":true}},"#
        );
    }
    let rest = bytes - document.len() - 3;
    let _ = write!(document, "\"{}\"]", "x".repeat(rest));
    assert_eq!(document.len(), bytes);
    document
}

fn measure_all_shapes() {
    let directory = tempfile::tempdir().expect("make a directory");
    let (address, server) = start(directory.path());
    for shape in shapes() {
        for depth in [1, 16] {
            let mut connections: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(address)).collect();
            let (rounds, by_the_clock) = rounds_until_clean(&shape, depth, &mut connections);
            println!(
                "{}, {depth} deep: 0 allocations in the last {} of {} requests; {by_the_clock} by the clock meanwhile",
                shape.name,
                CLEAN_ROUNDS * CONNECTIONS * shape.requests(),
                rounds * CONNECTIONS * shape.requests(),
            );
        }
    }
    accepting_allocates_a_stated_number(address);
    stop_this_process();
    let ended = server.join().expect("the server's thread does not panic");
    assert!(ended.is_ok(), "the server did not end well: {ended:?}");
}

/// Sends rounds until enough of them in a row were clean. Returns how many it took, and what was allocated by the
/// clock in the clean ones.
fn rounds_until_clean(shape: &Shape, depth: usize, connections: &mut [TcpStream]) -> (usize, u64) {
    let (mut clean, mut by_the_clock, mut last) = (0, 0, Vec::new());
    for round in 1..=ROUNDS_MAX {
        let ((), taken) = measure(|| send_round(shape, depth, connections));
        let (of_requests, of_the_clock) = sorted(&taken);
        if of_requests.is_empty() {
            clean += 1;
            by_the_clock += of_the_clock;
        } else {
            (clean, by_the_clock, last) = (0, 0, of_requests);
        }
        if clean == CLEAN_ROUNDS {
            return (round, by_the_clock);
        }
    }
    panic!(
        "{}, {depth} deep: after {ROUNDS_MAX} rounds of {} requests the core still allocates, {} times in a round, \
         for example:\n{}",
        shape.name,
        CONNECTIONS * shape.requests(),
        last.len(),
        distinct(last).join("\n\n")
    );
}

/// The places that have nothing to do with the clock, and how many had.
fn sorted(taken: &Taken) -> (Vec<String>, u64) {
    let unseen = taken.count - taken.places.len() as u64;
    let (clock, mut requests): (Vec<_>, Vec<_>) =
        taken.places.iter().cloned().partition(|place| BY_THE_CLOCK.iter().any(|name| place.contains(name)));
    if unseen > 0 {
        requests.push(format!("    and {unseen} more"));
    }
    (requests, clock.len() as u64)
}

fn distinct(mut places: Vec<String>) -> Vec<String> {
    places.sort();
    places.dedup();
    places
}

fn send_round(shape: &Shape, depth: usize, connections: &mut [TcpStream]) {
    let batch = shape.request.repeat(depth);
    std::thread::scope(|scope| {
        for stream in connections {
            let batch = &batch;
            scope.spawn(move || {
                let mut answers = Vec::new();
                for _ in 0..shape.requests() / depth {
                    stream.write_all(batch).expect("the server takes the requests");
                    read_answers(stream, depth, shape.status, &mut answers);
                }
            });
        }
    });
}

/// Reads exactly so many answers, and checks each status.
fn read_answers(stream: &mut TcpStream, count: usize, status: &str, answers: &mut Vec<u8>) {
    answers.clear();
    let mut some = [0; 16 * 1024];
    let mut seen = 0;
    let mut at = 0;
    while seen < count {
        let bytes = stream.read(&mut some).expect("an answer comes in time");
        assert!(bytes > 0, "the server ended the connection: {}", answers.escape_ascii());
        answers.extend_from_slice(&some[..bytes]);
        while let Some(end) = end_of_answer(&answers[at..]) {
            assert_eq!(
                answers[at + 9..at + 12].escape_ascii().to_string(),
                status,
                "{}",
                answers.escape_ascii()
            );
            (at, seen) = (at + end, seen + 1);
        }
    }
    assert_eq!((at, seen), (answers.len(), count), "more than was asked for: {}", answers.escape_ascii());
}

/// How long the first answer is, if it is complete.
fn end_of_answer(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).expect("a head is text").to_ascii_lowercase();
    let length = text.split_once("content-length: ").expect("every answer here has a length").1;
    let length: usize = length.split_once("\r\n").expect("a line ends").0.parse().expect("a number");
    (bytes.len() >= head + length).then_some(head + length)
}

fn accepting_allocates_a_stated_number(address: SocketAddr) {
    const ACCEPTED: usize = 200;
    let shape = &shapes()[0];
    let first_requests = || {
        let (mut last, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..ACCEPTED {
            let mut stream = connect(address);
            stream.write_all(&shape.request).expect("the server takes the request");
            read_answers(&mut stream, 1, shape.status, &mut answers);
            last.push(stream);
        }
    };
    first_requests();
    let ((), taken) = measure(first_requests);
    let each = taken.count.div_ceil(ACCEPTED as u64);
    let (of_requests, _) = sorted(&taken);
    println!("a connection accepted, with its first request: at most {each} allocations");
    assert!(
        (1..=PER_CONNECTION_MAX).contains(&each),
        "{each} allocations for each connection, from:\n{}",
        distinct(of_requests).join("\n\n")
    );
}

fn connect(address: SocketAddr) -> TcpStream {
    const PATIENCE: Duration = Duration::from_secs(20);
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("connect to the server");
    stream.set_nodelay(true).expect("set TCP_NODELAY");
    stream.set_read_timeout(Some(PATIENCE)).expect("set a read timeout");
    stream
}

/// Runs the server in this process, with one core and one worker.
fn start(directory: &Path) -> (SocketAddr, std::thread::JoinHandle<Result<(), ServeError>>) {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\ndata_dir = {:?}\ncores = 1\nworkers = 1\n\
         [limits]\nqueue_events_max = {QUEUE_EVENTS_MAX}\nqueue_wait_ms = 30000\n\
         [[webhook]]\nname = \"w\"\nid = \"{ID}\"\nsecret = \"{SECRET}\"\n\
         [[webhook.trigger]]\nid = \"t\"\nnodes = [{{ type = \"discard\" }}]\n",
        directory.join("data").display().to_string()
    );
    #[cfg(inrush_bench)]
    let text = format!(
        "{text}[[webhook]]\nname = \"read\"\nid = \"{READ_ID}\"\nsecret = \"{SECRET}\"\n\
         [[webhook.trigger]]\nid = \"t\"\nnodes = [{{ type = \"read\", field = \"id\" }}]\n"
    );
    let config = Config::parse(&directory.join("inrush.toml"), &text, &Overrides::default(), &|_| None);
    let config = config.unwrap_or_else(|error| panic!("the configuration of this test: {error}"));
    let limits = Limits::derive(&config).unwrap_or_else(|error| panic!("the limits of this test: {error}"));
    let (say, said) = mpsc::channel();
    let server = std::thread::spawn(move || {
        let started = |started: &Started| {
            say.send(started.listen).expect("somebody waits for the address");
        };
        Server::builder().config(config).limits(limits).run(started)
    });
    let address = said.recv_timeout(Duration::from_secs(20)).expect("the server starts");
    (address, server)
}

fn stop_this_process() {
    // The shell's builtin: std has no kill(2). The server of this process catches it.
    let status = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", std::process::id())).status();
    assert!(status.expect("run sh").success(), "SIGTERM could not be sent");
}
