//! The answers, appended to a buffer: those of one pipelined batch leave in one write. The 200 is copied from one
//! prebuilt template; the rest is assembled from parts without an allocation of its own.

#[cfg(test)]
mod tests;

use super::Reject;
use super::class::{is_token, members};
use super::head::Version;

/// RFC 9110 §15.2.1: the interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The methods a webhook takes, for `Allow` (RFC 9110 §10.2.1) and preflights.
const METHODS: &[u8] = b"POST, GET, OPTIONS";
/// How long to wait after a 503 or 429, in seconds (RFC 9110 §10.2.3).
const RETRY_AFTER: &[u8] = b"retry-after: 1\r\n";

/// What an answer needs to know of its request and connection.
#[derive(Debug, Clone, Copy)]
pub struct Meta<'a> {
    /// The IMF-fixdate (RFC 9110 §5.6.7) of now.
    pub date: &'a [u8; 29],
    /// Whether the connection closes after this answer.
    pub close: bool,
    /// The version of the request.
    pub version: Version,
    /// The origin to echo to an allowed browser.
    pub cors_origin: Option<&'a [u8]>,
    /// Whether the request was HEAD: the answer then has no body (RFC 9110 §9.3.2).
    pub head_only: bool,
}

const DATE: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
const ID: &str = "00000000-0000-0000-0000-000000000000";
const ACCEPTED_START: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\ndate: ";
const ACCEPTED_MIDDLE: &str = "\r\nx-event-id: ";
const DATE_AT: usize = ACCEPTED_START.len();
const ID_AT: usize = DATE_AT + DATE.len() + ACCEPTED_MIDDLE.len();
const ACCEPTED_BYTES: usize = ID_AT + ID.len() + 2;

/// The 200 up to its last header line, with places for the date and the id.
static ACCEPTED: [u8; ACCEPTED_BYTES] = accepted_template();

const fn accepted_template() -> [u8; ACCEPTED_BYTES] {
    let parts = [ACCEPTED_START, DATE, ACCEPTED_MIDDLE, ID, "\r\n"];
    let mut template = [0; ACCEPTED_BYTES];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let bytes = parts[part].as_bytes();
        let mut from = 0;
        while from < bytes.len() {
            template[at] = bytes[from];
            (from, at) = (from + 1, at + 1);
        }
        part += 1;
    }
    assert!(at == ACCEPTED_BYTES);
    template
}

/// The event has been accepted: an empty 200 with its id.
#[inline]
pub fn accepted(out: &mut Vec<u8>, event_id: &[u8; 36], meta: &Meta<'_>) {
    let mut answer = ACCEPTED;
    answer[DATE_AT..DATE_AT + 29].copy_from_slice(meta.date);
    answer[ID_AT..ID_AT + 36].copy_from_slice(event_id);
    out.extend_from_slice(&answer);
    connection(out, meta.close, meta.version);
    cors(out, meta);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9457: the refusal as a problem document.
pub fn problem(out: &mut Vec<u8>, reject: &Reject, meta: &Meta<'_>) {
    let problem = reject.problem;
    let status = decimal(u64::from(problem.status));
    let offset = reject.offset.map(decimal);
    let (before_offset, offset) = match &offset {
        Some(offset) => (",\"offset\":", offset.as_str()),
        None => ("", ""),
    };
    let body = [
        "{\"type\":\"about:blank\",\"title\":\"",
        reason(problem.status),
        "\",\"status\":",
        status.as_str(),
        ",\"code\":\"",
        problem.code,
        "\",\"detail\":\"",
        problem.detail,
        "\"",
        before_offset,
        offset,
        "}\n",
    ];
    let length = body.iter().map(|part| part.len()).sum::<usize>() as u64;

    status_line(out, problem.status, meta);
    out.extend_from_slice(b"content-type: application/problem+json\r\ncontent-length: ");
    out.extend_from_slice(decimal(length).as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
    match problem.status {
        // RFC 9110 §15.5.2: a 401 must name a way to authenticate.
        401 => out.extend_from_slice(b"www-authenticate: x-bp-secret realm=\"webhook\"\r\n"),
        405 => allow(out),
        // RFC 9110 §15.5.16: which codings would have been understood.
        415 => out.extend_from_slice(b"accept-encoding: identity\r\n"),
        429 | 503 => out.extend_from_slice(RETRY_AFTER),
        _ => {}
    }
    connection(out, meta.close || problem.close, meta.version);
    cors(out, meta);
    out.extend_from_slice(b"\r\n");
    if !meta.head_only {
        body.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    }
}

/// Fetch, "CORS-preflight fetch": the methods, and the headers that were asked for.
pub fn preflight(out: &mut Vec<u8>, request_headers: Option<&[u8]>, meta: &Meta<'_>) {
    status_line(out, 204, meta);
    out.extend_from_slice(b"access-control-allow-methods: ");
    out.extend_from_slice(METHODS);
    if let Some(names) = request_headers.filter(|names| members(names).all(is_token)) {
        out.extend_from_slice(b"\r\naccess-control-allow-headers: ");
        out.extend_from_slice(names);
    }
    // Two hours: the longest that Chromium keeps.
    out.extend_from_slice(b"\r\naccess-control-max-age: 7200\r\n");
    out.extend_from_slice(b"vary: access-control-request-method, access-control-request-headers\r\n");
    connection(out, meta.close, meta.version);
    cors(out, meta);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110 §9.3.7: a plain OPTIONS asks what is allowed.
pub fn options(out: &mut Vec<u8>, meta: &Meta<'_>) {
    status_line(out, 204, meta);
    allow(out);
    connection(out, meta.close, meta.version);
    cors(out, meta);
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, status: u16, meta: &Meta<'_>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(decimal(u64::from(status)).as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(meta.date);
    out.extend_from_slice(b"\r\n");
}

fn allow(out: &mut Vec<u8>) {
    out.extend_from_slice(b"allow: ");
    out.extend_from_slice(METHODS);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9112 §9.6: say that it closes; RFC 9112 appendix C.2.2: tell an HTTP/1.0 client that it does not.
#[inline]
fn connection(out: &mut Vec<u8>, close: bool, version: Version) {
    if close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if version == Version::Http10 {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
}

/// Fetch, "HTTP responses": the origin is echoed, so the answer varies by it.
#[inline]
fn cors(out: &mut Vec<u8>, meta: &Meta<'_>) {
    if let Some(origin) = meta.cors_origin {
        out.extend_from_slice(b"access-control-allow-origin: ");
        out.extend_from_slice(origin);
        out.extend_from_slice(b"\r\nvary: origin\r\naccess-control-expose-headers: x-event-id\r\n");
    }
}

/// RFC 9110 §15, RFC 6585: the phrase, also the title of a problem (RFC 9457 §4.2.1).
fn reason(status: u16) -> &'static str {
    match status {
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

/// A number as decimal digits, without an allocation.
struct Decimal {
    digits: [u8; 20],
    start: usize,
}

fn decimal(mut number: u64) -> Decimal {
    let mut decimal = Decimal { digits: [b'0'; 20], start: 20 };
    loop {
        decimal.start -= 1;
        decimal.digits[decimal.start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return decimal;
        }
    }
}

impl Decimal {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[self.start..]).unwrap_or_default()
    }
}
