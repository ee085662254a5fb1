//! The brackets of a block: which match each other, and what they do to the stack.

use super::{BLOCK_BYTES, Bytes, ones_if};
use crate::json::stream::state::Stack;
use crate::json::verdict::DEPTH_MAX;

/// What the brackets of a block say.
pub(super) struct Nesting {
    /// Bytes directly within an object.
    pub in_object: u64,
    /// Bytes within nothing.
    pub in_root: u64,
    /// The brackets that open an object.
    pub objects: u64,
    /// Levels of the stack that the block closes.
    pub closed: u32,
    /// Levels that it then opens and does not close.
    pub opened: u32,
    /// Which of these are objects, the outermost in bit 0.
    pub opened_objects: u64,
    /// Not zero if brackets do not match.
    pub wrong: u64,
}

impl Nesting {
    #[inline(always)]
    pub fn without_brackets(stack: &Stack) -> Self {
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
pub(super) fn nesting<B: Bytes>(block: B, mut open: u64, mut close: u64, stack: &Stack) -> Option<Nesting> {
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
