//! A client that trusts nothing: it reads one answer at a time, byte for byte, and says exactly how a connection
//! ended when no answer came.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// One connection to the server.
pub struct Client {
    pub stream: TcpStream,
    /// Bytes read and not yet part of an answer.
    unread: Vec<u8>,
}

/// One answer as it stood on the wire.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoAnswer {
    /// The server ended the stream between two answers.
    Ended,
    /// The server ended the stream inside an answer; these bytes of it had come.
    Cut(String),
    /// The connection was reset; these bytes of the answer had come.
    Reset(String),
    /// Nothing came in time; these bytes of the answer had come.
    Silent(String),
    /// What came is not an HTTP answer.
    Garbled(String),
}

/// How far a write got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    All,
    /// The server no longer takes bytes, after this many.
    Refused(usize),
    /// The server neither took bytes nor ended the connection in time, after this many.
    Stalled(usize),
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("connect to the server")
    }

    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, super::PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(super::PATIENCE))?;
        stream.set_write_timeout(Some(super::PATIENCE))?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Writes all bytes; the server must take them.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the server takes the bytes");
        self
    }

    /// Writes until the bytes are through or the server refuses more: a refusal may stop reading, and the sender
    /// then reads the answer.
    pub fn send_until_refused(&mut self, bytes: &[u8]) -> Progress {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Progress::Stalled(sent);
                }
                Err(_) => return Progress::Refused(sent),
            }
        }
        Progress::All
    }

    /// Ends the sending side; what the server still says can be read.
    pub fn end(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Ends the connection by a reset, so that the server's reads fail.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("set SO_LINGER");
    }

    /// The next answer to a request that is not HEAD.
    pub fn answer(&mut self) -> Answer {
        self.try_answer(false, Instant::now() + super::PATIENCE).unwrap_or_else(|e| panic!("no answer: {e}"))
    }

    /// The next answer to a HEAD request: its length field describes a body that is not sent.
    pub fn answer_to_head(&mut self) -> Answer {
        self.try_answer(true, Instant::now() + super::PATIENCE).unwrap_or_else(|e| panic!("no answer: {e}"))
    }

    /// One request, one answer.
    pub fn call(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).answer()
    }

    pub fn try_answer(&mut self, to_head: bool, deadline: Instant) -> Result<Answer, NoAnswer> {
        loop {
            match parse(&self.unread, to_head) {
                Ok(Some((answer, length))) => {
                    self.unread.drain(..length);
                    return Ok(answer);
                }
                Ok(None) => self.fill(deadline)?,
                Err(why) => return Err(NoAnswer::Garbled(format!("{why}: {}", shown(&self.unread)))),
            }
        }
    }

    /// Waits for the server to end the stream, without a further byte.
    pub fn expect_end(&mut self, deadline: Instant) -> Result<(), String> {
        if !self.unread.is_empty() {
            return Err(format!("bytes after the last answer: {}", shown(&self.unread)));
        }
        match self.fill(deadline) {
            Err(NoAnswer::Ended) => Ok(()),
            Err(NoAnswer::Silent(_)) => Err("the connection stays open".to_owned()),
            Err(other) => Err(other.to_string()),
            Ok(()) => Err(format!("bytes after the last answer: {}", shown(&self.unread))),
        }
    }

    /// Reads once, until the deadline.
    fn fill(&mut self, deadline: Instant) -> Result<(), NoAnswer> {
        let mut some = [0; 16 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left)).expect("set a read timeout");
            return match self.stream.read(&mut some) {
                Ok(0) if self.unread.is_empty() => Err(NoAnswer::Ended),
                Ok(0) => Err(NoAnswer::Cut(shown(&self.unread))),
                Ok(n) => {
                    self.unread.extend_from_slice(&some[..n]);
                    Ok(())
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if Instant::now() < deadline {
                        continue;
                    }
                    Err(NoAnswer::Silent(shown(&self.unread)))
                }
                Err(_) => Err(NoAnswer::Reset(shown(&self.unread))),
            };
        }
    }
}

