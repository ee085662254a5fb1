//! What a webhook keeps of its events: named JSON values, in memory, and in one file that is replaced as a whole.
//!
//! Triggers and the admin API share one [`Variables`]. A change is in memory at once and on disk when somebody calls
//! [`Variables::save_if_changed`], which the server does on a timer and at its end: a crash loses what came since.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

pub use file::LoadError;

/// How long a name may be.
pub const NAME_BYTES_MAX: usize = 256;
/// How long the JSON of a value may be.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// How deep a value may be nested: its file must be readable by anybody's parser.
pub const VALUE_DEPTH_MAX: usize = 64;
/// How many variables a webhook may have.
pub const VARIABLES_MAX: usize = 100_000;
/// How many bytes all names and values of a webhook may take together.
pub const TOTAL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The variables of one webhook.
#[derive(Debug, Default)]
pub struct Variables {
    /// Where they are kept; nowhere without.
    path: Option<PathBuf>,
    store: Mutex<Store>,
    /// Held while a file is written: two at once would replace the newer by the older.
    saving: Mutex<()>,
}

#[derive(Debug, Default)]
struct Store {
    values: BTreeMap<String, Kept>,
    /// Of all names and values.
    bytes: usize,
    /// How many changes there were, and how many of them are on disk.
    changes: u64,
    saved: u64,
}

#[derive(Debug)]
struct Kept {
    value: Value,
    bytes: usize,
}

/// Why a variable was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariableError {
    /// The name is empty, too long, or not printable.
    Name,
    /// The value's JSON is too long: its bytes.
    ValueTooLong(usize),
    /// The value is nested too deep.
    ValueTooDeep,
    /// There are as many variables as there may be.
    TooMany,
    /// All together are as large as they may be.
    TooLarge,
    /// Only an integer can be incremented.
    NotAnInteger,
    /// The sum is beyond 64 bits.
    Overflow,
}

impl fmt::Display for VariableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => {
                write!(f, "the name of a variable is 1 to {NAME_BYTES_MAX} bytes of printable text")
            }
            Self::ValueTooLong(bytes) => {
                write!(f, "the value takes {bytes} bytes as JSON, a variable keeps at most {VALUE_BYTES_MAX}")
            }
            Self::ValueTooDeep => {
                write!(
                    f,
                    "the value is nested deeper than {VALUE_DEPTH_MAX} levels, the most a variable keeps"
                )
            }
            Self::TooMany => write!(f, "a webhook keeps at most {VARIABLES_MAX} variables: delete some"),
            Self::TooLarge => {
                write!(f, "the variables of a webhook take at most {TOTAL_BYTES_MAX} bytes: delete some")
            }
            Self::NotAnInteger => f.write_str("the variable is not an integer, so it cannot be incremented"),
            Self::Overflow => f.write_str("the sum is beyond 64 bits, so the variable stays as it was"),
        }
    }
}

impl std::error::Error for VariableError {}

impl Variables {
    /// Variables that are kept in memory only.
    pub fn new() -> Self {
        Self::default()
    }

