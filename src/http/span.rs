//! Offsets into a buffer instead of references: a head can then move with its buffer.

/// `start..end` of some bytes, relative to the first byte of the head that they belong to.
///
/// 32 bits suffice: a head is bounded by [`crate::limits`] to far less than 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset just past the last byte.
    pub end: u32,
}

impl Span {
    /// The span of `start..end`.
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of `head` that this span names.
    #[inline]
    pub fn of(self, head: &[u8]) -> &[u8] {
        &head[self.start as usize..self.end as usize]
    }

    /// Number of bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it names no byte.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}
