//! What is wrong with an expression, and what went wrong with one for an event.

use std::fmt;

/// A mistake in an expression or a template: a mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExprError {
    /// Where it is: counts characters of the text, from 1.
    pub column: usize,
    /// What it is and what to write instead.
    pub message: String,
}

impl ExprError {
    pub(super) fn new(column: usize, message: impl Into<String>) -> Self {
        Self { column, message: message.into() }
    }

    /// The mistake at a byte of `text`.
    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let column = text.char_indices().take_while(|(at, _)| *at < offset).count() + 1;
        Self::new(column, message)
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at column {}", self.message, self.column)
    }
}

impl std::error::Error for ExprError {}

/// Why an expression has no value for an event: a field that is not there, a value of the wrong type, a number that
/// cannot be represented, too much work. It names paths and types, never the values of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError(String);

impl EvalError {
    /// For those who refuse what an expression has made.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EvalError {}
