//! The validator as an automaton that takes one byte at a time and may be left and taken up again anywhere.
//!
//! It has the last word on every error and its offset; [`super::block`] only finds out faster that there is none. On
//! a CPU without the instructions for that, it is the validator.

use super::number::{Number, Step};
use super::state::{Next, Stack};
use crate::json::verdict::{Facts, InvalidKind};

const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// What the next byte is part of.
#[derive(Debug, Clone)]
pub(super) enum Lexeme {
    /// The beginning of the text, of which so many bytes are those of a byte order mark.
    Start(usize),
    /// Nothing: white space, or the first byte of something.
    Between,
    /// A string, a key or a value.
    String,
    /// An escape, behind its backslash.
    Escape,
    /// The digits of a `\u` escape.
    Hex { unit: u16, left: u8 },
    /// A character of several bytes: the next byte lies between these two, more follow.
    Multibyte { least: u8, most: u8, more: u8 },
    /// A number.
    Number(Number),
    /// What is left of a literal name.
    Literal(&'static [u8]),
}

/// The state of a validator.
#[derive(Debug, Clone)]
pub(super) struct Automaton {
    pub lexeme: Lexeme,
    pub next: Next,
    /// Whether the string being read is a key.
    pub in_key: bool,
    /// An escaped high surrogate waits for its low half right behind it.
    pub high_waits: bool,
    pub stack: Stack,
    pub facts: Facts,
}

/// A byte that cannot stand where it stands: how far before the current one, and what is wrong with it.
type Bad = (isize, InvalidKind);

impl Automaton {
    pub fn new() -> Self {
        Self {
            lexeme: Lexeme::Start(0),
            next: Next::Value,
            in_key: false,
            high_waits: false,
            stack: Stack::new(),
            facts: Facts::default(),
        }
    }

    /// Whether [`super::block`] can go on from here: between tokens, or between two characters of a string.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        !self.high_waits && matches!(self.lexeme, Lexeme::Between | Lexeme::String | Lexeme::Start(0))
    }

