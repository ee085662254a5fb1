//! Sixty-four bytes at a time, by bit masks: bit `i` of a mask speaks of byte `i` of the block.
//!
//! **The idea.** That a text is JSON is, but for the nesting, a matter of which token follows which. Both can be asked
//! of a whole block at once. A comparison of the block with a byte gives a mask ([`Bytes`]); a carry-less product
//! turns the mask of quotes into that of the insides of strings (Langdale and Lemire, *Parsing Gigabytes of JSON per
//! Second*, 2019); the rest is arithmetic on 64-bit words, of the same cost however many tokens a block holds:
//!
//! - *What follows.* Adding the mask of the places behind some tokens to the mask of white space carries each bit
//!   through the white space behind it, to the next token; see [`follow`]. So "a value stands behind every `[`, `{`,
//!   `:` and `,`, and nowhere else" is an addition, an exclusive or and a few ands for all tokens of the block.
//! - *Strings as wholes.* In the same way a bit at the opening quote of a key carries through the string to its
//!   closing quote, behind which a colon must follow.
//! - *Numbers.* Digits are runs that carries pass through: behind a point stands a run of digits that does not end in
//!   another point, behind an exponent one that ends in neither point nor exponent, and so on: all numbers of a block
//!   at once, where a loop over their bytes takes 2 ns a number and mispredicts their ends.
//! - *Brackets.* A bracket that opens and the next one, if it closes, are a pair: all such pairs of a block are matched
//!   at once, then those around them, until only brackets are left that close levels of the stack or open new ones,
//!   which the stack takes together. Subtracting where a pair opens from where it closes gives what lies between; so
//!   it is known which commas stand in objects, and a key must follow.
//! - *Escapes* and *UTF-8* (Keiser and Lemire, *Validating UTF-8 in less than one instruction per byte*, 2021) are
//!   looked at only in blocks that have them.
//!
//! **Where a block ends.** A number, literal, escape sequence or character that the 64th byte cuts in two would need
//! state to be carried over. Instead the block is cut before it, and the next one starts there: blocks overlap, loads
//! are unaligned, and only strings and the grammar cross from one block to the next ([`Carry`]).
//!
//! **Errors.** A block finds out that something is wrong with it, not what or where. It is then left untouched for
//! [`super::automaton`], which is also the way out for what does not fit a block, such as a number of 64 digits.
//!
//! **Rejected.** Taking brackets one by one: 0.6 GB/s on `[[],[],…`, and a misprediction for every block that has another
//! number of them than the last. Compressing all masks with `pext` so that tokens become adjacent: eight of it where two
//! or three additions do. (Some are left, for pairs of brackets. AMD before Zen 3 has them in microcode and is slower.) A table-driven automaton over bytes: 0.65 GB/s on
//! numbers and 1.6–2.0 on webhooks. A list of token positions as a parser needs it: half of the time went there.

use super::number::Number;
use super::state::{Next, Stack};
use crate::json::verdict::{DEPTH_MAX, Facts};

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 64;

/// A block in vector registers, and the questions a CPU answers for all its bytes at once.
pub(super) trait Bytes: Copy {
    /// The proof that this CPU has the instructions.
    type Cpu: Copy;

    fn load(cpu: Self::Cpu, bytes: &[u8; BLOCK_BYTES]) -> Self;
    /// With 0x20 set in each byte: upper case becomes lower, `[` becomes `{`.
    fn folded(self) -> Self;
    /// Bytes that are `byte`.
    fn eq(self, byte: u8) -> u64;
    /// Bytes from `first` on, `count` of them.
    fn within(self, first: u8, count: u8) -> u64;
    /// Bytes with 0x20 set.
    fn bit5(self) -> u64;
    /// Space, tab, line feed, carriage return.
    fn spaces(self) -> u64;
    /// Whether every byte is one of ASCII and no control character.
    fn is_plain(self) -> bool;
    fn is_ascii(self) -> bool;
    /// What may follow a backslash: `"\/bfnrtu`.
    fn escapable(self) -> u64;
    /// Where a sequence is not UTF-8: at its first bad byte or at most two later. Before the block stands ASCII.
    fn utf8_errors(self) -> u64;
    /// Each bit the exclusive or of itself and all below it.
    fn prefix_xor(self, mask: u64) -> u64;
    /// The bits of `value` at the ones of `mask`, next to each other.
    fn compress(self, value: u64, mask: u64) -> u64;
    /// The lowest bits of `value`, at the ones of `mask`.
    fn expand(self, value: u64, mask: u64) -> u64;
}

