//! The shared secret of a webhook, presented in `x-bp-secret`.
//!
//! The time that a comparison takes may tell the length of what was presented, which its sender knows. It tells
//! nothing of the secret:
//!
//! - Secret and presented bytes are padded with zeroes to whole blocks of words, and every word of the presented
//!   blocks is compared, whether or not an earlier one differs, by [`subtle`], which keeps the compiler from leaving
//!   the loop early. How many words that are follows from the presented length alone, as every secret is kept as
//!   long as the longest that a configuration may hold.
//! - The length is compared likewise, as one more word. It also tells a secret from the same with zeroes behind it.
//! - Every secret of the webhook is compared, so that time does not tell which of two was meant.
//!
//! Comparing HMAC tags under a key of the process instead kept the secret out of memory after the start, at the price
//! of three compressions of SHA-256 for a secret of 64 digits: a tenth of a small pipelined request. What it guarded
//! lies in memory anyway: the head of every accepted request waits in a buffer with the secret in it.

use subtle::{Choice, ConstantTimeEq};

const BLOCK_WORDS: usize = 8;
const BLOCK_BYTES: usize = BLOCK_WORDS * size_of::<u64>();
/// Blocks of every secret, enough for the longest that a configuration may hold.
const BLOCKS: usize = 1024 / BLOCK_BYTES;

/// The secrets of one webhook: none, one, or two while the secret is being rotated.
#[derive(Clone)]
pub struct Secrets(Vec<Padded>);

/// A secret with zeroes behind it.
#[derive(Clone)]
struct Padded {
    bytes: u64,
    blocks: Box<[[u64; BLOCK_WORDS]]>,
}

impl Secrets {
    /// Keeps `secrets` for comparing.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(secrets.into_iter().map(Padded::new).collect())
    }

    /// Whether the webhook takes requests without a secret.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `presented` is one of the secrets.
    #[inline]
    pub fn accepts(&self, presented: &[u8]) -> bool {
        self.0.iter().fold(Choice::from(0), |found, secret| found | secret.is(presented)).into()
    }
}

impl Padded {
    fn new(secret: &[u8]) -> Self {
        let mut blocks: Vec<_> = secret.chunks(BLOCK_BYTES).map(block).collect();
        // A longer secret is one that no configuration holds; it only loses that its length is not told.
        blocks.resize(blocks.len().max(BLOCKS), [0; BLOCK_WORDS]);
        Self { bytes: secret.len() as u64, blocks: blocks.into() }
    }

    fn is(&self, presented: &[u8]) -> Choice {
        let chunks = presented.chunks(BLOCK_BYTES);
        if chunks.len() > self.blocks.len() {
            return Choice::from(0);
        }
        let same_length = self.bytes.ct_eq(&(presented.len() as u64));
        self.blocks
            .iter()
            .zip(chunks)
            .fold(same_length, |same, (secret, presented)| same & secret.ct_eq(block(presented).as_slice()))
    }
}

/// At most [`BLOCK_BYTES`] bytes as words, with zeroes behind them.
#[inline]
fn block(bytes: &[u8]) -> [u64; BLOCK_WORDS] {
    let mut padded = [0; BLOCK_BYTES];
    padded[..bytes.len()].copy_from_slice(bytes);
    let (words, _) = padded.as_chunks();
    std::array::from_fn(|index| u64::from_ne_bytes(words[index]))
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secrets_of_the_webhook_are_accepted() {
        type Row = (&'static [&'static [u8]], &'static [u8], bool);
        let rows: &[Row] = &[
            (&[b"s3cret"], b"s3cret", true),
            (&[b"s3cret"], b"s3creT", false),
            (&[b"s3cret"], b"S3cret", false),
            (&[b"s3cret"], b"s3cret ", false),
            (&[b"s3cret"], b"s3cret\0", false),
            (&[b"s3cret"], b"s3cre", false),
            (&[b"s3cret"], b"", false),
            (&[b"old", b"new"], b"old", true),
            (&[b"old", b"new"], b"new", true),
            (&[b"old", b"new"], b"oldnew", false),
            (&[], b"anything", false),
            (&[], b"", false),
        ];
        for (secrets, presented, accepted) in rows {
            let secrets = Secrets::new(secrets.iter().copied());
            assert_eq!(secrets.accepts(presented), *accepted, "{secrets:?} {presented:?}");
        }
    }

    #[test]
    fn every_byte_and_the_length_of_a_secret_of_any_length_count() {
        let longest = vec![b'x'; 1300];
        for length in [1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 1300] {
            let secret = &longest[..length];
            let secrets = Secrets::new([secret]);
            assert!(secrets.accepts(secret), "{length}");
            for other in 0..longest.len() {
                assert_eq!(secrets.accepts(&longest[..other]), other == length, "{other} of {length}");
            }
            for at in 0..length {
                let mut wrong = secret.to_vec();
                wrong[at] ^= 0x80;
                assert!(!secrets.accepts(&wrong), "byte {at} of {length}");
            }
        }
    }

    #[test]
    fn nothing_printed_holds_the_secret() {
        let printed = format!("{:?}", Secrets::new([&b"s3cret"[..]]));
        assert_eq!(printed, "Secrets(1)");
    }
}
