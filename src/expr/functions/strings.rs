//! Functions of strings. What they write is charged before it is written.

use std::any::Any;

use cel::ExecutionError;
use cel::common::types::{CelInt, CelList, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};

use super::work::{grow, work};
use super::{Answer, Args, arg, bool, no_such};

/// A pattern that was compiled with its expression.
#[derive(Debug, Clone)]
pub(in crate::expr) struct Pattern(pub regex::Regex);

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

pub(super) fn matches<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let (Some(text), Some(pattern)) =
        (arg(&args, 0)?.downcast_ref::<CelString<'_>>(), arg(&args, 1)?.downcast_ref::<Pattern>())
    else {
        return Err(no_such("matches", &args));
    };
    // An automaton that has to be simulated looks at some ten megabytes in a second.
    work(1 + text.inner().len() / 8)?;
    Ok(bool(pattern.0.is_match(text.inner())))
}

fn text<'a>(function: &str, args: &'a Args<'_, '_>, at: usize) -> Result<&'a str, ExecutionError> {
    let text = arg(args, at)?.downcast_ref::<CelString<'_>>();
    text.map(CelString::inner).ok_or_else(|| no_such(function, args))
}

pub(super) fn map_text<'b, 'v>(
    function: &str,
    args: &Args<'b, 'v>,
    map: impl Fn(&str) -> String,
) -> Answer<'b, 'v> {
    let text = text(function, args, 0)?;
    grow(text.len())?;
    Ok(CowVal::owned(CelString::from(map(text))))
}

/// `text.substring(from)` and `text.substring(from, to)`, counted in characters.
pub(super) fn substring<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    const NAME: &str = "substring";
    let text = text(NAME, &args, 0)?;
    grow(text.len())?;
    let length = text.chars().count();
    let place = |at: usize| -> Result<usize, ExecutionError> {
        let Some(int) = args.get(at) else { return Ok(length) };
        let int = int.downcast_ref::<CelInt>().ok_or_else(|| no_such(NAME, &args))?;
        let place = usize::try_from(*int.inner()).ok().filter(|place| *place <= length);
        place.ok_or_else(|| ExecutionError::function_error(NAME, "the string is shorter"))
    };
    let (from, to) = (place(1)?, place(2)?);
    if from > to {
        return Err(ExecutionError::function_error(NAME, "it ends before it starts"));
    }
    let part: String = text.chars().skip(from).take(to - from).collect();
    Ok(CowVal::owned(CelString::from(part)))
}

pub(super) fn replace<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    const NAME: &str = "replace";
    let (text, from, to) = (text(NAME, &args, 0)?, text(NAME, &args, 1)?, text(NAME, &args, 2)?);
    let found = text.matches(from).count();
    grow((text.len() - found * from.len()).saturating_add(found.saturating_mul(to.len())))?;
    Ok(CowVal::owned(CelString::from(text.replace(from, to))))
}

pub(super) fn split<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    const NAME: &str = "split";
    let (text, by) = (text(NAME, &args, 0)?, text(NAME, &args, 1)?);
    if by.is_empty() {
        return Err(ExecutionError::function_error(NAME, "the separator is empty"));
    }
    work(text.matches(by).count())?;
    grow(text.len())?;
    let parts: Vec<Box<dyn Val + 'v>> =
        text.split(by).map(|part| Box::new(CelString::from(part.to_owned())) as Box<dyn Val + 'v>).collect();
    Ok(CowVal::owned(CelList::from(parts)))
}

pub(super) fn join<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    const NAME: &str = "join";
    let list = arg(&args, 0)?.downcast_ref::<CelList<'_>>().ok_or_else(|| no_such(NAME, &args))?;
    let by = if args.len() > 1 { text(NAME, &args, 1)? } else { "" };
    let parts = list.inner().iter().map(|part| part.downcast_ref::<CelString<'_>>().map(CelString::inner));
    let parts: Vec<&str> = parts.collect::<Option<_>>().ok_or_else(|| {
        ExecutionError::function_error(NAME, "the list holds something that is not a string")
    })?;
    let bytes = parts.iter().map(|part| part.len()).sum::<usize>();
    grow(bytes.saturating_add(by.len().saturating_mul(parts.len().saturating_sub(1))))?;
    Ok(CowVal::owned(CelString::from(parts.join(by))))
}
