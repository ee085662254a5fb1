//! One row per rule of a chunked body; each is decoded whole, in every two pieces, and byte by byte.

use super::*;
use crate::http::Status;
use crate::http::naive::chunked::{Body, decode_in_pieces, read};
use crate::http::naive::{self, Verdict};

const MAX: u64 = 1000;

/// The outcome, which must not depend on the split; and agrees with the oracle's.
#[track_caller]
fn outcome(input: &[u8], body_bytes_max: u64) -> Result<Status<Body>, Reject> {
    let shown = input.escape_ascii().to_string();
    let whole = decode_in_pieces(input, body_bytes_max, input.len());
    let step = if input.len() <= 2048 { 1 } else { input.len() / 50 };
    for piece in (1..input.len()).step_by(step) {
        assert_eq!(decode_in_pieces(input, body_bytes_max, piece), whole, "in pieces of {piece}: {shown}");
    }
    for cut in (1..input.len()).step_by(step) {
        assert_eq!(decode_cut(input, body_bytes_max, cut), whole, "cut at {cut}: {shown}");
    }
    match (read(input, body_bytes_max), &whole) {
        (Verdict::Accepted(naive), Ok(Status::Complete(body))) => assert_eq!(&naive, body),
        (Verdict::Refused(_), Err(_)) | (Verdict::Undecided, Ok(Status::Partial) | Err(_)) => {}
        (naive, fast) => panic!("{shown}: naive says {naive:?}, fast says {fast:?}"),
    }
    whole
}

/// In two pieces.
fn decode_cut(input: &[u8], body_bytes_max: u64, cut: usize) -> Result<Status<Body>, Reject> {
    let mut decoder = ChunkedDecoder::new(body_bytes_max);
    let mut body = Body { payload: Vec::new(), consumed: 0 };
    for end in [cut, input.len()] {
        while body.consumed < end {
            let rest = &input[body.consumed..end];
            match decoder.decode(rest)? {
                Step::Need => body.consumed = end,
                Step::Data { start, end } => {
                    body.payload.extend_from_slice(&rest[start..end]);
                    body.consumed += end;
                }
                Step::End { consumed } => {
                    body.consumed += consumed;
                    return Ok(Status::Complete(body));
                }
            }
        }
    }
    Ok(Status::Partial)
}

#[track_caller]
fn accepted(input: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) {
    let (input, payload) = (input.as_ref(), payload.as_ref().to_vec());
    let complete = Ok(Status::Complete(Body { payload, consumed: input.len() }));
    assert_eq!(outcome(input, MAX), complete);
    // What is pipelined behind is not touched.
    assert_eq!(outcome(&[input, b"POST / HTTP/1.1\r\n"].concat(), MAX), complete);
    for end in (0..input.len()).step_by(1 + input.len() / 200) {
        assert_eq!(outcome(&input[..end], MAX), Ok(Status::Partial), "a body cut short is not whole");
    }
}

#[track_caller]
fn refused(input: impl AsRef<[u8]>, code: &str) {
    let input = input.as_ref();
    let result = outcome(input, MAX).map_err(|reject| reject.problem.code);
    assert_eq!(result, Err(code), "{}", input.escape_ascii());
}

#[test]
fn chunks() {
    accepted("0\r\n\r\n", "");
    accepted("5\r\nhello\r\n0\r\n\r\n", "hello");
    accepted("5\r\nhello\r\n1\r\n \r\n05\r\nworld\r\n000\r\n\r\n", "hello world");
    accepted("a\r\n0123456789\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", "0123456789\r\n\r\n\r\n\r\n\r\n");
    accepted("0000000000000003\r\n\0\r\n\r\n0\r\n\r\n", "\0\r\n");
    accepted(format!("3E8\r\n{}\r\n0\r\n\r\n", "x".repeat(1000)), "x".repeat(1000));
}

#[test]
fn sizes() {
    for size in [
        "",
        " ",
        "\t5",
        " 5",
        "5 ",
        "5\t",
        "+5",
        "-5",
        "0x5",
        "0X5",
        "g",
        "5g",
        "5,5",
        "5.0",
        "\"5\"",
        "h",
        "5 ;a",
        "00000000000000005",
        "10000000000000000",
        "fffffffffffffffff",
        "5\0",
        "٥",
        "5\u{b}",
        "5_0",
        "=",
        "5=a",
    ] {
        refused(format!("{size}\r\nhello\r\n0\r\n\r\n"), "bad_chunk");
    }
    // Refused at the byte that decides.
    for start in [
        "x",
        "-",
        " ",
        "\r",
        "\n",
        ";",
        "5\n",
        "5\rx",
        "5 ",
        "00000000000000000",
        "5\r\nhellox",
        "5\r\nhello\n",
    ] {
        refused(start, "bad_chunk");
    }
    refused("5\r\nhello\rx", "bad_chunk");
    refused("5\r\nhello\r\n\r\n", "bad_chunk");
    refused("4\r\nhello\r\n0\r\n\r\n", "bad_chunk");
    refused("6\r\nhello\r\n0\r\n\r\n", "bad_chunk");
}

