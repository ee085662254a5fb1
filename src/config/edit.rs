//! Creating and changing the config file: under a lock, replaced in one step, comments kept.
//!
//! The lock is taken on the file itself. Since every edit replaces the file, whoever waited for the lock may hold one
//! on a file that is no longer there; it then opens the new one and waits again. No lock file is left behind.

use std::fmt;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, value};
use uuid::Uuid;

use super::limit_table::LIMITS;
use super::{Config, ConfigError, Overrides, Place, Problem, Secret};

/// A webhook to be installed, with the trigger `main` that logs.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Not yet taken.
    pub name: String,
    /// Not yet taken.
    pub id: Uuid,
    /// None: open to everyone.
    pub secret: Option<Secret>,
    /// Checked with [`super::words::origin`].
    pub allowed_origins: Vec<String>,
}

/// Why the file was not changed. It is then as it was.
#[derive(Debug)]
pub enum EditError {
    /// What is in the file has to be mended first.
    Config(ConfigError),
    /// The change makes no sense; what to do instead.
    Refused(String),
    /// The system said no.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Its answer.
        error: io::Error,
    },
}

impl fmt::Display for EditError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(out),
            Self::Refused(message) => out.write_str(message),
            Self::Io { path, doing, error } => write!(out, "{}: cannot {doing}: {error}", path.display()),
        }
    }
}

impl std::error::Error for EditError {}

impl From<ConfigError> for EditError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

fn failed<'p>(path: &'p Path, doing: &'static str) -> impl FnOnce(io::Error) -> EditError + use<'p> {
    move |error| EditError::Io { path: path.to_owned(), doing, error }
}

/// Writes a new config file, mode 0600, that explains itself and installs one webhook. A file that is already there
/// is left alone and is an error.
pub fn create(path: &Path, webhook: &NewWebhook) -> Result<(), EditError> {
    let text = with_webhook(path, &template(), webhook)?;
    let directory = directory_of(path);
    let fresh = write_beside(path, &text, None)?;
    // A hard link, unlike a rename, does not replace what somebody else has written meanwhile.
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh).map_err(failed(&fresh, "remove it"))?;
    linked.map_err(failed(path, "write it"))?;
    sync_directory(&directory)
}

/// Adds a webhook to the file. The rest of it stays as it is, to the byte.
pub fn add_webhook(path: &Path, webhook: &NewWebhook) -> Result<(), EditError> {
    // What the path points at is replaced, not the link that points there.
    let path = &std::fs::canonicalize(path).map_err(failed(path, "find it"))?;
    let locked = lock(path)?;
    let text = io::read_to_string(&locked).map_err(failed(path, "read it"))?;
    let edited = with_webhook(path, &text, webhook)?;
    let fresh = write_beside(path, &edited, Some(&locked))?;
    std::fs::rename(&fresh, path).map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        failed(path, "replace it")(error)
    })?;
    sync_directory(&directory_of(path))
}

