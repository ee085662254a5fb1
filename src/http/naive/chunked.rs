//! A chunked body, read line by line.

use super::super::chunked::{ChunkedDecoder, EXTENSION_BYTES_MAX, Step};
use super::super::head::{FIELDS_MAX, HEAD_BYTES_MAX, LINE_BYTES_MAX};
use super::super::reject::{BAD_CHUNK, BODY_TOO_LARGE};
use super::super::{Problem, Reject, Status};
use super::{Verdict, field, find, is_token};

/// A whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The payload of all chunks.
    pub payload: Vec<u8>,
    /// How many bytes of the input it took.
    pub consumed: usize,
}

/// Reads the body at the start of `input`.
pub fn read(input: &[u8], body_bytes_max: u64) -> Verdict<Body> {
    let mut payload = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = line(input, &mut at) else { return Verdict::Undecided };
        let size = match chunk_size(line, body_bytes_max - payload.len() as u64) {
            Ok(size) => size as usize,
            Err(problem) => return Verdict::Refused(problem),
        };
        if size == 0 {
            return trailers(input, at, payload);
        }
        let Some(chunk) = input.get(at..at + size + 2) else { return Verdict::Undecided };
        if !chunk.ends_with(b"\r\n") {
            return Verdict::Refused(&BAD_CHUNK);
        }
        payload.extend_from_slice(&chunk[..size]);
        at += size + 2;
    }
}

/// The next line without its CRLF; moves `at` behind it.
fn line<'a>(input: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let end = find(&input[*at..], b"\r\n")?;
    let line = &input[*at..*at + end];
    *at += end + 2;
    Some(line)
}

fn chunk_size(line: &[u8], allowed: u64) -> Result<u64, &'static Problem> {
    // The size ends at `;` or at a CR, be it the line's or a stray one.
    let digits = line.split(|byte| b";\r".contains(byte)).next().unwrap_or_default();
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(&BAD_CHUNK);
    }
    let text = String::from_utf8_lossy(digits);
    let size = u64::from_str_radix(&text, 16).map_err(|_| &BAD_CHUNK)?;
    if size > allowed {
        return Err(&BODY_TOO_LARGE);
    }
    // The first semicolon is not counted among the bytes of the extensions.
    let extensions = &line[digits.len()..];
    let short = extensions.len() <= EXTENSION_BYTES_MAX as usize + 1;
    if short && are_extensions(extensions) { Ok(size) } else { Err(&BAD_CHUNK) }
}

/// RFC 9112 §7.1.1, by removing one extension after another; white space is taken wherever the grammar has BWS,
/// except before the first `;` and at the end.
fn are_extensions(mut text: &[u8]) -> bool {
    let blank = |text: &[u8]| text.iter().take_while(|byte| b" \t".contains(byte)).count();
    let token = |text: &[u8]| (1..=text.len()).rev().find(|&end| is_token(&text[..end])).unwrap_or(0);
    while !text.is_empty() {
        if text[0] != b';' {
            return false;
        }
        text = &text[1..];
        text = &text[blank(text)..];
        let name = token(text);
        if name == 0 {
            return false;
        }
        text = &text[name..];
        let mut space = blank(text);
        if text.get(space) == Some(&b'=') {
            text = &text[space + 1..];
            text = &text[blank(text)..];
            let value = if text.first() == Some(&b'"') { quoted(text) } else { token(text) };
            if value == 0 {
                return false;
            }
            text = &text[value..];
            space = blank(text);
        }
        if space == text.len() && space > 0 {
            return false;
        }
        text = &text[space..];
    }
    true
}

/// RFC 9110 §5.6.4: the length of the quoted string at the start, 0 if there is none.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' if text.get(at + 1).is_some_and(|next| super::is_value(&[*next])) => at += 2,
            b'\\' => return 0,
            _ if super::is_value(&[byte]) => at += 1,
            _ => return 0,
        }
    }
    0
}

fn trailers(input: &[u8], start: usize, payload: Vec<u8>) -> Verdict<Body> {
    let mut at = start;
    for count in 0.. {
        let Some(line) = line(input, &mut at) else { return Verdict::Undecided };
        if line.is_empty() {
            return Verdict::Accepted(Body { payload, consumed: at });
        }
        if field(line).is_none() || count == FIELDS_MAX || line.len() > LINE_BYTES_MAX {
            return Verdict::Refused(&BAD_CHUNK);
        }
        if at - start >= HEAD_BYTES_MAX {
            return Verdict::Refused(&BAD_CHUNK);
        }
    }
    Verdict::Undecided
}

/// What the fast decoder makes of `input` that arrives in pieces of `piece` bytes.
pub fn decode_in_pieces(input: &[u8], body_bytes_max: u64, piece: usize) -> Result<Status<Body>, Reject> {
    let mut decoder = ChunkedDecoder::new(body_bytes_max);
    let mut payload = Vec::new();
    let mut consumed = 0;
    for part in input.chunks(piece.max(1)) {
        let mut rest = part;
        loop {
            match decoder.decode(rest)? {
                Step::Need => {
                    consumed += rest.len();
                    break;
                }
                Step::Data { start, end } => {
                    assert!(start < end, "data without bytes");
                    payload.extend_from_slice(&rest[start..end]);
                    assert!(payload.len() as u64 <= body_bytes_max, "more payload than allowed");
                    consumed += end;
                    rest = &rest[end..];
                }
                Step::End { consumed: last } => {
                    return Ok(Status::Complete(Body { payload, consumed: consumed + last }));
                }
            }
        }
    }
    Ok(Status::Partial)
}

/// Fuzz body: whatever the bytes and wherever they are split, the fast decoder says the same, and what this one says.
/// The first byte chooses the split, the second the limit.
pub fn fuzz_chunked(data: &[u8]) {
    let [seed, limit, input @ ..] = data else { return };
    let body_bytes_max = u64::from(*limit) * 16;
    let fast = decode_in_pieces(input, body_bytes_max, input.len());
    for piece in [1, 1 + usize::from(*seed)] {
        assert_eq!(decode_in_pieces(input, body_bytes_max, piece), fast, "in pieces of {piece}");
    }
    let too_large = |problem: &Problem| problem == &BODY_TOO_LARGE;
    match (read(input, body_bytes_max), &fast) {
        (Verdict::Accepted(naive), Ok(Status::Complete(body))) => assert_eq!(&naive, body),
        (Verdict::Refused(naive), Err(fast)) => assert_eq!(too_large(naive), too_large(fast.problem)),
        (Verdict::Undecided, Ok(Status::Partial) | Err(_)) => {}
        (naive, fast) => panic!("naive says {naive:?}, fast says {fast:?}"),
    }
}
