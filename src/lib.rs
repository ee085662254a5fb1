//! **inrush** is a self-hosted webhook ingestion engine: you install a webhook, get a personalised URL, and every
//! JSON document posted to it becomes an *event* that fires the *triggers* you connected.
//!
//! It is not a proxy, not a message broker and not a general web server: it takes requests in, decides about them,
//! and hands them to the nodes of a trigger. Linux only.
//!
//! ```text
//!          one core thread per CPU (ingest/, monoio)                     trigger workers (trigger/, tokio)
//!  socket ─► accept ─► head ─► admission ─► body ⇄ json ─► event ══ event queue ══► trigger ─► node, node, …
//!              io       http     verify     buffer   json     event      queue         ▲    json, for who reads the value
//!                                                     reply ◄── x-event-id              └── home queue: buffers go back
//! ```
//!
//! The modules, in the order the data flows. Two wings, [`ingest`] and the work wing ([`trigger`] → [`node`]), never
//! import each other: they meet in [`event`] and [`queue`]. Below them lies the ground floor, which knows nobody;
//! above them [`server`], [`console`] and [`cli`]. `tests/imports.rs` holds that table.
//!
//! | floor | modules |
//! | --- | --- |
//! | top | [`cli`], [`server`], [`console`] |
//! | wings | [`ingest`], [`trigger`], [`node`] |
//! | between the wings | [`event`], [`expr`], [`queue`] |
//! | ground | [`http`], [`json`], [`buffer`], [`verify`], [`limits`], [`config`], [`metrics`], [`io`] |

pub mod cli;
pub mod server;
pub mod console;

pub mod ingest;
pub mod trigger;
pub mod node;

pub mod event;
pub mod expr;
pub mod queue;

pub mod buffer;
pub mod config;
pub mod http;
pub mod io;
pub mod json;
pub mod limits;
pub mod metrics;
pub mod verify;

pub use event::{BodyValue, Event, EventId, Reads};
pub use node::{BoxError, Node};
pub use server::{ServeError, Server};

/// What the value of a body is made of, in the version that [`BodyValue`] is of.
pub use simd_json;
