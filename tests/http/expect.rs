//! `Expect: 100-continue` as a dialogue (RFC 9110 §10.1.1): the sender waits, and is told to go on only when
//! everything that the head can decide has been accepted.

use std::time::{Duration, Instant};

use crate::support::server::{LOCKED, OPEN, SECRET, SHOP, TINY, UNKNOWN};
use crate::support::{DRIVERS, Server};

/// The heads that are accepted: id, further lines, body on the wire, body of the event.
const ACCEPTED: &[(&str, &str, &str, &str)] = &[
    (OPEN, "Expect: 100-continue\r\nContent-Length: 7\r\n", "{\"a\":1}", "{\"a\":1}"),
    (OPEN, "expect:100-Continue\r\nContent-Length: 7\r\n", "{\"a\":1}", "{\"a\":1}"),
    (OPEN, "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "2\r\n[]\r\n0\r\n\r\n", "[]"),
    (
        LOCKED,
        "Expect: 100-continue\r\nx-bp-secret: correct-horse-battery-staple\r\nContent-Length: 2\r\n",
        "{}",
        "{}",
    ),
    (SHOP, "Expect: 100-continue\r\nOrigin: https://shop.example\r\nContent-Length: 2\r\n", "{}", "{}"),
    (TINY, "Expect: 100-continue\r\nContent-Length: 2\r\n", "{}", "{}"),
];

/// The heads that are refused: method, id, further lines, status, code.
const REFUSED: &[(&str, &str, &str, u16, &str)] = &[
    ("POST", LOCKED, "Content-Length: 7\r\n", 401, "bad_secret"),
    ("POST", LOCKED, "Content-Length: 7\r\nx-bp-secret: wrong\r\n", 401, "bad_secret"),
    ("POST", LOCKED, "Transfer-Encoding: chunked\r\n", 401, "bad_secret"),
    ("POST", UNKNOWN, "Content-Length: 7\r\n", 404, "unknown_webhook"),
    ("POST", SHOP, "Content-Length: 7\r\nOrigin: https://evil.example\r\n", 403, "origin_not_allowed"),
    ("POST", TINY, "Content-Length: 65\r\n", 413, "body_too_large"),
    ("PUT", OPEN, "Content-Length: 7\r\n", 405, "method_not_allowed"),
    ("POST", OPEN, "Content-Length: 7x\r\n", 400, "bad_content_length"),
];

#[test]
fn a_hundred_comes_first_and_the_answer_behind_the_body() {
    assert!(ACCEPTED.iter().any(|(_, lines, ..)| lines.contains(SECRET)), "a row uses the secret");
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut promised = Vec::new();
        for (id, lines, body, expected) in ACCEPTED {
            let mut client = server.connect();
            let interim = client.call(format!("POST /{id} HTTP/1.1\r\nHost: h\r\n{lines}\r\n"));
            assert_eq!(interim.status, 100, "{lines} on {driver:?}");
            assert_eq!(interim.fault(false), None);
            let answer = client.call(body);
            assert_eq!(answer.status, 200, "{lines} on {driver:?}");
            promised.push((answer.event_id().to_owned(), expected));
            // And the connection goes on, without another 100.
            let next = client.call(format!("GET /{OPEN} HTTP/1.1\r\nHost: h\r\n\r\n"));
            promised.push((next.event_id().to_owned(), &"{}"));
        }
        let events = server.finish();
        for (id, expected) in &promised {
            assert_eq!(&events.get(id).body, *expected, "{driver:?}");
        }
        assert_eq!(events.len(), promised.len());
    }
}

#[test]
fn a_refusal_comes_without_a_hundred() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        for (method, id, lines, status, code) in REFUSED {
            let mut client = server.connect();
            let head = format!("{method} /{id} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n{lines}\r\n");
            let answer = client.call(head);
            assert_eq!(
                (answer.status, answer.code().as_deref()),
                (*status, Some(*code)),
                "{lines} on {driver:?}"
            );
            assert_eq!(answer.fault(false), None);
            // The sender may still send the body or never: only a server that closes cannot mistake one for the
            // other. So it must say that it closes, and do it, without waiting for a body.
            assert!(
                answer.says_close(),
                "{status} keeps a connection on which the body may or may not follow"
            );
            client
                .expect_end(Instant::now() + Duration::from_secs(5))
                .unwrap_or_else(|e| panic!("{status} on {driver:?}: {e}"));
        }
        assert_eq!(server.finish().len(), 0);
    }
}
