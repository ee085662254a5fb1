//! The real connection code over a simulated peer: bytes in pieces of any size, answers and events out. For tests
//! and fuzzing.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use uuid::Uuid;

use super::connection::{Connection, serve};
use super::core_thread::Core;
use super::deadlines::Watch;
use super::transport::Transport;
use super::{CoreControl, CoreParts, Webhook, Webhooks};
use crate::buffer::{Budget, Buf};
use crate::event::{Event, Source};
use crate::http::cors::AllowedOrigins;
use crate::io::{Breaker, Driver, Interrupt};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::queue::{self, Door, HomeBell, Inbox};
use crate::verify::Secrets;

/// The id of the simulated webhook that is open to everyone.
pub(super) const OPEN: &str = "11111111-1111-4111-8111-111111111111";
/// The id of the simulated webhook with a secret and an allowed origin.
pub(super) const GUARDED: &str = "22222222-2222-4222-8222-222222222222";
/// Its secret.
pub(super) const SECRET: &str = "s";
/// The largest body that the simulated webhooks take, unless there is [`Room`] for more.
pub(super) const BODY_BYTES_MAX: u64 = 300;

/// What came of a simulated connection.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    /// Everything written to the peer, with ids and dates blanked.
    pub answers: String,
    /// Every event: webhook, method, path, query, headers, body.
    pub events: Vec<String>,
}

/// A peer that sends these pieces and then ends its side.
struct Peer {
    pieces: std::vec::IntoIter<Vec<u8>>,
    piece: Vec<u8>,
    written: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Peer {
    async fn read(&mut self, mut buf: Buf, limit: usize, _: &Interrupt) -> (io::Result<usize>, Buf) {
        while self.piece.is_empty() {
            match self.pieces.next() {
                Some(piece) => self.piece = piece,
                None => return (Ok(0), buf),
            }
        }
        let bytes = self.piece.len().min(limit).min(buf.room());
        buf.extend_from_slice(&self.piece[..bytes]);
        self.piece.drain(..bytes);
        (Ok(bytes), buf)
    }

    async fn write(&mut self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        self.written.borrow_mut().extend_from_slice(&bytes);
        (Ok(()), bytes)
    }

    async fn readable(&self) -> io::Result<()> {
        Ok(())
    }

    fn has_bytes(&self) -> bool {
        !self.piece.is_empty() || self.pieces.len() > 0
    }

    fn shutdown_write(&mut self) {}
}

/// A core without a runtime, and the worker's end of its queue.
pub(super) struct Simulation {
    core: Core,
    inbox: Inbox,
}

/// What a simulated core has to give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// The byte budget.
    pub budget_bytes: u64,
    /// Events that its worker's queue holds.
    pub queue_events_max: usize,
    /// Requests on their way at a time.
    pub handles_max: usize,
    /// The largest body that its webhooks take.
    pub body_bytes_max: u64,
}

/// Enough for whatever one connection does.
const PLENTY: Room =
    Room { budget_bytes: 64 << 20, queue_events_max: 64, handles_max: 128, body_bytes_max: BODY_BYTES_MAX };

impl Simulation {
    /// A core with two webhooks and room for them.
    pub fn new() -> io::Result<Self> {
        Self::with(PLENTY)
    }

    /// A core with two webhooks and this much room.
    pub fn with(room: Room) -> io::Result<Self> {
        let budget = Arc::new(Budget::new(room.budget_bytes));
        let (ringer, rope) = crate::io::bell()?;
        let bell = Arc::new(HomeBell::new(move || ringer.ring()));
        let Room { queue_events_max, handles_max, body_bytes_max, .. } = room;
        let (outbox, inbox) =
            queue::pair(queue_events_max, handles_max, Arc::new(Door::default()), bell.clone());
        let (core, _, _) = Core::new(CoreParts {
            index: 0,
            driver: Driver::Epoll,
            listener: std::net::TcpListener::bind("127.0.0.1:0")?,
            limits: Arc::new(Limits::default()),
            webhooks: Arc::new(Webhooks::new(
                webhooks(body_bytes_max)?.into_iter().map(|it| Some(Arc::new(it))).collect(),
            )),
            budget,
            outboxes: vec![outbox],
            handles_max,
            bell,
            rope,
            control: Arc::new(CoreControl::default()),
            metrics: Arc::new(Metrics::new(1, 1)),
            seed: 7,
        });
        Ok(Self { core, inbox })
    }

