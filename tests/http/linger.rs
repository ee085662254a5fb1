//! A refusal is readable by the sender: one that writes 20 MB before it reads still gets the whole answer, because
//! the server reads on for a while instead of resetting the connection.

use crate::support::client::NoAnswer;
use crate::support::server::{LOCKED, OPEN, SHOP, TINY, UNKNOWN};
use crate::support::{DRIVERS, PATIENCE, Progress, Server};

const BODY_BYTES: usize = 20 << 20;

/// What is sent before the body, and the refusal.
fn refused() -> Vec<(&'static str, String, u16)> {
    let head = |method: &str, id: &str, more: &str| {
        format!("{method} /{id} HTTP/1.1\r\nHost: h\r\n{more}Content-Length: {BODY_BYTES}\r\n\r\n")
    };
    let chunked = |id: &str, start: &str| {
        format!("POST /{id} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{start}")
    };
    vec![
        ("declared over the limit", head("POST", TINY, ""), 413),
        ("a chunk over the limit", chunked(TINY, "1400000\r\n"), 413),
        ("a bad chunk", chunked(OPEN, "5g\r\n"), 400),
        ("no secret", head("POST", LOCKED, ""), 401),
        ("no secret, chunked", chunked(LOCKED, "1400000\r\n"), 401),
        ("an unknown id", head("POST", UNKNOWN, ""), 404),
        ("a foreign origin", head("POST", SHOP, "Origin: https://evil.example\r\n"), 403),
        ("PUT", head("PUT", OPEN, ""), 405),
        ("a bad head", "hello\r\n\r\n".to_owned(), 400),
        ("bad framing", format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n"), 400),
        ("a request line without an end", format!("POST /{OPEN}/"), 414),
        ("a line without an end", format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nX: "), 431),
    ]
}

#[test]
fn a_refusal_is_read_by_a_sender_that_sends_on() {
    let body = vec![b'x'; BODY_BYTES];
    for driver in DRIVERS {
        let server = Server::start(driver);
        for (name, start, status) in refused() {
            let mut client = server.connect();
            client.send(&start);
            let progress = client.send_until_refused(&body);
            let answer = client.try_answer(false, std::time::Instant::now() + PATIENCE);
            let answer =
                answer.unwrap_or_else(|e: NoAnswer| panic!("{name} on {driver:?}: {progress:?}, then {e}"));
            assert_eq!(answer.status, status, "{name} on {driver:?}");
            assert_eq!(answer.fault(false), None, "{name} on {driver:?}");
            // 20 MB are within what is read away after a refusal, so nothing was reset.
            assert_eq!(progress, Progress::All, "{name} on {driver:?}");
        }
        assert_eq!(server.finish().len(), 0);
    }
}

#[test]
fn a_reset_inside_a_request_is_no_event() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let heads = [
            "POST /ID HTTP/1.1\r\nHost: h\r\n".to_owned(),
            "POST /ID HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n{\"a\":".to_owned(),
            format!(
                "POST /ID HTTP/1.1\r\nHost: h\r\nContent-Length: {BODY_BYTES}\r\n\r\n[{}",
                "1,".repeat(500_000)
            ),
            "POST /ID HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n".to_owned(),
        ];
        for _ in 0..20 {
            for head in &heads {
                let mut client = server.connect();
                client.send(head.replace("ID", OPEN));
                client.reset();
            }
        }
        // The server is as well as before.
        let answer = server.connect().call(format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!(answer.status, 200);
        assert_eq!(server.finish().len(), 1, "{driver:?}");
    }
}
