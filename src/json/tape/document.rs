//! The one owner of a text and the tape that points into it.

use simd_json::Tape;
use simd_json::tape::Value;

use super::parser::{Parser, tape_bytes};
use super::text::{PaddedText, RawText, SPARE_BYTES, received};
use crate::json::stream;
use crate::json::verdict::{Facts, Invalid};

/// Why there is no tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unparsed {
    /// Not JSON.
    Invalid(Invalid),
    /// JSON that the tape cannot hold: only its exact text says what it is.
    TextOnly(Facts),
}

/// A text and the tape that points into it, or into a copy of it.
pub struct Document<B: PaddedText> {
    // Declared, and so dropped, before what it points into. It never is handed out as 'static, see `root`.
    tape: Tape<'static>,
    text: B,
    unescaped: Option<RawText>,
    facts: Facts,
    is_text_intact: bool,
}

impl<B: PaddedText> Document<B> {
    /// Parses a text that nobody has judged: verdict and tape in one pass. Gives it back when there is no tape.
    ///
    /// Meant for small texts: simd-json reserves up to some 36 bytes for each byte of a hostile one before it knows
    /// better. A text with escapes is parsed from a copy, because RFC 8259 has to decide about what was received when
    /// simd-json says no.
    pub fn parse(mut text: B, parser: &mut Parser) -> Result<Self, (B, Unparsed)> {
        let escapes = memchr::memchr(b'\\', received(&mut text)).is_some();
        Self::fill(text, Facts { escapes, ..Facts::default() }, escapes, parser).map_err(|mut text| {
            let unparsed =
                stream::validate(received(&mut text)).map_or_else(Unparsed::Invalid, Unparsed::TextOnly);
            (text, unparsed)
        })
    }

    /// Parses a text that was found to be a document with these facts. Gives it back when the tape cannot hold it; the
    /// facts say so before a byte is changed. The caller has charged [`super::memory_charge`].
    ///
    /// Without `keep_text` escapes are undone in place: [`Self::is_text_intact`].
    pub fn build(mut text: B, facts: Facts, keep_text: bool, parser: &mut Parser) -> Result<Self, B> {
        if facts.beyond_tape || u32::try_from(text.len()).is_err() {
            return Err(text);
        }
        debug_assert!(
            facts.escapes || !received(&mut text).contains(&b'\\'),
            "these are another text's facts"
        );
        Self::fill(text, facts, facts.escapes && keep_text, parser)
    }

    /// Parses the text, or a copy of it.
    fn fill(mut text: B, facts: Facts, copies: bool, parser: &mut Parser) -> Result<Self, B> {
        let len = text.len();
        let mut unescaped = copies.then(|| parser.take_copy(received(&mut text)));
        let start = match &mut unescaped {
            Some(copy) => copy.as_mut_ptr(),
            None => text.as_mut_ptr(),
        };
        // SAFETY: `PaddedText` promises so many bytes, valid for as long as the owner is not dropped, wherever it
        // moves. Nothing else refers to them now. The 'static of the slice is that of the tape, which is emptied
        // before the owner leaves this function or the document, and is handed out for a borrow of the document only.
        let padded: &'static mut [u8] = unsafe { std::slice::from_raw_parts_mut(start, len + SPARE_BYTES) };
        let mut tape = parser.take_tape(facts.structurals);
        match parser.fill(padded, len, &mut tape) {
            Some(structurals) => {
                let facts = Facts { structurals, nodes: tape.0.len(), ..facts };
                let is_text_intact = copies || !facts.escapes;
                Ok(Self { tape, text, unescaped, facts, is_text_intact })
            }
            None => {
                parser.keep_tape(tape.reset());
                unescaped.into_iter().for_each(|copy| parser.keep_copy(copy));
                Err(text)
            }
        }
    }

    /// The value of the document. Nothing of it outlives the borrow of the document.
    pub fn root(&self) -> Value<'_, '_> {
        self.tape.as_value()
    }

    /// The owner of the text.
    pub fn text(&self) -> &B {
        &self.text
    }

    /// Whether the text is what was received, to the byte. Otherwise strings with escapes were rewritten in it.
    pub fn is_text_intact(&self) -> bool {
        self.is_text_intact
    }

    /// What is known of the document.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How many nodes the tape holds.
    pub fn nodes(&self) -> usize {
        self.tape.0.len()
    }

    /// The memory that it holds beside its text.
    pub fn held_bytes(&self) -> usize {
        tape_bytes(&self.tape) + self.unescaped.as_ref().map_or(0, RawText::capacity)
    }

    /// Takes the document apart: the tape is emptied and goes home to the parser's pool, and the text is free again.
    pub fn into_text(self, parser: &mut Parser) -> B {
        let Self { tape, text, unescaped, .. } = self;
        parser.keep_tape(tape.reset());
        unescaped.into_iter().for_each(|copy| parser.keep_copy(copy));
        text
    }
}
