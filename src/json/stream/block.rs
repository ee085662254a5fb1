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
//! - *Brackets* are taken one by one, because each asks the stack. They also say which commas stand in objects.
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
//! **Rejected.** Compressing the masks of tokens with `pext` to make them adjacent: eight `pext` where two or three
//! additions do, and a trap on CPUs that have it in microcode. A table-driven automaton over bytes: 0.65 GB/s on
//! numbers and 1.6–2.0 on webhooks. A list of token positions as a parser needs it: half of the time went there.

use super::number::Number;
use super::state::{Mark, Next, Stack};
use crate::json::verdict::Facts;

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
    /// Bytes of 0x80 and more.
    fn high(self) -> u64;
    /// What may follow a backslash: `"\/bfnrtu`.
    fn escapable(self) -> u64;
    /// Where a sequence is not UTF-8: at its first bad byte or at most two later. Before the block stands ASCII.
    fn utf8_errors(self) -> u64;
    /// Each bit the exclusive or of itself and all below it.
    fn prefix_xor(self, mask: u64) -> u64;
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
    let mut facts = *place.facts;
    let mut at = 0;
    while let Some(bytes) = text[at..].first_chunk() {
        let Some(taken) = block::<B>(cpu, bytes, &mut carry, place.stack, &mut facts) else { break };
        at += taken;
    }
    carry.put(place);
    *place.facts = facts;
    at
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

/// Judges one block and says how many of its bytes were taken; `None`, and nothing is changed, if not all is well.
#[inline(always)]
fn block<B: Bytes>(
    cpu: B::Cpu,
    bytes: &[u8; BLOCK_BYTES],
    carry: &mut Carry,
    stack: &mut Stack,
    facts: &mut Facts,
) -> Option<usize> {
    let block = B::load(cpu, bytes);
    let backslash = block.eq(b'\\');
    let mut quote = block.eq(b'"');
    let control = block.within(0, 0x20);
    let high = block.high();
    let mut end = BLOCK_BYTES as u32;

    // The inside of a long string.
    if carry.string & !ones_if(backslash | quote != 0) != 0 {
        if high != 0 {
            end = utf8_end(block, bytes, end)?;
        }
        return (control == 0).then_some(end as usize);
    }

    let mut beyond_tape = false;
    if backslash != 0 {
        let escapes = escapes(block, backslash)?;
        quote &= !escapes.escaped;
        end = escapes.end;
        beyond_tape = escapes.has_lone_surrogate;
    }
    if high != 0 {
        end = utf8_end(block, bytes, end)?;
    }
    let keep = below(end);
    quote &= keep;

    // A string's opening quote counts as inside, its closing quote does not.
    let string = block.prefix_xor(quote) ^ carry.string;
    let outside = keep & !string;
    let folded = block.folded();
    let open = folded.eq(b'{') & outside;
    let close = folded.eq(b'}') & outside;
    let comma = block.eq(b',') & outside;
    let colon = block.eq(b':') & outside;
    // What is cut off reads as white space: what waits for the next token waits for that of the next block.
    let mut space = (block.spaces() | !keep) & !string;
    let mut scalar = outside & !(open | close | comma | colon | quote | space);
    let mut wrong = control & string & keep;

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
        beyond_tape |= scalars(block, bytes, scalar, starts)?;
    }

    let mut next = *carry;
    let opening_quote = quote & string;
    let values = opening_quote | starts | open;
    let expected = follow(open | comma | colon, space, &mut next.value);
    let behind_open = follow(open, space, &mut next.opened);
    // A value wherever one is expected and nowhere else, but for the end of what is empty.
    wrong |= (values & !expected) | (expected & !(values | (close & behind_open)));

    let mut mark = stack.mark();
    let nesting = match open | close {
        0 => Nesting::of(stack),
        _ => brackets(open, close, block.bit5(), stack, &mut mark),
    };
    wrong |= nesting.wrong | (comma & nesting.in_root);
    let key_places = follow((comma & nesting.in_object) | nesting.objects, space, &mut next.key);
    let keys = key_places & opening_quote;
    wrong |= key_places & !(keys | close);

    let (ended, over) = string.overflowing_add(keys);
    let (ended, over_with_carry) = ended.overflowing_add(carry.in_key);
    next.in_key = u64::from(over | over_with_carry);
    wrong |= follow(ended & !string, space, &mut next.colon) ^ colon;

    if wrong != 0 {
        stack.restore(&mark);
        return None;
    }
    next.string = ones_if(string >> 63 != 0);
    *carry = next;
    facts.nodes += values.count_ones() as usize;
    facts.structurals += (values | close | comma | colon).count_ones() as usize;
    facts.escapes |= backslash & keep != 0;
    facts.beyond_tape |= beyond_tape;
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

