//! Where bytes wait: pooled buffers of our own mappings, by size class, and the byte budget they are charged to.
//!
//! ```text
//! Budget (one per process, atomic) ──lease 4 MiB──► Pool (one per core, no atomics) ──take/put──► Buf (one owner)
//! ```
//!
//! A [`Buf`] may cross threads inside an event, but only the core that owns it puts it back into its [`Pool`]. A
//! `Buf` that is dropped anywhere else is not lost: its memory goes back to the kernel or to the pool's home.

mod budget;
mod buf;
mod charge;
mod class;
pub mod heap;
mod idle;
mod pool;
mod warm;

pub use budget::{Budget, LEASE_BYTES, OverBudget};
pub use buf::Buf;
pub use charge::Charge;
pub use class::{READ_BYTES, SMALL_BODY_BYTES, SPARE_BYTES, capacity_for};
pub use pool::Pool;
pub use warm::warm;