/// Warns when a secret stands in a file that others may read.
pub(super) fn warn_of_readable_secrets(config: &mut Config) {
    let Ok(metadata) = std::fs::metadata(&config.path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if config.holds_secrets && mode & 0o044 != 0 {
        let path = config.path.display();
        let message =
            format!("it holds secrets and others may read it (mode {mode:04o}); run `chmod 600 {path}`");
        config.warnings.push(Problem::at(Place::default(), message));
    }
}

/// The text with the webhook added at its end.
fn with_webhook(path: &Path, text: &str, webhook: &NewWebhook) -> Result<String, EditError> {
    let environment = |name: &str| std::env::var(name).ok();
    let config = Config::parse(path, text, &Overrides::default(), &environment)?;
    if config.webhook(&webhook.name).is_some() {
        let message =
            format!("{}: there is already a webhook {:?}; choose another name", path.display(), webhook.name);
        return Err(EditError::Refused(message));
    }
    if let Some(other) = config.webhooks.iter().find(|other| other.id == webhook.id) {
        let message =
            format!("{}: the id {} belongs to the webhook {:?}", path.display(), webhook.id, other.name);
        return Err(EditError::Refused(message));
    }
    let mut document: DocumentMut =
        text.parse().map_err(|error| EditError::Refused(format!("{}: not TOML: {error}", path.display())))?;
    // The table stands last, below the comments that end the file: they explain, or switch off, what is above them.
    let mut table = table_of(webhook);
    let comments = document.trailing().as_str().unwrap_or_default().to_owned();
    let line_end = if comments.is_empty() || comments.ends_with('\n') { "" } else { "\n" };
    table.decor_mut().set_prefix(format!("{comments}{line_end}\n"));
    table.set_position(Some(isize::MAX));
    let webhooks = document.entry("webhook").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let Some(webhooks) = webhooks.as_array_of_tables_mut() else {
        return Err(EditError::Refused(format!(
            "{}: `webhook` is written as an inline list; write each as a [[webhook]] table, then try again",
            path.display()
        )));
    };
    webhooks.push(table);
    document.set_trailing("");
    let edited = document.to_string();
    Config::parse(path, &edited, &Overrides::default(), &environment)?;
    Ok(edited)
}

fn table_of(webhook: &NewWebhook) -> Table {
    let mut table = Table::new();
    table.insert("name", value(&webhook.name));
    table.insert("id", value(webhook.id.to_string()));
    if let Some(secret) = &webhook.secret {
        table.insert("secret", value(secret.expose().replace("${", "$${")));
    }
    if !webhook.allowed_origins.is_empty() {
        table.insert("allowed_origins", value(webhook.allowed_origins.iter().collect::<Array>()));
    }
    let mut node = InlineTable::new();
    node.insert("type", "log".into());
    let mut trigger = Table::new();
    trigger.insert("id", value("main"));
    trigger.insert("nodes", value([node].into_iter().collect::<Array>()));
    let mut triggers = ArrayOfTables::new();
    triggers.push(trigger);
    table.insert("trigger", Item::ArrayOfTables(triggers));
    table
}

/// The file as it is written first: every key with its default, commented out.
fn template() -> String {
    let mut text = TEMPLATE.to_owned();
    for row in LIMITS {
        let _ = write!(text, "\n# {}\n# {} = {}\n", row.about, row.name, row.default);
    }
    text.push_str(TEMPLATE_WEBHOOKS);
    text
}

const TEMPLATE: &str = r#"# The configuration of inrush. What is commented out shows its default.
# `inrush check` says whether this file is right, `inrush new NAME` adds a webhook to it.
# Relative paths start at the directory of this file. ${NAME} in a value is taken from the environment.

[server]
# Where webhooks are posted to; 0.0.0.0 stands for every address of this machine.
# listen = "127.0.0.1:8080"

# Health, readiness and metrics, without a password: keep it to yourself.
# admin_listen = "127.0.0.1:8081"

# What inrush keeps on disk.
# data_dir = "inrush-data"

# The start of the URLs that are printed, when a proxy stands in front.
# public_url = "https://hooks.example.com"

# Threads that receive: one for each CPU. Threads that run the nodes: one for two of those.
# cores = 2
# workers = 1

[limits]
"#;

const TEMPLATE_WEBHOOKS: &str = r#"
# One [[webhook]] for each URL. Beside its name and id, it may have:
#   secret = "..."                                  senders put it into the header x-bp-secret
#   secrets = ["${OLD}", "${NEW}"]                  two at once, while you change from one to the other
#   secret_file = "/run/secrets/shop"               or from a file
#   allowed_origins = ["https://app.example.com"]   pages whose browsers may post; "*" for any
#   body_bytes_max = 1048576                        its own longest body
#   keep_headers = ["authorization"]                credentials that shall stay in the payload
# Nodes: { type = "log" }, { type = "file", path = "events.ndjson" }, { type = "discard" }
"#;

/// Opens the file and waits until nobody else edits it.
fn lock(path: &Path) -> Result<File, EditError> {
    loop {
        let file = File::open(path).map_err(failed(path, "open it"))?;
        file.lock().map_err(failed(path, "lock it"))?;
        let held = file.metadata().map_err(failed(path, "look at it"))?;
        let there = std::fs::metadata(path).map_err(failed(path, "look at it"))?;
        if (held.dev(), held.ino()) == (there.dev(), there.ino()) {
            return Ok(file);
        }
    }
}

/// Writes and syncs the text to a new file in the same directory, with mode and owner of the one it will replace.
fn write_beside(path: &Path, text: &str, replaced: Option<&File>) -> Result<PathBuf, EditError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = directory_of(path).join(format!(".{name}.{}", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed(&fresh, "create it"))?;
    let written = (|| {
        if let Some(replaced) = replaced {
            let (old, new) = (replaced.metadata()?, file.metadata()?);
            if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
                std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })();
    written.map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        failed(&fresh, "write it")(error)
    })?;
    Ok(fresh)
}

/// Makes a new name in the directory survive a power cut.
fn sync_directory(directory: &Path) -> Result<(), EditError> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(failed(directory, "sync it"))
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