/// What crosses from a block to the next, besides the stack.
#[derive(Debug, Clone, Copy)]
struct Carry {
    /// All ones within a string.
    string: u64,
    /// One within a string that is a key.
    in_key: u64,
    /// One if the next token follows `[`, `{`, `:` or `,`, or is the first.
    value: u64,
    /// One if it follows `[` or `{`.
    opened: u64,
    /// One if it follows `{`, or a comma in an object.
    key: u64,
    /// One if it follows a key.
    colon: u64,
}

/// Where a validator at rest stands, for [`run`] to go on from.
pub(super) struct Place<'a> {
    pub in_string: &'a mut bool,
    pub in_key: &'a mut bool,
    pub next: &'a mut Next,
    pub stack: &'a mut Stack,
    pub facts: &'a mut Facts,
}

/// Takes as many blocks of `text` as it can and says how many bytes those were. What stopped it, an error or less
/// than a block, begins there.
#[inline(always)]
pub(super) fn run<B: Bytes>(cpu: B::Cpu, place: &mut Place<'_>, text: &[u8]) -> usize {
    let mut carry = Carry::of(place);
    let mut tally = Tally { beyond_tape: place.facts.beyond_tape, ..Tally::default() };
    let mut at = 0;
    while let Some(bytes) = text[at..].first_chunk() {
        let Some(taken) = block::<B>(cpu, bytes, &mut carry, place.stack, &mut tally) else { break };
        at += taken;
    }
    carry.put(place);
    place.facts.nodes += tally.nodes as usize;
    place.facts.structurals += tally.structurals as usize;
    place.facts.escapes |= tally.backslashes != 0;
    place.facts.beyond_tape |= tally.beyond_tape;
    at
}

/// What is counted over the blocks.
#[derive(Default)]
struct Tally {
    nodes: u64,
    structurals: u64,
    /// The backslashes of all blocks together.
    backslashes: u64,
    beyond_tape: bool,
}

impl Carry {
    #[inline(always)]
    fn of(place: &Place<'_>) -> Self {
        let none = Self { string: 0, in_key: 0, value: 0, opened: 0, key: 0, colon: 0 };
        if *place.in_string {
            return Self { string: u64::MAX, in_key: u64::from(*place.in_key), ..none };
        }
        match *place.next {
            Next::Value => Self { value: 1, ..none },
            Next::FirstElement => Self { value: 1, opened: 1, ..none },
            Next::FirstKey => Self { value: 1, opened: 1, key: 1, ..none },
            Next::Key => Self { value: 1, key: 1, ..none },
            Next::Colon => Self { colon: 1, ..none },
            Next::AfterValue => none,
        }
    }

    #[inline(always)]
    fn put(&self, place: &mut Place<'_>) {
        *place.in_string = self.string != 0;
        *place.in_key = self.in_key != 0;
        *place.next = match (self.value, self.opened, self.key) {
            // Within a string: what follows it.
            _ if self.in_key != 0 => Next::Colon,
            (0, ..) if self.colon != 0 => Next::Colon,
            (0, ..) => Next::AfterValue,
            (_, 0, 0) => Next::Value,
            (_, 0, _) => Next::Key,
            (_, _, 0) => Next::FirstElement,
            (..) => Next::FirstKey,
        };
    }
}

