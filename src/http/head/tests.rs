//! One row per rule of a head; each is fed whole, in every two pieces, and byte by byte, alone and with bytes behind.

mod target;

use super::*;
use crate::http::naive::{self, Verdict};

const ID: &str = "/0b54c6d2-4a36-4f2c-9a2f-5d0f3a6f6a01";

/// What the reader makes of `bytes` cut at `cut`, then in single bytes from there on if `crumbs`.
fn read_cut(bytes: &[u8], cut: usize, crumbs: bool) -> Result<Status<Head>, Reject> {
    let (mut reader, mut head) = (HeadReader::default(), Head::default());
    let step = if crumbs { 1 } else { bytes.len().max(1) };
    let mut end = cut;
    loop {
        if let Status::Complete(()) = reader.read(&bytes[..end], &mut head)? {
            return Ok(Status::Complete(head));
        }
        if end == bytes.len() {
            return Ok(Status::Partial);
        }
        end = (end + step).min(bytes.len());
    }
}

/// The outcome, which must not depend on the split. Long inputs are cut at fewer places.
#[track_caller]
fn outcome(bytes: &[u8]) -> Result<Status<Head>, Reject> {
    let whole = read_cut(bytes, bytes.len(), false);
    let step = if bytes.len() <= 2048 { 1 } else { bytes.len() / 50 };
    let near_end = bytes.len().saturating_sub(8)..bytes.len();
    for cut in (0..bytes.len()).step_by(step).chain(near_end) {
        assert_eq!(
            read_cut(bytes, cut, false),
            whole,
            "cut at {cut}: {:?}",
            bytes.escape_ascii().to_string()
        );
    }
    assert_eq!(read_cut(bytes, 0, true), whole, "byte by byte");
    whole
}

#[track_caller]
fn accepted(request: impl AsRef<[u8]>) -> Head {
    let request = request.as_ref();
    let Ok(Status::Complete(head)) = outcome(request) else {
        panic!("{:?}: {:?}", request.escape_ascii().to_string(), outcome(request));
    };
    assert_eq!(head.bytes, request.len());
    assert!(matches!(naive::head::read(request), Verdict::Accepted(_)), "the oracle refuses");
    // What is pipelined behind changes nothing, nor does one empty line before.
    for behind in [&b"POST / HT"[..], b"\r\n", b"\n", b"\0\x16\x03"] {
        assert_eq!(outcome(&[request, behind].concat()), Ok(Status::Complete(head.clone())));
    }
    if !request.starts_with(b"\r\n") {
        let led = outcome(&[b"\r\n", request].concat());
        assert!(matches!(led, Ok(Status::Complete(led)) if led.bytes == head.bytes + 2));
    }
    head
}

/// The head is refused with this code, and all the same when more follows.
#[track_caller]
fn refused(request: impl AsRef<[u8]>, code: &str) {
    let request = request.as_ref();
    let shown = request.escape_ascii().to_string();
    match outcome(request) {
        Err(reject) => assert_eq!(reject.problem.code, code, "{shown}"),
        other => panic!("{shown}: {other:?}"),
    }
    for behind in [&b"\r\n\r\n"[..], b"\n\n", b"a"] {
        let more = [request, behind].concat();
        assert_eq!(outcome(&more).map_err(|reject| reject.problem.code), Err(code), "{shown}");
    }
    assert!(!matches!(naive::head::read(request), Verdict::Accepted(_)), "the oracle accepts {shown}");
}

#[track_caller]
fn partial(request: impl AsRef<[u8]>) {
    assert_eq!(outcome(request.as_ref()), Ok(Status::Partial));
}

