//! Which instructions take blocks on this CPU.

use super::block::Place;
use super::{avx2, avx512};

/// Instructions that take blocks.
#[derive(Clone, Copy)]
pub(super) enum Instructions {
    Avx512(avx512::Cpu),
    Avx2(avx2::Cpu),
}

impl Instructions {
    /// The best that this CPU has.
    #[inline]
    pub fn detect() -> Option<Self> {
        #[cfg(any(test, fuzzing))]
        match ways::ALLOWED.get() {
            ways::Allowed::All => {}
            ways::Allowed::Avx2 => return avx2::Cpu::detect().map(Self::Avx2),
            ways::Allowed::None => return None,
        }
        avx512::Cpu::detect().map(Self::Avx512).or_else(|| avx2::Cpu::detect().map(Self::Avx2))
    }

    /// See [`super::block::run`].
    #[inline]
    pub fn run(self, place: &mut Place<'_>, text: &[u8]) -> usize {
        match self {
            Self::Avx512(cpu) => cpu.run(place, text),
            Self::Avx2(cpu) => cpu.run(place, text),
        }
    }
}

/// Every way that this CPU has of taking a text, for tests and fuzzers to see them all.
#[cfg(any(test, fuzzing))]
pub(super) mod ways {
    use std::cell::Cell;

    #[derive(Debug, Clone, Copy)]
    pub enum Allowed {
        All,
        Avx2,
        None,
    }

    thread_local! {
        /// What this thread may use.
        pub static ALLOWED: Cell<Allowed> = const { Cell::new(Allowed::All) };
    }

    /// Runs `test` with each.
    pub fn every_way(test: impl Fn()) {
        for allowed in [Allowed::Avx2, Allowed::None, Allowed::All] {
            ALLOWED.set(allowed);
            test();
        }
    }
}
