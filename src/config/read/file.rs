//! The `file` node: where it appends, and when that file is rotated.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::{Surroundings, accept, existing_directory, path_of, writable_file};
use crate::config::section::Section;
use crate::config::source::{Place, Source, Written};
use crate::config::{Node, Rotation, Webhook};

/// Smaller ones would be an accident with the digits, and a directory of very many files.
const ROTATE_BYTES: (u64, u64) = (4_096, 1 << 50);
/// Up to ten years.
const ROTATE_AFTER_S: (u64, u64) = (1, 315_360_000);
const KEEP: (u64, u64) = (0, 1_000_000);

pub(super) fn read_file_node(
    source: &mut Source<'_>,
    section: &mut Section<'_, '_>,
    around: &Surroundings<'_>,
) -> Option<Node> {
    let path = section.string(source, "path", "\"events.ndjson\"");
    let bytes = section.number(source, "rotate_bytes", "bytes", ROTATE_BYTES);
    let after = section.number(source, "rotate_after_s", "seconds", ROTATE_AFTER_S);
    let keep = section.number(source, "keep", "files", KEEP);
    if let (Some(keep), None, None) = (&keep, &bytes, &after) {
        let message = "`keep` alone does nothing; add rotate_bytes or rotate_after_s, or remove it";
        source.refuse(keep.place, message);
    }
    let rotation = Rotation {
        bytes: bytes.map(|written| written.value),
        after: after.map(|written| Duration::from_secs(written.value)),
        keep: keep.and_then(|written| usize::try_from(written.value).ok()).unwrap_or(0),
    };
    let Some(written) = path else {
        source.refuse(section.place, "this file node has no `path`; add one, such as \"events.ndjson\"");
        return None;
    };
    let place = written.place;
    let (path, name) = match split_template(&written.value) {
        None => (accept(source, written, |text| writable_file(path_of(text, around)?))?, None),
        Some((directory, name)) => {
            let name = Written { value: name.to_owned(), place };
            let directory = Written { value: directory.to_owned(), place };
            let path = accept(source, directory, |text| existing_directory(path_of(text, around)?))?;
            (path, Some(name))
        }
    };
    Some(Node::File { path: Written { value: path, place }, name, rotation })
}

/// The directory, and the name with holes, of a path that is not the same for every event.
fn split_template(path: &str) -> Option<(&str, &str)> {
    let hole = path.find("{{")?;
    Some(match path[..hole].rfind('/') {
        Some(slash) => path.split_at(slash + 1),
        None => (".", path),
    })
}

/// A file is rotated in one way, whoever writes to it.
pub(super) fn check_rotations(source: &mut Source<'_>, webhooks: &[Webhook]) {
    let mut first: HashMap<&Path, (Rotation, Place)> = HashMap::new();
    let nodes = webhooks.iter().flat_map(|webhook| &webhook.triggers).flat_map(|trigger| &trigger.nodes);
    for node in nodes {
        if let Node::File { path: Written { value: path, place }, name: None, rotation } = node
            && let (expected, other) = first.entry(path).or_insert((*rotation, *place))
            && expected != rotation
        {
            let message = format!(
                "{} is also written to by the node in line {}, with another rotate_bytes, rotate_after_s or keep; \
                 give both the same",
                path.display(),
                other.line
            );
            source.refuse(*place, message);
        }
    }
}
