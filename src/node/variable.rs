//! `variable`: keeps something of the event, because its payload lives only as long as its trigger runs.

use std::sync::Arc;

use super::compile::{expression, expression_reads, template};
use super::{NodeError, Surroundings};
use crate::config::{self, Problem};
use crate::event::{Event, Reads};
use crate::expr::{Expression, Template, Variables};

/// Changes a variable of the webhook for each event.
pub struct Variable {
    name: Template,
    change: Change,
    variables: Arc<Variables>,
}

enum Change {
    Set(Expression),
    Increment(Expression),
    Delete,
}

impl Variable {
    pub(super) fn open(config: &config::Variable, around: &Surroundings<'_>) -> Result<Self, Problem> {
        let change = match &config.change {
            config::Change::Set(value) => Change::Set(expression("set", value)?),
            config::Change::Increment(by) => Change::Increment(expression("increment", by)?),
            config::Change::Delete => Change::Delete,
        };
        Ok(Self { name: template("name", &config.name)?, change, variables: around.variables.clone() })
    }

    pub(super) fn reads(&self) -> Reads {
        let value = match &self.change {
            Change::Set(value) | Change::Increment(value) => value.reads_body(),
            Change::Delete => false,
        };
        expression_reads(self.name.reads_body() || value)
    }

    pub(super) fn run(&self, event: &Event<'_>) -> Result<(), NodeError> {
        self.change(event).map_err(|reason| NodeError { node: "variable", reason })
    }

    fn change(&self, event: &Event<'_>) -> Result<(), String> {
        let mut name = String::new();
        let rendered = self.name.render(event, &self.variables, &mut name);
        rendered.map_err(|error| format!("`name` cannot be made: {error}"))?;
        match &self.change {
            Change::Set(value) => {
                let value = value.eval(event, &self.variables).map_err(|error| format!("`set`: {error}"))?;
                self.variables.set(&name, value).map_err(|error| format!("{name:?}: {error}"))
            }
            Change::Increment(by) => {
                let by = by.eval(event, &self.variables).map_err(|error| format!("`increment`: {error}"))?;
                let by = by.as_i64().ok_or("`increment` is not a whole number of 64 bits")?;
                self.variables.increment(&name, by).map(drop).map_err(|error| format!("{name:?}: {error}"))
            }
            Change::Delete => {
                self.variables.delete(&name);
                Ok(())
            }
        }
    }
}
