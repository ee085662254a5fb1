//! JSON as RFC 8259 decides. No I/O.
//!
//! ```text
//!   pieces ─► stream::Validator ─► a verdict, and what a tape would take: Facts
//!   a small text, whole ─► tape::Document::parse ─► a verdict and the value in one pass
//!                               │ simd-json says no              ▲
//!                               ▼                                │ the value, in a second pass
//!                          stream::validate, the last word    tape::Document::build ◄─ a judged text and its Facts
//! ```
//!
//! [`stream`] judges whatever comes in, piece by piece, in constant memory. [`tape`] is for who reads the value: nobody,
//! for most bodies. [`naive`] is RFC 8259 written down, against which both are held.
//!
//! A valid document is never refused because a library cannot represent it, and an invalid one is never accepted
//! because a library is lax.

#[cfg(test)]
mod corpus;
mod fuzz;
pub mod naive;
pub mod stream;
pub mod tape;
mod verdict;

pub use fuzz::fuzz_verdict;
pub use stream::{Validator, fuzz_stream, validate};
pub use tape::{BodyText, Document, PaddedText, Parser, RawText, SPARE_BYTES, Unparsed, get, memory_charge};
pub use verdict::{DEPTH_MAX, Facts, Invalid, InvalidKind};
