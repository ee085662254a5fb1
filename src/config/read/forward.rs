//! The `forward` node: where to, what, and how it is signed.

use super::{Surroundings, accept, expand, path_of};
use crate::config::section::Section;
use crate::config::source::{Source, Written};
use crate::config::{Forward, Secret};

/// Up to an hour.
const TIMEOUT_MS: (u64, u64) = (10, 3_600_000);
const TIMEOUT_MS_DEFAULT: u64 = 30_000;
const CONNECT_TIMEOUT_MS_DEFAULT: u64 = 5_000;
/// Each is a connection.
const IN_FLIGHT: (u64, u64) = (1, 4_096);
const IN_FLIGHT_DEFAULT: u64 = 64;

pub(super) fn read_forward_node(
    source: &mut Source<'_>,
    section: &mut Section<'_, '_>,
    around: &Surroundings<'_>,
) -> Option<Forward> {
    let expanded = |written: Written<String>, source: &mut Source<'_>| {
        let place = written.place;
        let value = accept(source, written, |text| expand(text, around.environment))?;
        Some(Written { value, place })
    };
    let url = section.string(source, "url", "\"https://internal.example/hook\"");
    let headers = section.strings(source, "headers", "\"x-github-event\"");
    let set_headers = section.string_table(source, "set_headers", "{ x-kind = \"{{ payload.body.type }}\" }");
    let body = section.string(source, "body", "'{\"id\": {{ payload.body.id }}}'");
    let mut keys = section.strings(source, "signing_keys", "\"${RELAY_KEY}\"");
    keys.extend(section.string(source, "signing_key", "\"${RELAY_KEY}\""));
    let allow = section.strings(source, "allow", "\"127.0.0.1\", \"10.1.0.0/16\"");
    let ca_file = section.string(source, "ca_file", "\"ca.pem\"");
    let timeout_ms = section.number(source, "timeout_ms", "milliseconds", TIMEOUT_MS);
    let connect_timeout_ms = section.number(source, "connect_timeout_ms", "milliseconds", TIMEOUT_MS);
    let in_flight = section.number(source, "in_flight", "requests", IN_FLIGHT);
    let mut signing_keys = Vec::new();
    for key in keys {
        let place = key.place;
        source.holds_secrets |= !key.value.contains("${") || key.value.contains("$${");
        let key = accept(source, key, |text| Secret::new(expand(text, around.environment)?));
        signing_keys.extend(key.map(|value| Written { value, place }));
    }
    let ca_file = ca_file.and_then(|written| accept(source, written, |text| path_of(text, around)));
    let set_headers = set_headers
        .into_iter()
        .filter_map(|(name, written)| Some((name, expanded(written, source)?)))
        .collect();
    let Some(url) = url else {
        source.refuse(
            section.place,
            "this forward node has no `url`; add one, such as url = \"https://internal.example/hook\"",
        );
        return None;
    };
    Some(Forward {
        url: expanded(url, source)?,
        headers,
        set_headers,
        body,
        signing_keys,
        allow,
        ca_file,
        timeout_ms: timeout_ms.map_or(TIMEOUT_MS_DEFAULT, |written| written.value),
        connect_timeout_ms: connect_timeout_ms.map_or(CONNECT_TIMEOUT_MS_DEFAULT, |written| written.value),
        in_flight: in_flight.map_or(IN_FLIGHT_DEFAULT, |written| written.value) as usize,
    })
}
