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

const LEVELS_PER_WORD: usize = u64::BITS as usize;

/// What is open: a bit for each level, set for an object.
#[derive(Debug, Clone)]
pub(super) struct Stack {
    /// The levels above the last full word, the innermost in bit 0.
    top: u64,
    depth: usize,
    deepest: usize,
    /// Full words below, the outermost first.
    words: [u64; DEPTH_MAX / LEVELS_PER_WORD],
}

/// What a block changes of a [`Stack`], to take it back should the block be wrong.
pub(super) struct Mark {
    top: u64,
    depth: usize,
    deepest: usize,
    word: Option<(usize, u64)>,
}

impl Stack {
    pub fn new() -> Self {
        Self { top: 0, depth: 0, deepest: 0, words: [0; DEPTH_MAX / LEVELS_PER_WORD] }
    }

    /// How many arrays and objects are open.
    #[inline(always)]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The most that ever were.
    pub fn deepest(&self) -> usize {
        self.deepest
    }

    /// Whether the innermost is an object; false when nothing is open.
    #[inline(always)]
    pub fn in_object(&self) -> bool {
        self.top & 1 == 1
    }

    /// Opens an object or an array; false when that is one too many.
    #[inline(always)]
    pub fn push(&mut self, object: bool, mark: &mut Mark) -> bool {
        if self.depth.is_multiple_of(LEVELS_PER_WORD) && self.depth > 0 {
            if self.depth == DEPTH_MAX {
                return false;
            }
            self.spill(mark);
        }
        self.top = self.top << 1 | u64::from(object);
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        true
    }

    /// Closes the innermost; false when nothing is open.
    #[inline(always)]
    pub fn pop(&mut self) -> bool {
        if self.depth == 0 {
            return false;
        }
        self.top >>= 1;
        self.depth -= 1;
        if self.depth.is_multiple_of(LEVELS_PER_WORD) && self.depth > 0 {
            self.top = self.words[self.depth / LEVELS_PER_WORD - 1];
        }
        true
    }

    #[cold]
    fn spill(&mut self, mark: &mut Mark) {
        let index = self.depth / LEVELS_PER_WORD - 1;
        // From one end of a word to its other are as many brackets as a block has bytes, so a block writes one word.
        mark.word.get_or_insert((index, self.words[index]));
        self.words[index] = self.top;
    }

    /// Where it stands now.
    #[inline(always)]
    pub fn mark(&self) -> Mark {
        Mark { top: self.top, depth: self.depth, deepest: self.deepest, word: None }
    }

    /// Takes back what at most 64 calls since `mark` did.
    pub fn restore(&mut self, mark: &Mark) {
        (self.top, self.depth, self.deepest) = (mark.top, mark.depth, mark.deepest);
        if let Some((index, word)) = mark.word {
            self.words[index] = word;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a vector, with a stretch now and then that is taken back.
        #[test]
        fn a_stack_is_a_stack(
            start in 0..DEPTH_MAX,
            stretches in proptest::collection::vec(
                (any::<bool>(), proptest::collection::vec(proptest::option::of(any::<bool>()), 0..64)), 0..40)
        ) {
            let (mut stack, mut oracle) = (Stack::new(), Vec::new());
            for level in 0..start {
                let mut mark = stack.mark();
                prop_assert!(stack.push(level % 3 == 0, &mut mark));
                oracle.push(level % 3 == 0);
            }
            for (keep, steps) in stretches {
                let before = oracle.clone();
                let mut mark = stack.mark();
                for step in steps {
                    match step {
                        Some(object) => {
                            prop_assert_eq!(stack.push(object, &mut mark), oracle.len() < DEPTH_MAX);
                            if oracle.len() < DEPTH_MAX {
                                oracle.push(object);
                            }
                        }
                        None => prop_assert_eq!(stack.pop(), oracle.pop().is_some()),
                    }
                    prop_assert_eq!(stack.depth(), oracle.len());
                    prop_assert_eq!(stack.in_object(), oracle.last() == Some(&true));
                }
                if !keep {
                    stack.restore(&mark);
                    oracle = before;
                }
            }
            while let Some(object) = oracle.pop() {
                prop_assert_eq!(stack.in_object(), object);
                prop_assert!(stack.pop());
            }
            prop_assert!(!stack.pop());
        }
    }
}
