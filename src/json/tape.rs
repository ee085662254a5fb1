//! simd-json behind RFC 8259: the value that nodes read, and the one owner of a text and the tape that points into it.
//!
//! Three things simd-json does have to be fenced in here:
//!
//! - **It rewrites strings that hold a backslash in place**, also when it fails later. A text with escapes is therefore
//!   parsed from a pooled copy, unless it was judged before and nobody needs its bytes afterwards.
//! - **It refuses valid documents** that its tape cannot hold: integers beyond 64 bits, numbers beyond the largest
//!   double, escaped lone surrogates, and texts beyond 4 GiB. Whatever it refuses, [`super::stream`] has the last word,
//!   and names the first bad byte if there is one. No document is known that it accepts and RFC 8259 does not: the
//!   corpus and the exhaustive and random comparisons beside this file look for one.
//! - **It takes memory before it has looked at the grammar**, up to 36 bytes for each byte of text, and the process
//!   ends when it cannot have it. So a text over 64 KiB is judged first, and what a valid document takes is known then
//!   to the token: [`memory_charge`] stands in the byte budget before anything is allocated. simd-json does not say how
//!   many tokens it will find, [`Facts::structurals`](super::Facts) does.
//!
//! Known and left as it is: `-0` is the integer 0 on the tape, equal as a number but without its sign (JavaScript
//! prints it as `0` too). Duplicate keys are all on the tape: look up with [`get`], which takes the last.
//!
//! | file | what |
//! | --- | --- |
//! | `text` | who may own a text: [`PaddedText`], in a pooled buffer ([`BodyText`]) or on its own ([`RawText`]) |
//! | `parser` | the scratch of one thread, pooled, and what a document costs |
//! | `document` | [`Document`], the pair of text and tape |
#![allow(unsafe_code)]

mod document;
mod parser;
mod text;

pub use document::{Document, Unparsed};
pub use parser::{Parser, memory_charge};
pub use text::{BodyText, PaddedText, RawText, SPARE_BYTES};

use simd_json::tape::Value;

/// The value of `key` in an object; the last one if the key occurs more than once, as JavaScript and serde_json do
/// (RFC 8259 §4 leaves it open). simd-json's own `get` takes the first. `None` for anything but an object.
pub fn get<'tape, 'text>(object: Value<'tape, 'text>, key: &str) -> Option<Value<'tape, 'text>> {
    object.as_object()?.iter().filter(|(name, _)| *name == key).last().map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
