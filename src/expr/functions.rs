//! What the language can do beside what its library does: exact comparisons, arithmetic without infinities, string
//! functions, and a count of the work.
//!
//! The library's operators are replaced when an expression is compiled, see [`super::rewrite`]; an expression cannot
//! spell the names of what replaces them, they all start with `@`.
//!
//! **Work.** The library counts nothing, and macros in macros are a loop in a loop. So each evaluation has
//! [`STEPS_MAX`] steps, about a tenth of a second. A macro pays for all its rounds before the first, as many steps for
//! each as its body has nodes; what is handed to a function or put into a list pays for what it holds, because it is
//! searched or copied; what grows pays for the result.

use std::cell::Cell;
use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelOptional, CelString, CelUInt,
    DYN_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError};

use super::number::Number;
use super::value::{self, Exact, TEXT_BYTES_MAX};

/// How many steps one evaluation may take.
pub const STEPS_MAX: u64 = 1_000_000;

/// How many bytes of a string are looked at in one step, and how many are written.
const BYTES_READ_PER_STEP: usize = 1024;
const BYTES_WRITTEN_PER_STEP: usize = 64;

type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// What may be called, and with how many arguments.
pub(super) struct Callable {
    pub name: &'static str,
    /// `size(x)`.
    pub global: &'static [usize],
    /// `x.size()`, the target not counted.
    pub member: &'static [usize],
    /// What runs instead of the library's function of that name.
    pub ours: Option<&'static str>,
    /// Whether its result can be a condition.
    pub can_be_bool: bool,
}

const fn global(name: &'static str, global: &'static [usize], can_be_bool: bool) -> Callable {
    Callable { name, global, member: &[], ours: None, can_be_bool }
}

const fn member(name: &'static str, member: &'static [usize], can_be_bool: bool) -> Callable {
    Callable { name, global: &[], member, ours: None, can_be_bool }
}

const fn ours(name: &'static str, member: &'static [usize], ours: &'static str) -> Callable {
    Callable { name, global: &[], member, ours: Some(ours), can_be_bool: false }
}

/// Every function that an expression may call.
pub(super) const CALLABLE: &[Callable] = &[
    Callable { name: "size", global: &[1], member: &[0], ours: None, can_be_bool: false },
    Callable { name: "matches", global: &[2], member: &[1], ours: Some("@matches"), can_be_bool: true },
    member("contains", &[1], true),
    member("startsWith", &[1], true),
    member("endsWith", &[1], true),
    ours("lowerAscii", &[0], "@lower"),
    ours("upperAscii", &[0], "@upper"),
    ours("trim", &[0], "@trim"),
    ours("substring", &[1, 2], "@substring"),
    ours("replace", &[2], "@replace"),
    ours("split", &[1], "@split"),
    ours("join", &[0, 1], "@join"),
    global("int", &[1], false),
    global("uint", &[1], false),
    global("double", &[1], false),
    global("string", &[1], false),
    global("bool", &[1], true),
    global("type", &[1], false),
    global("dyn", &[1], true),
    member("hasValue", &[0], true),
    member("value", &[0], true),
    member("or", &[1], false),
    member("orValue", &[1], true),
];

/// The library's operators, and what runs instead.
pub(super) const OPERATORS: &[(&str, &str)] = &[
    ("_==_", "@eq"),
    ("_!=_", "@ne"),
    ("_<_", "@lt"),
    ("_<=_", "@le"),
    ("_>_", "@gt"),
    ("_>=_", "@ge"),
    ("@in", "@within"),
    ("_+_", "@add"),
    ("_-_", "@sub"),
    ("_*_", "@mul"),
    ("_/_", "@div"),
    ("_%_", "@rem"),
    ("-_", "@neg"),
    ("!_", "@not"),
];

/// The function that charges what a value holds and hands it on.
pub(super) const CHARGE: &str = "@charge";
/// The function that charges the rounds of a macro and hands its list on.
pub(super) const ROUNDS: &str = "@rounds";

/// The function that makes the text of a template's hole of its value.
pub(super) const TEXT: &str = "@text";
/// The function that makes JSON of the value of an expression.
pub(super) const JSON: &str = "@json";

