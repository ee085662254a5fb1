//! RFC 8259 as the text arrives: the verdict stands when the last byte does.
//!
//! A [`Validator`] is fed a text in pieces of any size, cut anywhere. It needs constant memory, the stack of
//! [`DEPTH_MAX`](crate::json::DEPTH_MAX) bits included, and says at the first byte that no document could have at that
//! place that it is there (what may be a byte order mark waits for its third). What it accepts and refuses, and where,
//! is what [`super::naive`] says of the whole text.
//!
//! ```text
//!            a block of 64 bytes, masks              all well
//!   piece ─► block (avx2, avx512) ──────────────────────────────► the next block
//!                │ something is wrong, or does not fit, or the piece ends
//!                ▼
//!            automaton, byte by byte: the last word on every error ──► back to blocks as soon as it is at rest
//! ```
//!
//! On a CPU without AVX2 the automaton is all there is, at a tenth to a half of the speed.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

mod automaton;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod block;
#[cfg(target_arch = "x86_64")]
mod dispatch;
mod fuzz;
mod number;
mod state;
#[cfg(target_arch = "x86_64")]
mod tables;

pub use fuzz::fuzz_stream;

use automaton::{Automaton, Lexeme};

use super::verdict::{Facts, Invalid, InvalidKind};

/// What the automaton takes at least before blocks have their turn again: the block that stopped them.
const STEP_BYTES: usize = 64;

/// Judges a text that comes in pieces.
#[derive(Debug, Clone)]
pub struct Validator {
    automaton: Automaton,
    taken: usize,
    invalid: Option<Invalid>,
}

impl Default for Validator {
    fn default() -> Self {
        Self::new()
    }
}

impl Validator {
    /// Before the first byte of a text.
    pub fn new() -> Self {
        Self { automaton: Automaton::new(), taken: 0, invalid: None }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`Invalid`] at the first byte that no document could have at its place. Every later call says the same.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), Invalid> {
        self.take(piece, false)
    }

    /// Takes the last piece. The same as [`Self::feed`] and [`Self::finish`], and faster for small texts, because it
    /// is known that nothing follows.
    ///
    /// # Errors
    /// [`Invalid`] when the text is not a document.
    pub fn finish_with(mut self, piece: &[u8]) -> Result<Facts, Invalid> {
        self.take(piece, true)?;
        self.finish()
    }

    /// The text ends here.
    ///
    /// # Errors
    /// [`Invalid`] when it is not a document.
    pub fn finish(&self) -> Result<Facts, Invalid> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        self.automaton.finish().ok_or_else(|| match self.automaton.lexeme {
            // What began like a byte order mark and is none.
            Lexeme::Start(seen @ 1..) => Invalid { offset: self.taken - seen, kind: InvalidKind::Syntax },
            _ => Invalid { offset: self.taken, kind: InvalidKind::Truncated },
        })
    }

    #[inline]
    fn take(&mut self, piece: &[u8], is_last: bool) -> Result<(), Invalid> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let mut rest = piece;
        while !rest.is_empty() {
            rest = &rest[blocks(&mut self.automaton, rest, is_last)..];
            match self.automaton.run(rest, STEP_BYTES) {
                Ok(taken) => rest = &rest[taken..],
                Err((offset, kind)) => {
                    let before = self.taken + (piece.len() - rest.len());
                    let invalid = Invalid { offset: before.wrapping_add_signed(offset), kind };
                    self.invalid = Some(invalid);
                    return Err(invalid);
                }
            }
        }
        self.taken += piece.len();
        Ok(())
    }
}

/// Judges a whole text.
///
/// # Errors
/// [`Invalid`] when it is not a document.
pub fn validate(text: &[u8]) -> Result<Facts, Invalid> {
    Validator::new().finish_with(text)
}

/// Takes what it can of `text` in blocks and says how many bytes those were. If nothing follows the text, they may be
/// all: the last block is filled up with white space then.
#[inline]
fn blocks(automaton: &mut Automaton, text: &[u8], is_last: bool) -> usize {
    #[cfg(target_arch = "x86_64")]
    if automaton.is_at_rest()
        && (is_last || text.len() >= block::BLOCK_BYTES)
        && let Some(instructions) = dispatch::Instructions::detect()
    {
        return automaton.resume(|place| {
            let mut taken = instructions.run(place, text);
            while is_last && (1..block::BLOCK_BYTES).contains(&(text.len() - taken)) {
                let rest = &text[taken..];
                let mut filled_up = [b' '; block::BLOCK_BYTES];
                filled_up[..rest.len()].copy_from_slice(rest);
                match instructions.run(place, &filled_up) {
                    0 => break,
                    more => taken += more.min(rest.len()),
                }
            }
            taken
        });
    }
    let _ = (automaton, text, is_last);
    0
}

#[cfg(test)]
mod tests;
