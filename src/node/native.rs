//! Nodes of your own, in Rust.

use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;

use super::NodeError;
use crate::event::{Event, HeldEvent, Reads};

/// Why a node of your own did not do its work.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A node of your own, run for each event of its trigger.
///
/// **Threads.** Each trigger worker makes its own node and runs it on its own thread, one event at a time: a node needs no
/// locks and need not be [`Sync`]. Events of one webhook come to one worker, so there they come to one node.
///
/// **Lifetimes.** The event is borrowed. Its body, value, headers and path live until [`Node::run`] returns; what is needed
/// later has to be copied.
///
/// **Cost.** A call through a pointer, some nanoseconds. The body is parsed only if [`Node::reads`] says that its value is
/// wanted, once for all nodes of the event.
///
/// **Time.** The worker waits: a node that sleeps, locks or does I/O holds up every webhook of its worker. Such a node
/// belongs into [`Builder::on_event_blocking`](crate::server::Builder::on_event_blocking).
///
/// **Panics** are caught and counted as a failure for that event; the node is used again, so its state must bear that.
pub trait Node: Send + 'static {
    /// Does its work for one event.
    ///
    /// # Errors
    /// Whatever went wrong. It is logged with the event's id and counted; other events are not affected.
    fn run(&mut self, event: &Event<'_>) -> Result<(), BoxError>;

    /// What it reads of the body; unless it says otherwise, the exact text and not the value.
    fn reads(&self) -> Reads {
        Reads { value_up_to: 0, text: true }
    }
}

/// A function that may wait.
pub type BlockingFn = dyn Fn(&Event<'_>) -> Result<(), BoxError> + Send + Sync;

/// What makes a node of the program that inrush is a part of.
#[derive(Clone)]
pub enum Native {
    /// Makes a node for a worker.
    PerWorker(Arc<dyn Fn() -> Box<dyn Node> + Send + Sync>),
    /// Runs on threads that may wait, so many at once.
    Blocking(Arc<BlockingFn>, usize),
}

/// A node of the program that inrush is a part of, on one worker.
pub struct Own(RefCell<Box<dyn Node>>);

/// A function of the program that inrush is a part of that may wait.
pub struct Blocking {
    run: Arc<BlockingFn>,
    pub(super) in_flight_max: usize,
}

impl Own {
    pub(super) fn new(node: Box<dyn Node>) -> Self {
        Self(RefCell::new(node))
    }

    pub(super) fn reads(&self) -> Reads {
        self.0.borrow().reads()
    }

    pub(super) fn run(&self, event: &Event<'_>) -> Result<(), NodeError> {
        self.0.borrow_mut().run(event).map_err(|error| failed(&*error))
    }
}

impl Blocking {
    pub(super) fn new(run: Arc<BlockingFn>, in_flight_max: usize) -> Self {
        Self { run, in_flight_max }
    }

    pub(super) async fn run(&self, event: &HeldEvent) -> Result<(), NodeError> {
        let (run, event) = (self.run.clone(), event.clone());
        let ran = tokio::task::spawn_blocking(move || run(&event.event()).map_err(|error| failed(&*error)));
        // The panic hook has printed where a panic came from.
        ran.await.unwrap_or_else(|_| Err(NodeError { node: "native", reason: "panicked".into() }))
    }
}

fn failed(error: &(dyn Error + Send + Sync)) -> NodeError {
    NodeError { node: "native", reason: error.to_string() }
}
