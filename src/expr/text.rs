//! Paths in the exact text of a body, for documents that have no tape: serde_json finds them.
//!
//! Nothing is decoded but the keys along the paths. What lies beside them is skipped, in constant memory whatever its
//! depth, and a value is its text until somebody wants to know more. The text is known to be a valid document.

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Deserializer, Error};
use std::fmt;

use super::path::{Segment, Step};

/// A value by its text.
pub(super) type Raw<'v> = &'v str;

/// One step in the text of a value.
pub(super) fn step_in_text<'v>(text: &Raw<'v>, segment: &Segment) -> Step<Raw<'v>> {
    step_in_bytes(text.as_bytes(), segment)
}

/// As [`step_in_text`], in the bytes of a whole body: only what is found is looked at as UTF-8.
///
/// Of duplicate keys the last counts. Keys are compared as bytes, because a lone surrogate has no `str`.
pub(super) fn step_in_bytes<'v>(text: &'v [u8], segment: &Segment) -> Step<Raw<'v>> {
    let mut json = Deserializer::from_slice(text);
    let found = match (segment, first_byte(text)) {
        (Segment::Key(key), b'{') => json.deserialize_map(Field(key)),
        (Segment::Index(index), b'[') => json.deserialize_seq(Element(*index)),
        (_, first) => return Step::Not(type_by(first)),
    };
    match found {
        Ok(Some(raw)) => Step::To(raw.get()),
        Ok(None) => Step::Missing,
        // The text was judged before, so there is no error to be had.
        Err(_) => Step::Not("not JSON"),
    }
}

/// The first byte of the value itself.
pub(super) fn first_byte(text: &[u8]) -> u8 {
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace()).unwrap_or_default()
}

fn type_by(first: u8) -> &'static str {
    match first {
        b'n' => "null",
        b't' | b'f' => "a bool",
        b'"' => "a string",
        b'[' => "a list",
        b'{' => "an object",
        _ => "a number",
    }
}

struct Field<'k>(&'k str);

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Matches(is_it)) = fields.next_key_seed(Key(self.0))? {
            if is_it {
                found = Some(fields.next_value()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct Element(usize);

impl<'de> Visitor<'de> for Element {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if elements.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = elements.next_element()?;
        // serde_json wants to see the end of what it began.
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

struct Matches(bool);

/// Compares a key with the one that is looked for.
struct Key<'k>(&'k str);

impl<'de> serde::de::DeserializeSeed<'de> for Key<'_> {
    type Value = Matches;

    fn deserialize<D: serde::Deserializer<'de>>(self, key: D) -> Result<Matches, D::Error> {
        key.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Matches;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_bytes<E>(self, key: &[u8]) -> Result<Matches, E> {
        Ok(Matches(key == self.0.as_bytes()))
    }
}

/// The elements of a list, each by its text.
pub(super) fn elements(list: Raw<'_>) -> Result<Vec<&RawValue>, Error> {
    serde_json::from_str(list)
}

/// The fields of an object, each by its text; of duplicate keys the last. An error if a key has no `str`.
pub(super) fn fields(object: Raw<'_>) -> Result<std::collections::HashMap<String, &RawValue>, Error> {
    serde_json::from_str(object)
}
