//! What takes time: slow heads, slow bodies, idle connections, answers that nobody takes. Each ends within its
//! limit, with its answer, and costs nobody else anything.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::server::{LOCKED, OPEN};
use crate::support::{Client, DRIVERS, Driver, NoAnswer, Progress, Server, Setup};

/// How much later than its limit a deadline may strike on a busy machine.
const LATE: Duration = Duration::from_secs(4);

fn impatient(driver: Driver) -> Server {
    Setup::new(driver)
        .limit("head_read_timeout_ms", 400)
        .limit("body_rate_min_bytes_per_s", 1_000)
        .limit("body_rate_grace_ms", 400)
        .limit("body_read_timeout_ms", 1_500)
        .limit("idle_timeout_ms", 600)
        .limit("write_timeout_ms", 500)
        .limit("linger_timeout_ms", 500)
        .start()
}

/// Bytes that stay a request in the making, what drips behind them, the limit that ends it and the code.
const SLOW: &[(&str, &str, &str, u64, &str)] = &[
    ("a stalled request line", "POS", "", 400, "head_timeout"),
    ("a stalled head", "POST /ID HTTP/1.1\r\nHost: h\r\n", "", 400, "head_timeout"),
    ("a dripping head", "POST /ID HTTP/1.1\r\nHost: h\r\nX: ", "a", 400, "head_timeout"),
    (
        "a body that never comes",
        "POST /ID HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n",
        "",
        400,
        "body_timeout",
    ),
    (
        "a body that is too slow",
        "POST /ID HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n",
        " ",
        400,
        "body_timeout",
    ),
    (
        "a chunked body that never ends, fast enough",
        "POST /ID HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        "80\r\n                                                                                \
         \u{20}                                               \r\n",
        1_500,
        "body_timeout",
    ),
    (
        "a size that never ends",
        "POST /ID HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        "",
        400,
        "body_timeout",
    ),
];

#[test]
fn a_slow_request_gets_408_within_its_limit() {
    for driver in DRIVERS {
        let server = impatient(driver);
        std::thread::scope(|scope| {
            for (name, start, drip, limit_ms, code) in SLOW {
                let mut client = server.connect();
                scope.spawn(move || {
                    let from = Instant::now();
                    client.send(start.replace("ID", OPEN));
                    let answer = loop {
                        match client.try_answer(false, Instant::now() + Duration::from_millis(25)) {
                            Err(NoAnswer::Silent(_)) if from.elapsed() < LATE * 2 => {
                                client.send_until_refused(drip.as_bytes());
                            }
                            other => break other.unwrap_or_else(|e| panic!("{name} on {driver:?}: {e}")),
                        }
                    };
                    let took = from.elapsed();
                    assert_eq!(
                        (answer.status, answer.code().as_deref()),
                        (408, Some(*code)),
                        "{name} on {driver:?}"
                    );
                    assert_eq!(answer.fault(false), None);
                    assert!(answer.says_close(), "{name} on {driver:?}");
                    let limit = Duration::from_millis(*limit_ms);
                    assert!(took + Duration::from_millis(50) > limit, "{name} on {driver:?}: after {took:?}");
                    assert!(took < limit + LATE, "{name} on {driver:?}: after {took:?}");
                    let end = client.expect_end(Instant::now() + LATE);
                    end.unwrap_or_else(|e| panic!("{name} on {driver:?}: {e}"));
                });
            }
        });
        assert_eq!(server.finish().len(), 0);
    }
}

#[test]
fn a_body_that_is_slow_but_fast_enough_is_taken() {
    for driver in DRIVERS {
        let server = impatient(driver);
        let body = format!("\"{}\"", "x".repeat(2_998));
        let mut client = server.connect();
        client.send(format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()));
        // 3,000 bytes in 0.6 s: longer than the grace, five times the least rate.
        for piece in body.as_bytes().chunks(250) {
            client.send(piece);
            sleep(Duration::from_millis(50));
        }
        let id = client.answer().event_id().to_owned();
        assert_eq!(server.finish().get(&id).body, body, "{driver:?}");
    }
}

