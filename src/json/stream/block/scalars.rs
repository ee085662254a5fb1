//! The numbers and literal names of a block, all at once.

use super::{BLOCK_BYTES, Bytes, Tally, below};
use crate::json::stream::number::Number;

/// The numbers and literal names of a block, none of which is cut. Not zero, or `None`, if one is malformed.
#[inline(always)]
pub(super) fn scalars<B: Bytes>(
    block: B,
    bytes: &[u8; BLOCK_BYTES],
    scalar: u64,
    starts: u64,
    tally: &mut Tally,
) -> Option<u64> {
    let digit = block.within(b'0', 10) & scalar;
    let mut integer = starts & digit;
    let mut wrong = 0;
    let mut large_power = 0;
    let rest = scalar & !digit;
    if rest != 0 {
        let minus = block.eq(b'-') & rest;
        let plus = block.eq(b'+') & rest;
        let point = block.eq(b'.') & rest;
        let mut e = block.folded().eq(b'e') & rest;
        let letters = rest & !(minus | plus | point | e);
        if letters != 0 {
            let names = literal_names(block, bytes, starts & letters)?;
            // Nothing else has letters, and a name is all there is.
            wrong |= (letters & !names) | (names << 1 & scalar & !names);
            e &= !names;
        }
        integer |= (starts & minus) << 1;
        // A sign at the beginning or behind an e, and digits behind it; digits on both sides of a point.
        let behind_e = e << 1;
        let sign = minus | plus;
        wrong |= (minus & !(starts | behind_e)) | (plus & !behind_e);
        wrong |= (point | e) & !(digit << 1);
        wrong |= ((sign | point) << 1) & !digit;
        let fraction = point << 1;
        let mut behind = digit.wrapping_add(fraction & digit);
        if e != 0 {
            wrong |= behind_e & !(digit | sign);
            // Where the digits of a power begin. A one added there, or where a fraction begins, falls out at their end.
            let power = (behind_e & digit) | ((behind_e & sign) << 1 & digit);
            wrong |= digit.wrapping_add(power) & !digit & e;
            behind = behind.wrapping_add(power);
            large_power = power & digit >> 1 & digit >> 2;
        }
        wrong |= behind & !digit & point;
    }
    // Leading zeros are not allowed.
    wrong |= (integer & block.eq(b'0')) << 1 & digit;

    // Nineteen digits fit 64 bits, eighteen with a sign; with a power below 100 any number in a block fits a double.
    let digits_2 = digit & digit >> 1;
    let digits_4 = digits_2 & digits_2 >> 2;
    let digits_8 = digits_4 & digits_4 >> 4;
    let digits_16 = digits_8 & digits_8 >> 8;
    if (digits_16 & integer) | large_power != 0 && wrong == 0 && !tally.beyond_tape {
        let large_integer = digits_16 & integer & digits_2 >> 16 & digit >> 18 & (digit >> 19 | !starts);
        tally.beyond_tape = is_any_beyond_tape(bytes, scalar, starts, large_integer | large_power);
    }
    Some(wrong)
}

/// Whether a number is beyond the tape, of those that have the first digit of their integer part or power in
/// `suspects`.
#[inline(never)]
fn is_any_beyond_tape(bytes: &[u8; BLOCK_BYTES], scalar: u64, starts: u64, mut suspects: u64) -> bool {
    while suspects != 0 {
        let suspect = suspects.trailing_zeros();
        suspects &= suspects - 1;
        let start = (starts & below(suspect + 1)).ilog2();
        let end = start + (scalar >> start).trailing_ones();
        let number = &bytes[start as usize..end as usize];
        let digits = &bytes[suspect as usize..end as usize];
        let is_beyond = if suspect <= start + 1 {
            is_integer_beyond_tape(digits, suspect > start)
        } else {
            // With a block of digits before it, a power below 240 or of less than one leads nowhere near the limit.
            let is_small =
                bytes[suspect as usize - 1] == b'-' || digits.len() == 3 && digits < b"240".as_slice();
            !is_small && Number::is_text_beyond_tape(number)
        };
        if is_beyond {
            return true;
        }
    }
    false
}

/// Whether a number that begins with 19 digits, if it is an integer, has more than 64 bits.
#[inline(always)]
fn is_integer_beyond_tape(digits: &[u8], is_negative: bool) -> bool {
    // Numbers of one length compare as texts do, here by their first sixteen bytes and their last four.
    let ends = |digits: &[u8]| {
        let head = digits.first_chunk().map_or(0, |head| u128::from_be_bytes(*head));
        (head, digits.last_chunk().map_or(0, |tail| u32::from_be_bytes(*tail)))
    };
    let limit: &[u8] = if is_negative { b"9223372036854775808" } else { b"18446744073709551615" };
    let exceeds = digits.len() > limit.len() || digits.len() == limit.len() && ends(digits) > ends(limit);
    exceeds && digits.iter().all(u8::is_ascii_digit)
}

/// The bytes of the literal names that begin at `starts`; `None` if something else does.
#[inline(always)]
fn literal_names<B: Bytes>(block: B, bytes: &[u8; BLOCK_BYTES], mut starts: u64) -> Option<u64> {
    if starts.count_ones() > 4 {
        return many_literal_names(block, starts);
    }
    let (mut names, mut all_right) = (0, true);
    while starts != 0 {
        let start = starts.trailing_zeros() as usize;
        starts &= starts - 1;
        let word = bytes[start..].first_chunk::<4>()?;
        let fifth = bytes.get(start + 4).copied().unwrap_or_default();
        // No branches: which name comes next is nothing a CPU could guess.
        let is_false = (word == b"fals") & (fifth == b'e');
        all_right &= (word == b"true") | (word == b"null") | is_false;
        names |= (0xF | u64::from(is_false) << 4) << start;
    }
    all_right.then_some(names)
}

/// The same by masks, for blocks that have so many that a loop takes longer.
#[inline(always)]
fn many_literal_names<B: Bytes>(block: B, starts: u64) -> Option<u64> {
    let (e, l, u) = (block.eq(b'e'), block.eq(b'l'), block.eq(b'u'));
    let is_true = block.eq(b't') & block.eq(b'r') >> 1 & u >> 2 & e >> 3;
    let is_null = block.eq(b'n') & u >> 1 & l >> 2 & l >> 3;
    let is_false = starts & block.eq(b'f') & block.eq(b'a') >> 1 & l >> 2 & block.eq(b's') >> 3 & e >> 4;
    let first_two = starts | starts << 1;
    let all_right = starts & !(is_true | is_null | is_false) == 0;
    all_right.then_some(first_two | first_two << 2 | is_false << 4)
}
