//! Secrets that cannot be printed by accident, and `${NAME}` from the environment.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};

/// The longest secret: it has to fit a header line beside everything else.
pub const SECRET_BYTES_MAX: usize = 1024;

/// What a sender puts into `x-bp-secret`, or a key that signs. Neither `Debug` nor an error shows its value.
///
/// Two are compared to see whether the operator changed one, never with what a sender said: that is the business of
/// [`crate::verify`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Visible ASCII only, so that any client can send it and no proxy alters it (RFC 9110 section 5.5).
    pub fn new(value: String) -> Result<Self, String> {
        if value.is_empty() {
            return Err(
                "the secret is empty; leave the key out if the webhook shall be open to everyone".into()
            );
        }
        if value.len() > SECRET_BYTES_MAX {
            return Err(format!("the secret has {} bytes; {SECRET_BYTES_MAX} are the most", value.len()));
        }
        match value.bytes().position(|byte| !byte.is_ascii_graphic()) {
            Some(at) => Err(format!(
                "byte {} of the secret is not visible ASCII; use letters, digits and punctuation, without spaces",
                at + 1
            )),
            None => Ok(Self(value)),
        }
    }

    /// 256 random bits as 64 hexadecimal digits; `None` if the system has no randomness to give.
    pub fn generate() -> Option<Self> {
        let mut bits = [0_u8; 32];
        SystemRandom::new().fill(&mut bits).ok()?;
        Some(Self(bits.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// The value itself, for whoever has to compare it or hand it to its owner.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(not shown)")
    }
}

/// Replaces each `${NAME}` by the environment's value; `$${` stands for a literal `${`.
pub(super) fn expand(text: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        if rest[..dollar].ends_with('$') {
            expanded.push_str(&rest[..dollar - 1]);
            expanded.push_str("${");
            rest = &rest[dollar + 2..];
            continue;
        }
        expanded.push_str(&rest[..dollar]);
        let name_on = &rest[dollar + 2..];
        let end = name_on.find('}').ok_or("`${` without its `}`; write `$${` for a literal `${`")?;
        let name = &name_on[..end];
        if !is_variable_name(name) {
            return Err(format!(
                "`${{{name}}}` names no environment variable; write `$${{` for a literal `${{`"
            ));
        }
        let value = environment(name).ok_or_else(|| {
            format!(
                "the environment variable {name} is not set (or not UTF-8); set it where inrush is started"
            )
        })?;
        expanded.push_str(&value);
        rest = &name_on[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expansion() {
        let environment = |name: &str| match name {
            "A" => Some("one".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("", Ok("")),
            ("plain $ and {A}", Ok("plain $ and {A}")),
            ("${A}", Ok("one")),
            ("x${A}y${A}z", Ok("xoneyonez")),
            ("[${EMPTY}]", Ok("[]")),
            ("${NESTED}", Ok("${A}")),
            ("$${A}", Ok("${A}")),
            ("é$${A}${A}", Ok("é${A}one")),
            ("${A", Err("without its")),
            ("${}", Err("names no environment variable")),
            ("${1A}", Err("names no environment variable")),
            ("${MISSING}", Err("MISSING is not set")),
        ] {
            match (expand(text, &environment), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{text}: {found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_secret_is_visible_ascii_and_never_shown() {
        for (value, accepted) in [
            ("s", true),
            ("!~", true),
            ("", false),
            ("a b", false),
            ("tab\t", false),
            ("ümlaut", false),
            ("line\n", false),
        ] {
            assert_eq!(Secret::new(value.to_owned()).is_ok(), accepted, "{value:?}");
        }
        assert!(Secret::new("x".repeat(SECRET_BYTES_MAX)).is_ok());
        assert!(Secret::new("x".repeat(SECRET_BYTES_MAX + 1)).is_err());
        let secret = Secret::new("hunter2".to_owned()).unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!Secret::new("hunter two".to_owned()).unwrap_err().contains("hunter"));
    }

    #[test]
    fn generated_secrets_differ() {
        let (one, two) = (Secret::generate().unwrap(), Secret::generate().unwrap());
        assert_eq!(one.expose().len(), 64);
        assert_ne!(one.expose(), two.expose());
        assert!(Secret::new(one.expose().to_owned()).is_ok());
    }
}
