//! Values of an event as the library takes them.
//!
//! Scalars are handed over as they are, strings of the body by reference. A list or an object is converted, but only so
//! much of it: [`NODES_MAX`], [`TEXT_BYTES_MAX`], [`DEPTH_MAX`]. What a number type or a string cannot hold is an
//! [`Exact`], which knows its text and nothing else: whoever compares it or calculates with it gets an error.

use std::any::Any;
use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, Type,
};
use cel::common::value::{StaticVal, Val};
use serde_json::value::RawValue;
use simd_json::prelude::{ValueAsScalar, ValueIntoString};
use simd_json::tape;

use super::text;

/// How many values and keys a list or an object may hold to be used in an expression.
pub const NODES_MAX: usize = 10_000;
/// How many bytes of text a value may hold to be used in an expression, and a template may render to.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// How deep a list or an object may be nested to be used in an expression.
pub const DEPTH_MAX: usize = 32;

/// A value that the library can calculate with.
#[derive(Debug)]
pub(super) enum Bound<'v> {
    Null(CelNull),
    Bool(CelBool),
    Int(CelInt),
    UInt(CelUInt),
    Double(CelDouble),
    String(CelString<'v>),
    Boxed(Box<dyn Val + 'v>),
}

impl<'v> Bound<'v> {
    pub fn as_val(&self) -> &(dyn Val + 'v) {
        match self {
            Self::Null(null) => null,
            Self::Bool(bool) => bool,
            Self::Int(int) => int,
            Self::UInt(uint) => uint,
            Self::Double(double) => double,
            Self::String(string) => string,
            Self::Boxed(value) => value.as_ref(),
        }
    }

    pub fn into_box(self) -> Box<dyn Val + 'v> {
        match self {
            Self::Null(null) => Box::new(null),
            Self::Bool(bool) => Box::new(bool),
            Self::Int(int) => Box::new(int),
            Self::UInt(uint) => Box::new(uint),
            Self::Double(double) => Box::new(double),
            Self::String(string) => Box::new(string),
            Self::Boxed(value) => value,
        }
    }

    fn unsigned(number: u64) -> Self {
        i64::try_from(number).map_or(Self::UInt(number.into()), |int| Self::Int(int.into()))
    }
}

/// A number beyond 64 bits or beyond the largest double, or a string with a lone surrogate: by its JSON text.
#[derive(Debug, Clone)]
pub(super) struct Exact(Box<str>);

impl Exact {
    /// Its JSON text.
    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn is_number(&self) -> bool {
        !self.0.starts_with('"')
    }
}

static EXACT_TYPE: Type = Type::new_unspecified_type("value that is not representable");

impl Val for Exact {
    fn get_type(&self) -> &Type {
        &EXACT_TYPE
    }

    fn cel_type() -> &'static Type {
        &EXACT_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Exact {}

/// Why a value cannot be used in an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unusable {
    Nodes,
    Text,
    Depth,
    Key,
}

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nodes => write!(f, "holds more than {NODES_MAX} values, too many for an expression"),
            Self::Text => {
                write!(f, "holds more than {TEXT_BYTES_MAX} bytes of text, too many for an expression")
            }
            Self::Depth => write!(f, "is nested deeper than {DEPTH_MAX} levels, too deep for an expression"),
            Self::Key => f.write_str("has a key that is not representable"),
        }
    }
}

/// What is left of the limits while one value is converted.
#[derive(Clone, Copy)]
pub(super) struct Room {
    nodes: usize,
    text: usize,
    depth: usize,
}

impl Room {
    pub fn new() -> Self {
        Self { nodes: NODES_MAX, text: TEXT_BYTES_MAX, depth: DEPTH_MAX }
    }

