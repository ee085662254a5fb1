//! The escape sequences and characters of a block: whether they are right, and where the block has to be cut.

use super::{BLOCK_BYTES, Bytes, below};

pub(super) struct Escapes {
    /// Bytes behind a backslash that escapes them.
    pub escaped: u64,
    /// Where the block has to be cut.
    pub end: u32,
    pub has_lone_surrogate: bool,
}

/// The escape sequences of a block that begins with none half read; `None` if one is malformed.
#[inline(always)]
pub(super) fn escapes<B: Bytes>(block: B, backslash: u64) -> Option<Escapes> {
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
pub(super) fn utf8_end<B: Bytes>(block: B, bytes: &[u8; BLOCK_BYTES], mut end: u32) -> Option<u32> {
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
