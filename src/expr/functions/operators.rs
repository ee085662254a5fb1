//! Operators: exact where the library rounds, an error where it makes infinities, and each paying for its work.

use std::cmp::Ordering;

use cel::ExecutionError;
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelOptional, CelString, CelUInt,
};
use cel::common::value::{CowVal, Val};

use super::work::{BYTES_READ_PER_STEP, grow, is_exhausted, weight, work};
use super::{Answer, Args, arg, bool, no_such};
use crate::expr::number::Number;
use crate::expr::value::Exact;

/// Whether two values are equal: numbers by their exact value, lists and objects by what they hold.
pub(super) fn equal(left: &dyn Val, right: &dyn Val) -> Result<bool, ExecutionError> {
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelString<'_>>(), right.downcast_ref::<CelString<'_>>())
    {
        work(1 + left.inner().len() / BYTES_READ_PER_STEP)?;
        return Ok(left.inner() == right.inner());
    }
    work(1)?;
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return Ok(left.compare(right) == Some(Ordering::Equal));
    }
    if left.downcast_ref::<Exact>().is_some() || right.downcast_ref::<Exact>().is_some() {
        return Err(ExecutionError::function_error("==", "a number or a string is not representable"));
    }
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelList<'_>>(), right.downcast_ref::<CelList<'_>>())
    {
        let (left, right) = (left.inner(), right.inner());
        return Ok(left.len() == right.len()
            && all(left.iter().zip(right).map(|(left, right)| equal(left.as_ref(), right.as_ref())))?);
    }
    if let (Some(left), Some(right)) = (left.downcast_ref::<CelMap<'_>>(), right.downcast_ref::<CelMap<'_>>())
    {
        let (left, right) = (left.inner(), right.inner());
        return Ok(left.len() == right.len()
            && all(left.iter().map(|(key, value)| {
                match right.get(key).or_else(|| right.get(&other_integer(key)?)) {
                    Some(other) => equal(value.as_ref(), other.as_ref()),
                    None => Ok(false),
                }
            }))?);
    }
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelOptional<'_>>(), right.downcast_ref::<CelOptional<'_>>())
    {
        return match (left.option(), right.option()) {
            (Some(left), Some(right)) => equal(left, right),
            (left, right) => Ok(left.is_none() && right.is_none()),
        };
    }
    Ok(left.equals(right))
}

/// The key that is the same number as the other type of integer, if there is one.
fn other_integer(key: &CelMapKey<'_>) -> Option<CelMapKey<'static>> {
    match key {
        CelMapKey::Int(int) => u64::try_from(*int.inner()).ok().map(CelMapKey::from),
        CelMapKey::UInt(uint) => i64::try_from(*uint.inner()).ok().map(CelMapKey::from),
        CelMapKey::Bool(_) | CelMapKey::String(_) => None,
    }
}

/// Whether all are true: one that is false decides, whatever error stands beside it.
fn all(results: impl Iterator<Item = Result<bool, ExecutionError>>) -> Result<bool, ExecutionError> {
    let mut failed = None;
    for result in results {
        match result {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            // Without steps nothing more can be found out.
            Err(error) if is_exhausted() => return Err(error),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(true), Err)
}

pub(super) fn order(operator: &'static str, args: &Args<'_, '_>) -> Result<Ordering, ExecutionError> {
    let (left, right) = (arg(args, 0)?, arg(args, 1)?);
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return left.compare(right).ok_or_else(|| no_such(operator, args));
    }
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelString<'_>>(), right.downcast_ref::<CelString<'_>>())
    {
        work(1 + left.inner().len().min(right.inner().len()) / BYTES_READ_PER_STEP)?;
        return Ok(left.inner().cmp(right.inner()));
    }
    if let (Some(left), Some(right)) = (left.downcast_ref::<CelBool>(), right.downcast_ref::<CelBool>()) {
        return Ok(left.inner().cmp(right.inner()));
    }
    Err(no_such(operator, args))
}