/// Judges one block and says how many of its bytes were taken; `None` if not all is well. Nothing is changed then, but
/// that `beyond_tape` may be set already: either the text is no document, or the automaton will say the same.
#[inline(always)]
fn block<B: Bytes>(
    cpu: B::Cpu,
    bytes: &[u8; BLOCK_BYTES],
    carry: &mut Carry,
    stack: &mut Stack,
    tally: &mut Tally,
) -> Option<usize> {
    let block = B::load(cpu, bytes);
    let backslash = block.eq(b'\\');
    let mut quote = block.eq(b'"');
    let is_plain = block.is_plain();
    let mut end = BLOCK_BYTES as u32;

    let (mut control, mut is_ascii) = (0, true);
    if !is_plain {
        (control, is_ascii) = (block.within(0, 0x20), block.is_ascii());
    }

    if backslash != 0 {
        let escapes = escapes(block, backslash)?;
        quote &= !escapes.escaped;
        end = escapes.end;
        tally.beyond_tape |= escapes.has_lone_surrogate;
    }
    if !is_ascii {
        end = utf8_end(block, bytes, end)?;
    }
    let keep = below(end);
    quote &= keep;

    // The inside of a long string.
    if quote == 0 && carry.string != 0 {
        tally.backslashes |= backslash & keep;
        return (control & keep == 0).then_some(end as usize);
    }

    // A string's opening quote counts as inside, its closing quote does not.
    let string = block.prefix_xor(quote) ^ carry.string;
    let mut wrong = control & string & keep;
    let outside = keep & !string;
    let folded = block.folded();
    let open = folded.eq(b'{') & outside;
    let close = folded.eq(b'}') & outside;
    let comma = block.eq(b',') & outside;
    let colon = block.eq(b':') & outside;
    // What is cut off reads as white space: what waits for the next token waits for that of the next block.
    let mut space = (block.spaces() | !keep) & !string;
    let mut scalar = outside & !(open | close | comma | colon | quote | space);

    let mut starts = 0;
    if scalar != 0 {
        if scalar >> 63 != 0 {
            // It may go on in the next block.
            end = BLOCK_BYTES as u32 - scalar.leading_ones();
            if end == 0 {
                return None;
            }
            scalar &= below(end);
            space |= !below(end);
        }
        starts = scalar & !(scalar << 1);
        wrong |= scalars(block, bytes, scalar, starts, tally)?;
    }

    let mut next = *carry;
    let opening_quote = quote & string;
    let values = opening_quote | starts | open;
    let expected = follow(open | comma | colon, space, &mut next.value);
    let nesting = if open | close != 0 {
        nesting(block, open, close, stack)?
    } else {
        next.opened &= u64::from(values | comma | colon == 0);
        Nesting::without_brackets(stack)
    };
    let mut empty = 0;
    if open | close != 0 {
        empty = close & follow(open, space, &mut next.opened);
    }
    // A value wherever one is expected and nowhere else, but for the end of what is empty.
    wrong |= (values ^ expected) & !empty;
    wrong |= nesting.wrong | (comma & nesting.in_root);

    let key_places = follow((comma & nesting.in_object) | nesting.objects, space, &mut next.key);
    let keys = key_places & opening_quote;
    wrong |= key_places & !(keys | close);
    // Within a string that began before the block there is no opening quote at its first byte.
    let (ended, over) = string.overflowing_add(keys | carry.in_key);
    next.in_key = u64::from(over);
    wrong |= follow(ended & !string, space, &mut next.colon) ^ colon;
    if wrong != 0 {
        return None;
    }

    if open | close != 0 {
        stack.replace(nesting.closed, nesting.opened, nesting.opened_objects);
    }
    next.string = ones_if(string >> 63 != 0);
    *carry = next;
    tally.nodes += u64::from(values.count_ones());
    tally.structurals += u64::from((values | close | comma | colon).count_ones());
    tally.backslashes |= backslash & keep;
    Some(end as usize)
}

