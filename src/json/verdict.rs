//! What is said of a text: that it is no JSON document and where, or what is known of it besides that it is one.

use std::fmt;

/// How deep arrays and objects may be nested in each other (RFC 8259 §9 lets a parser set this limit).
pub const DEPTH_MAX: usize = 1024;

/// Why a text is not a JSON document, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid {
    /// The first byte that cannot stand where it stands; the length of the text when it ends too early.
    pub offset: usize,
    /// What is wrong there.
    pub kind: InvalidKind,
}

/// What is wrong with a text that is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidKind {
    /// The text ends before the document does; an empty text does too.
    Truncated,
    /// A byte that the grammar does not allow at this place.
    Syntax,
    /// A number is malformed: leading zero, no digit after the sign, the point or the exponent.
    Number,
    /// A control character inside a string; it has to be escaped (RFC 8259 §7).
    ControlCharacter,
    /// A backslash followed by something that is not an escape (RFC 8259 §7).
    Escape,
    /// A string that is not UTF-8 (RFC 8259 §8.1).
    Utf8,
    /// The text starts with a byte order mark, which senders must not add (RFC 8259 §8.1).
    ByteOrderMark,
    /// Something other than white space follows the document.
    Trailing,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
}

impl fmt::Display for InvalidKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the text ends before the document does",
            Self::Syntax => "unexpected byte",
            Self::Number => "malformed number",
            Self::ControlCharacter => "control character in a string, it must be escaped",
            Self::Escape => "unknown or incomplete escape sequence",
            Self::Utf8 => "invalid UTF-8",
            Self::ByteOrderMark => "byte order mark before the document, leave it out",
            Self::Trailing => "something follows the end of the document",
            Self::TooDeep => "nested deeper than 1024 levels",
        })
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.kind, self.offset)
    }
}

impl std::error::Error for Invalid {}

/// What is known of a valid document besides that it is valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where a token begins: brackets, braces, colons, commas, and the first byte of each string, number and literal
    /// name. What simd-json has an index each for while it parses.
    pub structurals: usize,
    /// Values and object keys: what a tape has one node each for.
    pub nodes: usize,
    /// Whether any string holds an escape.
    pub escapes: bool,
    /// Whether simd-json's tape cannot hold a value of it: an integer beyond 64 bits, a number beyond the largest
    /// double, an escaped lone surrogate. (A length beyond 32 bits is for [`super::tape`] to mind.)
    pub beyond_tape: bool,
}
