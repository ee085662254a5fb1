//! Every answer byte for byte, or parsed back.

use super::*;
use crate::http::reject::{self, ALL, Problem};

const NOW: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";
const EVENT: &[u8; 36] = b"01890a5d-ac96-774b-bcce-b302099a8057";

fn meta() -> Meta<'static> {
    Meta { date: NOW, close: false, version: Version::Http11, cors_origin: None, head_only: false }
}

/// What `write` appends, having left alone what was there.
fn written(write: impl Fn(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    write(&mut out);
    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_string()
}

/// Status line, sorted fields, body.
#[track_caller]
fn parsed(answer: &str) -> (String, Vec<(String, String)>, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n']), "{head}");
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().to_string();
    let mut fields: Vec<_> = lines
        .map(|line| line.split_once(": ").map(|(name, value)| (name.to_string(), value.to_string())).unwrap())
        .collect();
    fields.sort();
    fields.windows(2).for_each(|pair| {
        assert!(pair[0].0 != pair[1].0 || pair[0].0 == "vary", "{} twice", pair[0].0);
    });
    (status, fields, body.to_string())
}

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
}

#[test]
fn accepted_is_an_empty_200() {
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                 x-event-id: 01890a5d-ac96-774b-bcce-b302099a8057\r\n";
    let end = |meta: Meta<'_>| {
        let answer = written(|out| accepted(out, EVENT, &meta));
        answer.strip_prefix(whole).unwrap().to_string()
    };
    assert_eq!(end(meta()), "\r\n");
    assert_eq!(end(Meta { close: true, ..meta() }), "connection: close\r\n\r\n");
    let old = Meta { version: Version::Http10, ..meta() };
    assert_eq!(end(old), "connection: keep-alive\r\n\r\n");
    assert_eq!(end(Meta { close: true, ..old }), "connection: close\r\n\r\n");
    assert_eq!(
        end(Meta { cors_origin: Some(b"https://a"), ..meta() }),
        "access-control-allow-origin: https://a\r\nvary: origin\r\naccess-control-expose-headers: x-event-id\r\n\r\n"
    );
}

#[test]
fn a_pipelined_batch_shares_one_buffer_without_growing_it() {
    let mut out = Vec::with_capacity(4096);
    let (start, capacity) = (out.as_ptr(), out.capacity());
    for _ in 0..16 {
        accepted(&mut out, EVENT, &meta());
    }
    let one = written(|out| accepted(out, EVENT, &meta()));
    assert_eq!(String::from_utf8(out.clone()).unwrap(), one.repeat(16));
    assert_eq!((out.as_ptr(), out.capacity()), (start, capacity));
}

#[test]
fn every_problem_is_a_valid_document() {
    for &row in ALL {
        for offset in [None, Some(0), Some(u64::MAX)] {
            for close in [false, true] {
                let reject = Reject { problem: row, offset };
                let meta = Meta { close, ..meta() };
                let answer = written(|out| problem(out, &reject, &meta));
                let (status, fields, body) = parsed(&answer);
                assert_eq!(status, format!("HTTP/1.1 {} {}", row.status, reason(row.status)));
                assert_eq!(value(&fields, "content-length"), Some(body.len().to_string().as_str()));
                assert_eq!(value(&fields, "content-type"), Some("application/problem+json"));
                assert_eq!(value(&fields, "date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
                assert_eq!(
                    value(&fields, "connection"),
                    (close || row.close).then_some("close"),
                    "{}",
                    row.code
                );
                assert_eq!(value(&fields, "retry-after").is_some(), row.status == 503, "{}", row.code);
                assert_eq!(value(&fields, "allow"), (row.status == 405).then_some("POST, GET, OPTIONS"));
                assert_eq!(value(&fields, "www-authenticate").is_some(), row.status == 401);
                let document: serde_json::Value = serde_json::from_str(&body).unwrap();
                let mut expected = serde_json::json!({
                    "type": "about:blank", "title": reason(row.status), "status": row.status,
                    "code": row.code, "detail": row.detail,
                });
                if let Some(offset) = offset {
                    expected["offset"] = offset.into();
                }
                assert_eq!(document, expected);
                // To HEAD: the same head, no body.
                let head = written(|out| problem(out, &reject, &Meta { head_only: true, ..meta }));
                assert_eq!(head, answer[..answer.len() - body.len()]);
            }
        }
    }
}

#[test]
fn a_rate_limit_says_when_to_come_back() {
    static SLOW: Problem = Problem { status: 429, code: "slow", detail: "Slow down.", close: false };
    let answer = written(|out| problem(out, &Reject::from(&SLOW), &meta()));
    assert_eq!(value(&parsed(&answer).1, "retry-after"), Some("1"));
}

#[test]
fn every_status_of_the_table_has_its_phrase() {
    for row in ALL {
        assert_ne!(reason(row.status), "Error", "{}", row.status);
    }
}

#[test]
fn errors_carry_cors_too() {
    let meta = Meta { cors_origin: Some(b"null"), ..meta() };
    let (_, fields, _) = parsed(&written(|out| problem(out, &Reject::from(&reject::BAD_SECRET), &meta)));
    assert_eq!(value(&fields, "access-control-allow-origin"), Some("null"));
    assert_eq!(value(&fields, "access-control-expose-headers"), Some("x-event-id"));
    assert_eq!(value(&fields, "vary"), Some("origin"));
}

#[test]
fn preflights() {
    let meta = Meta { cors_origin: Some(b"https://a"), ..meta() };
    let answer = |asked: Option<&[u8]>| {
        let (status, fields, body) = parsed(&written(|out| preflight(out, asked, &meta)));
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 204 No Content", ""));
        assert_eq!(value(&fields, "content-length"), None, "RFC 9110 §8.6: none in a 204");
        assert_eq!(value(&fields, "access-control-allow-origin"), Some("https://a"));
        assert_eq!(value(&fields, "access-control-allow-methods"), Some("POST, GET, OPTIONS"));
        assert_eq!(value(&fields, "access-control-max-age"), Some("7200"));
        assert!(fields.iter().any(|(name, value)| name == "vary" && value == "origin"));
        value(&fields, "access-control-allow-headers").map(str::to_string)
    };
    assert_eq!(answer(None), None);
    assert_eq!(answer(Some(b"content-type")), Some("content-type".into()));
    assert_eq!(answer(Some(b"content-type, x-bp-secret,\ta")), Some("content-type, x-bp-secret,\ta".into()));
    for bad in [&b""[..], b"a b", b"a,,b", b"a;b", b"a, \"b\"", b"\xc3\xa4", b"a,"] {
        assert_eq!(answer(Some(bad)), None, "only names are echoed");
    }
}

#[test]
fn plain_options() {
    let (status, fields, body) = parsed(&written(|out| options(out, &Meta { close: true, ..meta() })));
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 204 No Content", ""));
    assert_eq!(value(&fields, "allow"), Some("POST, GET, OPTIONS"));
    assert_eq!((value(&fields, "connection"), value(&fields, "content-length")), (Some("close"), None));
}