    /// Lets `run` take bytes from here, where it is at rest. `run` says how many it took.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    pub fn resume(&mut self, run: impl FnOnce(&mut super::block::Place<'_>) -> usize) -> usize {
        let mut in_string = matches!(self.lexeme, Lexeme::String);
        let taken = run(&mut super::block::Place {
            in_string: &mut in_string,
            in_key: &mut self.in_key,
            next: &mut self.next,
            stack: &mut self.stack,
            facts: &mut self.facts,
        });
        if taken > 0 {
            self.lexeme = if in_string { Lexeme::String } else { Lexeme::Between };
        }
        taken
    }

    /// Takes `bytes`, at least so many of them if there are as many, and then until it is at rest. Says how many it
    /// took, or where the first bad byte stands; that may be one taken before. After an error the state means nothing.
    pub fn run(&mut self, bytes: &[u8], at_least: usize) -> Result<usize, (isize, InvalidKind)> {
        let mut at = 0;
        while at < bytes.len() && !(at >= at_least && self.is_at_rest()) {
            if matches!(self.lexeme, Lexeme::String) && !self.high_waits {
                let rest = &bytes[at..];
                at += rest.iter().position(|&byte| !is_plain(byte)).unwrap_or(rest.len());
                if at == bytes.len() {
                    break;
                }
            }
            if let Lexeme::Number(number) = &mut self.lexeme {
                at += number.skip(&bytes[at..]);
                if at == bytes.len() {
                    break;
                }
            }
            match self.step(bytes[at]) {
                Ok(true) => at += 1,
                Ok(false) => {}
                Err((back, kind)) => return Err((at as isize - back, kind)),
            }
        }
        Ok(at)
    }

    /// Takes a byte, or ends what stands before it and wants to see it again (`false`).
    fn step(&mut self, byte: u8) -> Result<bool, Bad> {
        match &mut self.lexeme {
            Lexeme::Start(seen) => {
                if byte == BYTE_ORDER_MARK[*seen] {
                    if *seen + 1 == BYTE_ORDER_MARK.len() {
                        return Err((*seen as isize, InvalidKind::ByteOrderMark));
                    }
                    *seen += 1;
                    return Ok(true);
                }
                if *seen > 0 {
                    return Err((*seen as isize, InvalidKind::Syntax));
                }
                self.lexeme = Lexeme::Between;
                Ok(false)
            }
            Lexeme::Between => self.token(byte).map(|()| true),
            Lexeme::String => self.character(byte).map(|()| true),
            Lexeme::Escape => self.escape(byte).map(|()| true),
            Lexeme::Hex { unit, left } => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    return Err((0, InvalidKind::Escape));
                };
                *unit = *unit << 4 | digit as u16;
                *left -= 1;
                if *left == 0 {
                    let unit = *unit;
                    self.lexeme = Lexeme::String;
                    self.unit(Some(unit));
                }
                Ok(true)
            }
            Lexeme::Multibyte { least, most, more } => {
                if !(*least..=*most).contains(&byte) {
                    return Err((0, InvalidKind::Utf8));
                }
                self.lexeme = match *more {
                    0 => Lexeme::String,
                    more => Lexeme::Multibyte { least: 0x80, most: 0xBF, more: more - 1 },
                };
                Ok(true)
            }
            Lexeme::Number(number) => match number.step(byte) {
                Step::Part => Ok(true),
                Step::Bad => Err((0, InvalidKind::Number)),
                Step::Behind => {
                    self.facts.beyond_tape |= number.is_beyond_tape();
                    self.lexeme = Lexeme::Between;
                    Ok(false)
                }
            },
            Lexeme::Literal(left) => match left.split_first() {
                Some((&wanted, rest)) if wanted == byte => {
                    self.lexeme = if rest.is_empty() { Lexeme::Between } else { Lexeme::Literal(rest) };
                    Ok(true)
                }
                // RFC 8259 §3: literal names are lower case, nothing else.
                _ => Err((0, InvalidKind::Syntax)),
            },
        }
    }

    /// The first byte of a token, or white space: RFC 8259 §2 knows four bytes of it and no others.
    fn token(&mut self, byte: u8) -> Result<(), Bad> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return Ok(());
        }
        let in_object = self.stack.in_object();
        match (self.next, byte) {
            (Next::AfterValue, _) if self.stack.depth() == 0 => return Err((0, InvalidKind::Trailing)),
            (Next::FirstElement | Next::Value, b'[' | b'{') => return self.open(byte == b'{'),
            (Next::FirstElement, b']') | (Next::FirstKey, b'}') => self.close(),
            (Next::AfterValue, b']') if !in_object => self.close(),
            (Next::AfterValue, b'}') if in_object => self.close(),
            (Next::AfterValue, b',') => self.next = if in_object { Next::Key } else { Next::Value },
            (Next::Colon, b':') => self.next = Next::Value,
            (Next::FirstKey | Next::Key, b'"') => {
                self.in_key = true;
                self.next = Next::Colon;
                self.lexeme = Lexeme::String;
                self.facts.nodes += 1;
            }
            (Next::FirstElement | Next::Value, _) => {
                self.lexeme = match byte {
                    b'"' => Lexeme::String,
                    b't' => Lexeme::Literal(b"rue"),
                    b'f' => Lexeme::Literal(b"alse"),
                    b'n' => Lexeme::Literal(b"ull"),
                    _ => match Number::begin(byte) {
                        Some(number) => Lexeme::Number(number),
                        None => return Err((0, InvalidKind::Syntax)),
                    },
                };
                self.in_key = false;
                self.next = Next::AfterValue;
                self.facts.nodes += 1;
            }
            _ => return Err((0, InvalidKind::Syntax)),
        }
        self.facts.structurals += 1;
        Ok(())
    }

    fn open(&mut self, object: bool) -> Result<(), Bad> {
        if !self.stack.push(object) {
            return Err((0, InvalidKind::TooDeep));
        }
        self.next = if object { Next::FirstKey } else { Next::FirstElement };
        self.facts.nodes += 1;
        self.facts.structurals += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.stack.pop();
        self.next = Next::AfterValue;
    }

    /// The first byte of a character of a string, or its end.
    fn character(&mut self, byte: u8) -> Result<(), Bad> {
        self.lexeme = match byte {
            b'"' => Lexeme::Between,
            b'\\' => Lexeme::Escape,
            0x00..=0x1F => return Err((0, InvalidKind::ControlCharacter)),
            0x20..=0x7F => Lexeme::String,
            // RFC 3629 §4: no overlong form, no surrogate, nothing beyond U+10FFFF.
            0xC2..=0xDF => Lexeme::Multibyte { least: 0x80, most: 0xBF, more: 0 },
            0xE0 => Lexeme::Multibyte { least: 0xA0, most: 0xBF, more: 1 },
            0xE1..=0xEC | 0xEE..=0xEF => Lexeme::Multibyte { least: 0x80, most: 0xBF, more: 1 },
            0xED => Lexeme::Multibyte { least: 0x80, most: 0x9F, more: 1 },
            0xF0 => Lexeme::Multibyte { least: 0x90, most: 0xBF, more: 2 },
            0xF1..=0xF3 => Lexeme::Multibyte { least: 0x80, most: 0xBF, more: 2 },
            0xF4 => Lexeme::Multibyte { least: 0x80, most: 0x8F, more: 2 },
            _ => return Err((0, InvalidKind::Utf8)),
        };
        if byte != b'\\' {
            self.unit(None);
        }
        Ok(())
    }

    /// From behind the backslash (RFC 8259 §7).
    fn escape(&mut self, byte: u8) -> Result<(), Bad> {
        self.facts.escapes = true;
        self.lexeme = match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.unit(None);
                Lexeme::String
            }
            b'u' => Lexeme::Hex { unit: 0, left: 4 },
            _ => return Err((0, InvalidKind::Escape)),
        };
        Ok(())
    }

    /// A character was read, as an escaped UTF-16 unit or otherwise: surrogates stand in pairs or are beyond the tape.
    fn unit(&mut self, unit: Option<u16>) {
        let is_low = matches!(unit, Some(0xDC00..=0xDFFF));
        self.facts.beyond_tape |= self.high_waits != is_low;
        // Once a text is beyond the tape there is nothing more to learn. Waiting on, a text of nothing but such halves,
        // cut in the wrong place, would never come to rest.
        self.high_waits = !self.facts.beyond_tape && matches!(unit, Some(0xD800..=0xDBFF));
    }

    /// The text ends here: what is known of it if it is a document.
    pub fn finish(&self) -> Option<Facts> {
        let mut facts = self.facts;
        match &self.lexeme {
            Lexeme::Between => {}
            Lexeme::Number(number) if number.is_complete() => facts.beyond_tape |= number.is_beyond_tape(),
            _ => return None,
        }
        (self.next == Next::AfterValue && self.stack.depth() == 0).then_some(facts)
    }
}

/// A byte of a string that says nothing but itself.
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7F)
}
