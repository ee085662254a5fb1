//! The shared secret of a webhook, presented in `x-bp-secret`.
//!
//! The secret itself is not kept: at start each becomes an HMAC tag under a key that lives only in this process, and
//! what a sender presents is compared through [`ring::hmac::verify`], which takes the same time wherever two tags
//! differ and whatever the presented length, up to its own hashing.

use ring::hmac;
use ring::rand::SystemRandom;

/// The process's key for comparing secrets.
#[derive(Clone)]
pub struct SecretKey(hmac::Key);

impl SecretKey {
    /// A fresh random key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, ring::error::Unspecified> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map(Self)
    }
}

/// The secrets of one webhook: none, one, or two while the secret is being rotated.
#[derive(Clone)]
pub struct Secrets {
    key: SecretKey,
    tags: Vec<hmac::Tag>,
}

impl Secrets {
    /// Keeps the tags of `secrets` under `key`.
    pub fn new<'a>(key: &SecretKey, secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let tags = secrets.into_iter().map(|secret| hmac::sign(&key.0, secret)).collect();
        Self { key: key.clone(), tags }
    }

    /// Whether the webhook takes requests without a secret.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether `presented` is one of the secrets. Every secret is compared, so that time does not tell which.
    #[inline]
    pub fn accepts(&self, presented: &[u8]) -> bool {
        self.tags
            .iter()
            .fold(false, |found, tag| hmac::verify(&self.key.0, presented, tag.as_ref()).is_ok() | found)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.tags.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_secrets_of_the_webhook_are_accepted() {
        let key = SecretKey::generate().unwrap();
        type Row = (&'static [&'static [u8]], &'static [u8], bool);
        let rows: &[Row] = &[
            (&[b"s3cret"], b"s3cret", true),
            (&[b"s3cret"], b"s3creT", false),
            (&[b"s3cret"], b"s3cret ", false),
            (&[b"s3cret"], b"", false),
            (&[b"old", b"new"], b"old", true),
            (&[b"old", b"new"], b"new", true),
            (&[b"old", b"new"], b"oldnew", false),
            (&[], b"anything", false),
        ];
        for (secrets, presented, accepted) in rows {
            let secrets = Secrets::new(&key, secrets.iter().copied());
            assert_eq!(secrets.accepts(presented), *accepted, "{secrets:?} {presented:?}");
        }
    }

    #[test]
    fn nothing_printed_holds_the_secret() {
        let key = SecretKey::generate().unwrap();
        let printed = format!("{:?}", Secrets::new(&key, [&b"s3cret"[..]]));
        assert_eq!(printed, "Secrets(1)");
    }
}