#[test]
fn the_head_deadline_counts_from_the_first_byte_of_each_request() {
    for driver in DRIVERS {
        let server = impatient(driver);
        let mut client = server.connect();
        // Each request takes most of the limit; together they take more than it.
        for _ in 0..4 {
            client.send(format!("GET /{OPEN} HTTP/1.1\r\n"));
            sleep(Duration::from_millis(150));
            assert_eq!(client.call("Host: h\r\n\r\n").status, 200, "{driver:?}");
        }
        assert_eq!(server.finish().len(), 4);
    }
}

#[test]
fn an_idle_connection_ends_without_an_answer() {
    for driver in DRIVERS {
        let server = impatient(driver);
        let mut used = server.connect();
        let mut fresh = server.connect();
        assert_eq!(used.call(format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
        let from = Instant::now();
        for (name, client) in [("used", &mut used), ("fresh", &mut fresh)] {
            let end = client.expect_end(from + LATE);
            end.unwrap_or_else(|e| panic!("a {name} connection on {driver:?}: {e}"));
        }
        assert!(from.elapsed() > Duration::from_millis(350), "{driver:?}: after {:?}", from.elapsed());
        server.finish();
    }
}

#[test]
fn a_refused_request_whose_body_never_comes_ends() {
    for driver in DRIVERS {
        let server = impatient(driver);
        let mut client = server.connect();
        let answer = client.call(format!("POST /{LOCKED} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"));
        assert_eq!(answer.status, 401);
        let deadline = Instant::now() + LATE;
        match client.try_answer(false, deadline) {
            Err(NoAnswer::Ended) => {}
            other => panic!("on {driver:?}: {other:?}"),
        }
        server.finish();
    }
}

#[test]
fn answers_that_nobody_takes_end_the_connection() {
    for driver in DRIVERS {
        let server = impatient(driver);
        let mut client = server.connect();
        // The least that the kernel keeps for us, so that answers soon stay with the server.
        socket2::SockRef::from(&client.stream).set_recv_buffer_size(4096).expect("set SO_RCVBUF");
        let requests = format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n").repeat(1000);
        let from = Instant::now();
        client.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("set a write timeout");
        while client.send_until_refused(requests.as_bytes()) == Progress::All {
            assert!(from.elapsed() < Duration::from_secs(30), "{driver:?}: it takes requests without end");
        }
        // The sender may not notice, as it takes nothing. The server counts: it has let go of the connection.
        let deadline = Instant::now() + LATE;
        loop {
            let (_, metrics) = server.admin_get("/metrics");
            if metrics.lines().any(|line| line.trim() == "inrush_all_cores_connections_open 0") {
                break;
            }
            assert!(Instant::now() < deadline, "{driver:?}: the connection is still open:\n{metrics}");
            sleep(Duration::from_millis(20));
        }
        // Meanwhile and afterwards everybody else is served.
        assert_eq!(server.connect().call(format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n")).status, 200);
        // The connection is gone for the server too: nothing is left that would hold up its end.
        let sending = from.elapsed();
        let stopped = server.stop();
        assert!(stopped.took < LATE, "{driver:?}: {sending:?} to be cut off, {:?} to end", stopped.took);
        stopped.events();
    }
}

#[test]
fn slow_senders_cost_nobody_else_anything() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let starts = [
            "P".to_owned(),
            format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nX: "),
            format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n["),
            format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4"),
            String::new(),
        ];
        let slow: Vec<Client> = (0..500)
            .map(|i| {
                let mut client = server.connect();
                client.send(&starts[i % starts.len()]);
                client
            })
            .collect();
        let mut client = server.connect();
        for _ in 0..200 {
            let from = Instant::now();
            let answer =
                client.call(format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{{}}"));
            // A 100 MB declaration without bytes holds a reservation; small posts have their own part of the budget.
            assert_eq!(answer.status, 200, "{driver:?}");
            assert!(from.elapsed() < Duration::from_secs(1), "{driver:?}: after {:?}", from.elapsed());
        }
        drop(slow);
        assert_eq!(server.finish().len(), 200, "{driver:?}");
    }
}
