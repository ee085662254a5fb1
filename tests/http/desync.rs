//! No request is ever mistaken for another: valid and refused requests in random order, pipelined on many
//! connections, in random pieces, with bodies that look like requests. Every answer must belong to its request.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::server::{ANY, LOCKED, OPEN, SECRET, SHOP, TINY, UNKNOWN};
use crate::support::{Driver, Random, Server};

const CONNECTIONS: usize = 96;
const AT_ONCE: usize = 16;
const REQUESTS: usize = 60;
/// A refused body up to this size is read over, and the connection kept.
const SKIPPED_BYTES_MAX: usize = 64 * 1024;

/// One request and what it must get.
struct Request {
    bytes: Vec<u8>,
    status: u16,
    to_head: bool,
    /// The body that its event must have.
    event: Option<String>,
    /// Unique in the run; stands in the query.
    mark: String,
}

#[test]
fn no_request_is_mistaken_for_another_on_io_uring() {
    check(Driver::Uring);
}

#[test]
fn no_request_is_mistaken_for_another_on_epoll() {
    check(Driver::Epoll);
}

#[track_caller]
fn check(driver: Driver) {
    let seed = Random::seed_or(0x5eed_0001);
    let server = Server::start(driver);
    let mut promised: Vec<(String, Request)> = Vec::new();
    for wave in 0..CONNECTIONS / AT_ONCE {
        let connections: Vec<_> = (0..AT_ONCE)
            .map(|i| {
                let client = server.connect();
                let number = wave * AT_ONCE + i;
                thread::spawn(move || converse(client, number, Random::new(seed ^ (number as u64) << 32)))
            })
            .collect();
        for connection in connections {
            match connection.join() {
                Ok(Ok(ids)) => promised.extend(ids),
                Ok(Err(fault)) => panic!("seed {seed} on {driver:?}: {fault}\n{}", server.stderr()),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    }
    let events = server.finish();
    for (id, request) in &promised {
        let event = events.find(id).unwrap_or_else(|| panic!("seed {seed}: no event for {}", request.mark));
        let mark = event.at("/query/mark").and_then(|mark| mark.as_str());
        assert_eq!(mark, Some(request.mark.as_str()), "seed {seed}: the answer names another's event");
        assert_eq!(Some(&event.body), request.event.as_ref(), "seed {seed}: {}", request.mark);
    }
    let strangers: Vec<_> =
        events.all.iter().filter(|event| !promised.iter().any(|(id, _)| *id == event.id)).collect();
    assert!(strangers.is_empty(), "seed {seed}: events that nobody sent: {strangers:?}");
}

/// One connection: one thread writes everything in random pieces, the other reads the answers.
fn converse(
    mut client: crate::support::Client,
    number: usize,
    mut random: Random,
) -> Result<Vec<(String, Request)>, String> {
    let requests: Vec<Request> =
        (0..REQUESTS).map(|i| request(&mut random, format!("{number}-{i}"))).collect();
    let bytes: Vec<u8> = requests.iter().flat_map(|request| &request.bytes).copied().collect();
    let mut writer = client.stream.try_clone().map_err(|e| e.to_string())?;
    let largest = *random.pick(&[1, 7, 50, 700, 20_000, usize::MAX]);
    let mut pieces = Random::new(random.next());
    let writing = thread::spawn(move || {
        use std::io::Write;
        let mut rest = bytes.as_slice();
        // Single bytes only for so long: the point is the boundaries, not the time.
        let mut small = 4000_u32;
        while !rest.is_empty() {
            let most = if small == 0 { 20_000 } else { largest };
            small = small.saturating_sub(1);
            let piece = (pieces.below(most.min(rest.len())) + 1).min(rest.len());
            if writer.write_all(&rest[..piece]).is_err() {
                return;
            }
            rest = &rest[piece..];
            if pieces.chance(4) {
                thread::yield_now();
            }
        }
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut ids = Vec::new();
    for request in requests {
        let answer =
            client.try_answer(request.to_head, deadline).map_err(|e| format!("{}: {e}", request.mark))?;
        if answer.status != request.status {
            let code = answer.code().unwrap_or_default();
            let start = request.bytes.escape_ascii().to_string();
            let start = &start[..start.len().min(400)];
            return Err(format!(
                "{}: expected {}, got {} {code}: {start}",
                request.mark, request.status, answer.status
            ));
        }
        if let Some(fault) = answer.fault(request.to_head) {
            return Err(format!("{}: {fault}", request.mark));
        }
        if request.event.is_some() {
            ids.push((answer.event_id().to_owned(), request));
        } else if answer.header("x-event-id").is_some() {
            return Err(format!("{}: an event that must not be", request.mark));
        }
    }
    writing.join().map_err(|_| "the writer panicked")?;
    Ok(ids)
}

/// A request of any kind that keeps the connection.
fn request(random: &mut Random, mark: String) -> Request {
    let decoy = format!("POST /{OPEN}?mark=smuggled HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}");
    let document = document(random, &mark);
    // What is refused may hold anything; most tempting is a whole request, or the start of one.
    let anything = match random.below(4) {
        0 => decoy.clone(),
        1 => decoy.repeat(1 + random.below(50)),
        2 => decoy[..random.below(decoy.len())].to_owned(),
        _ => document.clone(),
    };
    let (method, id, lines, body, status, event) = match random.below(13) {
        0..=3 => ("POST", OPEN, String::new(), document.clone(), 200, Some(document)),
        4 => ("GET", OPEN, String::new(), String::new(), 200, Some("{}".to_owned())),
        5 => ("POST", LOCKED, format!("x-bp-secret: {SECRET}\r\n"), document.clone(), 200, Some(document)),
        6 => ("POST", ANY, "Origin: https://x.example\r\n".to_owned(), document.clone(), 200, Some(document)),
        7 => ("POST", LOCKED, "x-bp-secret: no\r\n".to_owned(), anything, 401, None),
        8 => ("POST", UNKNOWN, String::new(), anything, 404, None),
        9 => ("PUT", OPEN, String::new(), anything, 405, None),
        10 => ("POST", SHOP, "Origin: https://evil.example\r\n".to_owned(), anything, 403, None),
        11 => ("POST", OPEN, String::new(), format!("x{decoy}"), 400, None),
        _ => ("HEAD", TINY, String::new(), String::new(), 405, None),
    };
    let mut bytes = format!("{method} /{id}?mark={mark} HTTP/1.1\r\nHost: h\r\n{lines}").into_bytes();
    // On the head alone a body is refused and the connection kept where its end is known and near.
    let refused_on_its_head = event.is_none() && status != 400;
    let body = if refused_on_its_head {
        &body.as_bytes()[..body.len().min(SKIPPED_BYTES_MAX)]
    } else {
        body.as_bytes()
    };
    // A chunked body that is no document closes it.
    frame(random, &mut bytes, body, event.is_some());
    Request { bytes, status, to_head: method == "HEAD", event, mark }
}

/// A document with its mark, of any size from a few bytes to what is judged as it arrives.
fn document(random: &mut Random, mark: &str) -> String {
    let length = match random.below(40) {
        0 => 70_000 + random.below(100_000),
        1..=3 => 4_000 + random.below(30_000),
        _ => random.below(300),
    };
    let filling = *random.pick(&["POST / HTTP/1.1 ", "0\\r\\n\\r\\n", "é", "x"]);
    format!("{{\"mark\":\"{mark}\",\"x\":\"{}\"}}", filling.repeat(length / filling.len()))
}

/// Ends the head and writes the body: declared, in chunks of any size, or not at all.
fn frame(random: &mut Random, bytes: &mut Vec<u8>, body: &[u8], may_be_chunked: bool) {
    if body.is_empty() && random.chance(2) {
        bytes.extend_from_slice(b"\r\n");
        return;
    }
    if !may_be_chunked || random.chance(2) {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        return;
    }
    bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    let most = *random.pick(&[3, 40, 1_000, 100_000]);
    // A large body in chunks of one byte would only take long.
    let most = if body.len() > 3_000 { most.max(1_000) } else { most };
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, next) = rest.split_at((random.below(most) + 1).min(rest.len()));
        let extension = if random.chance(5) { ";a=\"b c\"" } else { "" };
        bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        rest = next;
    }
    bytes.extend_from_slice(if random.chance(5) { b"0\r\nX-Sum: 1\r\n\r\n" } else { b"0\r\n\r\n" });
}