#[inline(always)]
fn ones_if(condition: bool) -> u64 {
    u64::from(condition).wrapping_neg()
}

/// The bits below `end`, which is at least one.
#[inline(always)]
fn below(end: u32) -> u64 {
    u64::MAX >> (BLOCK_BYTES as u32 - end)
}

/// The tokens that come next behind the tokens that end at `ends`, white space aside. `carry` is one if such a token
/// comes next in the block, or behind it.
#[inline(always)]
fn follow(ends: u64, space: u64, carry: &mut u64) -> u64 {
    // A bit that falls on white space carries through to the first place that is none; any other stays where it is.
    let (sum, over) = (ends << 1 | *carry).overflowing_add(space);
    *carry = ends >> 63 | u64::from(over);
    sum & !space
}

struct Escapes {
    /// Bytes behind a backslash that escapes them.
    escaped: u64,
    /// Where the block has to be cut.
    end: u32,
    has_lone_surrogate: bool,
}

/// The escape sequences of a block that begins with none half read; `None` if one is malformed.
#[inline(always)]
fn escapes<B: Bytes>(block: B, backslash: u64) -> Option<Escapes> {
    // Of a run of backslashes the first, third, … escape what follows them: subtracting the run from the even or odd
    // bits above its start changes just these. From simdjson, where it also carries from block to block.
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    let codes = (backslash << 1 | ODD).wrapping_sub(backslash) ^ ODD;
    let escaped = codes ^ backslash;
    let escape = codes & backslash;

    const LONGEST: u32 = 6;
    let mut end = BLOCK_BYTES as u32;
    let late = escape & (u64::MAX << (end - LONGEST + 1));
    if late != 0 {
        end = late.trailing_zeros();
    }
    if escaped & below(end) & !block.escapable() != 0 {
        return None;
    }
    let unicode = escaped & block.eq(b'u') & below(end);
    let mut has_lone_surrogate = false;
    if unicode != 0 {
        let folded = block.folded();
        let hex = block.within(b'0', 10) | folded.within(b'a', 6);
        if unicode & !(hex >> 1 & hex >> 2 & hex >> 3 & hex >> 4) != 0 {
            return None;
        }
        let d = unicode & (folded.eq(b'd') >> 1);
        if d != 0 {
            // \uD800 to \uDBFF, and \uDC00 to \uDFFF.
            let high = d & ((block.within(b'8', 2) | folded.within(b'a', 2)) >> 2);
            let low = d & (folded.within(b'c', 4) >> 2);
            // A pair must not be cut in two.
            let late = high >> 1 & (u64::MAX << (end - 2 * LONGEST + 1));
            if late != 0 {
                end = late.trailing_zeros();
            }
            let lone = (high & !(low >> LONGEST)) | (low & !(high << LONGEST));
            has_lone_surrogate = lone & below(end) != 0;
        }
    }
    Some(Escapes { escaped, end, has_lone_surrogate })
}

/// Where a block that ends at `end` has to be cut so that no character is; `None` if what stands before is not UTF-8.
#[inline(always)]
fn utf8_end<B: Bytes>(block: B, bytes: &[u8; BLOCK_BYTES], mut end: u32) -> Option<u32> {
    if end == BLOCK_BYTES as u32 {
        // The first byte of a character of two, three, four bytes.
        end -= match bytes {
            [.., 0xC0..=0xFF] => 1,
            [.., 0xE0..=0xFF, _] => 2,
            [.., 0xF0..=0xFF, _, _] => 3,
            _ => 0,
        };
    }
    // At the first byte that is cut off, which begins something new, an error is one of what stands before it.
    let wrong = block.utf8_errors() & (u64::MAX >> (63 - end.min(63)));
    (wrong == 0).then_some(end)
}

