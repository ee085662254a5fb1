//! The scan against counting one byte at a time.

use super::*;
use proptest::prelude::*;

/// The counts, one byte at a time.
fn naive(text: &[u8]) -> Scan {
    let count = |wanted: &[u8]| text.iter().filter(|byte| wanted.contains(byte)).count();
    Scan {
        structurals: count(b"{}[]:,\""),
        openings: count(b"{["),
        blanks: text.iter().filter(|&&byte| byte <= 0x20).count(),
        backslash: text.contains(&b'\\'),
    }
}

fn check(text: &[u8]) {
    let wanted = naive(text);
    assert_eq!(portable(text), wanted, "portable: {text:?}");
    assert_eq!(scan(text), wanted, "dispatched: {text:?}");
}

#[test]
fn every_byte_alone_and_at_every_place_of_a_vector() {
    for byte in 0..=255_u8 {
        check(&[byte]);
        for at in 0..70 {
            let mut text = [b'x'; 70];
            text[at] = byte;
            check(&text);
        }
    }
}

/// Byte lanes hold 255 matches: texts of matches only, around where they are emptied.
#[test]
fn long_runs_do_not_overflow_the_lanes() {
    for byte in [b'{', b'[', b'}', b']', b':', b',', b'"', b' ', b'\\', 0x0C, 0x1A, 0x02] {
        for len in [254, 255, 256, 32 * 255 - 1, 32 * 255, 32 * 255 + 1, 32 * 256, 32 * 511 + 7] {
            check(&vec![byte; len]);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes(text in proptest::collection::vec(any::<u8>(), 0..10_000)) {
        check(&text);
    }

    #[test]
    fn mostly_structural_bytes(text in proptest::collection::vec(proptest::sample::select(&b"{}[]:,\"\\ x"[..]), 0..20_000)) {
        check(&text);
    }
}
