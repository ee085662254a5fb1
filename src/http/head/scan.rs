//! The strict grammar of a head (RFC 9112 §2 to §5) as an automaton: each byte is looked at once, however small the
//! pieces in which it arrives, and the first bad byte is refused at once.

use super::super::class::{TOKEN, VALUE, is, run};
use super::super::reject::{
    BAD_HEAD, BAD_TARGET, BAD_VERSION, BARE_LF, HEAD_TOO_LARGE, Problem, TARGET_TOO_LONG, UNKNOWN_METHOD,
};
use super::super::{Reject, Status};
use super::{FIELDS_MAX, HEAD_BYTES_MAX, LINE_BYTES_MAX, METHOD_BYTES_MAX};

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Expected {
    /// The request line, or the one empty line that may stand before it.
    #[default]
    Start,
    /// The LF of that empty line.
    StartLf,
    Method,
    /// The first byte of the target.
    TargetStart,
    Target,
    /// The byte of `HTTP/1.x` with this index.
    Version(u8),
    RequestLineCr,
    /// A field, or the empty line that ends the head.
    Line,
    Name,
    Value,
    /// The LF of a line.
    LineLf,
    /// The LF of the empty line.
    EndLf,
}

/// How far the current head has been scanned.
#[derive(Debug, Default)]
pub(super) struct Scan {
    expected: Expected,
    /// Bytes scanned.
    at: usize,
    /// Where the current line starts.
    line: usize,
    fields: usize,
}

impl Scan {
    /// Whether a byte has been scanned.
    #[inline]
    pub fn has_begun(&self) -> bool {
        self.at != 0
    }

    /// How many bytes have been scanned.
    #[cfg(test)]
    pub fn scanned(&self) -> usize {
        self.at
    }

    /// Scans what is new of `bytes`, which starts at the first byte of the head; says where the head ends.
    #[cold]
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Status<usize>, Reject> {
        while let Some(&byte) = bytes.get(self.at) {
            let ended = self.step(byte)?;
            self.at += 1;
            if ended {
                return Ok(Status::Complete(self.at));
            }
            if self.at == HEAD_BYTES_MAX {
                return Err((&HEAD_TOO_LARGE).into());
            }
            self.skip_plain(bytes);
        }
        Ok(Status::Partial)
    }

    /// Skips what cannot change the state, up to the nearer limit.
    fn skip_plain(&mut self, bytes: &[u8]) {
        let class = match self.expected {
            Expected::Name => TOKEN,
            Expected::Value => VALUE,
            _ => return,
        };
        // One short of the limit, so that `step` is the one place that refuses.
        let end = bytes.len().min(self.line + LINE_BYTES_MAX).min(HEAD_BYTES_MAX - 1);
        if self.at < end {
            self.at += run(&bytes[self.at..end], class);
        }
    }

    /// Takes one byte; `true` if it was the last of the head.
    fn step(&mut self, byte: u8) -> Result<bool, Reject> {
        let in_line = self.at - self.line;
        if in_line >= LINE_BYTES_MAX && !matches!(byte, b'\r' | b'\n') {
            // RFC 9110 §15.5.15, RFC 6585 §5.
            return Err((if self.fields == 0 { &TARGET_TOO_LONG } else { &HEAD_TOO_LARGE }).into());
        }
        self.expected = match (self.expected, byte) {
            // RFC 9112 §2.2: at least one empty line before the request line should be ignored; one is.
            (Expected::Start, b'\r') if self.at == 0 => Expected::StartLf,
            (Expected::StartLf, b'\n') => {
                self.line = self.at + 1;
                Expected::Start
            }
            (Expected::Start, _) if is(byte, TOKEN) => Expected::Method,
            (Expected::Method, b' ') => Expected::TargetStart,
            (Expected::Method, _) if is(byte, TOKEN) && in_line < METHOD_BYTES_MAX => Expected::Method,
            (Expected::Target, b' ') => Expected::Version(0),
            (Expected::TargetStart | Expected::Target, 0x21..=0x7e) if byte != b'#' => Expected::Target,
            (Expected::Version(index), _) => version(index, byte)?,
            (Expected::RequestLineCr, b'\r') => Expected::LineLf,
            (Expected::LineLf, b'\n') => {
                self.line = self.at + 1;
                Expected::Line
            }
            (Expected::Line, b'\r') => Expected::EndLf,
            (Expected::Line, _) if is(byte, TOKEN) && self.fields < FIELDS_MAX => {
                self.fields += 1;
                Expected::Name
            }
            (Expected::Name, b':') => Expected::Value,
            (Expected::Name, _) if is(byte, TOKEN) => Expected::Name,
            (Expected::Value, b'\r') => Expected::LineLf,
            (Expected::Value, _) if is(byte, VALUE) => Expected::Value,
            (Expected::EndLf, b'\n') => return Ok(true),
            (expected, _) => return Err(fault(expected, byte).into()),
        };
        Ok(false)
    }
}

/// RFC 9112 §2.3: `HTTP/` DIGIT `.` DIGIT, in capitals.
fn version(index: u8, byte: u8) -> Result<Expected, Reject> {
    match (index, byte) {
        (0..=4 | 6, _) if byte == b"HTTP/1."[index as usize] => Ok(Expected::Version(index + 1)),
        (5, b'1') => Ok(Expected::Version(6)),
        (7, b'0' | b'1') => Ok(Expected::RequestLineCr),
        (5 | 7, b'0'..=b'9') => Err((&BAD_VERSION).into()),
        _ => Err(fault(Expected::Version(index), byte).into()),
    }
}

/// Which row refuses this byte here.
fn fault(expected: Expected, byte: u8) -> &'static Problem {
    match (expected, byte) {
        (_, b'\n') => &BARE_LF,
        (Expected::Method, _) if is(byte, TOKEN) => &UNKNOWN_METHOD,
        (Expected::TargetStart | Expected::Target, b'#' | 0x80..) => &BAD_TARGET,
        (Expected::Line, _) if is(byte, TOKEN) => &HEAD_TOO_LARGE,
        _ => &BAD_HEAD,
    }
}
