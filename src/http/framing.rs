//! Where the body of a request ends (RFC 9112 §6). A wrongly read boundary is request smuggling, so whatever another
//! server could read otherwise is refused, and each refusal closes the connection.

use super::class::{is_token, members};
use super::head::{Field, Seen, Version};
use super::reject::{
    BAD_CONTENT_LENGTH, BAD_TRANSFER_ENCODING, LENGTH_AND_TRANSFER_ENCODING, UNKNOWN_TRANSFER_ENCODING,
};
use super::{Reject, Span};

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Exactly so many bytes.
    Length(u64),
    /// RFC 9112 §7.1: chunks that name their own sizes.
    Chunked,
}

impl Default for Framing {
    /// RFC 9112 §6.3 (7): a request without either header has no body.
    fn default() -> Self {
        Self::Length(0)
    }
}

/// The framing that the fields `Content-Length` (`lengths`) and `Transfer-Encoding` (`codings`) declare.
pub(super) fn decide(
    bytes: &[u8],
    version: Version,
    lengths: Seen,
    codings: Seen,
    fields: &[Field],
) -> Result<Framing, Reject> {
    match (lengths, codings) {
        (Seen::Absent, Seen::Absent) => Ok(Framing::default()),
        (Seen::Once(length), Seen::Absent) => content_length(length.of(bytes)).map(Framing::Length),
        // RFC 9110 §8.6 lets identical values pass; a proxy that takes the first of "7, 7" as text would not.
        (Seen::Repeated, Seen::Absent) => Err((&BAD_CONTENT_LENGTH).into()),
        (Seen::Absent, Seen::Once(coding)) => transfer_encoding(version, [coding].into_iter(), bytes),
        (Seen::Absent, Seen::Repeated) => {
            let named = fields.iter().filter(|field| is_transfer_encoding(field.name.of(bytes)));
            transfer_encoding(version, named.map(|field| field.value), bytes)
        }
        // RFC 9112 §6.1: may be refused, "ought to be handled as an error".
        (_, _) => Err((&LENGTH_AND_TRANSFER_ENCODING).into()),
    }
}

fn is_transfer_encoding(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"transfer-encoding")
}

/// RFC 9112 §6.2: `1*DIGIT`, nothing else, and RFC 9110 §8.6: beware of overflow.
fn content_length(value: &[u8]) -> Result<u64, Reject> {
    let mut length = 0_u64;
    for &byte in value {
        let digit = byte.wrapping_sub(b'0');
        let sum = length.checked_mul(10).and_then(|tens| tens.checked_add(u64::from(digit)));
        match sum {
            Some(sum) if digit <= 9 => length = sum,
            _ => return Err((&BAD_CONTENT_LENGTH).into()),
        }
    }
    if value.is_empty() { Err((&BAD_CONTENT_LENGTH).into()) } else { Ok(length) }
}

/// RFC 9112 §6.1: exactly one coding, `chunked`, in any case of letters (RFC 9112 §7), in HTTP/1.1.
fn transfer_encoding(
    version: Version,
    values: impl Iterator<Item = Span>,
    bytes: &[u8],
) -> Result<Framing, Reject> {
    // RFC 9112 §6.1: in HTTP/1.0 the framing is faulty, however it is spelt.
    if version == Version::Http10 {
        return Err((&BAD_TRANSFER_ENCODING).into());
    }
    let (mut chunked, mut malformed, mut unknown) = (0, false, false);
    for coding in values.flat_map(|value| members(value.of(bytes))) {
        if coding.eq_ignore_ascii_case(b"chunked") {
            chunked += 1;
        } else if is_token(coding) {
            unknown = true;
        } else {
            // Empty members and parameters: RFC 9110 §5.6.1.2 tolerates the former, a smuggler hides behind both.
            malformed = true;
        }
    }
    match (malformed, unknown, chunked) {
        (false, false, 1) => Ok(Framing::Chunked),
        // RFC 9112 §6.1: a coding that is not understood is answered with 501.
        (false, true, _) => Err((&UNKNOWN_TRANSFER_ENCODING).into()),
        _ => Err((&BAD_TRANSFER_ENCODING).into()),
    }
}
