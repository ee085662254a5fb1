//! The body as a value: simd-json's tape over the event's own buffer, built when somebody reads it.
//!
//! ```text
//!   small and whole, for nodes that read it ─► judge_body, on the core: verdict and value in one pass
//!   anything else, judged as it came ────────► build_value, on the worker, before the first node that reads it
//! ```
//!
//! While there is a value, the buffer belongs to it; [`Slot::drop_value`] and [`Slot::take_buf`] give it back. The tape
//! goes home to the thread that made it.

use std::sync::LazyLock;

use simd_json::tape::Value;

use super::{Event, Slot};
use crate::buffer::{Buf, Charge, OverBudget};
use crate::json::{BodyText, Document, Facts, Invalid, Parser, RawText, Unparsed, memory_charge};

/// What nodes read of a body.
#[derive(Debug, Clone, Copy)]
pub enum BodyValue<'a> {
    /// The value. Duplicate keys are all in it: look up with [`crate::json::get`].
    Value(Value<'a, 'a>),
    /// Only the exact text says what it is, [`Event::body`]: it holds what the tape cannot represent, or the byte budget
    /// had no room for the tape.
    TextOnly,
}

/// What those who run for an event read of its body.
///
/// What nobody reads is not made: without a reader of the value a body is never parsed, and without one of the text the value
/// may take its place, which saves a copy. It is asked for when triggers are set up, not for each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reads {
    /// The longest body, in bytes, that somebody wants as a value; 0: nobody does.
    pub value_up_to: usize,
    /// Whether somebody wants its exact text.
    pub text: bool,
}

impl Reads {
    /// What two read together.
    pub fn and(self, other: Self) -> Self {
        Self { value_up_to: self.value_up_to.max(other.value_up_to), text: self.text || other.text }
    }

    /// Whether anybody reads a value.
    pub fn value(self) -> bool {
        self.value_up_to > 0
    }
}

/// How far the reading of a body has come.
#[derive(Default)]
pub(super) enum Reading {
    /// Nobody has read it.
    #[default]
    Unread,
    /// Somebody has, and there is only the text.
    TextOnly,
    /// There is a value, charged to the budget.
    Value(Document<BodyText>, Charge, Maker),
}

/// Whose parser a value belongs to: the tape goes home to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    Core,
    Worker,
}

impl Reading {
    pub(super) fn buf(&self) -> Option<&Buf> {
        match self {
            Self::Value(document, ..) => Some(document.text().buf()),
            _ => None,
        }
    }

    pub(super) fn is_text_intact(&self) -> bool {
        match self {
            Self::Value(document, ..) => document.is_text_intact(),
            _ => true,
        }
    }
}

impl Slot {
    /// Judges a body that nobody has judged, and keeps its value if `charge` finds room for so many bytes beside the
    /// buffer.
    ///
    /// The tape is charged when it is there: what it takes to build one for a small body is scratch of the thread.
    ///
    /// # Errors
    /// When it is not a document.
    pub fn judge_body(
        &mut self,
        parser: &mut Parser,
        charge: impl FnOnce(usize) -> Result<Charge, OverBudget>,
    ) -> Result<Facts, Invalid> {
        let Some(text) = self.take_text() else { return Ok(self.facts) };
        match Document::parse(text, parser) {
            Ok(document) => {
                let facts = *document.facts();
                match charge(document.held_bytes()) {
                    Ok(charge) => self.reading = Reading::Value(document, charge, Maker::Core),
                    Err(OverBudget) => self.buf = Some(document.into_text(parser).into_buf()),
                }
                Ok(facts)
            }
            Err((text, unparsed)) => {
                self.buf = Some(text.into_buf());
                match unparsed {
                    Unparsed::TextOnly(facts) => Ok(facts),
                    Unparsed::Invalid(invalid) => Err(invalid),
                }
            }
        }
    }

    /// Builds the value of a body that was judged, if `reads` asks for it, unless that was done or tried before. Unless the
    /// text is read, too, it may be given up for the value.
    pub fn build_value(&mut self, reads: Reads, parser: &mut Parser) {
        if self.body.len() > reads.value_up_to || !matches!(self.reading, Reading::Unread) {
            return;
        }
        self.reading = Reading::TextOnly;
        let keep_text = reads.text;
        let is_copied = self.facts.escapes && keep_text;
        let bytes = memory_charge(self.body.len(), &self.facts, is_copied);
        let charged = match &self.buf {
            Some(buf) if !self.facts.beyond_tape => buf.charge_beside(bytes),
            _ => return,
        };
        let Ok(charge) = charged else { return };
        let Some(text) = self.take_text() else { return };
        match Document::build(text, self.facts, keep_text, parser) {
            Ok(document) => self.reading = Reading::Value(document, charge, Maker::Worker),
            Err(text) => self.buf = Some(text.into_buf()),
        }
    }

    /// Whether there is a value.
    pub fn has_value(&self) -> bool {
        matches!(self.reading, Reading::Value(..))
    }

    /// Ends the reading on the thread that built the value; its tape goes to `parser`. Returns what it was charged.
    pub fn drop_value(&mut self, parser: &mut Parser) -> Option<Charge> {
        match std::mem::take(&mut self.reading) {
            Reading::Value(document, charge, _) => {
                self.buf = Some(document.into_text(parser).into_buf());
                Some(charge)
            }
            _ => None,
        }
    }

    /// Ends the reading if a worker built the value; one that came from the core goes home with the handle.
    pub fn drop_built_value(&mut self, parser: &mut Parser) {
        if matches!(self.reading, Reading::Value(.., Maker::Worker)) {
            self.drop_value(parser);
        }
    }

    /// The buffer, with the body as a text of its own; `None` for an empty body, whose value is known.
    fn take_text(&mut self) -> Option<BodyText> {
        if self.body.is_empty() {
            return None;
        }
        self.buf.take().map(|buf| BodyText::new(buf, self.body.clone()))
    }
}

impl<'a> Event<'a> {
    /// The body as a value, for a node that said that it reads it; for others it may be [`BodyValue::TextOnly`].
    ///
    /// It was built once for all nodes of the event, on the core or the worker, and is charged to the byte budget.
    pub fn body_value(&self) -> BodyValue<'a> {
        match &self.slot.reading {
            Reading::Value(document, ..) => BodyValue::Value(document.root()),
            _ if self.slot.body.is_empty() => BodyValue::Value(EMPTY_OBJECT.root()),
            _ => BodyValue::TextOnly,
        }
    }
}

/// What an absent or empty body stands for.
static EMPTY_OBJECT: LazyLock<Document<RawText>> = LazyLock::new(|| {
    Document::parse(RawText::from(&b"{}"[..]), &mut Parser::new())
        .unwrap_or_else(|_| unreachable!("this is a document"))
});

#[cfg(test)]
mod tests;
