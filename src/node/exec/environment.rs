//! The environment of a command: what the operator named, what says which event this is, and nothing else.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::c_string;
use crate::event::Event;

const EVENT_ID: &str = "INRUSH_EVENT_ID";
const WEBHOOK: &str = "INRUSH_WEBHOOK";
const TRIGGER: &str = "INRUSH_TRIGGER";

/// What is the same for every event: `NAME=value`.
pub(super) struct Environment(Vec<CString>);

impl Environment {
    /// Variables of ours by name (`ours` looks one up), then those with a value of their own, then ours for the trigger.
    ///
    /// # Errors
    /// When a name is not one or is reserved, or a value holds a zero byte.
    pub(super) fn new(
        names: &[String],
        set: &[(String, String)],
        trigger: &str,
        ours: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, String> {
        let mut variables = BTreeMap::new();
        for name in names {
            check(name)?;
            if let Some(value) = ours(name) {
                variables.insert(name.as_str(), value);
            }
        }
        for (name, value) in set {
            check(name)?;
            variables.insert(name, value.into());
        }
        variables.insert(TRIGGER, trigger.into());
        let pairs = variables.into_iter().map(|(name, value)| pair(name, value.as_bytes()));
        Ok(Self(pairs.collect::<Result<_, _>>()?))
    }

    /// The whole environment of the command for `event`.
    pub(super) fn of(&self, event: &Event<'_>) -> Vec<CString> {
        let ours = [(EVENT_ID, event.id().text().to_vec()), (WEBHOOK, event.webhook().into())];
        // A webhook's name comes from the configuration, which has no zero bytes in names.
        self.0.iter().cloned().chain(ours.iter().filter_map(|(name, value)| pair(name, value).ok())).collect()
    }
}

fn pair(name: &str, value: &[u8]) -> Result<CString, String> {
    let mut pair = OsString::from(format!("{name}=")).into_vec();
    pair.extend_from_slice(value);
    c_string(&format!("the variable `{name}`"), &pair)
}

fn check(name: &str) -> Result<(), String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(format!("`{name}` is not the name of an environment variable"));
    }
    if [EVENT_ID, WEBHOOK, TRIGGER].contains(&name) {
        return Err(format!("`{name}` is always set for a command, and cannot be set otherwise"));
    }
    Ok(())
}