/// A POST with these lines behind its Host, each ended by CRLF.
fn post(lines: &str) -> String {
    format!("POST {ID} HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn with_target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn a_plain_post() {
    let request = format!(
        "POST {ID}/in?a=1 HTTP/1.1\r\nHost: example.com:8080\r\nX-BP-Secret: s3 \r\ncontent-length:200\r\n\
         Content-Type:\tapplication/json\t \r\nEmpty:\r\nBlank: \t \r\n\r\n"
    );
    let head = accepted(&request);
    let bytes = request.as_bytes();
    assert_eq!((head.method, head.version, head.keep_alive), (Method::Post, Version::Http11, true));
    assert_eq!(head.path.of(bytes), format!("{ID}/in").as_bytes());
    assert_eq!((head.query.of(bytes), head.framing), (&b"a=1"[..], Framing::Length(200)));
    assert!(matches!(head.secret, Seen::Once(secret) if secret.of(bytes) == b"s3"));
    let fields: Vec<_> =
        head.fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes))).collect();
    assert_eq!(fields[3], (&b"Content-Type"[..], &b"application/json"[..]));
    assert_eq!(fields[4..], [(&b"Empty"[..], &b""[..]), (&b"Blank"[..], &b""[..])]);
}

#[test]
fn the_reader_starts_anew_after_each_head() {
    let (mut reader, mut head) = (HeadReader::default(), Head::default());
    let first = post("Origin: x\r\nX-BP-Secret: a\r\nSec-Fetch-Site: none\r\nExpect: 100-continue\r\n");
    let second = with_target("/x");
    assert_eq!(reader.read(&first.as_bytes()[..9], &mut head), Ok(Status::Partial));
    assert_eq!(reader.read(first.as_bytes(), &mut head), Ok(Status::Complete(())));
    assert!(head.origin != Seen::Absent && head.sec_fetch_site && head.expect == Expect::Continue);
    assert_eq!(reader.read(second.as_bytes(), &mut head), Ok(Status::Complete(())));
    assert_eq!(
        Ok(Status::Complete(head.clone())),
        outcome(second.as_bytes()),
        "nothing is left of the first"
    );
    assert!(reader.read(b"\0", &mut head).is_err());
    reader.reset();
    assert_eq!(reader.read(second.as_bytes(), &mut head), Ok(Status::Complete(())));
}

