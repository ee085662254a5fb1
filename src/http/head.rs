//! The head of a request, read into offsets: one httparse pass, then one pass over the fields.
//!
//! httparse is fast and lenient: it takes a lone LF for a line end, any number of empty lines before the request
//! line, and any visible byte in the target. Two things close these holes. On the fast path, a head that arrived
//! whole, `parse` looks at the two bytes before each field name: every LF that httparse consumed stands there or
//! in the last four bytes, so no pass over all bytes is needed. Everything else (a head in pieces, a head with a
//! fault, a head over 16 KiB) goes through [`scan`], an automaton of the strict grammar that looks at each byte
//! once however small the pieces are, and refuses at the first bad byte. As it alone names the fault, the answer
//! does not depend on how the bytes were split. Only when it has seen the end does httparse run again.

pub mod authority;
mod fields;
mod scan;
mod target;

#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use super::framing::Framing;
use super::reject::{BAD_HEAD, BARE_LF, UNKNOWN_METHOD};
use super::{Reject, Span, Status};
use scan::Scan;

/// The longest request line, and the longest line of a field, without its CRLF.
pub const LINE_BYTES_MAX: usize = 16 * 1024;
/// The longest head, with its last empty line.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The most fields.
pub const FIELDS_MAX: usize = 100;
/// The longest method; the longest that IANA lists has 17 letters. Letters without end are then refused soon.
pub const METHOD_BYTES_MAX: usize = 32;

/// RFC 9110 §9: the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Fires an event, usually without a body.
    Get,
    /// Fires an event.
    #[default]
    Post,
    /// Asks what is allowed; a CORS preflight if it names a method.
    Options,
    /// Like GET, without a body in the answer.
    Head,
    /// A method that is known and that no webhook takes.
    Known,
}

/// RFC 9112 §2.3: the version of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

/// One field line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Field {
    /// The name as sent.
    pub name: Span,
    /// The value without the white space around it.
    pub value: Span,
}

/// A field that must not repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seen {
    /// Not there.
    #[default]
    Absent,
    /// There once, with this value.
    Once(Span),
    /// There more than once.
    Repeated,
}

/// RFC 9110 §10.1.1: what the sender waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expect {
    /// Nothing.
    #[default]
    None,
    /// `100-continue`.
    Continue,
    /// Something that is not understood.
    Unknown,
}

/// A head as offsets into its bytes. Reused for every head of a connection: `fields` keeps its allocation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// Length of the head, with its last empty line and an empty line before it.
    pub bytes: usize,
    /// The method.
    pub method: Method,
    /// The version.
    pub version: Version,
    /// The target as sent.
    pub target: Span,
    /// The path of the target: begins with `/`, or is `*`; empty with CONNECT.
    pub path: Span,
    /// The query without its `?`, empty if absent.
    pub query: Span,
    /// All fields in order.
    pub fields: Vec<Field>,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the connection may serve another request after this one.
    pub keep_alive: bool,
    /// What the sender waits for.
    pub expect: Expect,
    /// `Origin`.
    pub origin: Seen,
    /// `x-bp-secret`.
    pub secret: Seen,
    /// Whether `Sec-Fetch-Site` is there: only browsers send it.
    pub sec_fetch_site: bool,
    /// Whether the body is under a content coding such as gzip.
    pub is_encoded: bool,
    /// `Access-Control-Request-Method`.
    pub request_method: Option<Span>,
    /// `Access-Control-Request-Headers`.
    pub request_headers: Option<Span>,
}

/// Reads heads; holds what was already scanned of the current one.
#[derive(Debug, Default)]
pub struct HeadReader {
    scan: Scan,
}

impl HeadReader {
    /// Reads the head at the start of `bytes`. After `Partial`, call again with the same bytes and more behind them.
    /// After `Complete` or [`Self::reset`] the next call starts a new head.
    pub fn read(&mut self, bytes: &[u8], head: &mut Head) -> Result<Status<()>, Reject> {
        if !self.scan.has_begun() {
            // A head that ends within LINE_BYTES_MAX keeps both limits in bytes, and httparse counts the fields.
            let whole = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
            if let Ok(Status::Complete(())) = parse(whole, head) {
                return Ok(Status::Complete(()));
            }
        }
        match self.scan.feed(bytes)? {
            Status::Partial => Ok(Status::Partial),
            Status::Complete(end) => {
                self.reset();
                match parse(&bytes[..end], head)? {
                    Status::Complete(()) => Ok(Status::Complete(())),
                    // The automaton is the stricter of the two; should they differ, refusing is safe.
                    Status::Partial => Err((&BAD_HEAD).into()),
                }
            }
        }
    }

    /// Forgets the current head.
    pub fn reset(&mut self) {
        self.scan = Scan::default();
    }
}

/// Reads a whole head. What it refuses of the grammar is only final once [`scan`] has agreed.
fn parse(bytes: &[u8], head: &mut Head) -> Result<Status<()>, Reject> {
    let mut slots = [const { MaybeUninit::<httparse::Header<'_>>::uninit() }; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut []);
    let end = match request.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Ok(Status::Partial),
        Err(_) => return Err((&BAD_HEAD).into()),
    };
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err((&BAD_HEAD).into());
    };
    let bytes = &bytes[..end];
    let span = |part: &[u8]| {
        let start = part.as_ptr() as usize - bytes.as_ptr() as usize;
        Span::new(start, start + part.len())
    };

    // RFC 9112 §2.2: at most one empty line before the request line.
    let lead = span(method.as_bytes()).start;
    if !(lead == 0 || lead == 2 && bytes.starts_with(b"\r\n")) {
        return Err((&BAD_HEAD).into());
    }
    if !bytes.ends_with(b"\r\n\r\n") {
        return Err((&BARE_LF).into());
    }
    head.bytes = end;
    head.version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    head.target = span(target.as_bytes());
    head.fields.clear();
    for header in request.headers.iter() {
        let name = span(header.name.as_bytes());
        if !bytes[..name.start as usize].ends_with(b"\r\n") {
            return Err((&BARE_LF).into());
        }
        head.fields.push(Field { name, value: span(header.value) });
    }
    head.method = method_of(method.as_bytes())?;
    target::split(bytes, method.as_bytes(), head)?;
    fields::interpret(bytes, head)?;
    Ok(Status::Complete(()))
}

/// RFC 9110 §9.1: names of methods are case-sensitive. Those of RFC 9110, RFC 5789, WebDAV and QUERY are
/// known; any other is "not implemented".
fn method_of(name: &[u8]) -> Result<Method, Reject> {
    Ok(match name {
        b"POST" => Method::Post,
        b"GET" => Method::Get,
        b"OPTIONS" => Method::Options,
        b"HEAD" => Method::Head,
        b"PUT" | b"PATCH" | b"DELETE" | b"CONNECT" | b"TRACE" | b"QUERY" => Method::Known,
        b"PROPFIND" | b"PROPPATCH" | b"MKCOL" | b"COPY" | b"MOVE" | b"LOCK" | b"UNLOCK" => Method::Known,
        _ => return Err((&UNKNOWN_METHOD).into()),
    })
}
