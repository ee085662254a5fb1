//! Event ids: UUIDv7 (RFC 9562 §5.7), made without a system call or a lock.
//!
//! 48 bits of Unix milliseconds, a 12-bit counter that makes ids of one core increase within a millisecond (§6.2,
//! method 1), and 62 bits from a generator seeded by the operating system at start. The random bits keep ids of
//! different cores and processes apart; an id is not a secret.

use std::fmt;

/// A UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(u128);

impl EventId {
    /// The id of no event.
    pub const NIL: Self = Self(0);

    /// The 36 characters of its text, lower case.
    #[inline]
    pub fn text(self) -> [u8; 36] {
        const HEX: [[u8; 2]; 256] = hex_pairs();
        let bytes = self.0.to_be_bytes();
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in bytes.into_iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at..at + 2].copy_from_slice(&HEX[byte as usize]);
            at += 2;
        }
        text
    }

    /// The id as a number.
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const fn hex_pairs() -> [[u8; 2]; 256] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
}

/// Makes the ids of one core, each greater than the one before.
#[derive(Debug)]
pub struct EventIds {
    last_ms: u64,
    counter: u16,
    state: u64,
}

const COUNTER_MAX: u16 = 0x0fff;

impl EventIds {
    /// A generator with its own random seed.
    pub fn new(seed: u64) -> Self {
        Self { last_ms: 0, counter: 0, state: seed }
    }

    /// The next id, at `now_ms` Unix milliseconds. A clock that goes back does not make ids go back.
    #[inline]
    pub fn next(&mut self, now_ms: u64) -> EventId {
        let random = self.random();
        if now_ms > self.last_ms {
            self.last_ms = now_ms;
            // The upper half of the counter stays free for the events of this millisecond.
            self.counter = (random >> 53) as u16;
        } else if self.counter < COUNTER_MAX {
            self.counter += 1;
        } else {
            self.last_ms += 1;
            self.counter = 0;
        }
        let high = self.last_ms << 16 | 0x7000 | u64::from(self.counter);
        let low = 0b10 << 62 | random >> 2;
        EventId(u128::from(high) << 64 | u128::from(low))
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): a full period of 2^64 from any seed.
    #[inline]
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_7_with_its_time() {
        let id = EventIds::new(42).next(1_700_000_000_123);
        let parsed = uuid::Uuid::parse_str(&id.to_string()).unwrap();
        assert_eq!(parsed.get_version_num(), 7);
        assert_eq!(parsed.get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanoseconds) = parsed.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanoseconds / 1_000_000), (1_700_000_000, 123));
        assert_eq!(parsed.as_u128(), id.as_u128());
    }

    #[test]
    fn ids_increase_even_when_the_clock_stands_or_goes_back() {
        let mut ids = EventIds::new(7);
        let mut last = EventId::NIL;
        for step in 0..20_000_u64 {
            let id = ids.next(5_000_000 - step / 9_000);
            assert!(id > last, "{last} then {id}");
            last = id;
        }
    }

    #[test]
    fn ids_of_two_cores_differ_in_the_same_millisecond() {
        assert_ne!(EventIds::new(1).next(1000), EventIds::new(2).next(1000));
    }
}
