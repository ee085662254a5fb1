//! What the operator wrote about a command, and its arguments for each event.

use std::time::Duration;

use super::{Exec, ExecOptions};
use crate::config::{self, Problem};
use crate::event::{HeldEvent, Reads};
use crate::node::compile::Templates;
use crate::node::{NodeError, Surroundings};

/// Runs a command for each event, with arguments made of it.
pub struct ExecNode {
    exec: Exec,
    arguments: Templates,
    pub(in crate::node) in_flight_max: usize,
}

impl ExecNode {
    pub(in crate::node) fn open(config: &config::Exec, around: &Surroundings<'_>) -> Result<Self, Problem> {
        let arguments = Templates::new("command", &config.arguments, around.variables)?;
        let options = ExecOptions {
            program: &config.program.value,
            base: &config.base,
            folder: config.directory.as_deref(),
            env: &config.env,
            env_set: &config.env_set,
            timeout: Duration::from_millis(config.timeout_ms),
            trigger: around.trigger,
        };
        let exec =
            Exec::open(&options).map_err(|error| Problem::at(config.program.place, error.to_string()))?;
        Ok(Self { exec, arguments, in_flight_max: config.in_flight })
    }

    pub(in crate::node) fn reads(&self) -> Reads {
        // The event's line goes to its standard input.
        self.arguments.reads().and(Reads { value_up_to: 0, text: true })
    }

    pub(in crate::node) async fn run(&self, event: &HeldEvent) -> Result<(), NodeError> {
        let arguments = self.arguments.render(&event.event());
        let arguments = arguments.map_err(|error| NodeError {
            node: "exec",
            reason: format!("`command` cannot be made: {error}"),
        })?;
        self.exec.run(event, &arguments).await
    }
}
