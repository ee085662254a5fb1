//! The library's values as text and as JSON.

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt,
};
use cel::common::value::Val;

use super::value::{DEPTH_MAX, Exact, TEXT_BYTES_MAX};

/// Why a result has no place in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotJson {
    /// No JSON type for it: what it is.
    Type(String),
    /// A number or a string that is not representable.
    Exact,
    /// A double that is no number or infinite.
    NotFinite,
    /// A key that is no string.
    Key,
    /// Beyond the limits of an expression.
    TooLarge,
}

impl std::fmt::Display for NotJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type(name) => write!(f, "the result is of type {name}, which JSON does not have"),
            Self::Exact => f.write_str("the result is a number or a string that is not representable"),
            Self::NotFinite => f.write_str("the result is a number that is infinite or not a number"),
            Self::Key => f.write_str("the result is an object with a key that is not a string"),
            Self::TooLarge => {
                write!(f, "the result is larger than {TEXT_BYTES_MAX} bytes or nested too deep")
            }
        }
    }
}

/// Writes a result as text: a string as it is, anything else as JSON, with values that are not representable by their
/// exact text.
pub(super) fn write_text(value: &dyn Val, out: &mut String) -> Result<(), NotJson> {
    match (value.downcast_ref::<CelString<'_>>(), value.downcast_ref::<Exact>()) {
        (Some(string), _) => out.push_str(string.inner()),
        (_, Some(exact)) if !exact.is_number() => return Err(NotJson::Exact),
        _ => Writer { out, keeps_exact: true }.write(value, 2 * DEPTH_MAX)?,
    }
    Ok(())
}

/// Writes a result as compact JSON, objects sorted by key, that any parser can represent.
pub(super) fn write_json(value: &dyn Val, out: &mut String) -> Result<(), NotJson> {
    Writer { out, keeps_exact: false }.write(value, 2 * DEPTH_MAX)
}

struct Writer<'o> {
    out: &'o mut String,
    keeps_exact: bool,
}

impl Writer<'_> {
    fn write(&mut self, value: &dyn Val, depth: usize) -> Result<(), NotJson> {
        use std::fmt::Write;
        if depth == 0 || self.out.len() > TEXT_BYTES_MAX {
            return Err(NotJson::TooLarge);
        }
        // Writing to a string does not fail.
        if let Some(string) = value.downcast_ref::<CelString<'_>>() {
            self.string(string.inner());
        } else if let Some(int) = value.downcast_ref::<CelInt>() {
            let _ = write!(self.out, "{}", int.inner());
        } else if let Some(uint) = value.downcast_ref::<CelUInt>() {
            let _ = write!(self.out, "{}", uint.inner());
        } else if let Some(double) = value.downcast_ref::<CelDouble>() {
            let number = serde_json::Number::from_f64(*double.inner()).ok_or(NotJson::NotFinite)?;
            let _ = write!(self.out, "{number}");
        } else if let Some(bool) = value.downcast_ref::<CelBool>() {
            self.out.push_str(if *bool.inner() { "true" } else { "false" });
        } else if value.downcast_ref::<CelNull>().is_some() {
            self.out.push_str("null");
        } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
            self.out.push('[');
            for (at, element) in list.inner().iter().enumerate() {
                self.separate(at);
                self.write(element.as_ref(), depth - 1)?;
            }
            self.out.push(']');
        } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
            let fields = map.inner().iter().map(|(key, value)| match key {
                CelMapKey::String(key) => Ok((key.inner(), value)),
                _ => Err(NotJson::Key),
            });
            let mut fields = fields.collect::<Result<Vec<_>, _>>()?;
            fields.sort_unstable_by_key(|(key, _)| *key);
            self.out.push('{');
            for (at, (key, value)) in fields.into_iter().enumerate() {
                self.separate(at);
                self.string(key);
                self.out.push(':');
                self.write(value.as_ref(), depth - 1)?;
            }
            self.out.push('}');
        } else if let Some(exact) = value.downcast_ref::<Exact>() {
            if !self.keeps_exact {
                return Err(NotJson::Exact);
            }
            self.out.push_str(exact.text());
        } else {
            return Err(NotJson::Type(value.get_type().name().to_owned()));
        }
        Ok(())
    }

    fn separate(&mut self, at: usize) {
        if at > 0 {
            self.out.push(',');
        }
    }

    fn string(&mut self, string: &str) {
        // A string is always JSON.
        self.out.push_str(&serde_json::to_string(string).unwrap_or_default());
    }
}
