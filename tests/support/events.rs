//! The events that came out of the file nodes, one NDJSON line each, with the body's bytes as they were written.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// One line of a file node.
#[derive(Debug, Clone)]
pub struct Event {
    pub id: String,
    pub webhook: String,
    /// The body as it stands in the line, byte for byte.
    pub body: String,
    /// `query`, `path`, `method` and `headers` of the payload.
    pub rest: Value,
}

/// Every event of a run, by its id.
#[derive(Debug, Default)]
pub struct Events {
    /// In the order of the lines; lines of one webhook are in the order its worker ran them.
    pub all: Vec<Event>,
    by_id: HashMap<String, usize>,
}

#[derive(Deserialize)]
struct Line<'a> {
    id: String,
    webhook: String,
    received_at: String,
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    #[serde(borrow)]
    body: &'a RawValue,
    query: Value,
    path: String,
    method: String,
    headers: Value,
}

impl Event {
    fn parse(line: &str) -> Result<Self, String> {
        let Line { id, webhook, received_at, payload } = serde_json::from_str(line)
            .map_err(|e| format!("not an event: {e}: {}", super::client::shown(line.as_bytes())))?;
        let at = received_at.as_bytes();
        if at.len() < 20 || at[4] != b'-' || at[10] != b'T' || !received_at.ends_with('Z') {
            return Err(format!("received_at is not an RFC 3339 time in UTC: {received_at:?}"));
        }
        // RFC 9562 §5.7: version 7, variant 10.
        let version = uuid::Uuid::parse_str(&id).map(|uuid| uuid.get_version_num());
        if version != Ok(7) {
            return Err(format!("the id of an event is not a UUIDv7: {id:?}"));
        }
        let Payload { body, query, path, method, headers } = payload;
        let rest = json!({ "query": query, "path": path, "method": method, "headers": headers });
        Ok(Self { id, webhook, body: body.get().to_owned(), rest })
    }

    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.rest.pointer(pointer)
    }
}

impl Events {
    /// Reads every `*.ndjson` of the directory. A line that is cut short, is no event, or an id seen twice, is a fault.
    pub fn read(directory: &Path) -> Result<Self, String> {
        let mut events = Self::default();
        for entry in std::fs::read_dir(directory).map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            if path.extension().is_some_and(|extension| extension == "ndjson") {
                let text = std::fs::read(&path).map_err(|e| e.to_string())?;
                events.take(&text).map_err(|e| format!("{}: {e}", path.display()))?;
            }
        }
        Ok(events)
    }

    fn take(&mut self, text: &[u8]) -> Result<(), String> {
        if text.last().is_some_and(|last| *last != b'\n') {
            return Err("the last line has no end".to_owned());
        }
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            let line = std::str::from_utf8(line).map_err(|_| "a line that is not UTF-8".to_owned())?;
            let event = Event::parse(line)?;
            if self.by_id.insert(event.id.clone(), self.all.len()).is_some() {
                return Err(format!("event {} stands twice", event.id));
            }
            self.all.push(event);
        }
        Ok(())
    }

    pub fn find(&self, id: &str) -> Option<&Event> {
        self.by_id.get(id).map(|index| &self.all[*index])
    }

    pub fn get(&self, id: &str) -> &Event {
        self.find(id).unwrap_or_else(|| panic!("no event {id} among {}", self.all.len()))
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }
}