    /// Serves one connection whose peer sends `pieces`, to its end.
    pub fn connect(&mut self, pieces: Vec<Vec<u8>>) -> Outcome {
        let written = Rc::new(RefCell::new(Vec::new()));
        let mut outcome = Outcome::default();
        let watch = Watch::new(0, Breaker::none());
        let peer = Peer { pieces: pieces.into_iter(), piece: Vec::new(), written: written.clone() };
        let mut life = pin!(serve(Connection::new(peer, &self.core, &watch)));
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let ended = life.as_mut().poll(&mut cx) == Poll::Ready(());
            while let Some(slot) = self.inbox.pop() {
                outcome.events.push(describe(&Event::new(
                    &slot,
                    &Source::named(if slot.webhook == 0 { "open" } else { "guarded" }),
                )));
                self.inbox.send_home(slot);
            }
            if ended {
                break;
            }
        }
        outcome.answers = blanked(&written.borrow());
        outcome
    }
}

fn webhooks(body_bytes_max: u64) -> io::Result<Vec<Webhook>> {
    let webhook = |id: &str, secrets: &[&[u8]], origins: &[String]| {
        io::Result::Ok(Webhook {
            id: Uuid::parse_str(id).map_err(io::Error::other)?,
            secrets: Secrets::new(secrets.iter().copied()),
            origins: AllowedOrigins::new(origins).map_err(io::Error::other)?,
            body_bytes_max,
            // The answers and the events are the same with and without.
            reads_body: id == GUARDED,
            worker: 0,
            gate: Arc::default(),
        })
    };
    let origins = ["https://example.com".to_owned()];
    Ok(vec![webhook(OPEN, &[], &[])?, webhook(GUARDED, &[SECRET.as_bytes()], &origins)?])
}

fn describe(event: &Event<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<_> = event.headers().map(|(name, value)| (text(name), text(value))).collect();
    format!(
        "{} {} {} {} {headers:?} {}",
        event.webhook(),
        event.method(),
        text(event.path()),
        event.query(),
        text(event.body())
    )
}

/// The answers with what differs from run to run blanked.
fn blanked(written: &[u8]) -> String {
    let text = String::from_utf8_lossy(written);
    let line = |line: &str| match line.split_once(": ") {
        Some((name @ ("date" | "x-event-id"), _)) => format!("{name}: -\r\n"),
        _ => line.to_owned(),
    };
    text.split_inclusive("\r\n").map(line).collect()
}

/// Cuts `bytes` into pieces whose lengths `cuts` chooses; the last is what remains.
fn cut(mut bytes: &[u8], cuts: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    for &length in cuts {
        let length = (length as usize).clamp(1, bytes.len().max(1)).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        pieces.push(piece.to_vec());
        bytes = rest;
    }
    pieces.push(bytes.to_vec());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// A fuzz body: a connection that sends these bytes gets the same answers and makes the same events however they
/// are split. The first eight bytes choose the splits; `{open}` and `{guarded}` stand for the webhooks' ids.
pub fn fuzz_connection(data: &[u8]) {
    thread_local! {
        static SIMULATION: RefCell<Option<Simulation>> = const { RefCell::new(None) };
    }
    let Some((cuts, bytes)) = data.split_at_checked(8) else { return };
    let bytes = replaced(&replaced(bytes, b"{open}", OPEN.as_bytes()), b"{guarded}", GUARDED.as_bytes());
    SIMULATION.with_borrow_mut(|simulation| {
        if simulation.is_none() {
            *simulation = Simulation::new().ok();
        }
        let Some(simulation) = simulation else { return };
        let whole = simulation.connect(vec![bytes.clone()]);
        let split = simulation.connect(cut(&bytes, cuts));
        assert_eq!(whole, split, "the split {cuts:?} changes the outcome");
        assert!(
            whole.answers.matches("HTTP/1.1 200 OK").count() == whole.events.len(),
            "one 200 for each event: {whole:?}"
        );
    });
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests;
