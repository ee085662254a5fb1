//! `[[webhook.trigger]]`, and which reader a node's `type` leads to.

use super::exec::read_exec_node;
use super::file::read_file_node;
use super::forward::read_forward_node;
use super::variable::read_variable_node;
use super::{Surroundings, accept};
use crate::config::section::{Section, closest};
use crate::config::source::Source;
use crate::config::{Node, Trigger, words};

pub(super) fn read_triggers(
    source: &mut Source<'_>,
    section: &mut Section<'_, '_>,
    around: &Surroundings<'_>,
) -> Vec<Trigger> {
    let mut triggers: Vec<Trigger> = Vec::new();
    for section in section.tables(source, "trigger", "[[webhook.trigger]]") {
        let trigger = read_trigger(source, section, around, &triggers);
        triggers.push(trigger);
    }
    triggers
}

fn read_trigger(
    source: &mut Source<'_>,
    mut section: Section<'_, '_>,
    around: &Surroundings<'_>,
    others: &[Trigger],
) -> Trigger {
    let mut trigger = Trigger::default();
    match section.string(source, "id", "\"main\"") {
        Some(written) => {
            trigger.id.clone_from(&written.value);
            if others.iter().any(|other| other.id == trigger.id) {
                let message =
                    format!("two triggers of this webhook have the id {:?}; rename one", trigger.id);
                source.refuse(written.place, message);
            }
            accept(source, written, |text| words::trigger_id(text));
        }
        None => source.refuse(section.place, "this trigger has no `id`; add one, such as id = \"main\""),
    }
    trigger.when = section.string(source, "when", "'payload.body.type == \"invoice.paid\"'");
    trigger.key = section.string(source, "key", "\"payload.body.customer\"");
    trigger.ordered = section.boolean(source, "ordered").unwrap_or(false);
    trigger.on_error = section
        .string(source, "on_error", "\"stop\"")
        .and_then(|written| accept(source, written, |text| words::on_error(text)))
        .unwrap_or_default();
    let problems_before = source.problems.len();
    for node in section.tables(source, "nodes", "nodes = [{ type = \"log\" }]") {
        trigger.nodes.extend(read_node(source, node, around));
    }
    if trigger.nodes.is_empty() && source.problems.len() == problems_before {
        let message =
            "this trigger has no nodes; add nodes = [{ type = \"log\" }], or \"discard\" to do nothing";
        source.refuse(section.place, message);
    }
    section.finish(source);
    trigger
}

fn read_node(
    source: &mut Source<'_>,
    mut section: Section<'_, '_>,
    around: &Surroundings<'_>,
) -> Option<Node> {
    const TYPES: &[&str] = &[
        "log",
        "file",
        "exec",
        "forward",
        "variable",
        "discard",
        #[cfg(inrush_bench)]
        "read",
    ];
    let Some(kind) = section.string(source, "type", "\"log\"") else {
        source
            .refuse(section.place, format!("this node has no `type`; give it one of: {}", TYPES.join(", ")));
        return None;
    };
    let node = match kind.value.as_str() {
        "log" => Some(Node::Log),
        "discard" => Some(Node::Discard),
        "file" => read_file_node(source, &mut section, around),
        "exec" => read_exec_node(source, &mut section, around).map(Node::Exec),
        "forward" => read_forward_node(source, &mut section, around).map(Node::Forward),
        "variable" => read_variable_node(source, &mut section).map(Node::Variable),
        #[cfg(inrush_bench)]
        "read" => section.string(source, "field", "\"id\"").map(|field| Node::Read { field: field.value }),
        other => {
            let meant = closest(other, TYPES.iter().copied()).map_or_else(
                || format!("there are {}", TYPES.join(", ")),
                |meant| format!("did you mean {meant:?}?"),
            );
            source.refuse(kind.place, format!("unknown node type {other:?}; {meant}"));
            return None;
        }
    };
    section.finish(source);
    node
}