/// `left in right`: one that is equal decides, whatever error stands beside it.
pub(super) fn within<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let (value, container) = (arg(&args, 0)?, arg(&args, 1)?);
    if let Some(list) = container.downcast_ref::<CelList<'_>>() {
        let differ = list.inner().iter().map(|element| equal(value, element.as_ref()).map(|equal| !equal));
        return all(differ).map(|differ| bool(!differ));
    }
    work(1)?;
    let container = container.as_container().ok_or_else(|| no_such("in", &args))?;
    container.contains(value).map(bool).map_err(|_| no_such("in", &args))
}

/// `+ - * / %`: operands of one type, and a result that this type can hold.
pub(super) fn arithmetic<'b, 'v>(
    operator: &'static str,
    args: &Args<'b, 'v>,
    int: fn(i64, i64) -> Option<i64>,
    uint: fn(u64, u64) -> Option<u64>,
    double: Option<fn(f64, f64) -> f64>,
) -> Answer<'b, 'v> {
    let (left, right) = (arg(args, 0)?, arg(args, 1)?);
    let out_of_range =
        || ExecutionError::function_error(operator, "the result is beyond the range of its type");
    if let (Some(left), Some(right)) = (left.downcast_ref::<CelInt>(), right.downcast_ref::<CelInt>()) {
        let result = int(*left.inner(), *right.inner()).ok_or_else(out_of_range)?;
        return Ok(CowVal::owned(CelInt::from(result)));
    }
    if let (Some(left), Some(right)) = (left.downcast_ref::<CelUInt>(), right.downcast_ref::<CelUInt>()) {
        let result = uint(*left.inner(), *right.inner()).ok_or_else(out_of_range)?;
        return Ok(CowVal::owned(CelUInt::from(result)));
    }
    if let (Some(left), Some(right), Some(double)) =
        (left.downcast_ref::<CelDouble>(), right.downcast_ref::<CelDouble>(), double)
    {
        let result = Some(double(*left.inner(), *right.inner())).filter(|result| result.is_finite());
        return Ok(CowVal::owned(CelDouble::from(result.ok_or_else(out_of_range)?)));
    }
    Err(no_such(operator, args))
}

pub(super) fn add<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let (left, right) = (arg(&args, 0)?, arg(&args, 1)?);
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelString<'_>>(), right.downcast_ref::<CelString<'_>>())
    {
        grow(left.inner().len() + right.inner().len())?;
        return Ok(CowVal::owned(CelString::from([left.inner(), right.inner()].concat())));
    }
    if let (Some(left), Some(right)) =
        (left.downcast_ref::<CelList<'v>>(), right.downcast_ref::<CelList<'v>>())
    {
        work(weight(left) + weight(right))?;
        let elements: Vec<Box<dyn Val + 'v>> =
            left.inner().iter().chain(right.inner()).map(|element| element.clone_as_boxed()).collect();
        return Ok(CowVal::owned(CelList::from(elements)));
    }
    arithmetic("+", &args, i64::checked_add, u64::checked_add, Some(|a, b| a + b))
}

/// `double(x)`; unlike the library's it makes neither infinities nor NaN of a string.
pub(super) fn double<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let value = arg(&args, 0)?;
    let double = match (Number::of(value), value.downcast_ref::<CelString<'_>>()) {
        (Some(Number::Double(double)), _) => double,
        (Some(Number::Integer(integer)), _) => integer as f64,
        (_, Some(text)) => {
            let finite = text.inner().parse::<f64>().ok().filter(|double| double.is_finite());
            finite.ok_or_else(|| ExecutionError::function_error("double", "the string is not a double"))?
        }
        _ => return Err(no_such("double", &args)),
    };
    Ok(CowVal::owned(CelDouble::from(double)))
}

pub(super) fn negate<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let value = arg(&args, 0)?;
    if let Some(double) = value.downcast_ref::<CelDouble>() {
        return Ok(CowVal::owned(CelDouble::from(-double.inner())));
    }
    let int = value.downcast_ref::<CelInt>().ok_or_else(|| no_such("-", &args))?;
    let result = int
        .inner()
        .checked_neg()
        .ok_or_else(|| ExecutionError::function_error("-", "the result is beyond the range of its type"))?;
    Ok(CowVal::owned(CelInt::from(result)))
}

pub(super) fn not<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let value = arg(&args, 0)?.downcast_ref::<CelBool>().ok_or_else(|| no_such("!", &args))?;
    Ok(bool(!value.inner()))
}
