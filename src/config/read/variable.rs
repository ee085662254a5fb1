//! The `variable` node: which variable, and what becomes of it.

use crate::config::section::Section;
use crate::config::source::Source;
use crate::config::{Change, Variable};

pub(super) fn read_variable_node(source: &mut Source<'_>, section: &mut Section<'_, '_>) -> Option<Variable> {
    let name = section.string(source, "name", "\"orders_{{ payload.body.customer }}\"");
    let set = section.string(source, "set", "\"payload.body.total\"");
    let increment = section.string_or_number(source, "increment", "\"payload.body.amount\"");
    let delete = section.boolean(source, "delete").unwrap_or(false);
    let change = match (set, increment, delete) {
        (Some(value), None, false) => Some(Change::Set(value)),
        (None, Some(by), false) => Some(Change::Increment(by)),
        (None, None, true) => Some(Change::Delete),
        _ => {
            source.refuse(
                section.place,
                "a variable node does one thing: `set` to an expression, `increment` by a number or an expression, or \
                 delete = true",
            );
            None
        }
    };
    let Some(name) = name else {
        source.refuse(section.place, "this variable node has no `name`; add one, such as name = \"orders\"");
        return None;
    };
    Some(Variable { name, change: change? })
}
