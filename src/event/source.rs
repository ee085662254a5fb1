//! Where an event came from, and what of it is shown.

/// Headers that carry credentials; they are left out of payloads.
const CREDENTIAL_HEADERS: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-bp-secret"];

/// The webhook of an event, as its nodes know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: String,
    /// Lower case.
    hidden_headers: Vec<&'static str>,
}

impl Source {
    /// The webhook of that name; headers of the names in `keep_headers` are shown although they carry credentials.
    pub fn new(name: &str, keep_headers: &[String]) -> Self {
        let is_kept = |hidden: &&str| keep_headers.iter().any(|kept| kept.eq_ignore_ascii_case(hidden));
        Self {
            name: name.to_owned(),
            hidden_headers: CREDENTIAL_HEADERS.into_iter().filter(|hidden| !is_kept(hidden)).collect(),
        }
    }

    /// The webhook of that name, which shows no credentials.
    pub fn named(name: &str) -> Self {
        Self::new(name, &[])
    }

    /// The name of the webhook.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the payload shows the header of this name, in whatever case.
    #[inline]
    pub fn shows(&self, header: &[u8]) -> bool {
        !self.hidden_headers.iter().any(|hidden| header.eq_ignore_ascii_case(hidden.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_shown_only_where_the_webhook_keeps_them() {
        for (keep, header, shown) in [
            (&[][..], "content-type", true),
            (&[], "Authorization", false),
            (&[], "x-bp-secret", false),
            (&[], "COOKIE", false),
            (&[], "x-hub-signature-256", true),
            (&["Authorization"], "authorization", true),
            (&["authorization"], "AUTHORIZATION", true),
            (&["authorization"], "x-bp-secret", false),
        ] {
            let keep: Vec<String> = keep.iter().map(|name: &&str| (*name).to_owned()).collect();
            assert_eq!(Source::new("w", &keep).shows(header.as_bytes()), shown, "{keep:?} {header}");
        }
    }
}
