//! The slow, plain readings of a head and of a chunked body: whole buffers, text functions, one rule after another.
//! They are the oracles that the fast ones are held against, by property tests and by the fuzzer.

pub mod chunked;
pub mod head;

#[cfg(test)]
mod tests;

pub use chunked::fuzz_chunked;
pub use head::fuzz_head;

/// What an oracle says of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    /// The end is not there; a fault may already be. The fast reader may wait or refuse, but never accept.
    Undecided,
    /// No bytes that follow can make it good.
    Refused(&'static super::Problem),
    /// It is good.
    Accepted(T),
}

/// RFC 9110 §5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// RFC 9110 §5.5.
fn is_value(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}

/// Where `needle` starts in `text`.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// A name and a value without the white space around it, if `line` is a field line (RFC 9112 §5).
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = find(line, b":")?;
    let (name, mut value) = (&line[..colon], &line[colon + 1..]);
    while let Some(b' ' | b'\t') = value.first() {
        value = &value[1..];
    }
    while let Some(b' ' | b'\t') = value.last() {
        value = &value[..value.len() - 1];
    }
    (is_token(name) && is_value(value)).then_some((name, value))
}

/// The bytes of `text` in pieces of `piece` bytes, as growing prefixes.
fn prefixes(text: &[u8], piece: usize) -> impl Iterator<Item = &[u8]> {
    (0..text.len()).step_by(piece.max(1)).map(move |at| &text[..(at + piece.max(1)).min(text.len())])
}
