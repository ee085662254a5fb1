//! The event queue under loom: `src/queue.rs` itself, over stand-ins whose every interleaving loom can try.
//!
//! What is proved is ours: who sleeps, who wakes whom, in which order an end goes away. The stand-ins follow what
//! `rtrb` and tokio document and do; they are not proofs of those crates.

pub mod notify;
pub mod rtrb;

/// What crosses: here only a number.
pub mod event {
    /// An event.
    pub struct Slot(pub u64);
}

/// The product's source, see `build.rs`.
pub mod queue {
    include!(concat!(env!("OUT_DIR"), "/queue.rs"));
}
