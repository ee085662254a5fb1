//! What crosses from a core to a worker: one accepted request.
//!
//! A [`Slot`] is the handle. It owns the head's offsets and the pooled buffer that holds head and body, is moved by
//! its `Box`, and goes home to the core that made it, with everything it allocated. Nodes see an [`Event`], borrowed
//! from the slot for as long as the trigger runs.

mod body;
mod gate;
mod held;
mod id;
mod source;

use std::ops::Range;
use std::time::{Duration, SystemTime};

pub use body::{BodyValue, Reads};
pub use gate::Gate;
pub use held::{HeldEvent, Home};
pub use id::{EventId, EventIds};
pub use source::Source;

use crate::buffer::{Buf, warm};
use crate::http::head::{Field, Head, Method};
use crate::http::{Span, query};
use crate::json::Facts;

/// The handle of one event, from the first byte of its head until its trigger has run.
pub struct Slot {
    /// Identity, answered as `x-event-id`.
    pub id: EventId,
    /// When its last byte was read, in Unix milliseconds.
    pub received_at_ms: u64,
    /// Index of the webhook in the tables of cores and workers.
    pub webhook: u32,
    /// The head; its spans count from `head_at`.
    pub head: Head,
    /// The raw path behind the webhook's id; counts from `head_at`.
    pub suffix: Span,
    /// Head and body; not here while the slot holds the body's value, see [`Slot::build_value`].
    pub buf: Option<Buf>,
    /// Where in `buf` the head starts.
    pub head_at: usize,
    /// Where in `buf` the body stands.
    pub body: Range<usize>,
    /// What the verdict on the body found.
    pub facts: Facts,
    /// What nodes read of the body. It owns `buf` for as long as there is a value.
    reading: body::Reading,
    /// When it was pushed, in nanoseconds of the core's clock, if this event was chosen as a sample.
    pub pushed_at_ns: Option<u64>,
}

impl Slot {
    /// An empty handle.
    pub fn new() -> Self {
        Self {
            id: EventId::NIL,
            received_at_ms: 0,
            webhook: 0,
            head: Head::default(),
            suffix: Span::default(),
            buf: None,
            head_at: 0,
            body: 0..0,
            facts: Facts::default(),
            reading: body::Reading::default(),
            pushed_at_ns: None,
        }
    }

    /// Makes an empty handle ready to be filled.
    #[inline]
    pub fn warm(&self) {
        /// Fields of a head that most senders keep to.
        const FIELDS: usize = 8;
        warm(self, size_of::<Self>());
        warm(self.head.fields.as_ptr(), self.head.fields.capacity().min(FIELDS) * size_of::<Field>());
    }

    /// The body as it was received, which may be empty.
    pub fn received_body(&self) -> &[u8] {
        &self.bytes()[self.body.clone()]
    }

    /// Whether it keeps so much of the byte budget busy that nobody should wait for it to be found at home.
    pub fn is_heavy(&self) -> bool {
        /// Smaller ones are collected within a sweep, and are many.
        const HEAVY_BYTES: usize = 256 * 1024;
        self.buf.as_ref().is_some_and(|buf| buf.capacity() >= HEAVY_BYTES)
    }

    fn bytes(&self) -> &[u8] {
        self.buf.as_ref().or_else(|| self.reading.buf()).map_or(&[], Buf::filled)
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// One accepted request, as nodes see it.
///
/// **Lifetimes.** It is borrowed, and so is all that it gives: body, path, headers and value stand in the buffer that they
/// were received into, until the node returns. What is needed later has to be copied.
///
/// **Threads.** It is used on the thread that it was handed to: the worker's, or that of a blocking function.
///
/// **Cost.** It is a pair of pointers, and copying it costs nothing. Id, body, path and headers are looked at where they
/// stand, without an allocation; [`Event::query`] parses and allocates at each call; [`Event::body_value`] was built before,
/// if a node said that it reads it.
///
/// **Errors.** There are none to handle: what could not be read was refused before there was an event. Path, header values
/// and what they hold come from the sender, are bytes, and need not be UTF-8.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    slot: &'a Slot,
    source: &'a Source,
}

impl<'a> Event<'a> {
    /// The event of `slot`, which belongs to the webhook `source`.
    pub fn new(slot: &'a Slot, source: &'a Source) -> Self {
        Self { slot, source }
    }

    /// The event's id, a UUIDv7.
    pub fn id(&self) -> EventId {
        self.slot.id
    }

    /// The name of the webhook.
    pub fn webhook(&self) -> &'a str {
        self.source.name()
    }

    /// When the last byte of the request was read.
    pub fn received_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.slot.received_at_ms)
    }

    /// `GET` or `POST`.
    pub fn method(&self) -> &'static str {
        match self.slot.head.method {
            Method::Get => "GET",
            _ => "POST",
        }
    }

    /// The raw path behind the id, `/` at least.
    pub fn path(&self) -> &'a [u8] {
        match self.slot.suffix.of(self.head()) {
            b"" => b"/",
            suffix => suffix,
        }
    }

    /// The query as an object, by the rules of `qs` 6.11. Parsed anew at each call.
    pub fn query(&self) -> serde_json::Value {
        query::parse(self.slot.head.query.of(self.head()))
    }

    /// One parameter of the query without parsing it, where that is the same: see [`query::plain`].
    pub fn plain_parameter(&self, name: &str) -> Option<Option<&'a str>> {
        query::plain(self.slot.head.query.of(self.head()), name)
    }

    /// Header names and values in the order received, as sent; those that carry credentials only if the webhook keeps
    /// them.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let (head, source) = (self.head(), self.source);
        let fields = self.slot.head.fields.iter();
        fields
            .map(move |Field { name, value }| (name.of(head), value.of(head)))
            .filter(move |(name, _)| source.shows(name))
    }

    /// The body as JSON text: the exact bytes received, or `{}` when there were none.
    ///
    /// # Panics
    /// When the text was given up for the value: a node that reads it has to say so.
    pub fn body(&self) -> &'a [u8] {
        self.body_if_kept().unwrap_or_else(|| panic!("a node reads the text and did not say so"))
    }

    /// The same for who has not said that he reads it; `None`: the text was given up for the value.
    pub fn body_if_kept(&self) -> Option<&'a [u8]> {
        match self.slot.received_body() {
            b"" => Some(b"{}"),
            body => self.slot.reading.is_text_intact().then_some(body),
        }
    }

    /// How many bytes of body were received.
    pub fn body_bytes(&self) -> usize {
        self.slot.body.len()
    }

    fn head(&self) -> &'a [u8] {
        &self.slot.bytes()[self.slot.head_at..]
    }
}
