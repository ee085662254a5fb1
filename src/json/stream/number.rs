//! One number, byte by byte: whether it is well formed, and whether the tape can hold it, in constant memory.
//!
//! The tape holds an integer in 64 bits and everything else as a finite double. A decimal number rounds to infinity
//! from half way between the largest double and 2^1024 on, that is from 2^1024 - 2^970 (IEEE 754 §4.3.1, ties to
//! even). Its 309 digits stand below, and the digits of the number are compared with them as they come, so that the
//! answer is exact for a number of any length.

use std::cmp::Ordering;

/// 2^1024 - 2^970.
const ROUNDS_TO_INFINITY: &[u8; 309] = b"\
    17976931348623158079372897140530341507993413271003782693617377898044496829276\
    47509466490179775872070963302864166928879109465555478519404026306574886715058\
    20681908902000708383676273854845817711531764475730270069855571366959622842914\
    81986083493647529271907416844436551070434271155969950809304288017790417449779\
    2";
/// No body is long enough for its digits to make up for an exponent beyond this.
const EXPONENT_MAX: i64 = 1 << 50;

/// Which part of RFC 8259 §6, `number = [ minus ] int [ frac ] [ exp ]`, the last byte belonged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Minus,
    /// A zero that begins the integer part, and is all of it.
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    ExponentSign,
    Exponent,
}

/// What a byte is to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Part of it.
    Part,
    /// Behind it.
    Behind,
    /// What makes it malformed.
    Bad,
}

/// A number that has begun.
#[derive(Debug, Clone)]
pub(super) struct Number {
    part: Part,
    negative: bool,
    /// The integer part, unless it has more than 64 bits.
    integer: Option<u64>,
    /// Digits of integer part and fraction since the first that is not zero.
    digits: usize,
    /// Without its exponent, the number is `0.` and those digits, times ten to the power of this.
    scale: i64,
    /// How those digits compare with the limit's.
    compared: Ordering,
    exponent: i64,
    exponent_negative: bool,
}

impl Number {
    /// The number that `byte` begins, if it can.
    pub fn begin(byte: u8) -> Option<Self> {
        let mut number = Self {
            part: Part::Minus,
            negative: byte == b'-',
            integer: Some(0),
            digits: 0,
            scale: 0,
            compared: Ordering::Equal,
            exponent: 0,
            exponent_negative: false,
        };
        (byte == b'-' || number.step(byte) == Step::Part).then_some(number)
    }

    /// Takes the next byte.
    pub fn step(&mut self, byte: u8) -> Step {
        self.part = match (self.part, byte) {
            (Part::Minus, b'0') => Part::Zero,
            (Part::Minus | Part::Integer, b'0'..=b'9') => {
                let shifted = self.integer.and_then(|integer| integer.checked_mul(10));
                self.integer = shifted.and_then(|integer| integer.checked_add(u64::from(byte - b'0')));
                self.digit(byte);
                self.scale += 1;
                Part::Integer
            }
            (Part::Zero | Part::Integer, b'.') => Part::Point,
            (Part::Point | Part::Fraction, b'0'..=b'9') => {
                self.digit(byte);
                self.scale -= i64::from(self.digits == 0);
                Part::Fraction
            }
            (Part::Zero | Part::Integer | Part::Fraction, b'e' | b'E') => Part::E,
            (Part::E, b'+' | b'-') => {
                self.exponent_negative = byte == b'-';
                Part::ExponentSign
            }
            (Part::E | Part::ExponentSign | Part::Exponent, b'0'..=b'9') => {
                self.exponent = (self.exponent * 10 + i64::from(byte - b'0')).min(EXPONENT_MAX);
                Part::Exponent
            }
            // Leading zeros are not allowed.
            (Part::Zero, b'0'..=b'9') => return Step::Bad,
            _ if self.is_complete() => return Step::Behind,
            _ => return Step::Bad,
        };
        Step::Part
    }

