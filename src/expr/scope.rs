//! One evaluation: what the names of an expression stand for, looked up when the library asks and at most once.

use std::borrow::Cow;
use std::sync::OnceLock;

use cel::common::traits::{Container, Indexer};
use cel::common::types::{CelList, CelOptional, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, ExecutionError, Value};

use super::compile::Compiled;
use super::error::EvalError;
use super::functions;
use super::path::{Path, Root, Segment, step_in_json, step_on_tape};
use super::rewrite::{Ask, PATTERN_PREFIX, SLOT_PREFIX, Slot};
use super::text::{step_in_bytes, step_in_text};
use super::value::{Bound, Room, TEXT_BYTES_MAX, Unusable, from_json, from_tape, from_text};
use super::variables::Variables;
use crate::event::{BodyValue, Event};

/// Evaluates an expression.
pub(super) fn evaluate(
    compiled: &Compiled,
    event: &Event<'_>,
    variables: &Variables,
) -> Result<Value, EvalError> {
    functions::begin();
    let scope = Scope {
        compiled,
        event: *event,
        variables,
        found: compiled.slots.iter().map(|_| OnceLock::new()).collect(),
        query: OnceLock::new(),
    };
    let mut context = Context::with_env(functions::env());
    context.set_variable_resolver(&scope);
    // Not `resolve_val`, which is inlined into whoever calls it and takes 50 KiB of stack for a node in a build without
    // optimization. Nothing large comes this way, see `functions::TEXT` and `functions::JSON`.
    Value::resolve(&compiled.expr, &context).map_err(|error| scope.explain(error))
}

struct Scope<'v> {
    compiled: &'v Compiled,
    event: Event<'v>,
    variables: &'v Variables,
    found: Vec<OnceLock<Result<Bound<'v>, EvalError>>>,
    query: OnceLock<serde_json::Value>,
}

impl VariableResolver for Scope<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(at) = name.strip_prefix(PATTERN_PREFIX) {
            return self
                .compiled
                .patterns
                .get(at.parse::<usize>().ok()?)
                .map(|pattern| CowVal::Borrowed(pattern));
        }
        let at = name.strip_prefix(SLOT_PREFIX)?.parse::<usize>().ok()?;
        let (slot, found) = (self.compiled.slots.get(at)?, self.found.get(at)?);
        match found.get_or_init(|| self.find(slot)) {
            Ok(bound) => Some(CowVal::Borrowed(bound.as_val())),
            Err(_) => None,
        }
    }
}

