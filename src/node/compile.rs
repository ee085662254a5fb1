//! From what the operator wrote to what runs: expressions and templates, each mistake at its place in the file.

use std::sync::Arc;

use crate::config::{Problem, Written};
use crate::event::{Event, Reads};
use crate::expr::{ExprError, Expression, Template, Variables};

/// Bodies up to this many bytes are read by conditions and templates as a value that is built once for all of them;
/// longer ones as text, path by path, in no memory: their values would take several times their length of it.
pub const EXPRESSION_VALUE_BYTES_MAX: usize = 1 << 20;

/// What expressions read of the body, if they read it at all.
pub fn expression_reads(reads_body: bool) -> Reads {
    match reads_body {
        true => Reads { value_up_to: EXPRESSION_VALUE_BYTES_MAX, text: false },
        false => Reads::default(),
    }
}

/// Compiles the template behind `key`.
pub(super) fn template(key: &str, written: &Written<String>) -> Result<Template, Problem> {
    Template::compile(&written.value).map_err(|error| mistake(key, written, &error))
}

/// Compiles the expression behind `key`.
pub(super) fn expression(key: &str, written: &Written<String>) -> Result<Expression, Problem> {
    Expression::compile(&written.value).map_err(|error| mistake(key, written, &error))
}

/// A mistake in the expression or template behind `key`.
pub fn mistake(key: &str, written: &Written<String>, error: &ExprError) -> Problem {
    Problem::at(written.place, format!("`{key}`: {} (column {} of it)", error.message, error.column))
}

/// Templates with the variables that they see.
pub(super) struct Templates {
    templates: Vec<Template>,
    variables: Arc<Variables>,
}

impl Templates {
    pub fn new<'w>(
        key: &str,
        written: impl IntoIterator<Item = &'w Written<String>>,
        variables: &Arc<Variables>,
    ) -> Result<Self, Problem> {
        let templates =
            written.into_iter().map(|written| template(key, written)).collect::<Result<_, _>>()?;
        Ok(Self { templates, variables: variables.clone() })
    }

    pub fn reads(&self) -> Reads {
        expression_reads(self.templates.iter().any(Template::reads_body))
    }

    /// What each of them makes of the event.
    pub fn render(&self, event: &Event<'_>) -> Result<Vec<String>, String> {
        let render = |template: &Template| {
            let mut text = String::new();
            template.render(event, &self.variables, &mut text).map_err(|error| error.to_string())?;
            Ok(text)
        };
        self.templates.iter().map(render).collect()
    }
}
