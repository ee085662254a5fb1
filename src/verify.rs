//! Whether a request comes from whom it says. No I/O.

mod secret;

pub use secret::Secrets;
