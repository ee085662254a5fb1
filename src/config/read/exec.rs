//! The `exec` node: a command, and what it gets.

use super::{Surroundings, accept, existing_directory, path_of};
use crate::config::Exec;
use crate::config::section::Section;
use crate::config::source::Source;

/// Up to a day.
const TIMEOUT_MS: (u64, u64) = (10, 86_400_000);
const TIMEOUT_MS_DEFAULT: u64 = 30_000;
/// Each is a process and three descriptors.
const IN_FLIGHT: (u64, u64) = (1, 256);
const IN_FLIGHT_DEFAULT: u64 = 4;
const ARGUMENTS_MAX: usize = 256;

pub(super) fn read_exec_node(
    source: &mut Source<'_>,
    section: &mut Section<'_, '_>,
    around: &Surroundings<'_>,
) -> Option<Exec> {
    let problems_before = source.problems.len();
    let mut command = section.strings(source, "command", "\"deploy.sh\", \"{{ payload.body.ref }}\"");
    let env = section.strings(source, "env", "\"PATH\", \"HOME\"");
    let env_set = section.string_table(source, "env_set", "{ STAGE = \"prod\" }");
    let directory = section.string(source, "directory", "\"work\"");
    let timeout_ms = section.number(source, "timeout_ms", "milliseconds", TIMEOUT_MS);
    let in_flight = section.number(source, "in_flight", "commands", IN_FLIGHT);
    if command.is_empty() && source.problems.len() == problems_before {
        let message = "this exec node has no `command`; add the program and its arguments, such as \
                       command = [\"deploy.sh\", \"{{ payload.body.ref }}\"]";
        source.refuse(section.place, message);
    }
    if let Some(surplus) = command.get(ARGUMENTS_MAX) {
        source.refuse(surplus.place, format!("more than {ARGUMENTS_MAX} arguments; pass a file instead"));
    }
    let directory = directory
        .and_then(|written| accept(source, written, |text| existing_directory(path_of(text, around)?)));
    if command.is_empty() {
        return None;
    }
    let program = command.remove(0);
    if program.value.contains("{{") {
        let message = "the program is the same for every event; a hole may stand in its arguments only";
        source.refuse(program.place, message);
    }
    Some(Exec {
        program,
        arguments: command,
        base: std::path::absolute(&around.directory).unwrap_or_else(|_| around.directory.clone()),
        directory,
        env: env.into_iter().map(|written| written.value).collect(),
        env_set: env_set.into_iter().map(|(name, written)| (name, written.value)).collect(),
        timeout_ms: timeout_ms.map_or(TIMEOUT_MS_DEFAULT, |written| written.value),
        in_flight: in_flight.map_or(IN_FLIGHT_DEFAULT, |written| written.value) as usize,
    })
}
