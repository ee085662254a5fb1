//! Nodes: what a trigger does with an event. One file per node.
//!
//! A node runs on a trigger worker and sees a borrowed [`Event`]; what it keeps, it copies.

mod discard;
mod file;
mod line;
mod lines;
mod log;
#[cfg(inrush_bench)]
mod read;

use std::time::Instant;

pub use discard::Discard;
pub use file::{File, Files};
pub use line::EventLine;
pub use log::Log;
#[cfg(inrush_bench)]
pub use read::Read;

use crate::config;
use crate::event::Event;

/// Why a node did not do its work for an event.
#[derive(Debug)]
pub struct NodeError {
    /// Which node, as the configuration names it.
    pub node: &'static str,
    /// What happened.
    pub reason: String,
}

impl std::fmt::Display for NodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node `{}`: {}", self.node, self.reason)
    }
}

/// One action of a trigger.
pub enum Node {
    /// One JSON line per event on stdout.
    Log(Log),
    /// One JSON line per event at the end of a file.
    File(File),
    /// Counts the event.
    Discard(Discard),
    /// Reads a field of the body.
    #[cfg(inrush_bench)]
    Read(Read),
    /// Whatever a test wants.
    #[cfg(test)]
    Test(TestNode),
}

/// A node of a test: what it says that it reads, and what it does.
#[cfg(test)]
pub struct TestNode {
    /// See [`Node::reads_body`].
    pub reads_body: bool,
    /// See [`Node::reads_text`].
    pub reads_text: bool,
    /// Runs for each event.
    pub run: Box<dyn FnMut(&Event<'_>) + Send>,
}

impl Node {
    /// Makes the node that the operator asked for.
    ///
    /// # Errors
    /// When it cannot get what it needs, such as its file.
    pub fn open(config: &config::Node, files: &Files) -> Result<Self, NodeError> {
        Ok(match config {
            config::Node::Log => Node::Log(Log::default()),
            config::Node::File { path, rotation, .. } => Node::File(File::open(path, *rotation, files)?),
            config::Node::Discard => Node::Discard(Discard::default()),
            #[cfg(inrush_bench)]
            config::Node::Read { field } => Node::Read(Read::new(field)),
        })
    }

    /// Whether it reads the body as a value, [`Event::body_value`].
    pub fn reads_body(&self) -> bool {
        match self {
            Node::Log(_) | Node::File(_) | Node::Discard(_) => false,
            #[cfg(inrush_bench)]
            Node::Read(_) => true,
            #[cfg(test)]
            Node::Test(test) => test.reads_body,
        }
    }

    /// Whether it reads the exact text of the body, [`Event::body`].
    pub fn reads_text(&self) -> bool {
        match self {
            Node::Log(_) | Node::File(_) => true,
            Node::Discard(_) => false,
            #[cfg(inrush_bench)]
            Node::Read(_) => false,
            #[cfg(test)]
            Node::Test(test) => test.reads_text,
        }
    }

    /// Does its work for one event. `line` is the event as JSON, rendered at most once however many nodes write it.
    ///
    /// # Errors
    /// When the work could not be done; other events are not affected.
    #[inline]
    pub fn run(&mut self, event: &Event<'_>, line: &mut EventLine) -> Result<(), NodeError> {
        match self {
            Node::Log(log) => log.run(event, line),
            Node::File(file) => file.run(event, line),
            Node::Discard(discard) => {
                discard.run();
                Ok(())
            }
            #[cfg(inrush_bench)]
            Node::Read(read) => {
                read.run(event);
                Ok(())
            }
            #[cfg(test)]
            Node::Test(test) => {
                (test.run)(event);
                Ok(())
            }
        }
    }

    /// When what it holds back must be written, if it holds anything back.
    pub fn flush_due(&self) -> Option<Instant> {
        match self {
            Node::Log(log) => log.flush_due(),
            Node::File(file) => file.flush_due(),
            Node::Discard(_) => None,
            #[cfg(inrush_bench)]
            Node::Read(_) => None,
            #[cfg(test)]
            Node::Test(_) => None,
        }
    }

    /// Writes what it holds back.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn flush(&mut self) -> Result<(), NodeError> {
        match self {
            Node::Log(log) => log.flush(),
            Node::File(file) => file.flush(),
            Node::Discard(_) => Ok(()),
            #[cfg(inrush_bench)]
            Node::Read(_) => Ok(()),
            #[cfg(test)]
            Node::Test(_) => Ok(()),
        }
    }

    /// Events counted since the last call, for a node that only counts.
    pub fn take_discarded(&mut self) -> u64 {
        match self {
            Node::Discard(discard) => discard.take_count(),
            _ => 0,
        }
    }

    /// Events that a reading node found its field in, and in which it did not, since the last call.
    #[cfg(inrush_bench)]
    pub fn take_reads(&mut self) -> (u64, u64) {
        match self {
            Node::Read(read) => read.take_counts(),
            _ => (0, 0),
        }
    }
}
