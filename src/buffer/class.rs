//! Size classes. Small classes are carved out of shared runs; every larger buffer is a mapping of its own, in
//! quarter steps of a power of two, so that at most a fifth of a mapping is slack.

/// Bytes behind the usable part of every buffer, so that SIMD code may read past the end of a body.
pub const SPARE_BYTES: usize = 64;

/// Capacity of the buffer a connection reads into: a head and a 16 KiB body in one read.
pub const READ_BYTES: usize = 32 * 1024;

/// Bodies up to this size may use the whole budget; larger ones only three quarters of it.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;

/// Capacities of the small classes, spare bytes included.
pub(super) const SMALL: [usize; 5] = [512, 1024, 4 * 1024, 12 * 1024, READ_BYTES];

/// From here on a buffer is a mapping of its own.
const LARGE_FROM: usize = 64 * 1024;

/// Index into [`SMALL`] of the class that holds `bytes` and the spare bytes, if a small class does.
#[inline]
pub(super) fn small_class(bytes: usize) -> Option<usize> {
    let need = bytes + SPARE_BYTES;
    SMALL.iter().position(|&capacity| capacity >= need)
}

/// Capacity, spare bytes included, of the buffer that is taken for `bytes`: what it is charged as.
pub fn capacity_for(bytes: usize) -> usize {
    match small_class(bytes) {
        Some(class) => SMALL[class],
        None => large_capacity(bytes + SPARE_BYTES),
    }
}

/// The next quarter step of a power of two at or above `need`: 64, 80, 96, 112, 128, 160 … KiB.
pub(super) fn large_capacity(need: usize) -> usize {
    let need = need.max(LARGE_FROM);
    let step = (1 << need.ilog2()) / 4;
    need.div_ceil(step) * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_gets_room_for_itself_and_the_spare_bytes() {
        for bytes in (0..300_000).chain([1 << 20, 100 << 20, (100 << 20) + 300, (128 << 20) - 64]) {
            let capacity = capacity_for(bytes);
            assert!(capacity >= bytes + SPARE_BYTES, "{bytes} -> {capacity}");
            if bytes > LARGE_FROM {
                assert!(
                    capacity <= (bytes + SPARE_BYTES) * 5 / 4,
                    "{bytes} -> {capacity}: over a fifth is slack"
                );
            }
        }
    }

    #[test]
    fn large_capacities_are_whole_pages() {
        for bytes in [65_536, 70_000, 100 << 20, 104_857_600 + 700] {
            assert_eq!(capacity_for(bytes) % 4096, 0);
        }
    }
}
