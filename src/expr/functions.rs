//! What the language can do beside what its library does: exact comparisons, arithmetic without infinities, string
//! functions, and a count of the work.
//!
//! The library's operators are replaced when an expression is compiled, see [`super::rewrite`]; an expression cannot
//! spell the names of what replaces them, they all start with `@`.
//!
//! | file | what |
//! | --- | --- |
//! | `work` | the count of the work |
//! | `operators` | `== < in + - * / %` and `double` |
//! | `strings` | functions of strings |

mod operators;
mod strings;
mod work;

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelBool, CelString, DYN_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError};

pub(super) use strings::Pattern;
pub use work::STEPS_MAX;
pub(super) use work::begin;

use super::output::{self, NotJson};
use operators::{add, arithmetic, double, equal, negate, not, order, within};
use strings::{join, map_text, matches, replace, split, substring};
use work::{charge, rounds};

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
    Callable { name: "double", global: &[1], member: &[], ours: Some("@double"), can_be_bool: false },
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
    (TEXT, 1, |args| result(&args, output::write_text)),
    (JSON, 1, |args| result(&args, output::write_json)),
    ("@matches", 2, matches),
    ("@double", 1, double),
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

/// Writes the value of a whole expression.
fn result<'b, 'v>(
    args: &Args<'b, 'v>,
    write: impl Fn(&dyn Val, &mut String) -> Result<(), NotJson>,
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
