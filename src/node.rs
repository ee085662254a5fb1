//! Nodes: what a trigger does with an event. One file per node.
//!
//! A node runs on a trigger worker and sees a borrowed [`Event`]; what it keeps, it copies. It is asked twice at most:
//! [`AnyNode::run_at_once`] does what needs no waiting, and says so if it has to wait; then the trigger takes a share in
//! the event, and [`AnyNode::run`] waits beside the other events of the worker.

mod compile;
mod discard;
mod exec;
mod file;
pub mod forward;
mod line;
mod lines;
mod log;
mod native;
#[cfg(inrush_bench)]
mod read;
mod variable;

#[cfg(any(test, inrush_bench))]
use std::cell::RefCell;
use std::sync::Arc;
use std::time::Instant;

pub use compile::{expression_reads, mistake};
pub use discard::Discard;
pub use exec::{Exec, ExecNode, ExecOptions};
pub use file::{File, Files, NamedFiles};
pub use forward::ForwardNode;
pub use line::EventLine;
pub use log::Log;
pub use native::{Blocking, BlockingFn, BoxError, Native, Node, Own};
#[cfg(inrush_bench)]
pub use read::Read;
pub use variable::Variable;

use crate::config::{self, Problem};
use crate::event::{Event, HeldEvent, Reads};
use crate::expr::Variables;

/// Bodies up to this many bytes come to blocking functions with their value.
const BLOCKING_VALUE_BYTES_MAX: usize = 1 << 20;

/// What a node finds around it when it is made.
pub struct Surroundings<'a> {
    /// The files that nodes have open.
    pub files: &'a Arc<Files>,
    /// What its webhook keeps.
    pub variables: &'a Arc<Variables>,
    /// The id of its trigger.
    pub trigger: &'a str,
}

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

/// What came of asking a node to do its work at once.
#[derive(Debug)]
pub enum AtOnce {
    /// It is done, one way or the other.
    Done(Result<(), NodeError>),
    /// It has done nothing yet, because it has to wait.
    MustWait,
}

/// One action of a trigger, on one worker.
pub enum AnyNode {
    /// One JSON line per event on stdout.
    Log(Log),
    /// One JSON line per event at the end of a file.
    File(File),
    /// The same, at the end of a file of its own name.
    NamedFiles(NamedFiles),
    /// Runs a command.
    Exec(ExecNode),
    /// Sends the event to another server.
    Forward(Box<ForwardNode>),
    /// Keeps something of the event.
    Variable(Variable),
    /// Counts the event.
    Discard(Discard),
    /// Of the program that inrush is a part of.
    Own(Own),
    /// The same, on threads that may wait.
    Blocking(Blocking),
    /// Reads a field of the body.
    #[cfg(inrush_bench)]
    Read(RefCell<Read>),
    /// Whatever a test wants.
    #[cfg(test)]
    Test(TestNode),
}

/// A node of a test: what it says that it reads, and what it does.
#[cfg(test)]
#[allow(clippy::type_complexity)]
pub struct TestNode {
    /// See [`AnyNode::reads`].
    pub reads: Reads,
    /// Runs for each event.
    pub run: RefCell<Box<dyn FnMut(&Event<'_>) -> AtOnce + Send>>,
    /// Runs for each event that `run` could not do at once.
    pub wait: Box<dyn Fn(HeldEvent) -> std::pin::Pin<Box<dyn Future<Output = Result<(), NodeError>>>> + Send>,
}

impl AnyNode {
    /// Makes the node that the operator asked for.
    ///
    /// # Errors
    /// When it has a mistake, or cannot get what it needs, such as its file.
    pub fn open(config: &config::Node, around: &Surroundings<'_>) -> Result<Self, Problem> {
        Ok(match config {
            config::Node::Log => Self::Log(log::open()),
            config::Node::File { path, name: Some(name), rotation } => {
                Self::NamedFiles(NamedFiles::open(&path.value, name, *rotation, around)?)
            }
            config::Node::File { path, name: None, rotation } => {
                let file = file::open(&path.value, *rotation, around.files);
                Self::File(file.map_err(|error| Problem::at(path.place, error.to_string()))?)
            }
            config::Node::Exec(exec) => Self::Exec(ExecNode::open(exec, around)?),
            config::Node::Forward(forward) => Self::Forward(Box::new(ForwardNode::open(forward, around)?)),
            config::Node::Variable(variable) => Self::Variable(Variable::open(variable, around)?),
            config::Node::Discard => Self::Discard(Discard::default()),
            #[cfg(inrush_bench)]
            config::Node::Read { field } => Self::Read(RefCell::new(Read::new(field))),
        })
    }

    /// Looks for the mistakes that [`AnyNode::open`] would find, but opens no file that is written to: whether these can be
    /// is for [`config::Config::check_files`].
    ///
    /// # Errors
    /// The first mistake.
    pub fn check(config: &config::Node, around: &Surroundings<'_>) -> Result<(), Problem> {
        match config {
            config::Node::Log | config::Node::Discard => Ok(()),
            config::Node::File { name: None, .. } => Ok(()),
            config::Node::File { .. }
            | config::Node::Exec(_)
            | config::Node::Forward(_)
            | config::Node::Variable(_) => Self::open(config, around).map(drop),
            #[cfg(inrush_bench)]
            config::Node::Read { .. } => Ok(()),
        }
    }

    /// Makes a node of the program that inrush is a part of.
    pub fn native(native: &Native) -> Self {
        match native {
            Native::PerWorker(make) => Self::Own(Own::new(make())),
            Native::Blocking(run, in_flight_max) => {
                Self::Blocking(Blocking::new(run.clone(), *in_flight_max))
            }
        }
    }