impl<'v> Scope<'v> {
    /// What a slot stands for.
    fn find(&self, slot: &Slot) -> Result<Bound<'v>, EvalError> {
        let found = match slot.ask {
            Ask::Lookup => return Ok(Bound::Boxed(Box::new(AllVariables(self.variables)))),
            Ask::Presence => return self.is_there(&slot.path).map(|there| Bound::Bool(there.into())),
            Ask::Value => return self.value(&slot.path),
            Ask::Optional if self.is_there(&slot.path)? => {
                CelOptional::of(self.value(&slot.path)?.into_box())
            }
            Ask::Optional => CelOptional::none(),
        };
        Ok(Bound::Boxed(Box::new(found)))
    }

    fn is_there(&self, path: &Path) -> Result<bool, EvalError> {
        Ok(match path.root {
            Root::Body => match self.event.body_value() {
                BodyValue::Value(body) => path.follow(body, step_on_tape).is_ok(),
                BodyValue::TextOnly => self.in_text(path).is_ok(),
            },
            Root::Query => path.follow(self.query(), step_in_json).is_ok(),
            Root::Headers => self.in_headers(path, |_| Ok(Bound::Bool(true.into()))).is_ok(),
            Root::Variables => self.in_variables(path, |_| Ok(Bound::Bool(true.into()))).is_ok(),
            _ => true,
        })
    }

    fn value(&self, path: &Path) -> Result<Bound<'v>, EvalError> {
        let json = |value: &serde_json::Value| {
            from_json(value, &mut Room::new()).map_err(|unusable| path.unusable(unusable))
        };
        match path.root {
            Root::Body => match self.event.body_value() {
                BodyValue::Value(body) => {
                    let value = path.follow(body, step_on_tape)?;
                    from_tape(value, &mut Room::new()).map_err(|unusable| path.unusable(unusable))
                }
                BodyValue::TextOnly => {
                    let text = self.in_text(path)?;
                    from_text(text, &mut Room::new()).map_err(|unusable| path.unusable(unusable))
                }
            },
            Root::Query => {
                if let [Segment::Key(name)] = &path.segments[..]
                    && let Some(value) = self.event.plain_parameter(name)
                {
                    return value.map(|value| string(value.into())).ok_or_else(|| path.missing(1));
                }
                json(path.follow(self.query(), step_in_json)?)
            }
            Root::Headers => match &path.segments[..] {
                [Segment::Key(name)] => self.header(name).ok_or_else(|| path.missing(1)),
                _ => self.in_headers(path, json),
            },
            Root::Variables => self.in_variables(path, json),
            Root::Path => Ok(string(text_of(self.event.path()))),
            Root::Method => Ok(string(self.event.method().into())),
            Root::Webhook => Ok(string(self.event.webhook().into())),
            Root::Id => Ok(string(String::from_utf8_lossy(&self.event.id().text()).into_owned().into())),
            Root::ReceivedAt => {
                Ok(string(humantime::format_rfc3339_millis(self.event.received_at()).to_string().into()))
            }
        }
    }

    /// The text of a value of a body that has no tape.
    fn in_text(&self, path: &Path) -> Result<&'v str, EvalError> {
        let body = self.event.body();
        let Some(first) = path.segments.first() else {
            if body.len() > 2 * TEXT_BYTES_MAX {
                return Err(path.unusable(Unusable::Text));
            }
            return std::str::from_utf8(body).map_err(|_| path.unusable("is not UTF-8"));
        };
        // From the bytes of the body to the text of a value: only what is found is looked at as UTF-8.
        let found = path.take(0, step_in_bytes(body, first))?;
        path.follow_from(1, found, step_in_text)
    }

    fn query(&self) -> &serde_json::Value {
        self.query.get_or_init(|| self.event.query())
    }

    /// The header of this name: a string or, if it is repeated, a list of strings.
    fn header(&self, name: &str) -> Option<Bound<'v>> {
        let is_it = |(field, _): &(&[u8], &[u8])| field.eq_ignore_ascii_case(name.as_bytes());
        let mut values = self.event.headers().filter(is_it).map(|(_, value)| text_of(value));
        let first = values.next()?;
        let Some(second) = values.next() else { return Some(string(first)) };
        let all = [first, second].into_iter().chain(values).map(|value| string(value).into_box());
        Some(Bound::Boxed(Box::new(CelList::from(all.collect::<Vec<_>>()))))
    }

    /// Looks a path up in all headers as one object.
    fn in_headers<T>(
        &self,
        path: &Path,
        see: impl FnOnce(&serde_json::Value) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        use serde_json::Value;
        let mut all = serde_json::Map::new();
        for (name, value) in self.event.headers() {
            let value = Value::String(text_of(value).into_owned());
            match all.entry(String::from_utf8_lossy(name).to_ascii_lowercase()) {
                serde_json::map::Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                serde_json::map::Entry::Occupied(mut entry) => match entry.get_mut() {
                    Value::Array(values) => values.push(value),
                    first => *first = Value::Array(vec![first.take(), value]),
                },
            }
        }
        see(path.follow(&Value::Object(all), step_in_json)?)
    }

    /// Looks a path up in the variable that it names, under the lock.
    fn in_variables<T>(
        &self,
        path: &Path,
        see: impl FnOnce(&serde_json::Value) -> Result<T, EvalError>,
    ) -> Result<T, EvalError> {
        let Some(Segment::Key(name)) = path.segments.first() else { return Err(path.missing(1)) };
        let found = self.variables.with(name, |value| see(path.follow_from(1, value, step_in_json)?));
        found.unwrap_or_else(|| Err(path.missing(1)))
    }

    /// What went wrong, without the values that the library's errors hold.
    fn explain(&self, error: ExecutionError) -> EvalError {
        use ExecutionError as E;
        EvalError::new(match error {
            E::UndeclaredReference(name) => {
                let slot = name.strip_prefix(SLOT_PREFIX).and_then(|at| at.parse::<usize>().ok());
                if let Some(Err(error)) = slot.and_then(|at| self.found.get(at)?.get()) {
                    return error.clone();
                }
                format!("`{name}` is not known")
            }
            E::NoSuchKey(key) => format!("there is no field `{}`", key.chars().take(64).collect::<String>()),
            E::NoSuchOverload(error) => {
                format!(
                    "`{}` is not for values of the types {}",
                    error.function(),
                    error.argument_types().join(", ")
                )
            }
            E::UnexpectedType { got, want } => format!("a value is of type {got}, not {want}"),
            E::FunctionError { function, message } if function == functions::RESULT => message,
            E::FunctionError { function, message } => {
                format!("{function}: {}", message.chars().take(128).collect::<String>())
            }
            E::IndexOutOfBounds(_) => "an index is beyond the end of its list".to_owned(),
            E::DuplicateKey(_) => "a map has a key twice".to_owned(),
            E::UnsupportedKeyType(_) => "a value of this type is no key".to_owned(),
            _ => "an operation is not for values of these types".to_owned(),
        })
    }
}

fn string(text: Cow<'_, str>) -> Bound<'_> {
    Bound::String(CelString::from(text))
}

/// Bytes of a head as text. What is not UTF-8 is read as ISO-8859-1, which RFC 9110 §5.5 names as what header values
/// once were.
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes)
        .map_or_else(|_| bytes.iter().map(|&byte| char::from(byte)).collect::<String>().into(), Cow::Borrowed)
}

/// All variables, of which one is looked up by a name that an expression makes.
struct AllVariables<'v>(&'v Variables);

impl std::fmt::Debug for AllVariables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("variables")
    }
}

impl Val for AllVariables<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(AllVariables(self.0))
    }
}

impl Container for AllVariables<'_> {
    fn contains(&self, name: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(self.0.with(name_of(name)?, |_| ()).is_some())
    }
}

impl Indexer for AllVariables<'_> {
    fn get<'b, 'w>(&'b self, name: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        let name = name_of(name)?;
        let found = self.0.with(name, |value| from_json(value, &mut Room::new()));
        let bound = found.ok_or_else(|| ExecutionError::no_such_key(&format!("variables[{name:?}]")))?;
        let bound = bound.map_err(|unusable| ExecutionError::function_error("variables", unusable))?;
        Ok(CowVal::Owned(bound.into_box()))
    }

    fn steal<'w>(self: Box<Self>, name: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(name).map(CowVal::into_owned)
    }
}

fn name_of(name: &dyn Val) -> Result<&str, ExecutionError> {
    let string = name.downcast_ref::<CelString<'_>>().map(CelString::inner);
    string.ok_or_else(|| {
        ExecutionError::no_such_overload("variables[_]", vec![name.get_type().name().to_owned()])
    })
}