/// The numbers and literal names of a block, none of which is cut: whether the tape cannot hold one; `None` if one is
/// malformed.
#[inline(always)]
fn scalars<B: Bytes>(block: B, bytes: &[u8; BLOCK_BYTES], scalar: u64, starts: u64) -> Option<bool> {
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
            let names = literal_names(bytes, starts & letters)?;
            // Nothing else has letters, and a name is all there is.
            wrong |= (letters & !names) | (names << 1 & scalar & !names);
            e &= !names;
        }
        let sign = minus | plus;
        let behind_e = e << 1;
        integer |= (starts & minus) << 1;
        wrong |= (minus & !(starts | behind_e)) | (plus & !behind_e);
        wrong |= (point | e) & !(digit << 1);
        wrong |= ((sign | point) << 1) & !digit;
        wrong |= behind_e & !(digit | sign);
        // Where the digits of fractions and powers begin. A one added there falls out at their end.
        let fraction = point << 1;
        let power = (behind_e & digit) | (behind_e & sign) << 1;
        wrong |= digit.wrapping_add((fraction | power) & digit) & !digit & point;
        wrong |= digit.wrapping_add(power & digit) & !digit & e;
        large_power = power & digit & digit >> 1 & digit >> 2;
    }
    // Leading zeros are not allowed.
    wrong |= (integer & block.eq(b'0')) << 1 & digit;
    if wrong != 0 {
        return None;
    }
    // Nineteen digits fit 64 bits, eighteen with a sign; with a power below 100 any number in a block fits a double.
    let digits_2 = digit & digit >> 1;
    let digits_4 = digits_2 & digits_2 >> 2;
    let digits_8 = digits_4 & digits_4 >> 4;
    let digits_19 = digits_8 & digits_8 >> 8 & digits_2 >> 16 & digit >> 18;
    let large_integer = integer & digits_19 & (digit >> 19 | !starts);
    if large_integer | large_power == 0 {
        return Some(false);
    }
    Some(is_any_beyond_tape(bytes, scalar, starts & (digit | block.eq(b'-'))))
}

#[cold]
fn is_any_beyond_tape(bytes: &[u8; BLOCK_BYTES], scalar: u64, mut starts: u64) -> bool {
    while starts != 0 {
        let start = starts.trailing_zeros();
        starts &= starts - 1;
        let end = start + (scalar >> start).trailing_ones();
        if Number::is_text_beyond_tape(&bytes[start as usize..end as usize]) {
            return true;
        }
    }
    false
}

/// The bytes of the literal names that begin at `starts`; `None` if something else does.
#[inline(always)]
fn literal_names(bytes: &[u8; BLOCK_BYTES], mut starts: u64) -> Option<u64> {
    let mut names = 0;
    while starts != 0 {
        let start = starts.trailing_zeros() as usize;
        starts &= starts - 1;
        let length = match bytes[start..].first_chunk()? {
            b"true" | b"null" => 4,
            b"fals" if bytes.get(start + 4) == Some(&b'e') => 5,
            _ => return None,
        };
        names |= ((1 << length) - 1) << start;
    }
    Some(names)
}

/// What the brackets of a block say about the bytes of it.
struct Nesting {
    /// Bytes directly within an object.
    in_object: u64,
    /// Bytes within nothing.
    in_root: u64,
    /// The brackets that open an object.
    objects: u64,
    /// Not zero if brackets do not match or are too deep.
    wrong: u64,
}

impl Nesting {
    /// Of a block without brackets.
    #[inline(always)]
    fn of(stack: &Stack) -> Self {
        let (in_object, in_root) = (ones_if(stack.in_object()), ones_if(stack.depth() == 0));
        Self { in_object, in_root, objects: 0, wrong: 0 }
    }
}

/// Takes the brackets of a block, one by one.
#[inline(always)]
fn brackets(open: u64, close: u64, bit5: u64, stack: &mut Stack, mark: &mut Mark) -> Nesting {
    let mut nesting = Nesting { objects: open & bit5, ..Nesting::of(stack) };
    let mut left = open | close;
    while left != 0 {
        let at = left.trailing_zeros();
        left &= left - 1;
        let is_object = bit5 >> at & 1 == 1;
        let right = match open >> at & 1 {
            1 => stack.push(is_object, mark),
            _ => stack.in_object() == is_object && stack.pop(),
        };
        nesting.wrong |= u64::from(!right);
        let from_here = u64::MAX << at;
        let (in_object, in_root) = (ones_if(stack.in_object()), ones_if(stack.depth() == 0));
        nesting.in_object = (nesting.in_object & !from_here) | (in_object & from_here);
        nesting.in_root = (nesting.in_root & !from_here) | (in_root & from_here);
    }
    nesting
}
