//! Bodies from one byte to 100 MB, declared and chunked, through the real binary: what comes out is what went in,
//! byte for byte, and what is too large, cut short or no JSON never comes out at all.

mod support;

use std::io::Write;
use std::time::Instant;

use support::server::{OPEN, TINY};
use support::{Answer, Client, DRIVERS, PATIENCE, Random, Server, Setup};

/// How a body is framed on the wire.
#[derive(Debug, Clone, Copy)]
enum Framed {
    Declared,
    /// In chunks of so many bytes.
    Chunked(usize),
}

fn post(client: &mut Client, body: &[u8], framed: Framed) -> Answer {
    match framed {
        Framed::Declared => {
            client
                .send(format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len()));
            client.send(body);
        }
        Framed::Chunked(size) => {
            client.send(format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"));
            let mut wire = Vec::new();
            for chunk in body.chunks(size) {
                let _ = write!(wire, "{:X}\r\n", chunk.len());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            client.send(&wire);
        }
    }
    client.answer()
}

/// A document of exactly so many bytes: objects, numbers, strings with letters of every length in UTF-8. Large ones
/// repeat a part of half a megabyte, which takes less time to make.
fn document(bytes: usize, seed: u64) -> String {
    let mut random = Random::new(seed);
    let mut text = String::with_capacity(bytes);
    if bytes < 4 {
        return ["", "1", "{}", "[1]"][bytes].to_owned();
    }
    text.push('[');
    loop {
        let n = random.next();
        let item = match n % 5 {
            0 => format!("{{\"id\":{n},\"price\":-{}.{:02}e-3,\"ok\":true}},", n % 1000, n % 100),
            1 => format!("\"é😀 ß {}\",", n % 10_000),
            2 => format!("[null,false,[{}],{{}}],", n % 7),
            3 => format!("{{\"name\":{{\"first\":\"A{}\",\"last\":\"\"}}}},", n % 100),
            _ => format!("{},", n % 1_000_000),
        };
        if text.len() + item.len() + 4 > bytes {
            break;
        }
        text.push_str(&item);
        if (500_000..600_000).contains(&text.len()) {
            let part = text[1..].to_owned();
            while text.len() + part.len() + 4 < bytes {
                text.push_str(&part);
            }
        }
    }
    let left = bytes - text.len() - 3;
    text.push('"');
    text.push_str(&"x".repeat(left));
    text.push_str("\"]");
    assert_eq!(text.len(), bytes);
    text
}

/// The same text, reported without printing megabytes.
#[track_caller]
fn assert_same(got: &str, sent: &str, what: &str) {
    if got != sent {
        let at = got.bytes().zip(sent.bytes()).position(|(a, b)| a != b).unwrap_or(got.len().min(sent.len()));
        panic!("{what}: {} bytes came out of {}, the first difference at {at}", got.len(), sent.len());
    }
}

#[test]
fn every_size_comes_out_as_it_went_in() {
    // The edges of what is buffered, judged whole, or judged as it arrives.
    let mut sizes: Vec<usize> = (0..=300).collect();
    for edge in
        [1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 1 << 20, 4 << 20]
    {
        sizes.extend([edge - 65, edge - 64, edge - 1, edge, edge + 1, edge + 63, edge + 64]);
    }
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        let mut sent = Vec::new();
        for (i, size) in sizes.iter().enumerate() {
            let mut framings = vec![Framed::Declared, Framed::Chunked(1 + (i * 977) % 9000)];
            framings.extend((*size <= 300).then_some(Framed::Chunked(1)));
            for framed in framings {
                let body = document(*size, i as u64);
                let answer = post(&mut client, body.as_bytes(), framed);
                assert_eq!(answer.status, 200, "{size} bytes {framed:?} on {driver:?}: {answer:?}");
                sent.push((answer.event_id().to_owned(), body, framed));
            }
        }
        let events = server.finish();
        assert_eq!(events.len(), sent.len());
        for (id, body, framed) in &sent {
            let expected = if body.is_empty() { "{}" } else { body };
            assert_same(
                &events.get(id).body,
                expected,
                &format!("{} bytes {framed:?} on {driver:?}", body.len()),
            );
        }
    }
}

