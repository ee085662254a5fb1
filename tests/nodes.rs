//! Triggers and their nodes against the real binary: conditions, commands, other servers, files by name, variables.

#![allow(clippy::unwrap_used)] // As in the tests themselves: here helpers of tests have files of their own.

mod support;

#[path = "nodes/conditions.rs"]
mod conditions;
#[path = "nodes/exec.rs"]
mod exec;
#[path = "nodes/forward.rs"]
mod forward;
#[path = "nodes/order.rs"]
mod order;
#[path = "nodes/variables.rs"]
mod variables;

use std::time::{Duration, Instant};

use serde_json::Value;

use support::{PATIENCE, Server};

/// The webhook that these tests give their triggers.
const ID: &str = "0b5e7a52-6f0c-4a4b-9a35-5d1f6f1b2001";

/// A webhook with these triggers, as lines of TOML behind `[[webhook.trigger]]`.
fn webhook(triggers: &[String]) -> String {
    let mut text = format!("\n[[webhook]]\nname = \"nodes\"\nid = {ID:?}\n");
    for trigger in triggers {
        text.push_str(&format!("[[webhook.trigger]]\n{trigger}\n"));
    }
    text
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST /{ID}{path} HTTP/1.1\r\nHost: h\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Waits until `found` finds what it looks for.
#[track_caller]
fn eventually<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What is counted of a trigger of the webhook.
fn counts(server: &Server, trigger: &str) -> Value {
    let (status, body) = server.admin_get("/triggers");
    assert_eq!(status, 200, "{body}");
    let body = body.trim();
    let start = body.find('[').expect("a list");
    let all: Vec<Value> =
        serde_json::from_str(&body[start..=body.rfind(']').expect("a list")]).expect("JSON");
    let is_it = |counts: &&Value| counts["webhook"] == "nodes" && counts["trigger"] == trigger;
    all.iter().find(is_it).unwrap_or_else(|| panic!("no trigger {trigger}: {body}")).clone()
}

/// Waits until one line of what the server said holds all of these: a failure is counted just before it is told.
#[track_caller]
fn told(server: &Server, parts: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    while !server.stderr().lines().any(|line| parts.iter().all(|part| line.contains(part))) {
        assert!(Instant::now() < deadline, "lacks {parts:?}:\n{}", server.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
}
