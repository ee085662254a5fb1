//! Constant paths: `payload.body.items[0].id`, found when an expression is compiled, looked up for each event.

use std::fmt;

use simd_json::prelude::TypedValue;
use simd_json::tape::Value;

use super::error::EvalError;
use crate::json;

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Body,
    Query,
    Headers,
    Path,
    Method,
    Webhook,
    Id,
    ReceivedAt,
    Variables,
}

impl Root {
    /// What lies under `payload`.
    pub fn of_payload(name: &str) -> Option<Self> {
        Some(match name {
            "body" => Self::Body,
            "query" => Self::Query,
            "headers" => Self::Headers,
            "path" => Self::Path,
            "method" => Self::Method,
            _ => return None,
        })
    }

    /// The names that an expression starts from, `payload` aside.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "webhook" => Self::Webhook,
            "id" => Self::Id,
            "received_at" => Self::ReceivedAt,
            "variables" => Self::Variables,
            _ => return None,
        })
    }

    /// Whether it is text for every event.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Path | Self::Method | Self::Webhook | Self::Id | Self::ReceivedAt)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Body => "payload.body",
            Self::Query => "payload.query",
            Self::Headers => "payload.headers",
            Self::Path => "payload.path",
            Self::Method => "payload.method",
            Self::Webhook => "webhook",
            Self::Id => "id",
            Self::ReceivedAt => "received_at",
            Self::Variables => "variables",
        }
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// A field of an object.
    Key(String),
    /// An element of a list.
    Index(usize),
}

/// A path to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub root: Root,
    pub segments: Vec<Segment>,
}

impl Path {
    /// Follows it from the value of its root, step by step.
    pub fn follow<T>(&self, value: T, step: impl Fn(&T, &Segment) -> Step<T>) -> Result<T, EvalError> {
        self.follow_from(0, value, step)
    }

    /// Follows it from `value`, to which its first `start` steps led.
    pub fn follow_from<T>(
        &self,
        start: usize,
        value: T,
        step: impl Fn(&T, &Segment) -> Step<T>,
    ) -> Result<T, EvalError> {
        let mut value = value;
        for (at, segment) in self.segments.iter().enumerate().skip(start) {
            value = self.take(at, step(&value, segment))?;
        }
        Ok(value)
    }

    /// Where its step number `at` led.
    pub fn take<T>(&self, at: usize, step: Step<T>) -> Result<T, EvalError> {
        match step {
            Step::To(next) => Ok(next),
            Step::Missing => Err(self.missing(at + 1)),
            Step::Not(found) => {
                let wanted = match self.segments.get(at) {
                    Some(Segment::Index(_)) => "a list",
                    _ => "an object",
                };
                Err(EvalError::new(format!("{} is {found}, not {wanted}", Shown(self, at))))
            }
        }
    }

    /// That there is nothing at its first `segments` steps.
    pub fn missing(&self, segments: usize) -> EvalError {
        EvalError::new(format!("{} is missing", Shown(self, segments)))
    }

    /// That there is something, but it cannot be used.
    pub fn unusable(&self, why: impl fmt::Display) -> EvalError {
        EvalError::new(format!("{self} {why}"))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self, self.segments.len()).fmt(f)
    }
}

/// The first steps of a path, as an expression would spell them.
struct Shown<'a>(&'a Path, usize);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(path, count) = self;
        f.write_str(path.root.name())?;
        for segment in path.segments.iter().take(*count) {
            match segment {
                Segment::Key(key) if is_identifier(key) => write!(f, ".{key}")?,
                Segment::Key(key) => write!(f, "[{key:?}]")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn is_identifier(key: &str) -> bool {
    key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

/// Where one step leads.
pub(super) enum Step<T> {
    To(T),
    /// The object has no such field, the list is shorter.
    Missing,
    /// It is neither: what it is.
    Not(&'static str),
}

/// One step in a value on the tape. Of duplicate keys the last counts.
pub(super) fn step_on_tape<'tape, 'text>(
    value: &Value<'tape, 'text>,
    segment: &Segment,
) -> Step<Value<'tape, 'text>> {
    let found = match segment {
        Segment::Key(key) if value.is_object() => json::get(*value, key),
        Segment::Index(index) if value.is_array() => {
            value.as_array().and_then(|list| list.iter().nth(*index))
        }
        _ => return Step::Not(type_on_tape(value)),
    };
    found.map_or(Step::Missing, Step::To)
}

fn type_on_tape(value: &Value<'_, '_>) -> &'static str {
    match value.value_type() {
        simd_json::ValueType::Null => "null",
        simd_json::ValueType::Bool => "a bool",
        simd_json::ValueType::String => "a string",
        simd_json::ValueType::Array => "a list",
        simd_json::ValueType::Object => "an object",
        _ => "a number",
    }
}

/// One step in a value of a query, of headers, or of a variable.
pub(super) fn step_in_json<'v>(
    value: &&'v serde_json::Value,
    segment: &Segment,
) -> Step<&'v serde_json::Value> {
    use serde_json::Value;
    let found = match (segment, *value) {
        (Segment::Key(key), Value::Object(object)) => object.get(key),
        (Segment::Index(index), Value::Array(list)) => list.get(*index),
        (_, Value::Null) => return Step::Not("null"),
        (_, Value::Bool(_)) => return Step::Not("a bool"),
        (_, Value::Number(_)) => return Step::Not("a number"),
        (_, Value::String(_)) => return Step::Not("a string"),
        (_, Value::Array(_)) => return Step::Not("a list"),
        (_, Value::Object(_)) => return Step::Not("an object"),
    };
    found.map_or(Step::Missing, Step::To)
}
