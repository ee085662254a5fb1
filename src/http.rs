//! HTTP/1.1 as a strict origin server reads and answers it (RFC 9110, RFC 9112). No I/O, no clock: bytes in, a
//! decision out, so that the server, the fuzzer and the benches run the same code.

pub mod answer;
pub mod chunked;
pub mod class;
pub mod cors;
pub mod framing;
pub mod head;
pub mod naive;
pub mod query;
pub mod reject;
pub mod span;

pub use reject::{Problem, Reject};
pub use span::Span;

/// What an incremental reader says of the bytes it has seen: more are needed, or it is done. Needing more is a
/// status, never an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status<T> {
    /// Every byte so far is good, the end has not been seen.
    Partial,
    /// The element is complete.
    Complete(T),
}