/// What an error is called that concerns the value of a whole expression.
pub(super) const RESULT: &str = "result";

thread_local! {
    /// What expressions are compiled in and run in: the standard library, with ours beside it. One for each thread: each
    /// evaluation counts a reference to it, and threads would fight for that count.
    static ENV: Arc<Env> = Arc::new(environment());
}

/// The environment of this thread.
pub(super) fn env() -> Arc<Env> {
    ENV.with(Arc::clone)
}

fn environment() -> Env {
    let mut env = Env::stdlib();
    for (name, arity, function) in OURS {
        let (id, types) = (format!("{name}/{arity}"), (0..*arity).map(|_| DYN_TYPE).collect());
        let declared = env.add_overload(name, &id, types, *function);
        debug_assert!(declared.is_ok(), "{declared:?}");
    }
    env
}

const OURS: &[(&str, usize, cel::common::functions::Function)] = &[
    ("@eq", 2, |args| equal(arg(&args, 0)?, arg(&args, 1)?).map(bool)),
    ("@ne", 2, |args| equal(arg(&args, 0)?, arg(&args, 1)?).map(|equal| bool(!equal))),
    ("@lt", 2, |args| order("<", &args).map(|order| bool(order.is_lt()))),
    ("@le", 2, |args| order("<=", &args).map(|order| bool(order.is_le()))),
    ("@gt", 2, |args| order(">", &args).map(|order| bool(order.is_gt()))),
    ("@ge", 2, |args| order(">=", &args).map(|order| bool(order.is_ge()))),
    ("@within", 2, within),
    ("@add", 2, add),
    ("@sub", 2, |args| arithmetic("-", &args, i64::checked_sub, u64::checked_sub, Some(|a, b| a - b))),
    ("@mul", 2, |args| arithmetic("*", &args, i64::checked_mul, u64::checked_mul, Some(|a, b| a * b))),
    ("@div", 2, |args| arithmetic("/", &args, i64::checked_div, u64::checked_div, Some(|a, b| a / b))),
    ("@rem", 2, |args| arithmetic("%", &args, i64::checked_rem, u64::checked_rem, None)),
    ("@neg", 1, negate),
    ("@not", 1, not),
    (CHARGE, 1, charge),
    (ROUNDS, 2, rounds),
    (TEXT, 1, |args| result(&args, value::write_text)),
    (JSON, 1, |args| result(&args, value::write_json)),
    ("@matches", 2, matches),
    ("@lower", 1, |args| map_text("lowerAscii", &args, str::to_ascii_lowercase)),
    ("@upper", 1, |args| map_text("upperAscii", &args, str::to_ascii_uppercase)),
    ("@trim", 1, |args| map_text("trim", &args, |text| text.trim().to_owned())),
    ("@substring", 2, substring),
    ("@substring", 3, substring),
    ("@replace", 3, replace),
    ("@split", 2, split),
    ("@join", 1, join),
    ("@join", 2, join),
];

thread_local! {
    /// Steps that the evaluation of this thread has left.
    static STEPS: Cell<u64> = const { Cell::new(0) };
}

/// Gives this thread's next evaluation all its steps.
pub(super) fn begin() {
    STEPS.set(STEPS_MAX);
}

/// Takes steps of the evaluation of this thread.
fn work(steps: usize) -> Result<(), ExecutionError> {
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
fn weight(value: &dyn Val) -> usize {
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

fn charge<'b, 'v>(mut args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    work(weight(&*value))?;
    Ok(value)
}

fn rounds<'b, 'v>(mut args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let nodes = args.pop().and_then(|nodes| Some(*nodes.downcast_ref::<CelInt>()?.inner())).unwrap_or(1);
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    let rounds = value.as_sizer().map_or(1, |sizer| *sizer.size().inner());
    work(
        weight(&*value).saturating_add(usize::try_from(rounds.saturating_mul(nodes)).unwrap_or(usize::MAX)),
    )?;
    Ok(value)
}

/// Writes the value of a whole expression.
fn result<'b, 'v>(
    args: &Args<'b, 'v>,
    write: impl Fn(&dyn Val, &mut String) -> Result<(), value::NotJson>,
) -> Answer<'b, 'v> {
    let mut text = String::new();
    let written = write(arg(args, 0)?, &mut text);
    written.map_err(|error| ExecutionError::function_error(RESULT, error))?;
    Ok(CowVal::owned(CelString::from(text)))
}

fn arg<'a, 'b, 'v>(args: &'a Args<'b, 'v>, at: usize) -> Result<&'a (dyn Val + 'v), ExecutionError> {
    args.get(at).map(|arg| &**arg).ok_or_else(ExecutionError::missing_argument_or_target)
}

