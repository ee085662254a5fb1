//! Blocks in one register of AVX-512, whose comparisons give masks without further ado.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::avx2::prefix_xor;
use super::block::{self, BLOCK_BYTES, Bytes, Place};
use super::tables::{ESCAPABLE_BY_HIGH, ESCAPABLE_BY_LOW, SPACE_BY_LOW, utf8};

/// The proof that this CPU has what is asked for below.
#[derive(Clone, Copy)]
pub(super) struct Cpu(());

impl Cpu {
    #[inline]
    pub fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("pclmulqdq");
        has_all.then_some(Self(()))
    }

    /// See [`block::run`].
    pub fn run(self, place: &mut Place<'_>, text: &[u8]) -> usize {
        #[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,lzcnt,popcnt,pclmulqdq")]
        fn run(cpu: Cpu, place: &mut Place<'_>, text: &[u8]) -> usize {
            block::run::<Whole>(cpu, place, text)
        }
        // SAFETY: `self` exists only where the CPU has all of these.
        unsafe { run(self, place, text) }
    }
}

/// A block. It exists only where [`Cpu`] does.
#[derive(Clone, Copy)]
struct Whole(__m512i);

/// A table for [`_mm512_shuffle_epi8`], in all four lanes.
#[inline(always)]
unsafe fn table(of: &[u8; 16]) -> __m512i {
    // SAFETY: the caller has a block at hand, which exists only where the CPU has AVX-512. The load is of 16 bytes.
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(of.as_ptr().cast())) }
}

// No closures here: they may not be inlined, and what is not inlined is compiled without AVX-512.
impl Bytes for Whole {
    type Cpu = Cpu;

    #[inline(always)]
    fn load(_: Cpu, bytes: &[u8; BLOCK_BYTES]) -> Self {
        // SAFETY: 64 bytes are readable, the load needs no alignment, and the CPU has AVX-512.
        Self(unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) })
    }

    #[inline(always)]
    fn folded(self) -> Self {
        // SAFETY: a block exists only where the CPU has AVX-512.
        Self(unsafe { _mm512_or_si512(self.0, _mm512_set1_epi8(0x20)) })
    }

    #[inline(always)]
    fn eq(self, byte: u8) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX-512.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, _mm512_set1_epi8(byte as i8)) }
    }

    #[inline(always)]
    fn within(self, first: u8, count: u8) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX-512.
        unsafe {
            let from_first = match first {
                0 => self.0,
                _ => _mm512_sub_epi8(self.0, _mm512_set1_epi8(first as i8)),
            };
            _mm512_cmplt_epu8_mask(from_first, _mm512_set1_epi8(count as i8))
        }
    }

    #[inline(always)]
    fn bit5(self) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX-512.
        unsafe { _mm512_test_epi8_mask(self.0, _mm512_set1_epi8(0x20)) }
    }

    #[inline(always)]
    fn spaces(self) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX-512.
        unsafe { _mm512_cmpeq_epi8_mask(self.0, _mm512_shuffle_epi8(table(&SPACE_BY_LOW), self.0)) }
    }

    #[inline(always)]
    fn is_plain(self) -> bool {
        // SAFETY: a block exists only where the CPU has AVX-512.
        unsafe {
            // Signed, what has the highest bit is less than everything else.
            _mm512_cmplt_epi8_mask(self.0, _mm512_set1_epi8(0x20)) == 0
        }
    }

    #[inline(always)]
    fn is_ascii(self) -> bool {
        // SAFETY: a block exists only where the CPU has AVX-512.
        unsafe { _mm512_movepi8_mask(self.0) == 0 }
    }

    #[inline(always)]
    fn escapable(self) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX-512.
        unsafe {
            let by_low = _mm512_shuffle_epi8(table(&ESCAPABLE_BY_LOW), self.0);
            let by_high = _mm512_shuffle_epi8(table(&ESCAPABLE_BY_HIGH), high_nibble(self.0));
            _mm512_test_epi8_mask(by_low, by_high)
        }
    }

    #[inline(always)]
    fn utf8_errors(self) -> u64 {
        // SAFETY: a block exists only where the CPU has AVX-512.
        unsafe {
            // In each lane, the 16 bytes before those of the block; zeroes before the first.
            let before = _mm512_maskz_shuffle_i64x2::<0b10_01_00_00>(0b1111_1100, self.0, self.0);
            let one_before = _mm512_alignr_epi8::<15>(self.0, before);
            let two_before = _mm512_alignr_epi8::<14>(self.0, before);
            let three_before = _mm512_alignr_epi8::<13>(self.0, before);
            let nibble = _mm512_set1_epi8(0xF);
            let classes = _mm512_ternarylogic_epi32::<0x80>(
                _mm512_shuffle_epi8(table(&utf8::FIRST_BY_HIGH), high_nibble(one_before)),
                _mm512_shuffle_epi8(table(&utf8::FIRST_BY_LOW), _mm512_and_si512(one_before, nibble)),
                _mm512_shuffle_epi8(table(&utf8::SECOND_BY_HIGH), high_nibble(self.0)),
            );
            // The third byte of three or four, and the fourth, must be continuations behind a continuation.
            let third = _mm512_subs_epu8(two_before, _mm512_set1_epi8(0xE0_u8.wrapping_sub(0x80) as i8));
            let fourth = _mm512_subs_epu8(three_before, _mm512_set1_epi8(0xF0_u8.wrapping_sub(0x80) as i8));
            let continues = _mm512_and_si512(_mm512_or_si512(third, fourth), _mm512_set1_epi8(0x80_u8 as i8));
            _mm512_test_epi8_mask(_mm512_xor_si512(continues, classes), _mm512_set1_epi8(-1))
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

/// The high nibble of each byte.
#[inline(always)]
unsafe fn high_nibble(bytes: __m512i) -> __m512i {
    // SAFETY: the caller has a block at hand, which exists only where the CPU has AVX-512.
    unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(0xF)) }
}