#[test]
fn a_hundred_megabytes_come_out_as_they_went_in() {
    const LIMIT: usize = 104_857_600;
    for (driver, framed) in DRIVERS.into_iter().zip([Framed::Declared, Framed::Chunked(1 << 20)]) {
        let server = Server::start(driver);
        let body = document(LIMIT, 100);
        let answer = post(&mut server.connect(), body.as_bytes(), framed);
        assert_eq!(answer.status, 200, "{framed:?} on {driver:?}: {answer:?}");
        let events = server.finish();
        assert_same(&events.get(answer.event_id()).body, &body, &format!("{framed:?} on {driver:?}"));
    }
}

#[test]
fn documents_with_escapes_and_odd_numbers_come_out_as_they_went_in() {
    // What a parser would rewrite in place, or cannot hold: at sizes on both sides of 64 KiB.
    let units = [
        r#""\u00e9\n\"\\\/""#,
        r#""\ud800 lone""#,
        "1e309",
        "-0",
        "123456789012345678901234567890",
        r#"{"a":1,"a":2}"#,
        "0.1000000000000000055511151231257827",
        "\r\n\t 1",
    ];
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        let mut sent = Vec::new();
        for unit in units {
            for count in [1, 10, 20_000] {
                let body = format!("[{unit}{}]", format!(",{unit}").repeat(count - 1));
                let answer = post(&mut client, body.as_bytes(), Framed::Declared);
                assert_eq!(answer.status, 200, "{unit} {count} times on {driver:?}: {answer:?}");
                sent.push((answer.event_id().to_owned(), body));
            }
        }
        let events = server.finish();
        for (id, body) in &sent {
            // One line holds one event: line ends between tokens become spaces.
            let expected = body.replace(['\r', '\n'], " ");
            assert_same(
                &events.get(id).body,
                &expected,
                &format!("{}… on {driver:?}", &body[..body.len().min(40)]),
            );
        }
    }
}

#[test]
fn a_refused_document_names_its_first_bad_byte() {
    let long = |rest: &str| format!("[\"{}\",{rest}", "x".repeat(100_000));
    let rows: &[(String, u16, &str, Option<u64>)] = &[
        ("{a}".to_owned(), 400, "invalid_json", Some(1)),
        ("[1,]".to_owned(), 400, "invalid_json", Some(3)),
        ("{\"a\":1}}".to_owned(), 400, "invalid_json", Some(7)),
        ("{} {}".to_owned(), 400, "invalid_json", Some(3)),
        ("\u{feff}{}".to_owned(), 400, "invalid_json", Some(0)),
        ("nul".to_owned(), 400, "invalid_json", None),
        ("[1,2".to_owned(), 400, "invalid_json", None),
        ("\"a\nb\"".to_owned(), 400, "invalid_json", Some(2)),
        ("  x".to_owned(), 400, "invalid_json", Some(2)),
        ("01".to_owned(), 400, "invalid_json", Some(1)),
        // Judged as they arrive, the same.
        (long("]"), 400, "invalid_json", Some(100_004)),
        (long("x]"), 400, "invalid_json", Some(100_004)),
        (long("1]]"), 400, "invalid_json", Some(100_006)),
        (format!("[{}", "[".repeat(1024)), 400, "json_too_deep", None),
        (format!("{}{}", "[".repeat(1025), "]".repeat(1025)), 400, "json_too_deep", None),
        (format!("{}1{}", "{\"a\":".repeat(1025), "}".repeat(1025)), 400, "json_too_deep", None),
        (format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000)), 400, "json_too_deep", None),
    ];
    for driver in DRIVERS {
        let server = Server::start(driver);
        for (body, status, code, offset) in rows {
            let shown = &body[..body.char_indices().nth(20).map_or(body.len(), |(at, _)| at)];
            for framed in [Framed::Declared, Framed::Chunked(1000), Framed::Chunked(1 << 20)] {
                let mut client = server.connect();
                let answer = post(&mut client, body.as_bytes(), framed);
                let what = format!("{shown}… {framed:?} on {driver:?}: {answer:?}");
                assert_eq!((answer.status, answer.code().as_deref()), (*status, Some(*code)), "{what}");
                assert_eq!(answer.fault(false), None, "{what}");
                let said = answer.problem().and_then(|problem| problem.get("offset")?.as_u64());
                assert!(said.is_some(), "no offset: {what}");
                if offset.is_some() {
                    assert_eq!(said, *offset, "{what}");
                }
            }
        }
        assert_eq!(server.finish().len(), 0);
    }
}