    fn node(&mut self) -> Result<(), Unusable> {
        self.nodes = self.nodes.checked_sub(1).ok_or(Unusable::Nodes)?;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Unusable> {
        self.text = self.text.checked_sub(text.len()).ok_or(Unusable::Text)?;
        Ok(())
    }

    /// Runs `convert` one level deeper.
    fn inside<T>(&mut self, convert: impl FnOnce(&mut Self) -> Result<T, Unusable>) -> Result<T, Unusable> {
        self.depth = self.depth.checked_sub(1).ok_or(Unusable::Depth)?;
        let converted = convert(self);
        self.depth += 1;
        converted
    }
}

/// A value on the tape.
pub(super) fn from_tape<'v>(value: tape::Value<'v, 'v>, room: &mut Room) -> Result<Bound<'v>, Unusable> {
    room.node()?;
    if let Some(string) = value.into_string() {
        room.text(string)?;
        return Ok(Bound::String(string.into()));
    }
    if let Some(list) = value.as_array() {
        return room.inside(|room| {
            let elements: Result<Vec<_>, _> =
                list.iter().map(|element| from_tape(element, room).map(Bound::into_box)).collect();
            Ok(Bound::Boxed(Box::new(CelList::from(elements?))))
        });
    }
    if let Some(object) = value.as_object() {
        return room.inside(|room| {
            let mut fields: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
            for (key, value) in object.iter() {
                room.node()?;
                room.text(key)?;
                fields.insert(key.into(), from_tape(value, room)?.into_box());
            }
            Ok(Bound::Boxed(Box::new(CelMap::from(fields))))
        });
    }
    Ok(match (value.as_bool(), value.as_i64(), value.as_u64(), value.as_f64()) {
        (Some(bool), ..) => Bound::Bool(bool.into()),
        (_, Some(int), ..) => Bound::Int(int.into()),
        (_, _, Some(uint), _) => Bound::unsigned(uint),
        (_, _, _, Some(double)) => Bound::Double(double.into()),
        _ => Bound::Null(CelNull),
    })
}

/// A value by its JSON text.
pub(super) fn from_text<'v>(text: &'v str, room: &mut Room) -> Result<Bound<'v>, Unusable> {
    room.node()?;
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    match text::first_byte(text.as_bytes()) {
        b'n' => Ok(Bound::Null(CelNull)),
        b't' => Ok(Bound::Bool(true.into())),
        b'f' => Ok(Bound::Bool(false.into())),
        b'"' => {
            let inside = text.get(1..text.len() - 1).unwrap_or_default();
            if !inside.contains('\\') {
                room.text(inside)?;
                return Ok(Bound::String(inside.into()));
            }
            // An escape is up to six bytes for one.
            let text = if inside.len() > 6 * TEXT_BYTES_MAX { Err(Unusable::Text) } else { Ok(text) }?;
            let Ok(string) = serde_json::from_str::<String>(text) else {
                room.text(inside)?;
                return Ok(exact(text));
            };
            room.text(&string)?;
            Ok(Bound::String(string.into()))
        }
        b'[' => room.inside(|room| {
            let elements = text::elements(within(text)?).map_err(|_| Unusable::Depth)?;
            let elements: Result<Vec<_>, _> = elements.into_iter().map(|raw| boxed(raw, room)).collect();
            Ok(Bound::Boxed(Box::new(CelList::from(elements?))))
        }),
        b'{' => room.inside(|room| {
            let mut fields: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
            for (key, raw) in text::fields(within(text)?).map_err(|_| Unusable::Key)? {
                room.node()?;
                room.text(&key)?;
                fields.insert(key.into(), boxed(raw, room)?);
            }
            Ok(Bound::Boxed(Box::new(CelMap::from(fields))))
        }),
        _ => {
            room.text(text)?;
            Ok(number(text))
        }
    }
}

fn boxed<'v>(raw: &'v RawValue, room: &mut Room) -> Result<Box<dyn Val + 'v>, Unusable> {
    from_text(raw.get(), room).map(Bound::into_box)
}

/// The text of a list or an object, if it may be taken apart: that costs memory for each element, so a text that cannot
/// be within the limits is refused before.
fn within(text: &str) -> Result<&str, Unusable> {
    if text.len() > 2 * TEXT_BYTES_MAX { Err(Unusable::Text) } else { Ok(text) }
}

/// A number by its JSON text: an integer if it is spelled as one.
fn number<'v>(text: &str) -> Bound<'v> {
    if text.contains(['.', 'e', 'E']) {
        return match text.parse::<f64>() {
            Ok(double) if double.is_finite() => Bound::Double(double.into()),
            _ => exact(text),
        };
    }
    if let Ok(int) = text.parse::<i64>() {
        return Bound::Int(int.into());
    }
    text.parse::<u64>().map_or_else(|_| exact(text), Bound::unsigned)
}

fn exact<'v>(text: &str) -> Bound<'v> {
    Bound::Boxed(Box::new(Exact(text.into())))
}

/// A value of a query, of headers, or of a variable: copied.
pub(super) fn from_json<'v>(value: &serde_json::Value, room: &mut Room) -> Result<Bound<'v>, Unusable> {
    use serde_json::Value;
    room.node()?;
    Ok(match value {
        Value::Null => Bound::Null(CelNull),
        Value::Bool(bool) => Bound::Bool((*bool).into()),
        Value::String(string) => {
            room.text(string)?;
            Bound::String(string.clone().into())
        }
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), ..) => Bound::Int(int.into()),
            (_, Some(uint), _) => Bound::unsigned(uint),
            (_, _, Some(double)) => Bound::Double(double.into()),
            _ => exact(&number.to_string()),
        },
        Value::Array(list) => room.inside(|room| {
            let elements: Result<Vec<_>, _> =
                list.iter().map(|element| from_json(element, room).map(Bound::into_box)).collect();
            Ok(Bound::Boxed(Box::new(CelList::from(elements?))))
        })?,
        Value::Object(object) => room.inside(|room| {
            let mut fields: HashMap<CelMapKey<'v>, Box<dyn Val + 'v>> = HashMap::new();
            for (key, value) in object {
                room.node()?;
                room.text(key)?;
                fields.insert(key.clone().into(), from_json(value, room)?.into_box());
            }
            Ok(Bound::Boxed(Box::new(CelMap::from(fields))))
        })?,
    })
}
