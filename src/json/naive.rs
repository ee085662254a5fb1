//! RFC 8259 written down: the slow and obviously right validator, everybody's oracle and the last word when
//! simd-json refuses a document.
//!
//! One cursor walks over the bytes once; what may come next is a `Next`, what is still open is a stack of at most
//! [`DEPTH_MAX`] entries. There is no recursion, so no document can exhaust the thread's stack.
//!
//! The offset of an error is the first byte that no valid document could have at that place: everything before it
//! is the beginning of some valid document, which is what a validator that sees the text piece by piece can say
//! too. A text that merely ends too early is bad at its end, the offset is its length.

use super::verdict::{DEPTH_MAX, Facts, Invalid, InvalidKind};

/// Judges `text` by RFC 8259.
pub fn validate(text: &[u8]) -> Result<Facts, Invalid> {
    if text.starts_with(&[0xEF, 0xBB, 0xBF]) {
        return Err(Invalid { offset: 0, kind: InvalidKind::ByteOrderMark });
    }
    let mut cursor = Cursor { text, at: 0, facts: Facts::default() };
    cursor.document()?;
    Ok(cursor.facts)
}

/// What may come next, white space aside.
#[derive(Clone, Copy)]
enum Next {
    /// Any value.
    Value,
    /// Right after `[`: a value, or the array ends empty.
    FirstElement,
    /// Right after `{`: a key, or the object ends empty.
    FirstKey,
    /// After a comma in an object.
    Key,
    /// After a key.
    Colon,
    /// After a value: a comma or the closing bracket of what is open; the end when nothing is.
    AfterValue,
}

