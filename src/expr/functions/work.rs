//! The count of the work. The library counts nothing, and macros in macros are a loop in a loop. So each evaluation has
//! [`STEPS_MAX`] steps, some tenths of a second at most. A macro pays for all its rounds before the first, as many steps for
//! each as its body has nodes; what is handed to a function or put into a list pays for what it holds, because it is
//! searched or copied; what grows pays for the result.

use std::cell::Cell;

use cel::ExecutionError;
use cel::common::types::{CelBytes, CelInt, CelList, CelMap, CelOptional, CelString};
use cel::common::value::Val;

use super::{Answer, Args};
use crate::expr::value::{Exact, TEXT_BYTES_MAX};

/// How many steps one evaluation may take.
pub const STEPS_MAX: u64 = 1_000_000;

/// How many bytes of a string are looked at in one step, and how many are written.
pub(super) const BYTES_READ_PER_STEP: usize = 1024;
const BYTES_WRITTEN_PER_STEP: usize = 64;

thread_local! {
    /// Steps that the evaluation of this thread has left.
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// Gives this thread's next evaluation all its steps.
pub(in crate::expr) fn begin() {
    STEPS.set(STEPS_MAX);
}

/// Takes steps of the evaluation of this thread.
pub(super) fn work(steps: usize) -> Result<(), ExecutionError> {
    match STEPS.get().checked_sub(steps as u64) {
        Some(left) => {
            STEPS.set(left);
            Ok(())
        }
        None => {
            // What is left goes too, so that nothing that swallows this error starts over.
            STEPS.set(0);
            let message = format!("this takes more than {STEPS_MAX} steps, too much for one event");
            Err(ExecutionError::function_error("work", message))
        }
    }
}

/// What a value holds, in steps: one for each element, key and begun KiB.
pub(super) fn weight(value: &dyn Val) -> usize {
    if let Some(string) = value.downcast_ref::<CelString<'_>>() {
        1 + string.inner().len() / BYTES_READ_PER_STEP
    } else if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        1 + list.inner().iter().map(|element| weight(element.as_ref())).sum::<usize>()
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        1 + map.inner().values().map(|value| 1 + weight(value.as_ref())).sum::<usize>()
    } else if let Some(optional) = value.downcast_ref::<CelOptional<'_>>() {
        1 + optional.option().map_or(0, weight)
    } else if let Some(bytes) = value.downcast_ref::<CelBytes<'_>>() {
        1 + bytes.inner().len() / BYTES_READ_PER_STEP
    } else if let Some(exact) = value.downcast_ref::<Exact>() {
        1 + exact.text().len() / BYTES_READ_PER_STEP
    } else {
        1
    }
}

pub(super) fn charge<'b, 'v>(mut args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    work(weight(&*value))?;
    Ok(value)
}

pub(super) fn rounds<'b, 'v>(mut args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let nodes = args.pop().and_then(|nodes| Some(*nodes.downcast_ref::<CelInt>()?.inner())).unwrap_or(1);
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    let rounds = value.as_sizer().map_or(1, |sizer| *sizer.size().inner());
    work(
        weight(&*value).saturating_add(usize::try_from(rounds.saturating_mul(nodes)).unwrap_or(usize::MAX)),
    )?;
    Ok(value)
}

/// Charges a string that is about to be written.
pub(super) fn grow(bytes: usize) -> Result<(), ExecutionError> {
    if bytes > TEXT_BYTES_MAX {
        let message = format!("a string would be longer than {TEXT_BYTES_MAX} bytes");
        return Err(ExecutionError::function_error("string", message));
    }
    work(1 + bytes / BYTES_WRITTEN_PER_STEP)
}

/// Whether there are no steps left.
pub(super) fn is_exhausted() -> bool {
    STEPS.get() == 0
}