impl Answer {
    /// The value of a field, which must not stand twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.values(name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands twice in {self:?}");
        value
    }

    /// The value of a field that is a list; lines of one name are one list (RFC 9110 §5.3).
    pub fn list(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self.values(name).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn event_id(&self) -> &str {
        self.header("x-event-id").unwrap_or_else(|| panic!("no x-event-id in {self:?}"))
    }

    /// The stable `code` of a problem document, or nothing.
    pub fn code(&self) -> Option<String> {
        Some(self.problem()?.get("code")?.as_str()?.to_owned())
    }

    pub fn problem(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Whether the server says that it closes after this answer.
    pub fn says_close(&self) -> bool {
        let value = self.header("connection").unwrap_or_default();
        value.split(',').any(|token| token.trim().eq_ignore_ascii_case("close"))
    }

    /// What holds for every answer, whatever was asked: the first fault found.
    pub fn fault(&self, to_head: bool) -> Option<String> {
        if self.status == 100 {
            return (!self.headers.is_empty()).then(|| "100 with header fields".to_owned());
        }
        let date = self.header("date").unwrap_or_default();
        if date.len() != 29 || !date.ends_with(" GMT") {
            return Some(format!("Date is not an IMF-fixdate: {date:?}")); // RFC 9110 §6.6.1
        }
        match self.status {
            200 if !self.body.is_empty() => Some(format!("a body in the 200: {}", shown(&self.body))),
            204 if self.header("content-length").is_some() => Some("Content-Length in a 204".to_owned()), // RFC 9110 §8.6
            400.. if !to_head => self.problem_fault(),
            _ => None,
        }
    }

    /// RFC 9457 §3: the members of a problem document and its media type.
    fn problem_fault(&self) -> Option<String> {
        if self.header("content-type") != Some("application/problem+json") {
            return Some(format!("content type of a refusal: {:?}", self.header("content-type")));
        }
        let Some(problem) = self.problem() else {
            return Some(format!("a refusal without a problem document: {}", shown(&self.body)));
        };
        if problem.get("status").and_then(Value::as_u64) != Some(u64::from(self.status)) {
            return Some(format!("the problem document names another status: {problem}"));
        }
        let title = problem.get("title").and_then(Value::as_str).unwrap_or_default();
        title.is_empty().then(|| format!("a problem document without a title: {problem}"))
    }
}

/// One answer from the front of the bytes and its length; nothing when more are needed.
fn parse(bytes: &[u8], to_head: bool) -> Result<Option<(Answer, usize)>, String> {
    let Some(head_length) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) else {
        return if bytes.len() > 64 * 1024 { Err("a head without an end".to_owned()) } else { Ok(None) };
    };
    let head = std::str::from_utf8(&bytes[..head_length - 4]).map_err(|_| "a head that is not text")?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    let status = status.ok_or_else(|| format!("not a status line: {status_line:?}"))?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("not a field: {line:?}"))?;
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if name.is_empty() || !name.bytes().all(token) || value.bytes().any(|b| b < b' ' && b != b'\t') {
            return Err(format!("not a field: {line:?}"));
        }
        headers.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("transfer-encoding").is_some() {
        return Err("an answer with Transfer-Encoding".to_owned());
    }
    // RFC 9112 §6.3: these have no body whatever their fields say; any other must say its length.
    let length = if to_head || status < 200 || status == 204 {
        0
    } else {
        let length = answer.header("content-length").ok_or("an answer without Content-Length")?;
        length.parse::<usize>().map_err(|_| format!("Content-Length of an answer: {length:?}"))?
    };
    let Some(body) = bytes.get(head_length..head_length + length) else { return Ok(None) };
    answer.body = body.to_vec();
    Ok(Some((answer, head_length + length)))
}

/// Bytes for a failure message: text, escaped, not endless.
pub fn shown(bytes: &[u8]) -> String {
    let start = &bytes[..bytes.len().min(300)];
    let more = if bytes.len() > start.len() { format!("… ({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", start.escape_ascii())
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => write!(f, "the stream ended without an answer"),
            Self::Cut(bytes) => write!(f, "the stream ended inside an answer: {bytes}"),
            Self::Reset(bytes) => write!(f, "the connection was reset, read so far {bytes}"),
            Self::Silent(bytes) => write!(f, "no answer in time, read so far {bytes}"),
            Self::Garbled(why) => write!(f, "not an HTTP answer: {why}"),
        }
    }
}
