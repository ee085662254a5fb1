//! SIGTERM under load, on both drivers: every request whose first byte was read is answered, every 2xx is in the
//! file node's output, and the process ends well and in time.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use support::server::{OPEN, wait_until_read};
use support::{Client, DRIVERS, Driver, NoAnswer, PATIENCE, Server, Setup};

fn post(number: usize) -> String {
    let body = format!("{{\"n\":{number}}}");
    format!("POST /{OPEN}?n={number} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What a client thread saw.
#[derive(Default)]
struct Seen {
    /// Ids of the answers with 200, and the number that each was for.
    accepted: Vec<(String, usize)>,
    /// 503s, by code.
    refused: Vec<String>,
    /// What must not be.
    faults: Vec<String>,
    /// Requests that the server's kernel refused: they lay in the backlog, or came behind the end.
    never_read: usize,
}

/// Posts until the server is gone, on one connection as long as it is kept, or on a fresh one each time.
fn load(server: std::net::SocketAddr, thread: usize, fresh: bool, gone: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut client: Option<Client> = None;
    let mut number = thread << 32;
    while !gone.load(Ordering::Relaxed) {
        if client.is_none() {
            match Client::try_connect(server) {
                Ok(connected) => client = Some(connected),
                // The listener has closed, and nobody promised anything.
                Err(_) => break,
            }
        }
        let Some(connection) = client.as_mut() else { break };
        number += 1;
        connection.send_until_refused(post(number).as_bytes());
        match connection.try_answer(false, Instant::now() + PATIENCE) {
            Ok(answer) => {
                match answer.status {
                    200 => seen.accepted.push((answer.event_id().to_owned(), number)),
                    503 => seen.refused.push(answer.code().unwrap_or_default()),
                    other => seen.faults.push(format!("answered {other}")),
                }
                if answer.says_close() || fresh {
                    client = None;
                }
            }
            Err(fault) => {
                match (&fault, connection.stream.take_error()) {
                    // A reset: bytes lay unread when the server's side ended, or came behind its end.
                    (NoAnswer::Reset(bytes), _) if bytes == "\"\"" => seen.never_read += 1,
                    // It ended the idle connection just before the request came, whose bytes its kernel then refused.
                    (NoAnswer::Ended, Ok(Some(_))) => seen.never_read += 1,
                    _ => seen
                        .faults
                        .push(format!("request {number}, {}: {fault}", if fresh { "fresh" } else { "kept" })),
                }
                client = None;
            }
        }
    }
    seen
}

#[track_caller]
fn check_under_load(driver: Driver) {
    let server = Setup::new(driver).limit("drain_timeout_ms", 10_000).start();
    let gone = AtomicBool::new(false);
    let address = server.address;
    let (stopped, seen) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..12)
            .map(|thread| {
                let gone = &gone;
                scope.spawn(move || load(address, thread, thread % 3 == 0, gone))
            })
            .collect();
        // Under load for a while: until some thousand requests have been answered.
        let deadline = Instant::now() + PATIENCE;
        while answered(&server) < 3_000 {
            assert!(Instant::now() < deadline, "the load does not get through:\n{}", server.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
        let stopped = server.stop();
        gone.store(true, Ordering::Relaxed);
        let seen: Vec<Seen> = threads.into_iter().map(|thread| thread.join().expect("a client")).collect();
        (stopped, seen)
    });
    assert!(stopped.took < Duration::from_secs(10), "{driver:?}: it took {:?}", stopped.took);
    let events = stopped.events();
    let mut accepted = 0;
    for seen in &seen {
        assert!(seen.faults.is_empty(), "{driver:?}: {:?}\n{}", seen.faults, stopped.stderr);
        assert!(
            seen.refused.iter().all(|code| code == "draining" || code == "queue_full"),
            "{:?}",
            seen.refused
        );
        for (id, number) in &seen.accepted {
            let event =
                events.find(id).unwrap_or_else(|| panic!("{driver:?}: a 2xx was lost, request {number}"));
            assert_eq!(event.body, format!("{{\"n\":{number}}}"));
        }
        accepted += seen.accepted.len();
    }
    assert!(accepted >= 3_000, "{driver:?}: only {accepted}");
    // An event without its 200 is one whose answer was on its way; a handful at most, one a connection.
    assert!(
        events.len() >= accepted && events.len() <= accepted + seen.len(),
        "{} of {accepted}",
        events.len()
    );
}

/// How many requests the server has answered with 200.
fn answered(server: &Server) -> u64 {
    let (status, metrics) = server.admin_get("/metrics");
    assert_eq!(status, 200);
    let row = metrics
        .lines()
        .find_map(|line| line.strip_prefix("inrush_all_cores_requests_total{status=\"200\"} "));
    row.unwrap_or_else(|| panic!("no count of requests in:\n{metrics}")).trim().parse().expect("a number")
}

#[test]
fn under_load_on_io_uring() {
    check_under_load(Driver::Uring);
}

#[test]
fn under_load_on_epoll() {
    check_under_load(Driver::Epoll);
}

#[test]
fn every_request_whose_first_byte_was_read_is_answered() {
    let large = format!("[{}1]", "1,".repeat(200_000));
    let requests = [
        post(1),
        format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!(
            "POST /{OPEN} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n"
        ),
        format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{large}", large.len()),
    ];
    for driver in DRIVERS {
        let server = Setup::new(driver).limit("drain_timeout_ms", 15_000).start();
        // Each request cut at many offsets, on fresh connections and on used ones.
        let mut open: Vec<(Client, &str, String)> = Vec::new();
        for request in &requests {
            let cuts: Vec<usize> = if request.len() < 1000 {
                (1..request.len()).step_by(3).collect()
            } else {
                vec![1, 50, 130, 150, 70_000, request.len() - 1]
            };
            for cut in cuts {
                for used in [false, true] {
                    let mut client = server.connect();
                    if used {
                        assert_eq!(client.call(post(0)).status, 200);
                    }
                    client.send(&request[..cut]);
                    let what = format!("cut at {cut} of {}, used: {used}", request.len());
                    open.push((client, &request[cut..], what));
                }
            }
        }
        let before = open.iter().filter(|(_, _, what)| what.ends_with("true")).count();
        assert!(wait_until_read(server.address, PATIENCE), "{driver:?}: the first bytes are never read");
        server.terminate();
        // The listener is closed: the server has begun to drain.
        let deadline = Instant::now() + PATIENCE;
        while Client::try_connect(server.address).is_ok() {
            assert!(Instant::now() < deadline, "{driver:?}: it still accepts");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut ids = Vec::new();
        for (client, rest, what) in &mut open {
            client.send_until_refused(rest.as_bytes());
            let answer = client.try_answer(false, Instant::now() + PATIENCE);
            let answer = answer.unwrap_or_else(|e| panic!("{what} on {driver:?}: {e}\n{}", server.stderr()));
            assert!(answer.says_close(), "{what} on {driver:?}: {answer:?}");
            match answer.status {
                200 => ids.push(answer.event_id().to_owned()),
                503 => assert_eq!(answer.code().as_deref(), Some("draining"), "{what}"),
                other => panic!("{what} on {driver:?}: answered {other}"),
            }
            client
                .expect_end(Instant::now() + PATIENCE)
                .unwrap_or_else(|e| panic!("{what} on {driver:?}: {e}"));
        }
        let events = server.wait().events();
        for id in &ids {
            assert!(events.find(id).is_some(), "{driver:?}: a 2xx was lost");
        }
        assert_eq!(events.len(), ids.len() + before, "{driver:?}");
    }
}

#[test]
fn idle_connections_end_at_once() {
    for driver in DRIVERS {
        let server = Setup::new(driver).limit("drain_timeout_ms", 15_000).start();
        let mut idle: Vec<Client> = (0..200).map(|_| server.connect()).collect();
        for client in idle.iter_mut().step_by(2) {
            assert_eq!(client.call(post(1)).status, 200);
        }
        // A connection in the backlog is no idle one yet: wait until each has been accepted, and so could be used.
        wait_until_accepted(&server, idle.len());
        let stopped = server.stop();
        assert!(stopped.took < Duration::from_secs(5), "{driver:?}: {:?} for idle connections", stopped.took);
        for client in &mut idle {
            client.expect_end(Instant::now() + PATIENCE).unwrap_or_else(|e| panic!("{driver:?}: {e}"));
        }
        assert_eq!(stopped.events().len(), 100);
    }
}

fn wait_until_accepted(server: &Server, connections: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (_, metrics) = server.admin_get("/metrics");
        let open = metrics.lines().find_map(|line| line.strip_prefix("inrush_all_cores_connections_open "));
        let open: usize = open.and_then(|open| open.trim().parse().ok()).unwrap_or_default();
        if open >= connections {
            return;
        }
        assert!(Instant::now() < deadline, "{open} of {connections} connections accepted");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_request_that_never_ends_does_not_hold_up_the_end() {
    for driver in DRIVERS {
        let server = Setup::new(driver).limit("drain_timeout_ms", 1_500).start();
        let mut stuck = server.connect();
        stuck.send(format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n["));
        let accepted = server.connect().call(post(1)).event_id().to_owned();
        assert!(wait_until_read(server.address, PATIENCE));
        server.terminate();
        let stopped = server.wait();
        assert!(stopped.took < Duration::from_secs(8), "{driver:?}: it took {:?}", stopped.took);
        let events = support::Events::read(stopped.directory.path()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(events.get(&accepted).body, "{\"n\":1}");
        assert_eq!(events.len(), 1);
    }
}

#[test]
fn readiness_fails_before_the_listener_closes() {
    for driver in DRIVERS {
        let server = Setup::new(driver).limit("drain_delay_ms", 1_500).start();
        assert_eq!(server.admin_get("/readyz").0, 200);
        server.terminate();
        let deadline = Instant::now() + PATIENCE;
        while server.admin_get("/readyz").0 == 200 {
            assert!(Instant::now() < deadline, "{driver:?}: readyz never fails");
        }
        // A load balancer has not noticed yet: whoever still comes is served.
        let id = server.connect().call(post(5)).event_id().to_owned();
        assert_eq!(server.wait().events().get(&id).body, "{\"n\":5}");
    }
}
