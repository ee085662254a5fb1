//! Which byte may stand where: one table, a bit per grammar rule, so that a scan is one load and one test a byte.

/// RFC 9110 §5.6.2: `tchar`.
pub const TOKEN: u8 = 1;
/// RFC 9110 §5.5: a byte of a field value: `VCHAR`, `obs-text`, SP, HTAB.
pub const VALUE: u8 = 1 << 1;
/// RFC 3986 §3.3: a byte of a path that needs no second look: `pchar` and `/`, without `%` and `.`.
pub const PATH_PLAIN: u8 = 1 << 2;
/// A byte of a query: `VCHAR` without `#`. Wider than RFC 3986 §3.4, because browsers send ``{ } | ^ ` `` as they are
/// (WHATWG URL, query percent-encode set) and senders write `a[b]=1`; none of these can end the target.
pub const QUERY: u8 = 1 << 3;
/// RFC 3986 §3.2.2: `reg-name` without percent-encodings: `unreserved` and `sub-delims`.
pub const REG_NAME: u8 = 1 << 4;
/// RFC 5234: `HEXDIG`, either case.
pub const HEX: u8 = 1 << 5;
/// RFC 9110 §5.6.4: what a quoted string holds unescaped.
pub const QUOTED: u8 = 1 << 6;

static TABLE: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let sub_delim =
            matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        let mut bits = 0;
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.')
            || matches!(byte, b'^' | b'_' | b'`' | b'|' | b'~')
        {
            bits |= TOKEN;
        }
        if matches!(byte, b'\t' | b' '..=0x7e | 0x80..) {
            bits |= VALUE;
            if byte != b'"' && byte != b'\\' {
                bits |= QUOTED;
            }
        }
        if (unreserved && byte != b'.') || sub_delim || matches!(byte, b':' | b'@' | b'/') {
            bits |= PATH_PLAIN;
        }
        if byte.is_ascii_graphic() && byte != b'#' {
            bits |= QUERY;
        }
        if unreserved || sub_delim {
            bits |= REG_NAME;
        }
        if byte.is_ascii_hexdigit() {
            bits |= HEX;
        }
        table[at] = bits;
        at += 1;
    }
    table
}

/// Whether `byte` belongs to `class`.
#[inline(always)]
pub fn is(byte: u8, class: u8) -> bool {
    TABLE[byte as usize] & class != 0
}

/// Whether every byte belongs to `class`.
#[inline]
pub fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|&byte| is(byte, class))
}

/// How many bytes at the front belong to `class`.
#[inline]
pub fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&byte| !is(byte, class)).unwrap_or(bytes.len())
}

/// RFC 9110 §5.6.2: a token is not empty.
#[inline]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, TOKEN)
}

/// The members of a comma-separated list without the white space around them (RFC 9110 §5.6.1), empty ones too.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim)
}

/// Without the white space (RFC 9110 §5.6.3: SP and HTAB) at both ends.
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
