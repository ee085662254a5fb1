//! JSON as RFC 8259 decides. No I/O.

pub mod naive;
pub mod structurals;
pub mod tape;