/// A boolean, without an allocation.
fn bool<'b, 'v>(bool: bool) -> CowVal<'b, 'v> {
    static TRUE: LazyLock<CelBool> = LazyLock::new(|| true.into());
    static FALSE: LazyLock<CelBool> = LazyLock::new(|| false.into());
    CowVal::Borrowed(if bool { &*TRUE } else { &*FALSE })
}

/// That there is no `function` for values of these types.
fn no_such(function: &str, args: &Args<'_, '_>) -> ExecutionError {
    ExecutionError::no_such_overload(
        function,
        args.iter().map(|arg| arg.get_type().name().to_owned()).collect(),
    )
}

/// Whether two values are equal: numbers by their exact value, lists and objects by what they hold.
fn equal(left: &dyn Val, right: &dyn Val) -> Result<bool, ExecutionError> {
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
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(true), Err)
}

fn order(operator: &'static str, args: &Args<'_, '_>) -> Result<Ordering, ExecutionError> {
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
fn within<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
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
fn arithmetic<'b, 'v>(
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

fn add<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
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

fn negate<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
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

fn not<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let value = arg(&args, 0)?.downcast_ref::<CelBool>().ok_or_else(|| no_such("!", &args))?;
    Ok(bool(!value.inner()))
}

/// A pattern that was compiled with its expression.
#[derive(Debug, Clone)]
pub(super) struct Pattern(pub regex::Regex);

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

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

fn matches<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    let (Some(text), Some(pattern)) =
        (arg(&args, 0)?.downcast_ref::<CelString<'_>>(), arg(&args, 1)?.downcast_ref::<Pattern>())
    else {
        return Err(no_such("matches", &args));
    };
    // An automaton that has to be simulated looks at some ten megabytes in a second.
    work(1 + text.inner().len() / 8)?;
    Ok(bool(pattern.0.is_match(text.inner())))
}

/// Charges a string that is about to be written.
fn grow(bytes: usize) -> Result<(), ExecutionError> {
    if bytes > TEXT_BYTES_MAX {
        let message = format!("a string would be longer than {TEXT_BYTES_MAX} bytes");
        return Err(ExecutionError::function_error("string", message));
    }
    work(1 + bytes / BYTES_WRITTEN_PER_STEP)
}

fn text<'a>(function: &str, args: &'a Args<'_, '_>, at: usize) -> Result<&'a str, ExecutionError> {
    let text = arg(args, at)?.downcast_ref::<CelString<'_>>();
    text.map(CelString::inner).ok_or_else(|| no_such(function, args))
}

fn map_text<'b, 'v>(function: &str, args: &Args<'b, 'v>, map: impl Fn(&str) -> String) -> Answer<'b, 'v> {
    let text = text(function, args, 0)?;
    grow(text.len())?;
    Ok(CowVal::owned(CelString::from(map(text))))
}

/// `text.substring(from)` and `text.substring(from, to)`, counted in characters.
fn substring<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
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

fn replace<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
    const NAME: &str = "replace";
    let (text, from, to) = (text(NAME, &args, 0)?, text(NAME, &args, 1)?, text(NAME, &args, 2)?);
    let found = text.matches(from).count();
    grow((text.len() - found * from.len()).saturating_add(found.saturating_mul(to.len())))?;
    Ok(CowVal::owned(CelString::from(text.replace(from, to))))
}

fn split<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
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

fn join<'b, 'v>(args: Args<'b, 'v>) -> Answer<'b, 'v> {
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
