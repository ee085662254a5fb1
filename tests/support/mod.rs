//! What the end-to-end tests share: the real binary started on free ports, a client that reads answers strictly,
//! the events that came out of the file nodes, and the table of HTTP cases fed at every split of its bytes.
//! Nothing but std, serde_json, socket2 and tempfile: a developer needs no tool beside Rust to run them.

#![allow(dead_code, unused_imports)] // every test binary uses its own part of this

pub mod client;
pub mod events;
pub mod feed;
pub mod fixture;
pub mod random;
pub mod server;

pub use client::{Answer, Client, NoAnswer, Progress};
pub use events::{Event, Events};
pub use random::Random;
pub use server::{Driver, Server, Setup, Stopped};

use std::time::Duration;

/// How long a test waits for anything that should happen at once. Generous, because it costs only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Both drivers, for tests that loop.
pub const DRIVERS: [Driver; 2] = [Driver::Uring, Driver::Epoll];
