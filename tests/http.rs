//! HTTP over real sockets, on both drivers: the whole table of cases at every split of their bytes, and what a
//! table cannot say because it is a dialogue, takes time or takes chance.

mod support;

#[path = "http/table.rs"]
mod table;

#[path = "http/deadline.rs"]
mod deadline;
#[path = "http/desync.rs"]
mod desync;
#[path = "http/expect.rs"]
mod expect;
#[path = "http/linger.rs"]
mod linger;
#[path = "http/pipeline.rs"]
mod pipeline;
#[path = "http/query.rs"]
mod query;
