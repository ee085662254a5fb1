//! RFC 9112 §7.1: a chunked body, decoded in place: the decoder never copies, it says which bytes of the input are
//! payload. An automaton, so that a body may be split anywhere.

use super::Reject;
use super::class::{HEX, QUOTED, TOKEN, VALUE, is};
use super::head::{FIELDS_MAX, HEAD_BYTES_MAX, LINE_BYTES_MAX};
use super::reject::{BAD_CHUNK, BODY_TOO_LARGE, TRAILERS_TOO_LARGE};

#[cfg(test)]
mod tests;

/// The most bytes of chunk extensions in one line.
pub const EXTENSION_BYTES_MAX: u32 = 256;
/// The most hexadecimal digits of a chunk size: 64 bits.
const SIZE_DIGITS_MAX: u32 = 16;

/// What one call of [`ChunkedDecoder::decode`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// All of the input was consumed and held no payload; more is needed.
    Need,
    /// `input[start..end]` is payload, and `input[..end]` is consumed.
    Data {
        /// Where the payload starts.
        start: usize,
        /// Where it ends, and with it what was consumed.
        end: usize,
    },
    /// The body has ended; `consumed` bytes of the input belong to it.
    End {
        /// Number of bytes that belong to the body.
        consumed: usize,
    },
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Size,
    /// After `;`, before the name.
    ExtensionStart,
    ExtensionName,
    /// White space after the name: `=` or `;` must follow.
    ExtensionNameEnd,
    /// After `=`, before the value.
    ExtensionValueStart,
    ExtensionValue,
    ExtensionQuoted,
    /// After a backslash in a quoted value.
    ExtensionEscaped,
    /// After a closing quote.
    ExtensionQuotedEnd,
    /// White space after a value: `;` must follow.
    ExtensionValueEnd,
    SizeLf,
    Payload,
    PayloadCr,
    PayloadLf,
    /// A trailer, or the empty line that ends the body.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

/// Decodes one chunked body.
#[derive(Debug)]
pub struct ChunkedDecoder {
    expected: Expected,
    /// Size of the current chunk as far as read, then what is left of its payload.
    left: u64,
    /// How much payload may still be declared.
    allowed: u64,
    /// Digits of the current size, then bytes of its extensions.
    in_line: u32,
    trailer_bytes: usize,
    trailer_line: usize,
    trailers: usize,
}

impl ChunkedDecoder {
    /// A decoder that refuses a body of more than `body_bytes_max` bytes of payload.
    pub fn new(body_bytes_max: u64) -> Self {
        Self {
            expected: Expected::Size,
            left: 0,
            allowed: body_bytes_max,
            in_line: 0,
            trailer_bytes: 0,
            trailer_line: 0,
            trailers: 0,
        }
    }

