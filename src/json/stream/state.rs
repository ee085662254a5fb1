//! Where a validator stands between two bytes, as far as the grammar of values goes.

use crate::json::verdict::DEPTH_MAX;

/// What may come next, white space aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
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

const LEVELS_PER_WORD: u32 = u64::BITS;
/// The innermost levels stand elsewhere.
const WORDS: usize = DEPTH_MAX / LEVELS_PER_WORD as usize - 1;

/// What is open: a bit for each level, set for an object.
///
/// Invariant: `held` levels stand in `top`, the others in the first `depth / 64` words or one fewer, all of them full.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    depth: u32,
    /// Levels in `top`; none only when nothing is open.
    held: u32,
    /// The innermost levels, the very innermost in bit 0.
    top: u64,
    /// Full words, the outermost first.
    words: [u64; WORDS],
}

impl Stack {
    pub fn new() -> Self {
        Self { depth: 0, held: 0, top: 0, words: [0; WORDS] }
    }

    /// How many arrays and objects are open.
    #[inline(always)]
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Whether the innermost is an object; false when nothing is open.
    #[inline(always)]
    pub fn in_object(&self) -> bool {
        self.top & 1 == 1
    }

    /// The innermost 64 levels as bits, the very innermost in bit 0; zeroes where there are fewer.
    #[inline(always)]
    pub fn innermost(&self) -> u64 {
        if self.held == self.depth || self.held == LEVELS_PER_WORD {
            return self.top;
        }
        self.top | self.full_word() << self.held
    }

    /// The word below the top.
    #[inline(always)]
    fn full_word(&self) -> u64 {
        self.words[((self.depth - self.held) / LEVELS_PER_WORD - 1) as usize]
    }

    /// Opens an object or an array; false when that is one too many.
    #[inline(always)]
    pub fn push(&mut self, object: bool) -> bool {
        if self.held == LEVELS_PER_WORD {
            if self.depth as usize == DEPTH_MAX {
                return false;
            }
            self.words[(self.depth / LEVELS_PER_WORD - 1) as usize] = self.top;
            (self.top, self.held) = (0, 0);
        }
        self.top = self.top << 1 | u64::from(object);
        self.held += 1;
        self.depth += 1;
        true
    }

    /// Closes the innermost; false when nothing is open.
    #[inline(always)]
    pub fn pop(&mut self) -> bool {
        if self.depth == 0 {
            return false;
        }
        self.depth -= 1;
        self.held -= 1;
        self.top >>= 1;
        if self.held == 0 && self.depth > 0 {
            (self.top, self.held) = (self.full_word(), LEVELS_PER_WORD);
        }
        true
    }

    /// Closes `closed` levels and opens `opened`, of which `objects` says which are objects, the first in bit 0. At
    /// most 64 of each, and the depth must allow it.
    #[inline(always)]
    pub fn replace(&mut self, closed: u32, opened: u32, objects: u64) {
        let leaves_some = closed < self.held || self.held == self.depth && closed < LEVELS_PER_WORD;
        if leaves_some && self.held - closed + opened <= LEVELS_PER_WORD && opened < LEVELS_PER_WORD {
            self.top = self.top >> closed << opened | innermost_first(objects, opened);
            self.held = self.held - closed + opened;
            self.depth = self.depth - closed + opened;
            return;
        }
        self.replace_across_words(closed, opened, objects);
    }

    #[cold]
    fn replace_across_words(&mut self, mut closed: u32, opened: u32, objects: u64) {
        while closed > 0 {
            let now = closed.min(self.held);
            (self.top, self.held) = (self.top.checked_shr(now).unwrap_or(0), self.held - now);
            self.depth -= now;
            if self.held == 0 && self.depth > 0 {
                (self.top, self.held) = (self.full_word(), LEVELS_PER_WORD);
            }
            closed -= now;
        }
        for level in 0..opened {
            self.push(objects >> level & 1 == 1);
        }
    }
}

/// The lowest `count` bits, fewer than 64, the other way round.
#[inline(always)]
fn innermost_first(bits: u64, count: u32) -> u64 {
    (bits << 1 << (LEVELS_PER_WORD - 1 - count)).reverse_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a vector.
        #[test]
        fn a_stack_is_a_stack(
            start in 0..DEPTH_MAX,
            steps in proptest::collection::vec(
                (proptest::option::of(any::<bool>()), 0..=64_u32, 0..=64_u32, any::<u64>()), 0..60)
        ) {
            let (mut stack, mut oracle) = (Stack::new(), Vec::new());
            for level in 0..start {
                prop_assert!(stack.push(level % 3 == 0));
                oracle.push(level % 3 == 0);
            }
            for (step, closed, opened, objects) in steps {
                match step {
                    Some(true) => {
                        let object = objects & 1 == 1;
                        prop_assert_eq!(stack.push(object), oracle.len() < DEPTH_MAX);
                        if oracle.len() < DEPTH_MAX {
                            oracle.push(object);
                        }
                    }
                    Some(false) => prop_assert_eq!(stack.pop(), oracle.pop().is_some()),
                    None => {
                        let closed = closed.min(oracle.len() as u32);
                        let opened = opened.min((DEPTH_MAX - oracle.len() + closed as usize) as u32);
                        let objects = objects & u64::MAX.checked_shr(64 - opened).unwrap_or(0);
                        stack.replace(closed, opened, objects);
                        oracle.truncate(oracle.len() - closed as usize);
                        oracle.extend((0..opened).map(|level| objects >> level & 1 == 1));
                    }
                }
                prop_assert_eq!(stack.depth() as usize, oracle.len());
                prop_assert_eq!(stack.in_object(), oracle.last() == Some(&true));
                let levels = oracle.iter().rev().take(64).rev();
                prop_assert_eq!(stack.innermost(), levels.fold(0, |top, &object| top << 1 | u64::from(object)));
            }
            while let Some(object) = oracle.pop() {
                prop_assert_eq!(stack.in_object(), object);
                prop_assert!(stack.pop());
            }
            prop_assert!(!stack.pop());
        }
    }
}