    /// Takes digits of which nothing matters any more but how many they are. Says how many it took.
    pub fn skip(&mut self, bytes: &[u8]) -> usize {
        let is_known = match self.part {
            Part::Integer => self.integer.is_none(),
            Part::Fraction => self.digits > 0,
            _ => false,
        };
        if !is_known || self.compared == Ordering::Equal {
            return 0;
        }
        // Without a way out of the inner loop it becomes one comparison of a vector.
        let are_digits = |chunk: &&[u8; 32]| chunk.iter().fold(true, |all, byte| all & byte.is_ascii_digit());
        let whole = bytes.as_chunks().0.iter().take_while(are_digits).count() * 32;
        let count = whole + bytes[whole..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.digits += count;
        if self.part == Part::Integer {
            self.scale += count as i64;
        }
        count
    }

    fn digit(&mut self, byte: u8) {
        if self.digits == 0 && byte == b'0' {
            return;
        }
        if self.compared == Ordering::Equal {
            self.compared = byte.cmp(ROUNDS_TO_INFINITY.get(self.digits).unwrap_or(&b'0'));
        }
        self.digits += 1;
    }

    /// Whether the number may end here.
    pub fn is_complete(&self) -> bool {
        matches!(self.part, Part::Zero | Part::Integer | Part::Fraction | Part::Exponent)
    }

    /// Whether the number, if it ends here, is beyond the tape.
    pub fn is_beyond_tape(&self) -> bool {
        const MOST_NEGATIVE: u64 = i64::MIN.unsigned_abs();
        if matches!(self.part, Part::Zero | Part::Integer) {
            return self.integer.is_none_or(|integer| self.negative && integer > MOST_NEGATIVE);
        }
        if self.digits == 0 {
            return false;
        }
        let exponent = if self.exponent_negative { -self.exponent } else { self.exponent };
        let limit_scale = ROUNDS_TO_INFINITY.len() as i64;
        match (self.scale + exponent).cmp(&limit_scale).then(self.compared) {
            Ordering::Less => false,
            Ordering::Greater => true,
            // The limit's last digit is not zero: a number that ends before it is less.
            Ordering::Equal => self.digits >= ROUNDS_TO_INFINITY.len(),
        }
    }

    /// Whether `text`, a well-formed number, is beyond the tape.
    pub fn is_text_beyond_tape(text: &[u8]) -> bool {
        let Some((&first, rest)) = text.split_first() else { return false };
        let Some(mut number) = Self::begin(first) else { return false };
        for &byte in rest {
            number.step(byte);
        }
        number.is_beyond_tape()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The standard library's word on it.
    fn is_beyond(number: &str) -> bool {
        if number.contains(['.', 'e', 'E']) {
            !number.parse::<f64>().unwrap().is_finite()
        } else {
            number.parse::<u64>().is_err() && number.parse::<i64>().is_err()
        }
    }

    #[track_caller]
    fn check(number: &str) {
        assert_eq!(Number::is_text_beyond_tape(number.as_bytes()), is_beyond(number), "{number}");
    }

    #[test]
    fn numbers_around_every_limit() {
        let limit = std::str::from_utf8(ROUNDS_TO_INFINITY).unwrap();
        let below = format!("{}1", &limit[..308]);
        let rows = [
            "0",
            "-0",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "0e999999999999999999999999",
            "0.000e99999",
            "1e308",
            "1e309",
            "-1e309",
            "1.7976931348623157e308",
            "1.7976931348623159e308",
            "0.1e309",
            "0.1e310",
            "0.00017976931348623157e312",
            "17976931348623158.0e292",
            "17976931348623159.0e292",
            "1e-999999",
            "1E+400",
        ];
        rows.iter().for_each(|number| check(number));
        for digits in [limit, &below] {
            for zeros in [0, 1, 400] {
                check(&format!("{digits}.{}", "0".repeat(zeros + 1)));
                check(&format!("0.{}{digits}e{}", "0".repeat(zeros), 309 + zeros));
                check(&format!("-{digits}{}e-{zeros}", "0".repeat(zeros)));
                check(&format!("{}.{}{}1e308", &digits[..1], &digits[1..], "0".repeat(zeros)));
            }
            check(&format!("{}e1", &digits[..308]));
            check(digits);
        }
    }

    proptest! {
        #[test]
        fn random_numbers(number in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?") {
            check(&number);
        }

        #[test]
        fn random_integers_of_19_to_21_digits(number in "-?[1-9][0-9]{18,20}") {
            check(&number);
        }
    }
}