#[test]
fn a_chunk_that_crosses_the_limit_is_refused_before_its_bytes() {
    refused("3e9\r", "body_too_large");
    refused("3e9;", "body_too_large");
    refused("ffffffffffffffff\r", "body_too_large");
    let many = format!("{}3E7\r\n{}\r\n", "1\r\na\r\n", "b".repeat(999));
    assert_eq!(outcome(many.as_bytes(), MAX), Ok(Status::Partial));
    refused(format!("{many}1\r"), "body_too_large");
    accepted(format!("{many}0\r\n\r\n"), format!("a{}", "b".repeat(999)));
    assert_eq!(outcome(b"1\r\n", 0).map_err(|reject| reject.problem.status), Err(413));
    assert!(matches!(outcome(b"0\r\n\r\n", 0), Ok(Status::Complete(_))));
}

#[test]
fn extensions() {
    let body = |extension: &str| format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n");
    for extension in [
        ";a",
        ";a=b",
        ";a=\"b\"",
        ";a;b;c=d",
        ";a=\"\"",
        ";a=\"x;y\\\"\\\\ \t\u{e9}\"",
        "; a",
        ";\ta = b",
        ";a =\"b\" ;c",
        ";!#$%&'*+-.^_`|~=1",
        ";a=\"\\x\"",
        ";a ;b",
    ] {
        accepted(body(extension), "hello");
    }
    for extension in [
        ";",
        ";;",
        ";a;",
        ";=",
        ";=b",
        ";a=",
        ";a= ",
        ";a==b",
        ";a=\"",
        ";a=\"b",
        ";a=\"b\"c",
        ";a b",
        ";a=b c",
        ";a ",
        ";a=b ",
        ";a=\"b\" ",
        "; ",
        ";(",
        ";a=(",
        ";a=\"\0\"",
        ";a=\"\\\0\"",
        ";a\0",
        ";a=b\n",
        ";\n",
        ";a\r",
        ";a=\"\r\n\"",
        ";é",
        ";a=é",
        ";a=\"\\\"",
        ";a,b",
        " ;a",
        "\t;a",
    ] {
        refused(body(extension), "bad_chunk");
    }
    let long = |bytes: u32| body(&format!(";{}", "a".repeat(bytes as usize)));
    accepted(long(EXTENSION_BYTES_MAX), "hello");
    refused(long(EXTENSION_BYTES_MAX + 1), "bad_chunk");
    refused(format!("5;{}", "a;".repeat(129)), "bad_chunk");
    refused(format!("5;{}", " ".repeat(257)), "bad_chunk");
}

#[test]
fn trailers() {
    let body = |trailers: &str| format!("1\r\na\r\n0\r\n{trailers}\r\n");
    for trailers in
        ["A: b\r\n", "A:\r\n", "A: b\r\nB:c \r\n", "Content-Length: 5\r\nHost: x\r\n", "A: \t é\r\n"]
    {
        accepted(body(trailers), "a");
    }
    for trailers in [
        "A : b\r\n",
        ": b\r\n",
        "A\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A: b\n",
        "A: b\0\r\n",
        "A: b\rc\r\n",
        "\n",
        "A: \x7f\r\n",
        "é: b\r\n",
        "A: b\r\r\n",
        "\t\r\n",
        "a",
    ] {
        refused(body(trailers), "bad_chunk");
    }
    refused("0\r\n\rx", "bad_chunk");
    refused("0\r\n\n", "bad_chunk");
    let fill = |bytes: usize| "a".repeat(bytes);
    accepted(body(&format!("A:{}\r\n", fill(LINE_BYTES_MAX - 2))), "a");
    refused(body(&format!("A:{}\r\n", fill(LINE_BYTES_MAX - 1))), "trailers_too_large");
    // The limit on a line is on each: three long ones pass, five are beyond the budget of all.
    accepted(body(&format!("A:{}\r\n", fill(16_000)).repeat(3)), "a");
    refused(body(&format!("A:{}\r\n", fill(16_000)).repeat(5)), "trailers_too_large");
    accepted(body(&"A:\r\n".repeat(FIELDS_MAX)), "a");
    refused(body(&"A:\r\n".repeat(FIELDS_MAX + 1)), "trailers_too_large");
}

#[test]
fn nothing_is_consumed_after_the_end() {
    let mut decoder = ChunkedDecoder::new(MAX);
    assert_eq!(decoder.decode(b"1\r\na\r\n0\r\n\r\nGET"), Ok(Step::Data { start: 3, end: 4 }));
    assert_eq!(decoder.decode(b"\r\n0\r\n\r\nGET"), Ok(Step::End { consumed: 7 }));
    assert_eq!(decoder.decode(b"GET"), Ok(Step::End { consumed: 0 }));
    assert_eq!(ChunkedDecoder::new(MAX).decode(b""), Ok(Step::Need));
}

#[test]
fn chunks_of_many_sizes() {
    let mut input = Vec::new();
    let mut payload = Vec::new();
    for size in (1..1400).step_by(7) {
        let chunk: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        input.extend_from_slice(format!("{size:x};n={size}\r\n").as_bytes());
        input.extend_from_slice(&chunk);
        input.extend_from_slice(b"\r\n");
        payload.extend_from_slice(&chunk);
    }
    input.extend_from_slice(b"0\r\n\r\n");
    for piece in [1, 3, 16, 4096, input.len()] {
        let body = Body { payload: payload.clone(), consumed: input.len() };
        assert_eq!(decode_in_pieces(&input, 1 << 20, piece), Ok(Status::Complete(body)));
    }
    naive::fuzz_chunked(&[&[7, 255], &input[..]].concat());
}
