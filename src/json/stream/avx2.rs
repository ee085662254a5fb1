//! Blocks in two registers of AVX2.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::block::{self, BLOCK_BYTES, Bytes, Place};
use super::tables::{ESCAPABLE_BY_HIGH, ESCAPABLE_BY_LOW, SPACE_BY_LOW, utf8};

/// The proof that this CPU has what is asked for below.
#[derive(Clone, Copy)]
pub(super) struct Cpu(());

impl Cpu {
    #[inline]
    pub fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("pclmulqdq");
        has_all.then_some(Self(()))
    }

    /// See [`block::run`].
    pub fn run(self, place: &mut Place<'_>, text: &[u8]) -> usize {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn run(cpu: Cpu, place: &mut Place<'_>, text: &[u8]) -> usize {
            block::run::<Halves>(cpu, place, text)
        }
        // SAFETY: `self` exists only where the CPU has all of these.
        unsafe { run(self, place, text) }
    }
}

/// A block. It exists only where [`Cpu`] does.
#[derive(Clone, Copy)]
struct Halves {
    low: __m256i,
    high: __m256i,
}

/// The highest bit of each byte.
#[inline(always)]
unsafe fn mask(low: __m256i, high: __m256i) -> u64 {
    // SAFETY: the caller has a block at hand, which exists only where the CPU has AVX2.
    let halves = unsafe { (_mm256_movemask_epi8(low), _mm256_movemask_epi8(high)) };
    u64::from(halves.0 as u32) | u64::from(halves.1 as u32) << 32
}

/// A table for [`_mm256_shuffle_epi8`], in both lanes.
#[inline(always)]
unsafe fn table(of: &[u8; 16]) -> __m256i {
    // SAFETY: the caller has a block at hand, which exists only where the CPU has AVX2. The load is of 16 bytes.
    unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(of.as_ptr().cast())) }
}

// No closures here: they may not be inlined, and what is not inlined is compiled without AVX2.
impl Bytes for Halves {
    type Cpu = Cpu;

    #[inline(always)]
    fn load(_: Cpu, bytes: &[u8; BLOCK_BYTES]) -> Self {
        let start = bytes.as_ptr();
        // SAFETY: 64 bytes are readable at `start`, loads need no alignment, and the CPU has AVX2.
        unsafe {
            Self { low: _mm256_loadu_si256(start.cast()), high: _mm256_loadu_si256(start.add(32).cast()) }
        }
    }

    #[inline(always)]
    fn folded(self) -> Self {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe {
            let bit5 = _mm256_set1_epi8(0x20);
            Self { low: _mm256_or_si256(self.low, bit5), high: _mm256_or_si256(self.high, bit5) }
        }
    }

    #[inline(always)]
    fn eq(self, byte: u8) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe {
            let byte = _mm256_set1_epi8(byte as i8);
            mask(_mm256_cmpeq_epi8(self.low, byte), _mm256_cmpeq_epi8(self.high, byte))
        }
    }

    #[inline(always)]
    fn within(self, first: u8, count: u8) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe {
            let (first, last) = (_mm256_set1_epi8(first as i8), _mm256_set1_epi8((count - 1) as i8));
            let (low, high) = (_mm256_sub_epi8(self.low, first), _mm256_sub_epi8(self.high, first));
            let (least_low, least_high) = (_mm256_min_epu8(low, last), _mm256_min_epu8(high, last));
            mask(_mm256_cmpeq_epi8(low, least_low), _mm256_cmpeq_epi8(high, least_high))
        }
    }

    #[inline(always)]
    fn bit5(self) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe { mask(_mm256_slli_epi16::<2>(self.low), _mm256_slli_epi16::<2>(self.high)) }
    }

    #[inline(always)]
    fn spaces(self) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe {
            let wanted = table(&SPACE_BY_LOW);
            mask(
                _mm256_cmpeq_epi8(self.low, _mm256_shuffle_epi8(wanted, self.low)),
                _mm256_cmpeq_epi8(self.high, _mm256_shuffle_epi8(wanted, self.high)),
            )
        }
    }

    #[inline(always)]
    fn is_plain(self) -> bool {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe {
            // Signed, what has the highest bit is less than everything else.
            let least = _mm256_min_epi8(self.low, self.high);
            _mm256_movemask_epi8(_mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), least)) == 0
        }
    }

    #[inline(always)]
    fn is_ascii(self) -> bool {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe { _mm256_movemask_epi8(_mm256_or_si256(self.low, self.high)) == 0 }
    }

    #[inline(always)]
    fn escapable(self) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe { mask(escapable(self.low), escapable(self.high)) }
    }

    #[inline(always)]
    fn utf8_errors(self) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX2.
        unsafe {
            let before_low = _mm256_permute2x128_si256::<0x08>(self.low, self.low);
            let before_high = _mm256_permute2x128_si256::<0x21>(self.low, self.high);
            let (low, high) = (utf8_errors(self.low, before_low), utf8_errors(self.high, before_high));
            let none = _mm256_setzero_si256();
            !mask(_mm256_cmpeq_epi8(low, none), _mm256_cmpeq_epi8(high, none))
        }
    }

    #[inline(always)]
    fn prefix_xor(self, mask: u64) -> u64 {
        // SAFETY: a block exists only where the CPU has carry-less multiplication.
        unsafe { prefix_xor(mask) }
    }

    #[inline(always)]
    fn compress(self, value: u64, mask: u64) -> u64 {
        // SAFETY: a block exists only where the CPU has BMI2.
        unsafe { _pext_u64(value, mask) }
    }

    #[inline(always)]
    fn expand(self, value: u64, mask: u64) -> u64 {
        // SAFETY: a block exists only where the CPU has BMI2.
        unsafe { _pdep_u64(value, mask) }
    }
}

