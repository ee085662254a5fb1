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

mod nesting;
mod scalars;
mod text;

use nesting::{Nesting, nesting};
use scalars::scalars;
use text::{escapes, utf8_end};

use super::state::{Next, Stack};
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
    let (nesting, empty) = if open | close != 0 {
        let behind_open = follow(open, space, &mut next.opened);
        (nesting(block, open, close, stack)?, close & behind_open)
    } else {
        next.opened &= u64::from(values | comma | colon == 0);
        (Nesting::without_brackets(stack), 0)
    };
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
