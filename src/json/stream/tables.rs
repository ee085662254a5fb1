//! The tables by which blocks classify bytes: each is looked up by a nibble, sixteen bytes at a time.

/// By its low nibble, the one white space that a byte could be; a space, where it could be none. High bytes look up 0.
pub(super) const SPACE_BY_LOW: [u8; 16] = *b"         \t\n  \r  ";

/// `"\/bfnrtu` in four classes by high nibble, 2 (`"/`), 5 (`\`), 6 (`bfn`) and 7 (`rtu`), and each class by low nibble.
pub(super) const ESCAPABLE_BY_LOW: [u8; 16] = {
    let mut table = [0; 16];
    let mut at = 0;
    while at < ESCAPABLE.len() {
        let byte = ESCAPABLE[at];
        table[(byte & 0xF) as usize] |= ESCAPABLE_BY_HIGH[(byte >> 4) as usize];
        at += 1;
    }
    table
};
pub(super) const ESCAPABLE_BY_HIGH: [u8; 16] = [0, 0, 1, 0, 0, 2, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0];
const ESCAPABLE: &[u8; 9] = b"\"\\/bfnrtu";

/// The tables of Keiser and Lemire's UTF-8 validation (*Validating UTF-8 in less than one instruction per byte*, 2021,
/// §6): each names the ways in which two adjacent bytes can be wrong, as far as one of their nibbles tells. What all
/// three nibbles agree on is wrong; but a continuation behind a continuation is right where a longer sequence needs it.
pub(super) mod utf8 {
    /// A first byte of several, and no continuation behind it.
    const TOO_SHORT: u8 = 1 << 0;
    /// ASCII, and a continuation behind it.
    const TOO_LONG: u8 = 1 << 1;
    const OVERLONG_3: u8 = 1 << 2;
    const TOO_LARGE: u8 = 1 << 3;
    const SURROGATE: u8 = 1 << 4;
    const OVERLONG_2: u8 = 1 << 5;
    const OVERLONG_4: u8 = 1 << 6;
    /// Beyond 0xF4: shares a bit with the overlong forms of four bytes, which begin with 0xF0.
    const TOO_LARGE_1000: u8 = 1 << 6;
    const TWO_CONTINUATIONS: u8 = 1 << 7;
    /// What the low nibble of the first byte says nothing about.
    const CARRY: u8 = TOO_SHORT | TOO_LONG | TWO_CONTINUATIONS;

    /// By the high nibble of the first byte.
    pub const FIRST_BY_HIGH: [u8; 16] = {
        let mut table = [TOO_LONG; 16];
        let mut nibble = 0x8;
        while nibble < 0xC {
            table[nibble] = TWO_CONTINUATIONS;
            nibble += 1;
        }
        table[0xC] = TOO_SHORT | OVERLONG_2;
        table[0xD] = TOO_SHORT;
        table[0xE] = TOO_SHORT | OVERLONG_3 | SURROGATE;
        table[0xF] = TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4;
        table
    };

    /// By the low nibble of the first byte.
    pub const FIRST_BY_LOW: [u8; 16] = {
        let mut table = [CARRY | TOO_LARGE | TOO_LARGE_1000; 16];
        table[0x0] = CARRY | OVERLONG_2 | OVERLONG_3 | OVERLONG_4;
        table[0x1] = CARRY | OVERLONG_2;
        table[0x2] = CARRY;
        table[0x3] = CARRY;
        table[0x4] = CARRY | TOO_LARGE;
        table[0xD] |= SURROGATE;
        table
    };

    /// By the high nibble of the second byte.
    pub const SECOND_BY_HIGH: [u8; 16] = {
        const CONTINUATION: u8 = TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS;
        let mut table = [TOO_SHORT; 16];
        table[0x8] = CONTINUATION | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4;
        table[0x9] = CONTINUATION | OVERLONG_3 | TOO_LARGE;
        table[0xA] = CONTINUATION | SURROGATE | TOO_LARGE;
        table[0xB] = CONTINUATION | SURROGATE | TOO_LARGE;
        table
    };
}