/// The numbers and literal names of a block, none of which is cut. Not zero, or `None`, if one is malformed.
#[inline(always)]
fn scalars<B: Bytes>(
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

/// What the brackets of a block say.
struct Nesting {
    /// Bytes directly within an object.
    in_object: u64,
    /// Bytes within nothing.
    in_root: u64,
    /// The brackets that open an object.
    objects: u64,
    /// Levels of the stack that the block closes.
    closed: u32,
    /// Levels that it then opens and does not close.
    opened: u32,
    /// Which of these are objects, the outermost in bit 0.
    opened_objects: u64,
    /// Not zero if brackets do not match.
    wrong: u64,
}

impl Nesting {
    #[inline(always)]
    fn without_brackets(stack: &Stack) -> Self {
        Self {
            in_object: ones_if(stack.in_object()),
            in_root: ones_if(stack.depth() == 0),
            objects: 0,
            closed: 0,
            opened: 0,
            opened_objects: 0,
            wrong: 0,
        }
    }
}

/// Matches the brackets of a block; `None` if they are nested too deep, or close more than is open.
#[inline(always)]
fn nesting<B: Bytes>(block: B, mut open: u64, mut close: u64, stack: &Stack) -> Option<Nesting> {
    let object = block.bit5();
    let objects = open & object;
    let may_be_too_deep = stack.depth() + open.count_ones() > DEPTH_MAX as u32;
    if may_be_too_deep && is_too_deep(open, close, stack.depth()) {
        return None;
    }
    let mut wrong = 0;
    // What lies between brackets that match is known without the stack. Round by round, from the innermost out.
    let (mut matched, mut in_object) = (0, 0);
    loop {
        let brackets = open | close;
        let matched_close = reach(open, brackets) & close;
        if matched_close == 0 {
            break;
        }
        let matched_open = block.expand(block.compress(matched_close, brackets) >> 1, brackets);
        wrong |= (reach(open & object, brackets) ^ object) & matched_close;
        // Subtracting one bit from a higher one gives the ones from here to there.
        let between_braces = (matched_close & object).wrapping_sub(matched_open & object);
        in_object |= between_braces & !matched;
        matched |= matched_close.wrapping_sub(matched_open);
        open ^= matched_open;
        close ^= matched_close;
    }
    // Left are brackets that close levels of the stack, and behind them some that open levels.
    let top = stack.innermost();
    let (closed, opened) = (close.count_ones(), open.count_ones());
    if closed > stack.depth() {
        return None;
    }
    let brackets = open | close;
    wrong |= block.expand(top, close) ^ (close & object);
    let object_goes_on = block.expand(top >> 1, close) | (open & object);
    let first = top & 1;
    let beyond = (object_goes_on << 1 | first).wrapping_add(!brackets) & brackets;
    let in_open_object = beyond.wrapping_sub(object_goes_on).wrapping_sub(first);
    let mut in_root = 0;
    if closed == stack.depth() {
        // Behind all that is closed, before all that is opened.
        let behind = u64::MAX.checked_shl(BLOCK_BYTES as u32 - close.leading_zeros()).unwrap_or(0);
        let before = (open & open.wrapping_neg()).wrapping_sub(1);
        in_root = behind & before & !matched;
    }
    Some(Nesting {
        in_object: in_object | (in_open_object & !matched),
        in_root,
        objects,
        closed,
        opened,
        opened_objects: block.compress(object, open),
        wrong,
    })
}

/// Whether the brackets of a block, from this depth on, lead beyond the limit.
#[cold]
fn is_too_deep(open: u64, close: u64, mut depth: u32) -> bool {
    let mut brackets = open | close;
    while brackets != 0 {
        let bracket = brackets & brackets.wrapping_neg();
        brackets ^= bracket;
        // One that closes what is not open is found to be wrong later.
        depth = if open & bracket != 0 { depth + 1 } else { depth.saturating_sub(1) };
        if depth > DEPTH_MAX as u32 {
            return true;
        }
    }
    false
}

/// The next of `brackets` behind each of some of them.
#[inline(always)]
fn reach(from: u64, brackets: u64) -> u64 {
    (from << 1).wrapping_add(!brackets) & brackets
}