    /// The variables kept at `path`; none if there is no such file yet.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what [`Self::save_if_changed`] writes.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let mut store = Store::default();
        for (name, value) in file::read(path)? {
            store
                .put(&name, value)
                .map_err(|error| LoadError::damaged(path, format!("{name:?}: {error}")))?;
        }
        store.saved = store.changes;
        Ok(Self { path: Some(path.to_owned()), store: Mutex::new(store), saving: Mutex::default() })
    }

    /// The value of a variable, copied.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.with(name, Value::clone)
    }

    /// Shows `see` the value of a variable, under the lock: it must not call back.
    pub(super) fn with<T>(&self, name: &str, see: impl FnOnce(&Value) -> T) -> Option<T> {
        self.store().values.get(name).map(|kept| see(&kept.value))
    }

    /// The names of all variables, sorted.
    pub fn names(&self) -> Vec<String> {
        self.store().values.keys().cloned().collect()
    }

    /// Sets a variable.
    ///
    /// # Errors
    /// When the name, the value or all together are beyond the limits; nothing is changed then.
    pub fn set(&self, name: &str, value: Value) -> Result<(), VariableError> {
        self.store().put(name, value)
    }

    /// Adds `by` to an integer, which counts from 0 if it is absent. Returns the sum.
    ///
    /// # Errors
    /// When it is not an integer, the sum is beyond 64 bits, or a new variable is beyond the limits; nothing is changed
    /// then.
    pub fn increment(&self, name: &str, by: i64) -> Result<i64, VariableError> {
        let mut store = self.store();
        let before = match store.values.get(name).map(|kept| &kept.value) {
            None => 0,
            Some(Value::Number(number)) => match (number.as_i64(), number.is_u64()) {
                (Some(before), _) => before,
                (None, true) => return Err(VariableError::Overflow),
                (None, false) => return Err(VariableError::NotAnInteger),
            },
            Some(_) => return Err(VariableError::NotAnInteger),
        };
        let sum = before.checked_add(by).ok_or(VariableError::Overflow)?;
        store.put(name, sum.into())?;
        Ok(sum)
    }

    /// Deletes a variable. Returns whether there was one.
    pub fn delete(&self, name: &str) -> bool {
        let mut store = self.store();
        let Some(kept) = store.values.remove(name) else { return false };
        store.bytes -= name.len() + kept.bytes;
        store.changes += 1;
        true
    }

    /// Whether there are changes that the file does not have.
    pub fn is_changed(&self) -> bool {
        let store = self.store();
        self.path.is_some() && store.changes != store.saved
    }

    /// Writes the file if there were changes since it was written. Returns whether it was.
    ///
    /// What is written is how all variables stood at one moment. The file is replaced as a whole: after a crash there is
    /// either the old one or the new. A change that comes while it is written is written next time.
    ///
    /// # Errors
    /// When it could not be written; the changes count as not written then.
    pub fn save_if_changed(&self) -> std::io::Result<bool> {
        let Some(path) = &self.path else { return Ok(false) };
        let _saving = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let (text, changes) = {
            let store = self.store();
            if store.changes == store.saved {
                return Ok(false);
            }
            (file::render(store.values.iter().map(|(name, kept)| (name, &kept.value)))?, store.changes)
        };
        file::replace(path, &text)?;
        self.store().saved = changes;
        Ok(true)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        // Every change is made of steps that cannot panic in between.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    fn put(&mut self, name: &str, value: Value) -> Result<(), VariableError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(VariableError::Name);
        }
        if is_deeper_than(&value, VALUE_DEPTH_MAX) {
            return Err(VariableError::ValueTooDeep);
        }
        let bytes = serde_json::to_string(&value).map_or(usize::MAX, |json| json.len());
        if bytes > VALUE_BYTES_MAX {
            return Err(VariableError::ValueTooLong(bytes));
        }
        let before = self.values.get(name).map(|kept| name.len() + kept.bytes);
        if before.is_none() && self.values.len() >= VARIABLES_MAX {
            return Err(VariableError::TooMany);
        }
        let total = self.bytes - before.unwrap_or(0) + name.len() + bytes;
        if total > TOTAL_BYTES_MAX {
            return Err(VariableError::TooLarge);
        }
        self.values.insert(name.to_owned(), Kept { value, bytes });
        self.bytes = total;
        self.changes += 1;
        Ok(())
    }
}

/// Whether lists and objects are nested in a value for more than so many levels.
fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let is_deeper = |inner: &Value| levels == 0 || is_deeper_than(inner, levels - 1);
    match value {
        Value::Array(list) => levels == 0 || list.iter().any(is_deeper),
        Value::Object(object) => levels == 0 || object.values().any(is_deeper),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
