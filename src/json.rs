//! JSON as RFC 8259 decides. No I/O.
//!
//! ```text
//!   text ─► structurals::scan ─► tape::Parser::judge      a verdict, the text untouched
//!                           └──► tape::Document::parse    a verdict and the values, text and tape in one owner
//!                                      │ simd-json refused
//!                                      ▼
//!                               naive::validate           the last word, and the offset of the first bad byte
//! ```
//!
//! A valid document is never refused because a library cannot represent it, and an invalid one is never accepted
//! because a library is lax: [`naive`] is RFC 8259 written down, and what simd-json says is held against it.

#[cfg(test)]
mod corpus;
mod fuzz;
pub mod naive;
pub mod stream;
pub mod structurals;
pub mod tape;
mod verdict;

pub use fuzz::fuzz_verdict;
pub use naive::validate;
pub use stream::{Validator, fuzz_stream};
pub use structurals::{Scan, scan};
pub use tape::{Document, Judged, PaddedText, Parser, RawText, SPARE_BYTES, Unparsed, get, memory_charge};
pub use verdict::{DEPTH_MAX, Facts, Invalid, InvalidKind};