    /// Decodes up to the next payload or the end. The next call takes what follows the bytes that were consumed.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let mut at = 0;
        while at < input.len() {
            match self.expected {
                Expected::Payload => {
                    let end = at + self.left.min((input.len() - at) as u64) as usize;
                    self.left -= (end - at) as u64;
                    if self.left == 0 {
                        self.expected = Expected::PayloadCr;
                    }
                    return Ok(Step::Data { start: at, end });
                }
                Expected::End => break,
                _ => {
                    self.expected = self.step(input[at])?;
                    at += 1;
                }
            }
        }
        if self.expected == Expected::End { Ok(Step::End { consumed: at }) } else { Ok(Step::Need) }
    }

    /// Takes one byte that is no payload.
    #[inline]
    fn step(&mut self, byte: u8) -> Result<Expected, Reject> {
        match (self.expected, byte) {
            (Expected::Size, b'\r' | b';') => self.size_read(byte),
            (Expected::Size, _) => self.digit(byte),
            (Expected::SizeLf, b'\n') => {
                self.in_line = 0;
                // RFC 9112 §7.1: the last chunk has size zero.
                Ok(if self.left == 0 { Expected::TrailerStart } else { Expected::Payload })
            }
            (Expected::PayloadCr, b'\r') => Ok(Expected::PayloadLf),
            (Expected::PayloadLf, b'\n') => Ok(Expected::Size),
            (Expected::TrailerStart, b'\r') => Ok(Expected::EndLf),
            (Expected::EndLf, b'\n') => Ok(Expected::End),
            (
                Expected::TrailerStart | Expected::TrailerName | Expected::TrailerValue | Expected::TrailerLf,
                _,
            ) => self.trailer(byte),
            (Expected::SizeLf | Expected::PayloadCr | Expected::PayloadLf | Expected::EndLf, _) => {
                Err((&BAD_CHUNK).into())
            }
            _ => self.extension(byte),
        }
    }

    /// RFC 9112 §7.1: `chunk-size = 1*HEXDIG`; no sign, no prefix, no white space, and mind the overflow.
    #[inline]
    fn digit(&mut self, byte: u8) -> Result<Expected, Reject> {
        if !is(byte, HEX) || self.in_line == SIZE_DIGITS_MAX {
            return Err((&BAD_CHUNK).into());
        }
        let digit = if byte <= b'9' { byte - b'0' } else { (byte | 0x20) - b'a' + 10 };
        self.left = self.left << 4 | u64::from(digit);
        self.in_line += 1;
        Ok(Expected::Size)
    }

    /// The size is complete: a chunk that crosses the limit is refused before its bytes arrive.
    fn size_read(&mut self, byte: u8) -> Result<Expected, Reject> {
        if self.in_line == 0 {
            return Err((&BAD_CHUNK).into());
        }
        self.in_line = 0;
        // RFC 9110 §15.5.14.
        self.allowed = self.allowed.checked_sub(self.left).ok_or(Reject::from(&BODY_TOO_LARGE))?;
        Ok(if byte == b';' { Expected::ExtensionStart } else { Expected::SizeLf })
    }

    /// RFC 9112 §7.1.1: `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`, ignored but checked. White
    /// space between the size and `;`, or before the line end, is refused: it is where servers have differed.
    fn extension(&mut self, byte: u8) -> Result<Expected, Reject> {
        use Expected::*;
        self.in_line += 1;
        if self.in_line > EXTENSION_BYTES_MAX && byte != b'\r' {
            return Err((&BAD_CHUNK).into());
        }
        Ok(match (self.expected, byte) {
            (ExtensionStart, b' ' | b'\t') => ExtensionStart,
            (ExtensionStart | ExtensionName, _) if is(byte, TOKEN) => ExtensionName,
            (ExtensionName | ExtensionNameEnd, b' ' | b'\t') => ExtensionNameEnd,
            (ExtensionName | ExtensionNameEnd, b'=') => ExtensionValueStart,
            (ExtensionName | ExtensionNameEnd, b';') => ExtensionStart,
            (ExtensionName, b'\r') => SizeLf,
            (ExtensionValueStart, b' ' | b'\t') => ExtensionValueStart,
            (ExtensionValueStart, b'"') => ExtensionQuoted,
            (ExtensionValueStart | ExtensionValue, _) if is(byte, TOKEN) => ExtensionValue,
            (ExtensionQuoted, b'"') => ExtensionQuotedEnd,
            (ExtensionQuoted, b'\\') => ExtensionEscaped,
            (ExtensionQuoted, _) if is(byte, QUOTED) => ExtensionQuoted,
            (ExtensionEscaped, _) if is(byte, VALUE) => ExtensionQuoted,
            (ExtensionValue | ExtensionQuotedEnd | ExtensionValueEnd, b' ' | b'\t') => ExtensionValueEnd,
            (ExtensionValue | ExtensionQuotedEnd | ExtensionValueEnd, b';') => ExtensionStart,
            (ExtensionValue | ExtensionQuotedEnd, b'\r') => SizeLf,
            _ => return Err((&BAD_CHUNK).into()),
        })
    }

    /// RFC 9112 §7.1.2: trailers are field lines; they are checked, counted against the budget of a head, and
    /// dropped, so that none can replace what the head said.
    #[cold]
    fn trailer(&mut self, byte: u8) -> Result<Expected, Reject> {
        use Expected::*;
        self.trailer_bytes += 1;
        self.trailer_line += 1;
        let line_end = matches!(byte, b'\r' | b'\n');
        if self.trailer_bytes >= HEAD_BYTES_MAX || self.trailer_line > LINE_BYTES_MAX && !line_end {
            return Err((&TRAILERS_TOO_LARGE).into());
        }
        Ok(match (self.expected, byte) {
            (TrailerStart, _) if is(byte, TOKEN) => {
                self.trailers += 1;
                if self.trailers > FIELDS_MAX {
                    return Err((&TRAILERS_TOO_LARGE).into());
                }
                TrailerName
            }
            (TrailerName, b':') => TrailerValue,
            (TrailerName, _) if is(byte, TOKEN) => TrailerName,
            (TrailerValue, b'\r') => TrailerLf,
            (TrailerValue, _) if is(byte, VALUE) => TrailerValue,
            (TrailerLf, b'\n') => {
                self.trailer_line = 0;
                TrailerStart
            }
            _ => return Err((&BAD_CHUNK).into()),
        })
    }
}