/// Nobody waits for the rest of a large body that has gone wrong: not the server, and so not its sender.
#[test]
fn the_first_bad_byte_of_a_large_body_is_answered_at_once() {
    const LENGTH: usize = 100_000_000;
    let good = document(300_000, 5);
    let declared = format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: {LENGTH}\r\n\r\n");
    let chunked =
        format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\n");
    for driver in DRIVERS {
        let server = Server::start(driver);
        for head in [&declared, &chunked] {
            for bad_at in [0, 1, 20_000, 65_536, 200_000] {
                let mut client = server.connect();
                let good = cut(&good, bad_at);
                client.send(format!("{head}{good}\x01"));
                let answer = client.answer();
                let what = format!("a bad byte at {} on {driver:?}: {answer:?}", good.len());
                assert_eq!((answer.status, answer.code().as_deref()), (400, Some("invalid_json")), "{what}");
                let offset = answer.problem().and_then(|problem| problem.get("offset")?.as_u64());
                assert_eq!(offset, Some(good.len() as u64), "{what}");
                assert!(answer.says_close(), "{what}");
                // A sender that looks only when it has sent all finds the answer, not a reset.
                client.send(" ".repeat(20_000_000));
                client.end();
                client.expect_end(Instant::now() + PATIENCE).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
        }
        assert_eq!(server.finish().len(), 0);
    }
}

#[test]
fn a_deep_document_is_taken_up_to_the_limit() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let mut client = server.connect();
        let bodies = [
            format!("{}{}", "[".repeat(1024), "]".repeat(1024)),
            format!("{}1{}", "{\"a\":".repeat(1024), "}".repeat(1024)),
            // Deep and long: the same limit as it arrives.
            format!("[\"{}\",{}{}]", "x".repeat(100_000), "[".repeat(1023), "]".repeat(1023)),
        ];
        let ids: Vec<String> = bodies
            .iter()
            .map(|body| {
                let answer = post(&mut client, body.as_bytes(), Framed::Declared);
                assert_eq!(answer.status, 200, "{answer:?} on {driver:?}");
                answer.event_id().to_owned()
            })
            .collect();
        let events = server.finish();
        for (id, body) in ids.iter().zip(&bodies) {
            assert_same(&events.get(id).body, body, "a deep document");
        }
    }
}

#[test]
fn hostile_documents_neither_abort_nor_starve_the_server() {
    // What would cost most memory per byte to parse, and is not parsed at all when nobody reads it.
    let hostile = |unit: &str, bytes: usize| format!("[{}1]", unit.repeat(bytes / unit.len()));
    for driver in DRIVERS {
        let server =
            Setup::new(driver).limit("budget_bytes", 67_108_864).limit("body_bytes_max", 20_000_000).start();
        let mut client = server.connect();
        let mut sent = Vec::new();
        for body in [hostile("[],", 16 << 20), hostile("1,", 16 << 20), hostile("{},", 1 << 20)] {
            let answer = post(&mut client, body.as_bytes(), Framed::Declared);
            assert_eq!(answer.status, 200, "{answer:?} on {driver:?}");
            sent.push((answer.event_id().to_owned(), body));
        }
        let events = server.finish();
        for (id, body) in &sent {
            assert_same(&events.get(id).body, body, "a hostile document");
        }
    }
}