/// See [`Bytes::prefix_xor`].
#[inline(always)]
pub(super) unsafe fn prefix_xor(mask: u64) -> u64 {
    // SAFETY: the caller has a block at hand, which exists only where the CPU has carry-less multiplication.
    unsafe {
        let product = _mm_clmulepi64_si128::<0>(_mm_set_epi64x(0, mask as i64), _mm_set1_epi8(u8::MAX as i8));
        _mm_cvtsi128_si64(product) as u64
    }
}

/// The high nibble of each byte.
#[inline(always)]
unsafe fn high_nibble(bytes: __m256i) -> __m256i {
    // SAFETY: the caller has a block at hand, which exists only where the CPU has AVX2.
    unsafe { _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(0xF)) }
}

#[inline(always)]
unsafe fn escapable(bytes: __m256i) -> __m256i {
    // SAFETY: the caller has a block at hand, which exists only where the CPU has AVX2.
    unsafe {
        let by_low = _mm256_shuffle_epi8(table(&ESCAPABLE_BY_LOW), bytes);
        let by_high = _mm256_shuffle_epi8(table(&ESCAPABLE_BY_HIGH), high_nibble(bytes));
        _mm256_cmpgt_epi8(_mm256_and_si256(by_low, by_high), _mm256_setzero_si256())
    }
}

/// Keiser and Lemire's look-up: the bytes at which a sequence is found to be wrong are not zero.
///
/// `before` holds, in each lane, the 16 bytes before those of `input`.
#[inline(always)]
unsafe fn utf8_errors(input: __m256i, before: __m256i) -> __m256i {
    // SAFETY: the caller has a block at hand, which exists only where the CPU has AVX2.
    unsafe {
        let nibble = _mm256_set1_epi8(0xF);
        let one_before = _mm256_alignr_epi8::<15>(input, before);
        let two_before = _mm256_alignr_epi8::<14>(input, before);
        let three_before = _mm256_alignr_epi8::<13>(input, before);
        let classes = _mm256_and_si256(
            _mm256_and_si256(
                _mm256_shuffle_epi8(table(&utf8::FIRST_BY_HIGH), high_nibble(one_before)),
                _mm256_shuffle_epi8(table(&utf8::FIRST_BY_LOW), _mm256_and_si256(one_before, nibble)),
            ),
            _mm256_shuffle_epi8(table(&utf8::SECOND_BY_HIGH), high_nibble(input)),
        );
        // The third byte of three or four, and the fourth, must be continuations behind a continuation.
        let third = _mm256_subs_epu8(two_before, _mm256_set1_epi8(0xE0_u8.wrapping_sub(0x80) as i8));
        let fourth = _mm256_subs_epu8(three_before, _mm256_set1_epi8(0xF0_u8.wrapping_sub(0x80) as i8));
        let continues = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8(0x80_u8 as i8));
        _mm256_xor_si256(continues, classes)
    }
}