    /// The word that the configuration has for it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::File(_) | Self::NamedFiles(_) => "file",
            Self::Exec(_) => "exec",
            Self::Forward(_) => "forward",
            Self::Variable(_) => "variable",
            Self::Discard(_) => "discard",
            Self::Own(_) | Self::Blocking(_) => "native",
            #[cfg(inrush_bench)]
            Self::Read(_) => "read",
            #[cfg(test)]
            Self::Test(_) => "test",
        }
    }

    /// What it reads of the body.
    pub fn reads(&self) -> Reads {
        match self {
            Self::Log(_) | Self::File(_) => Reads { value_up_to: 0, text: true },
            Self::NamedFiles(files) => files.reads(),
            Self::Exec(exec) => exec.reads(),
            Self::Forward(forward) => forward.reads(),
            Self::Variable(variable) => variable.reads(),
            Self::Discard(_) => Reads::default(),
            Self::Own(own) => own.reads(),
            // Its value would have to be built before it is known whether it is looked at.
            Self::Blocking(_) => Reads { value_up_to: BLOCKING_VALUE_BYTES_MAX, text: true },
            #[cfg(inrush_bench)]
            Self::Read(_) => Reads { value_up_to: usize::MAX, text: false },
            #[cfg(test)]
            Self::Test(test) => test.reads,
        }
    }

    /// Does its work for one event, unless it has to wait for something. `line` is the event as JSON, rendered at most
    /// once however many nodes write it.
    #[inline]
    pub fn run_at_once(&self, event: &Event<'_>, line: &mut EventLine) -> AtOnce {
        match self {
            Self::Log(log) => at_once(log.append_at_once(event, line)),
            Self::File(file) => at_once(file.append_at_once(event, line)),
            Self::Discard(discard) => {
                discard.run();
                AtOnce::Done(Ok(()))
            }
            Self::NamedFiles(files) => files.append_at_once(event, line),
            Self::Variable(variable) => AtOnce::Done(variable.run(event)),
            Self::Own(own) => AtOnce::Done(own.run(event)),
            Self::Exec(_) | Self::Forward(_) | Self::Blocking(_) => AtOnce::MustWait,
            #[cfg(inrush_bench)]
            Self::Read(read) => {
                read.borrow_mut().run(event);
                AtOnce::Done(Ok(()))
            }
            #[cfg(test)]
            Self::Test(test) => (test.run.borrow_mut())(event),
        }
    }

    /// Does its work for an event that it may hold, waiting as long as it takes.
    ///
    /// # Errors
    /// When the work could not be done; other events are not affected.
    pub async fn run(&self, event: &HeldEvent) -> Result<(), NodeError> {
        let mut line = EventLine::default();
        if let AtOnce::Done(result) = self.run_at_once(&event.event(), &mut line) {
            return result;
        }
        match self {
            Self::Log(log) => log.append(event, &mut line).await,
            Self::File(file) => file.append(event, &mut line).await,
            Self::NamedFiles(files) => files.append(event, &mut line).await,
            Self::Exec(exec) => exec.run(event).await,
            Self::Forward(forward) => forward.run(event).await,
            Self::Blocking(blocking) => blocking.run(event).await,
            #[cfg(test)]
            Self::Test(test) => (test.wait)(event.clone()).await,
            _ => unreachable!("this node never waits"),
        }
    }

    /// How many events it may have on its way at once; `None`: it never waits.
    pub fn in_flight_max(&self) -> Option<usize> {
        match self {
            Self::Exec(exec) => Some(exec.in_flight_max),
            Self::Forward(forward) => Some(forward.in_flight_max),
            Self::Blocking(blocking) => Some(blocking.in_flight_max),
            #[cfg(test)]
            Self::Test(_) => Some(2),
            _ => None,
        }
    }

    /// When what it holds back must be written, if it holds anything back.
    pub fn flush_due(&self) -> Option<Instant> {
        match self {
            Self::Log(log) => log.flush_due(),
            Self::File(file) => file.flush_due(),
            Self::NamedFiles(files) => files.flush_due(),
            _ => None,
        }
    }

    /// Has what it holds back written.
    ///
    /// # Errors
    /// When something could not be written since the last call.
    pub fn flush(&self) -> Result<(), NodeError> {
        match self {
            Self::Log(log) => log.flush(),
            Self::File(file) => file.flush(),
            Self::NamedFiles(files) => files.flush(),
            _ => Ok(()),
        }
    }

    /// Waits until all that it held back is written.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn settle(&self) -> Result<(), NodeError> {
        match self {
            Self::Log(log) => log.settle().await,
            Self::File(file) => file.settle().await,
            Self::NamedFiles(files) => files.settle().await,
            _ => Ok(()),
        }
    }

    /// Events counted since the last call, for a node that only counts.
    pub fn take_discarded(&self) -> u64 {
        match self {
            Self::Discard(discard) => discard.take_count(),
            _ => 0,
        }
    }

    /// Events that a reading node found its field in, and in which it did not, since the last call.
    #[cfg(inrush_bench)]
    pub fn take_reads(&self) -> (u64, u64) {
        match self {
            Self::Read(read) => read.borrow_mut().take_counts(),
            _ => (0, 0),
        }
    }
}

fn at_once(done: bool) -> AtOnce {
    if done { AtOnce::Done(Ok(())) } else { AtOnce::MustWait }
}