#[test]
fn methods() {
    for (name, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("OPTIONS", Method::Options),
        ("PUT", Method::Known),
        ("DELETE", Method::Known),
        ("PATCH", Method::Known),
        ("TRACE", Method::Known),
        ("PROPFIND", Method::Known),
    ] {
        assert_eq!(accepted(format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n")).method, method);
    }
    for name in ["BREW", "get", "Post", "POSTS", "X", "!#$%&'*+-.^_`|~09az", &"A".repeat(32)] {
        refused(format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n"), "unknown_method");
    }
    // Letters without end are refused before any limit on lines.
    refused("A".repeat(33), "unknown_method");
    partial("A".repeat(32));
    for name in ["", " ", "\t", "P(ST", "POST\t", "\"POST\"", "PÖST", "POST,", "{", ":"] {
        refused(format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n"), "bad_head");
    }
}

#[test]
fn versions() {
    let line = |version: &str| format!("GET / {version}\r\nHost: a\r\n\r\n");
    assert_eq!(accepted(line("HTTP/1.0")).version, Version::Http10);
    assert_eq!(accepted(line("HTTP/1.1")).version, Version::Http11);
    for version in
        ["HTTP/2.0", "HTTP/1.2", "HTTP/1.9", "HTTP/0.9", "HTTP/3.0", "HTTP/2", "HTTP/9", "HTTP/01.1"]
    {
        refused(line(version), "http_version");
    }
    for version in
        ["HTTP/1.10", "HTTP/1.", "HTTP/1", "http/1.1", "HTTP/1,1", "HTTP 1.1", "HTTP/+1.1", "", " "]
    {
        refused(line(version), "bad_head");
    }
    for version in ["HTTPS/1.1", "ICY/1.1", " HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1\t", "HTTP/x.1", "HTTP/1.x"] {
        refused(line(version), "bad_head");
    }
    // Refused at the byte that decides, not when the line or the head ends.
    refused("GET / HTTP/2", "http_version");
    refused("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http_version");
    refused("GET /\r\n", "bad_head");
    refused("GET / X", "bad_head");
}

#[test]
fn garbage_is_refused_at_once() {
    for garbage in
        [&b"\x16\x03\x01\x02\0\x01"[..], b"\0", b"\xff\xfe", b"\x80", b"{\"a\":1}", b" ", b"\t", b":"]
    {
        refused(garbage, "bad_head");
    }
    refused(b"GET \x7f", "bad_head");
    refused(b"GET /\0", "bad_head");
    refused(b"SSH-2.0-x\r", "bad_head");
    partial("");
    partial("P");
    partial(post("").trim_end());
}

#[test]
fn empty_lines_before_the_request_line() {
    let request = post("");
    accepted(format!("\r\n{request}"));
    partial("\r");
    partial("\r\n");
    refused("\r\n\r\n", "bad_head");
    refused("\r\r\n", "bad_head");
    refused("\r\n\r", "bad_head");
    refused("\n", "bare_lf");
    refused("\r\n\n", "bare_lf");
    for space in [" ", "\t", "\x0b", "\x0c", "\r\n "] {
        refused(format!("{space}{request}"), "bad_head");
    }
}

#[test]
fn line_ends() {
    let good = post("A: b\r\n");
    for (at, _) in good.match_indices("\r\n") {
        let (before, after) = (&good[..at], &good[at + 2..]);
        refused(format!("{before}\n{after}"), "bare_lf");
        refused(format!("{before}\r\r\n{after}"), "bad_head");
        if !after.is_empty() {
            refused(format!("{before}\r{after}"), "bad_head");
        }
        refused(format!("{before}\n\r{after}"), "bare_lf");
    }
    refused("GET / HTTP/1.1\n\n", "bare_lf");
    refused("GE\n", "bare_lf");
    refused("GET /\n", "bare_lf");
    refused("GET / HTTP/1.1\r\nHo\n", "bare_lf");
    // The first fault is the one that is named, wherever the second stands.
    refused("GET / HTTP/1.1\r\nA : b\nB: c\r\n\r\n", "bad_head");
    refused("GET / HTTP/1.1\r\nA: b\nB : c\r\n\r\n", "bare_lf");
}

#[test]
fn field_lines() {
    for line in [
        "A : b\r\n",
        "A\t: b\r\n",
        ": b\r\n",
        "A\r\n",
        "A(: b\r\n",
        "Ä: b\r\n",
        " A: b\r\n",
        "\tA: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\r\n\tc\r\n",
        "A: b\r\n \r\n",
        "A: b\0\r\n",
        "A: \x01\r\n",
        "A: b\x7f\r\n",
        "A: b\rc\r\n",
        "A\0: b\r\n",
        "A: \x0b\r\n",
        "A\x0b: b\r\n",
        "[A]: b\r\n",
    ] {
        refused(post(line), "bad_head");
    }
    accepted(post("!#$%&'*+-.^_`|~09aZ: any \"visible\" byte, \t tab, : and é\r\n"));
    accepted(b"GET / HTTP/1.1\r\nHost: a\r\nA: \x80\xff obs-text\r\n\r\n");
}

#[test]
fn limits() {
    // A line of exactly the limit passes, one byte more does not, wherever in the line it stands.
    let fill = |bytes: usize| "a".repeat(bytes);
    let target = |line: usize| with_target(&format!("/{}", fill(line - "GET / HTTP/1.1".len())));
    accepted(target(LINE_BYTES_MAX));
    refused(target(LINE_BYTES_MAX + 1), "target_too_long");
    refused(format!("GET /{}", fill(LINE_BYTES_MAX)), "target_too_long");
    accepted(post(&format!("A:{}\r\n", fill(LINE_BYTES_MAX - 2))));
    refused(post(&format!("A:{}\r\n", fill(LINE_BYTES_MAX - 1))), "head_too_large");
    accepted(post(&format!("{}:\r\n", fill(LINE_BYTES_MAX - 1))));
    refused(post(&format!("{}:\r\n", fill(LINE_BYTES_MAX))), "head_too_large");

    let field = |value: usize| format!("A:{}\r\n", fill(value));
    let base = post("").len() + field(0).len() * 5;
    let rest = HEAD_BYTES_MAX - base;
    let lines = |rest: usize| format!("{}{}", field(rest / 5).repeat(4), field(rest - rest / 5 * 4));
    let full = post(&lines(rest));
    assert_eq!(full.len(), HEAD_BYTES_MAX);
    // Without the empty line before it, which counts too.
    assert!(matches!(outcome(full.as_bytes()), Ok(Status::Complete(head)) if head.bytes == HEAD_BYTES_MAX));
    refused(post(&lines(rest + 1)), "head_too_large");
    // The limit strikes when the bytes are there, not one later: a buffer of that size need not grow.
    refused(&post(&lines(rest + 9))[..HEAD_BYTES_MAX], "head_too_large");
    partial(&post(&lines(rest + 9))[..HEAD_BYTES_MAX - 1]);

    accepted(post(&"A: b\r\n".repeat(FIELDS_MAX - 1)));
    refused(post(&"A: b\r\n".repeat(FIELDS_MAX)), "head_too_large");
    let crossing = post(&"A: b\r\n".repeat(FIELDS_MAX - 1));
    refused(format!("{}A", crossing.strip_suffix("\r\n").unwrap()), "head_too_large");
}

#[test]
fn content_lengths() {
    let line = |value: &str| post(&format!("Content-Length:{value}\r\n"));
    assert_eq!(accepted(post("")).framing, Framing::Length(0));
    for (value, length) in [(" 0", 0), (" 5 ", 5), ("\t007", 7), ("18446744073709551615", u64::MAX)] {
        assert_eq!(accepted(line(value)).framing, Framing::Length(length));
    }
    assert_eq!(accepted(line(&"0".repeat(300))).framing, Framing::Length(0));
    for value in [
        "",
        " ",
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "5,",
        ",5",
        "5 5",
        "0x5",
        "5a",
        "5.0",
        "1e3",
        "'5'",
        "\"5\"",
        "٥",
        "5;",
        "18446744073709551616",
        "99999999999999999999999",
        "5\t5",
    ] {
        refused(line(value), "bad_content_length");
    }
    refused(post("Content-Length: 5\r\nContent-Length: 6\r\n"), "bad_content_length");
    refused(post("Content-Length: 5\r\ncontent-length: 5\r\n"), "bad_content_length");
    refused("POST / HTTP/1.0\r\nContent-Length: +1\r\n\r\n", "bad_content_length");
    // A GET is framed as a POST is.
    let get = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(accepted(get).framing, Framing::Length(3));
}

#[test]
fn transfer_encodings() {
    let line = |value: &str| post(&format!("Transfer-Encoding:{value}\r\n"));
    for value in ["chunked", " CHUNKED ", "\tChunked"] {
        assert_eq!(accepted(line(value)).framing, Framing::Chunked);
    }
    for value in
        ["gzip", "gzip, chunked", "chunked, gzip", "identity", "xchunked", "chunked, identity", "chunke"]
    {
        refused(line(value), "unknown_transfer_encoding");
    }
    for value in [
        "",
        " ",
        ",",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "chunked;a=b",
        "chunked ;a",
        "\"chunked\"",
        "chunked chunked",
        "chunked\tx",
        "gzip;q=1, chunked",
        "(chunked)",
        "chunkéd",
    ] {
        refused(line(value), "bad_transfer_encoding");
    }
    let two = |first, second| post(&format!("Transfer-Encoding: {first}\r\ntransfer-encoding: {second}\r\n"));
    refused(two("chunked", "chunked"), "bad_transfer_encoding");
    refused(two("", "chunked"), "bad_transfer_encoding");
    refused(two("gzip", "chunked"), "unknown_transfer_encoding");
    refused(two("chunked", "identity"), "unknown_transfer_encoding");
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "bad_transfer_encoding");
    refused("POST / HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", "bad_transfer_encoding");
    for coding in ["chunked", "gzip", ""] {
        let both = format!("Content-Length: 5\r\nTransfer-Encoding: {coding}\r\n");
        refused(post(&both), "length_and_transfer_encoding");
    }
    refused(post("Transfer-Encoding: chunked\r\nContent-Length: x\r\n"), "length_and_transfer_encoding");
}

#[test]
fn connection_options() {
    let keeps = |version: &str, lines: &str| {
        accepted(format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).keep_alive
    };
    assert!(keeps("1.1", ""));
    assert!(!keeps("1.0", ""));
    assert!(keeps("1.0", "Connection: Keep-Alive\r\n"));
    assert!(keeps("1.1", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"));
    assert!(keeps("1.1", "Connection: closed\r\n"));
    assert!(keeps("1.1", "X-Connection: close\r\n"));
    for close in
        ["close", "CLOSE", "keep-alive,close", "a,\tclose ,b", ",close", "close\r\nConnection: keep-alive"]
    {
        for version in ["1.0", "1.1"] {
            assert!(!keeps(version, &format!("Connection: {close}\r\n")), "{close}");
            assert!(
                !keeps(version, &format!("Connection: keep-alive\r\nconnection: {close}\r\n")),
                "{close}"
            );
        }
    }
}

#[test]
fn expectations() {
    let expect = |version: &str, lines: &str| {
        accepted(format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).expect
    };
    assert_eq!(expect("1.1", ""), Expect::None);
    assert_eq!(expect("1.1", "Expect:\r\n"), Expect::None);
    for value in
        ["100-continue", "100-CONTINUE", "100-Continue, 100-continue", "100-continue\r\nexpect: 100-continue"]
    {
        assert_eq!(expect("1.1", &format!("Expect: {value}\r\n")), Expect::Continue);
        assert_eq!(expect("1.0", &format!("Expect: {value}\r\n")), Expect::None);
    }
    for value in
        ["x", "100-continue, x", "x, 100-continue", "100", "100-continue;q=1", "100-continue\r\nExpect: x"]
    {
        assert_eq!(expect("1.1", &format!("Expect: {value}\r\n")), Expect::Unknown);
        assert_eq!(expect("1.0", &format!("Expect: {value}\r\n")), Expect::None);
    }
}

#[test]
fn fields_that_admission_asks_for() {
    let request = post(
        "Origin: https://a\r\nX-Bp-Secret: one\r\nx-bp-secret: two\r\nSec-Fetch-Site: cross-site\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: a, b\r\n",
    );
    let bytes = request.as_bytes();
    let head = accepted(&request);
    assert!(matches!(head.origin, Seen::Once(origin) if origin.of(bytes) == b"https://a"));
    assert_eq!((head.secret, head.sec_fetch_site), (Seen::Repeated, true));
    assert_eq!(head.request_method.map(|span| span.of(bytes)), Some(&b"POST"[..]));
    assert_eq!(head.request_headers.map(|span| span.of(bytes)), Some(&b"a, b"[..]));
    // Names of the same length are not taken for them.
    let other = accepted(post("Accept: a\r\nUser-Agent: b\r\nContent-Sength: 9\r\nX-BP-Sxxxxx: c\r\n"));
    assert_eq!((other.origin, other.secret, other.framing), (Seen::Absent, Seen::Absent, Framing::Length(0)));
}

#[test]
fn a_sender_of_single_bytes_costs_each_byte_once() {
    // Were the head read anew at each byte, this would take 64 Ki x 32 KiB = 2 GiB of scanning. Counted, not timed.
    let head = post(&format!("A:{}\r\n", "a".repeat(LINE_BYTES_MAX - 2)).repeat(3));
    let mut scan = Scan::default();
    let mut steps = 0;
    for end in 1..=head.len() {
        let before = scan.scanned();
        scan.feed(&head.as_bytes()[..end]).unwrap();
        steps += scan.scanned() - before;
    }
    assert_eq!(steps, head.len());
}