/// What is open.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    Array,
    Object,
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    facts: Facts,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The error at the current byte; at the end of the text every error is that it ends.
    fn bad<T>(&self, kind: InvalidKind) -> Result<T, Invalid> {
        let kind = if self.at == self.text.len() { InvalidKind::Truncated } else { kind };
        Err(Invalid { offset: self.at, kind })
    }

    /// RFC 8259 §2: white space is these four bytes and no others.
    fn skip_white_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// RFC 8259 §2: `JSON-text = ws value ws`.
    fn document(&mut self) -> Result<(), Invalid> {
        let mut open: Vec<Open> = Vec::new();
        let mut next = Next::Value;
        loop {
            self.skip_white_space();
            next = match (next, self.peek()) {
                (Next::AfterValue, byte) if open.is_empty() => match byte {
                    None => return Ok(()),
                    Some(_) => return self.bad(InvalidKind::Trailing),
                },
                (Next::FirstElement, Some(b']')) | (Next::FirstKey, Some(b'}')) => {
                    open.pop();
                    self.step(Next::AfterValue)
                }
                (Next::Value | Next::FirstElement, Some(byte @ (b'[' | b'{'))) => {
                    if open.len() == DEPTH_MAX {
                        return self.bad(InvalidKind::TooDeep);
                    }
                    open.push(if byte == b'[' { Open::Array } else { Open::Object });
                    self.facts.nodes += 1;
                    self.step(if byte == b'[' { Next::FirstElement } else { Next::FirstKey })
                }
                (Next::Value | Next::FirstElement, _) => {
                    self.scalar()?;
                    self.facts.nodes += 1;
                    Next::AfterValue
                }
                (Next::FirstKey | Next::Key, Some(b'"')) => {
                    self.string()?;
                    self.facts.nodes += 1;
                    Next::Colon
                }
                (Next::Colon, Some(b':')) => self.step(Next::Value),
                (Next::AfterValue, Some(b',')) => {
                    self.step(if open.last() == Some(&Open::Array) { Next::Value } else { Next::Key })
                }
                (Next::AfterValue, Some(b']')) if open.last() == Some(&Open::Array) => {
                    open.pop();
                    self.step(Next::AfterValue)
                }
                (Next::AfterValue, Some(b'}')) if open.last() == Some(&Open::Object) => {
                    open.pop();
                    self.step(Next::AfterValue)
                }
                _ => return self.bad(InvalidKind::Syntax),
            };
            self.facts.structurals += 1;
        }
    }

    /// Takes the current byte.
    fn step(&mut self, next: Next) -> Next {
        self.at += 1;
        next
    }

    fn scalar(&mut self) -> Result<(), Invalid> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal(b"true"),
            Some(b'f') => self.literal(b"false"),
            Some(b'n') => self.literal(b"null"),
            _ => self.bad(InvalidKind::Syntax),
        }
    }

    /// RFC 8259 §3: literal names are lower case, nothing else.
    fn literal(&mut self, name: &[u8]) -> Result<(), Invalid> {
        for &byte in name {
            if self.peek() != Some(byte) {
                return self.bad(InvalidKind::Syntax);
            }
            self.at += 1;
        }
        Ok(())
    }

    /// RFC 8259 §6: `number = [ minus ] int [ frac ] [ exp ]`.
    fn number(&mut self) -> Result<(), Invalid> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            // Leading zeros are not allowed.
            if let Some(b'0'..=b'9') = self.peek() {
                return self.bad(InvalidKind::Number);
            }
        } else {
            self.digits()?;
        }
        let integer_end = self.at;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        let is_integer = self.at == integer_end;
        self.facts.beyond_tape |= !tape_holds_number(&self.text[start..self.at], is_integer);
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Invalid> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.bad(InvalidKind::Number);
        }
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        Ok(())
    }

    /// RFC 8259 §7, from one quote to the other.
    fn string(&mut self) -> Result<(), Invalid> {
        self.at += 1;
        // An escaped high surrogate waits for its low half right behind it.
        let mut high_waits = false;
        loop {
            // Most of most documents; what follows would say the same of each byte.
            while !high_waits && matches!(self.peek(), Some(0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7F)) {
                self.at += 1;
            }
            let unit = match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    self.facts.beyond_tape |= high_waits;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(0x20..=0x7F) => {
                    self.at += 1;
                    None
                }
                Some(0x80..) => {
                    self.multibyte()?;
                    None
                }
                Some(0x00..=0x1F) | None => return self.bad(InvalidKind::ControlCharacter),
            };
            let is_low = matches!(unit, Some(0xDC00..=0xDFFF));
            self.facts.beyond_tape |= high_waits != is_low;
            high_waits = matches!(unit, Some(0xD800..=0xDBFF));
        }
    }

    /// From the backslash on; the UTF-16 code unit if the escape is one.
    fn escape(&mut self) -> Result<Option<u16>, Invalid> {
        self.facts.escapes = true;
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(None)
            }
            Some(b'u') => {
                self.at += 1;
                let mut unit = 0;
                for _ in 0..4 {
                    let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                        return self.bad(InvalidKind::Escape);
                    };
                    unit = unit << 4 | digit as u16;
                    self.at += 1;
                }
                Ok(Some(unit))
            }
            _ => self.bad(InvalidKind::Escape),
        }
    }

    /// One character of two to four bytes, as RFC 3629 §4 spells them: no overlong form, no surrogate, nothing
    /// beyond U+10FFFF.
    fn multibyte(&mut self) -> Result<(), Invalid> {
        let (second, more) = match self.peek() {
            Some(0xC2..=0xDF) => (0x80..=0xBF, 0),
            Some(0xE0) => (0xA0..=0xBF, 1),
            Some(0xE1..=0xEC | 0xEE..=0xEF) => (0x80..=0xBF, 1),
            Some(0xED) => (0x80..=0x9F, 1),
            Some(0xF0) => (0x90..=0xBF, 2),
            Some(0xF1..=0xF3) => (0x80..=0xBF, 2),
            Some(0xF4) => (0x80..=0x8F, 2),
            _ => return self.bad(InvalidKind::Utf8),
        };
        self.at += 1;
        for allowed in std::iter::once(second).chain(std::iter::repeat_n(0x80..=0xBF, more)) {
            if !self.peek().is_some_and(|byte| allowed.contains(&byte)) {
                return self.bad(InvalidKind::Utf8);
            }
            self.at += 1;
        }
        Ok(())
    }
}

/// Whether a well-formed number fits a tape node: 64 bits for an integer, a finite double for the rest.
fn tape_holds_number(number: &[u8], is_integer: bool) -> bool {
    let Ok(number) = std::str::from_utf8(number) else { return false };
    if is_integer {
        number.parse::<u64>().is_ok() || number.parse::<i64>().is_ok()
    } else {
        number.parse::<f64>().is_ok_and(f64::is_finite)
    }
}
