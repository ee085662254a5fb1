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

/// How far the reading of a body has come.
#[derive(Default)]
pub(super) enum Reading {
    /// Nobody has read it.
    #[default]
    Unread,
    /// Somebody has, and there is only the text.
    TextOnly,
    /// There is a value, charged to the budget.
    Value(Document<BodyText>, Charge),
}

impl Reading {
    pub(super) fn buf(&self) -> Option<&Buf> {
        match self {
            Self::Value(document, _) => Some(document.text().buf()),
            _ => None,
        }
    }

    pub(super) fn is_text_intact(&self) -> bool {
        match self {
            Self::Value(document, _) => document.is_text_intact(),
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
                    Ok(charge) => self.reading = Reading::Value(document, charge),
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

    /// Builds the value of a body that was judged, unless that was done or tried before. Without `keep_text` the text may
    /// be given up for it.
    pub fn build_value(&mut self, keep_text: bool, parser: &mut Parser) {
        if !matches!(self.reading, Reading::Unread) {
            return;
        }
        self.reading = Reading::TextOnly;
        let is_copied = self.facts.escapes && keep_text;
        let bytes = memory_charge(self.body.len(), &self.facts, is_copied);
        let charged = match &self.buf {
            Some(buf) if !self.facts.beyond_tape => buf.charge_beside(bytes),
            _ => return,
        };
        let Ok(charge) = charged else { return };
        let Some(text) = self.take_text() else { return };
        match Document::build(text, self.facts, keep_text, parser) {
            Ok(document) => self.reading = Reading::Value(document, charge),
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
            Reading::Value(document, charge) => {
                self.buf = Some(document.into_text(parser).into_buf());
                Some(charge)
            }
            _ => None,
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
    /// The body as a value, for a node that said that it reads it.
    pub fn body_value(&self) -> BodyValue<'a> {
        match &self.slot.reading {
            Reading::Value(document, _) => BodyValue::Value(document.root()),
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