#[test]
fn a_body_over_its_limit_is_refused_at_the_byte_that_crosses() {
    for driver in DRIVERS {
        let server = Setup::new(driver).limit("body_bytes_max", 1_000_000).start();
        // Declared: not one byte of the body is needed.
        let declared = format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\n\r\n");
        let head = format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = format!("fa0\r\n{}\r\n", " ".repeat(4000));
        // Chunked: 1,000,000 bytes are well, the size that crosses is enough to be refused.
        let crossing = format!("{head}{}1\r\n", chunk.repeat(250));
        for request in [declared, crossing] {
            let mut client = server.connect();
            let answer = client.call(&request);
            assert_eq!(
                (answer.status, answer.code().as_deref()),
                (413, Some("body_too_large")),
                "on {driver:?}"
            );
            client.expect_end(Instant::now() + PATIENCE).unwrap_or_else(|e| panic!("on {driver:?}: {e}"));
        }
        let exact = format!(
            "{head}{}2\r\n{{}}\r\n0\r\n\r\n",
            chunk.repeat(249) + &format!("f9e\r\n{}\r\n", " ".repeat(3998))
        );
        let answer = server.connect().call(exact);
        assert_eq!(answer.status, 200, "a chunked body of exactly the limit, on {driver:?}: {answer:?}");
        let tiny = format!("POST /{TINY} HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n");
        assert_eq!(server.connect().call(tiny).status, 413, "a webhook's own limit, on {driver:?}");
        assert_eq!(server.finish().len(), 1);
    }
}

#[test]
fn a_body_cut_short_is_no_event() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let body = document(300_000, 7);
        for sent in [1, 100, 65_536, 299_999] {
            let mut ended = server.connect();
            ended.send(format!(
                "POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n{}",
                cut(&body, sent)
            ));
            ended.end();
            if let Ok(answer) = ended.try_answer(false, Instant::now() + PATIENCE) {
                assert!(answer.status >= 400, "{sent} bytes of 300,000 got {} on {driver:?}", answer.status);
            }
            let mut reset = server.connect();
            reset.send(format!(
                "POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n{}",
                cut(&body, sent)
            ));
            reset.reset();
        }
        assert_eq!(server.finish().len(), 0, "{driver:?}");
    }
}

/// So many bytes of the text, or a few less where a letter would be cut.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[test]
fn many_uploads_at_once() {
    for driver in DRIVERS {
        let server = Server::start(driver);
        let body = document(3_000_000, 3);
        let ids: Vec<String> = std::thread::scope(|scope| {
            let uploads: Vec<_> = (0..24)
                .map(|i| {
                    let (server, body) = (&server, &body);
                    let framed = if i % 2 == 0 { Framed::Declared } else { Framed::Chunked(10_000) };
                    scope.spawn(move || {
                        let answer = post(&mut server.connect(), body.as_bytes(), framed);
                        assert_eq!(answer.status, 200, "{answer:?} on {driver:?}");
                        answer.event_id().to_owned()
                    })
                })
                .collect();
            uploads.into_iter().map(|upload| upload.join().expect("an upload")).collect()
        });
        let events = server.finish();
        assert_eq!(events.len(), ids.len());
        for id in &ids {
            assert_same(&events.get(id).body, &body, "one of many uploads");
        }
    }
}

#[test]
fn a_budget_that_is_taken_answers_503_and_keeps_small_posts() {
    for driver in DRIVERS {
        let server =
            Setup::new(driver).limit("budget_bytes", 33_554_432).limit("body_bytes_max", 6_000_000).start();
        let mut holders: Vec<Client> = Vec::new();
        let mut refused = None;
        for _ in 0..8 {
            let mut client = server.connect();
            client.send(format!("POST /{OPEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 6000000\r\n\r\n["));
            match client.try_answer(false, Instant::now() + std::time::Duration::from_millis(300)) {
                Ok(answer) => refused = Some(answer),
                Err(_) => holders.push(client),
            }
        }
        let refused = refused.unwrap_or_else(|| panic!("{} bodies of 6 MB fit into 32 MiB", holders.len()));
        assert_eq!((refused.status, refused.code().as_deref()), (503, Some("over_budget")), "{driver:?}");
        assert!(refused.header("retry-after").is_some());
        assert!(!holders.is_empty(), "not one body of 6 MB fits into 32 MiB");
        let answer = post(&mut server.connect(), b"{}", Framed::Declared);
        assert_eq!(answer.status, 200, "a small post beside large reservations, on {driver:?}: {answer:?}");
        // When the holders go, the room comes back.
        holders.clear();
        let body = document(6_000_000, 1);
        let deadline = Instant::now() + PATIENCE;
        while post(&mut server.connect(), body.as_bytes(), Framed::Declared).status != 200 {
            assert!(Instant::now() < deadline, "the reservations of ended connections are never given back");
        }
        assert_eq!(server.finish().len(), 2);
    }
}
