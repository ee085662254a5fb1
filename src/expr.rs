//! Conditions and templates of triggers: CEL, the Common Expression Language, over one event and the variables of its
//! webhook.
//!
//! ```text
//!   text ─► scan: bounds ─► cel: parse ─► rewrite: paths become slots, operators ours ─► Condition | Expression | Template
//!   event ─► scope: only the slots that the library asks for, each at most once ─► cel: evaluate ─► a bool, a value, text
//! ```
//!
//! The language is the [`cel`] crate's. What it must not do here is done before it gets to it: no map of the body is
//! built, because the constant paths of an expression are found when it is compiled and only their values are looked up
//! ([`path`]); numbers are compared by their exact value ([`number`]); work and memory are bounded ([`functions`],
//! [`value`]). `docs/expressions.md` is for who writes them.
//!
//! | file | what |
//! | --- | --- |
//! | `compile`, `scan`, `rewrite` | from text to what runs, and every mistake with its column |
//! | `path`, `text` | constant paths, on the tape and in the exact text of a body |
//! | `scope`, `value`, `output` | one evaluation; what goes in and what comes out |
//! | `functions`, `number` | operators and functions, their bounds |
//! | `template` | text with holes |
//! | `variables` | [`Variables`], what a webhook keeps |

mod compile;
mod error;
mod functions;
mod fuzz;
mod number;
mod output;
mod path;
mod rewrite;
mod scan;
mod scope;
mod template;
mod text;
mod value;
mod variables;

pub use compile::TEXT_BYTES_MAX as EXPRESSION_BYTES_MAX;
pub use error::{EvalError, ExprError};
pub use functions::STEPS_MAX;
pub use fuzz::fuzz_expression;
pub use template::{HOLES_MAX, TEMPLATE_BYTES_MAX, Template};
pub use value::{DEPTH_MAX, NODES_MAX, TEXT_BYTES_MAX};
pub use variables::{LoadError, VariableError, Variables};

use cel::Value;

use crate::event::Event;
use compile::Compiled;

/// A condition, `when`: an expression whose value is a bool.
#[derive(Debug)]
pub struct Condition(Compiled);

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// When it is not an expression, names something that is not there for any event, or can never be a bool.
    pub fn compile(text: &str) -> Result<Self, ExprError> {
        let compiled = Compiled::new(text, None)?;
        if let Some(what) = compiled.never_bool() {
            return Err(ExprError::new(1, format!("a condition must be a bool, this is {what}")));
        }
        Ok(Self(compiled))
    }

    /// Whether it names anything of the body: then somebody has to build its value before [`Self::eval`].
    pub fn reads_body(&self) -> bool {
        self.0.reads_body()
    }

    /// Whether the event meets it.
    ///
    /// # Errors
    /// When a field is missing or of the wrong type, a number is not representable, or it is too much work. The event
    /// does not meet it then.
    pub fn eval(&self, event: &Event<'_>, variables: &Variables) -> Result<bool, EvalError> {
        match scope::evaluate(&self.0, event, variables)? {
            Value::Bool(met) => Ok(met),
            other => Err(EvalError::new(format!("the condition is of type {}, not bool", other.type_of()))),
        }
    }
}

/// An expression whose value is kept.
#[derive(Debug)]
pub struct Expression(Compiled);

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is not one, or names something that is not there for any event.
    pub fn compile(text: &str) -> Result<Self, ExprError> {
        Compiled::new(text, Some(functions::JSON)).map(Self)
    }

    /// Whether it names anything of the body.
    pub fn reads_body(&self) -> bool {
        self.0.reads_body()
    }

    /// Its value for an event.
    ///
    /// # Errors
    /// As [`Condition::eval`], and when the value has no place in JSON.
    pub fn eval(&self, event: &Event<'_>, variables: &Variables) -> Result<serde_json::Value, EvalError> {
        match scope::evaluate(&self.0, event, variables)? {
            Value::String(json) => serde_json::from_str(&json),
            _ => Ok(serde_json::Value::Null),
        }
        .map_err(|_| EvalError::new("the result is nested too deep"))
    }
}

#[cfg(test)]
mod tests;
