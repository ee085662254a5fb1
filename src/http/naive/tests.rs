//! Property tests: heads and chunked bodies put together from good and bad parts, then damaged.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{fuzz_chunked, fuzz_head};

const REQUEST_LINES: &[&str] = &[
    "POST /a HTTP/1.1",
    "GET /a?b=c HTTP/1.1",
    "GET / HTTP/1.0",
    "OPTIONS * HTTP/1.1",
    "GET http://a/b?c HTTP/1.1",
    "CONNECT a:1 HTTP/1.1",
    "CONNECT [::1] HTTP/1.1",
    "BREW / HTTP/1.1",
    "GET /%2e%2e/ HTTP/1.1",
    "GET /a/..%2f HTTP/1.1",
    "GET /%zz HTTP/1.1",
    "GET /%00 HTTP/1.1",
    "GET  / HTTP/1.1",
    "GET / HTTP/2.0",
    "PRI * HTTP/2.0",
    "GET /",
    "",
    "\r\nGET / HTTP/1.1",
    "GET /? HTTP/1.1",
    "GET http://a HTTP/1.1",
    "GET http:// HTTP/1.1",
    "GET /# HTTP/1.1",
    "HEAD /é HTTP/1.1",
    "\r\n",
    " GET / HTTP/1.1",
];
const FIELDS: &[&str] = &[
    "Host: a",
    "Host: a",
    "Host: a",
    "Host: [::1]:80",
    "Host: a:b",
    "Host:",
    "host: a%41:65536",
    "Content-Length: 5",
    "Content-Length: 5",
    "Content-Length: +5",
    "content-length: 18446744073709551616",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "transfer-encoding: CHUNKED",
    "Transfer-Encoding: chunked, chunked",
    "Connection: close",
    "Connection: keep-alive",
    "connection: a, CLOSE",
    "Expect: 100-continue",
    "Expect: x",
    "Expect:",
    "A: b",
    "A:",
    "A: \t b \t",
    " A: b",
    "A : b",
    ": b",
    "A",
    "A: é",
    "A: b\0",
    "A: b\rc",
    "X-BP-Secret: x",
];
const LINE_ENDS: &[&str] =
    &["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "", "\r\n\r\n"];
const CHUNK_PARTS: &[&str] = &[
    "0",
    "1",
    "5",
    "a",
    "00f",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    ";",
    ";a",
    ";a=b",
    "; a = \"b\"",
    "\"",
    "\\",
    " ",
    "hello",
    "A: b",
    "A:",
    "x",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "1;x\r\na\r\n",
    "0\r\nA: b\r\n\r\n",
    "10\r\n0123456789abcdef\r\n",
    "ffffffffffffffff",
    "+",
    "0x",
    "\t",
];

/// Replaces, removes or inserts single bytes.
fn damage(mut bytes: Vec<u8>, wounds: &[(Index, u8, u8)]) -> Vec<u8> {
    for (at, how, byte) in wounds {
        let at = at.index(bytes.len().max(1));
        match how % 3 {
            0 if at < bytes.len() => bytes[at] = *byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.insert(at, *byte),
        }
    }
    bytes
}

fn wounds() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    let byte = prop_oneof![any::<u8>(), select(&b"\r\n \t:;,%./\0aZ09"[..])];
    prop::collection::vec((any::<Index>(), any::<u8>(), byte), 0..3)
}

fn head() -> impl Strategy<Value = Vec<u8>> {
    let line = (select(FIELDS), select(LINE_ENDS)).prop_map(|(field, end)| format!("{field}{end}"));
    let good = select(FIELDS).prop_map(|field| format!("{field}\r\n"));
    let lines = prop::collection::vec(prop_oneof![1 => line, 5 => good], 0..6);
    (select(REQUEST_LINES), lines, "[\\x00-\\xff]{0,5}").prop_map(|(first, lines, behind)| {
        format!("{first}\r\nHost: a\r\n{}\r\n{behind}", lines.concat()).into_bytes()
    })
}

fn check(fuzz: fn(&[u8]), seeds: &[u8], bytes: &[u8]) {
    fuzz(&[seeds, bytes].concat());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn heads_agree(seed: u8, head in head(), wounds in wounds()) {
        check(fuzz_head, &[seed], &damage(head, &wounds));
    }

    #[test]
    fn chunked_bodies_agree(seed: u8, limit in 0_u8..8, parts in prop::collection::vec(select(CHUNK_PARTS), 0..12), wounds in wounds()) {
        check(fuzz_chunked, &[seed, limit], &damage(parts.concat().into_bytes(), &wounds));
    }

    #[test]
    fn any_bytes_agree(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_head(&bytes);
        fuzz_chunked(&bytes);
    }
}

/// A generator whose inputs are all refused would prove little.
#[test]
fn the_generators_reach_every_verdict() {
    use super::{Verdict, chunked, head as naive_head};
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut heads = [0; 3];
    let mut bodies = [0; 3];
    fn count<T>(tally: &mut [u32; 3], verdict: &Verdict<T>) {
        tally[match verdict {
            Verdict::Undecided => 0,
            Verdict::Refused(_) => 1,
            Verdict::Accepted(_) => 2,
        }] += 1;
    }
    let parts = prop::collection::vec(select(CHUNK_PARTS), 0..12);
    for _ in 0..2000 {
        count(&mut heads, &naive_head::read(&head().new_tree(&mut runner).unwrap().current()));
        let body = parts.new_tree(&mut runner).unwrap().current().concat();
        count(&mut bodies, &chunked::read(body.as_bytes(), 64));
    }
    assert!(heads[1..].iter().chain(&bodies).all(|&count| count > 50), "{heads:?} {bodies:?}");
}
