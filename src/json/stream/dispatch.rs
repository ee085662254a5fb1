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
        #[cfg(test)]
        match tests::ALLOWED.get() {
            tests::Allowed::All => {}
            tests::Allowed::Avx2 => return avx2::Cpu::detect().map(Self::Avx2),
            tests::Allowed::None => return None,
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

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    /// What a test lets this thread use, to see every way of doing it on one CPU.
    #[derive(Debug, Clone, Copy)]
    pub enum Allowed {
        All,
        Avx2,
        None,
    }

    thread_local! {
        pub static ALLOWED: Cell<Allowed> = const { Cell::new(Allowed::All) };
    }

    /// Runs `test` with every way that this CPU has.
    pub fn every_way(test: impl Fn()) {
        for allowed in [Allowed::All, Allowed::Avx2, Allowed::None] {
            ALLOWED.set(allowed);
            test();
        }
        ALLOWED.set(Allowed::All);
    }
}
