//! One pass over a text before it is parsed: how many bytes could be tokens, how deep it could nest at most, and
//! whether it holds a backslash.
//!
//! The pass does not know strings from the rest, so all counts are upper bounds. That is what they are for: they
//! say what a tape can cost before a byte of it is allocated ([`super::tape::memory_charge`]), and that a text
//! without a backslash is safe to parse in place, because simd-json writes only where it unescapes.
//!
//! With AVX2, 32 bytes a step. The six structural characters and the quote have different low nibbles once `[` and
//! `{`, `]` and `}` are folded together, so one table look-up names the only byte that could match at each place and
//! one comparison tells whether it does. The matches are counted in byte lanes, which are emptied before they can
//! overflow, every 255 steps.
#![allow(unsafe_code)]

/// What one pass over a text counted. Every count is an upper bound: bytes inside strings count too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    /// Bytes that are one of `{}[]:,"`.
    pub structurals: usize,
    /// Bytes that are `{` or `[`: the text nests no deeper.
    pub openings: usize,
    /// Bytes up to and including the space (0x20), white space among them.
    pub blanks: usize,
    /// Whether there is a backslash anywhere.
    pub backslash: bool,
}

/// Counts what a parse of `text` could cost.
pub fn scan(text: &[u8]) -> Scan {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the CPU has AVX2, as just asked.
        return unsafe { avx2::scan(text) };
    }
    portable(text)
}

/// The same by plain loops over blocks, which the compiler turns into whatever vectors the target has.
fn portable(text: &[u8]) -> Scan {
    let mut total = Scan::default();
    // Up to 255 matches fit the byte-wide counters that make this loop vectorise.
    for block in text.chunks(255) {
        let (mut structurals, mut openings, mut blanks, mut backslashes) = (0_u8, 0_u8, 0_u8, 0_u8);
        for &byte in block {
            let opens = byte | 0x20 == b'{';
            let closes = byte | 0x20 == b'}';
            openings += u8::from(opens);
            structurals += u8::from(opens | closes | (byte == b':') | (byte == b',') | (byte == b'"'));
            blanks += u8::from(byte <= b' ');
            backslashes |= u8::from(byte == b'\\');
        }
        total.structurals += usize::from(structurals);
        total.openings += usize::from(openings);
        total.blanks += usize::from(blanks);
        total.backslash |= backslashes != 0;
    }
    total
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::Scan;
    use std::arch::x86_64::*;

    /// Byte lanes count up to 255 before they are emptied.
    const STEPS_PER_BLOCK: usize = 255;
    const STEP_BYTES: usize = 32;

    /// By low nibble, the one structural byte that has it, `[` and `]` folded onto `{` and `}`. 0xFF never matches.
    const EXPECTED: [u8; 16] = {
        let mut table = [0xFF; 16];
        table[(b'"' & 0xF) as usize] = b'"';
        table[(b':' & 0xF) as usize] = b':';
        table[(b',' & 0xF) as usize] = b',';
        table[(b'{' & 0xF) as usize] = b'{';
        table[(b'}' & 0xF) as usize] = b'}';
        table
    };

    /// By low nibble, the bit to set so that `[` and `]` become `{` and `}`; others stay, so that 0x0C is no comma.
    const FOLD: [u8; 16] = {
        let mut table = [0; 16];
        table[(b'{' & 0xF) as usize] = 0x20;
        table[(b'}' & 0xF) as usize] = 0x20;
        table
    };

    #[target_feature(enable = "avx2")]
    fn both_lanes(table: &[u8; 16]) -> __m256i {
        // SAFETY: the table is 16 readable bytes, the load needs no alignment.
        _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn scan(text: &[u8]) -> Scan {
        let expected = both_lanes(&EXPECTED);
        let fold = both_lanes(&FOLD);
        let (open, bit, space, backslash) = (
            _mm256_set1_epi8(b'{' as i8),
            _mm256_set1_epi8(0x20),
            _mm256_set1_epi8(b' ' as i8),
            _mm256_set1_epi8(b'\\' as i8),
        );
        let mut backslashes = _mm256_setzero_si256();
        let mut total = Scan::default();
        let (steps, rest) = text.as_chunks::<STEP_BYTES>();
        for block in steps.chunks(STEPS_PER_BLOCK) {
            let mut structurals = _mm256_setzero_si256();
            let mut openings = _mm256_setzero_si256();
            let mut blanks = _mm256_setzero_si256();
            for step in block {
                // SAFETY: the step is 32 readable bytes, the load needs no alignment.
                let bytes = unsafe { _mm256_loadu_si256(step.as_ptr().cast()) };
                // A byte of 0x80 or more looks up 0 and matches neither that nor anything else.
                let candidate = _mm256_shuffle_epi8(expected, bytes);
                let folded = _mm256_or_si256(bytes, _mm256_shuffle_epi8(fold, bytes));
                // A match is -1 in its lane: subtracting it counts.
                structurals = _mm256_sub_epi8(structurals, _mm256_cmpeq_epi8(folded, candidate));
                openings = _mm256_sub_epi8(openings, _mm256_cmpeq_epi8(_mm256_or_si256(bytes, bit), open));
                blanks = _mm256_sub_epi8(blanks, _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, space), bytes));
                backslashes = _mm256_or_si256(backslashes, _mm256_cmpeq_epi8(bytes, backslash));
            }
            total.structurals += sum_of_lanes(structurals);
            total.openings += sum_of_lanes(openings);
            total.blanks += sum_of_lanes(blanks);
        }
        let tail = super::portable(rest);
        Scan {
            structurals: total.structurals + tail.structurals,
            openings: total.openings + tail.openings,
            blanks: total.blanks + tail.blanks,
            backslash: _mm256_movemask_epi8(backslashes) != 0 || tail.backslash,
        }
    }

    #[target_feature(enable = "avx2")]
    fn sum_of_lanes(lanes: __m256i) -> usize {
        let sums = _mm256_sad_epu8(lanes, _mm256_setzero_si256());
        let half = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
        (_mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1)) as usize
    }
}

#[cfg(test)]
mod tests;
