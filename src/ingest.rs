//! The ingest wing: one pinned thread per core that accepts, reads, decides, judges and answers.
//!
//! ```text
//! accept ─► connection (the conductor) ─► http::head ─► admission ─► body ⇄ verdict ─► event queue ─► answer
//!               │ one task each             leaves: none calls a sibling
//!           deadlines (one sweep per core)
//! ```
//!
//! Nothing is shared between cores on that path. A [`core_thread::Core`] holds what the tasks of one core share.

mod accept;
mod admission;
mod connection;
mod core_thread;
mod deadlines;
mod simulated;
mod transport;
mod verdict;
mod webhooks;

pub use core_thread::{CoreControl, CoreParts, run};
pub use simulated::fuzz_connection;
pub use webhooks::{Webhook, Webhooks};
