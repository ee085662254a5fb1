//! What the operator wrote: `inrush.toml`, read with every mistake named at its line and column, and edited without
//! losing a comment.
//!
//! Plain data with public fields. What is *in force* (defaults filled in, relations checked) is another type:
//! [`crate::limits::Limits`].
//!
//! | file | what |
//! | --- | --- |
//! | `source` | places in the file, problems, [`ConfigError`] |
//! | `section` | typed reading of one TOML table, unknown keys refused |
//! | `read` | the tables of `inrush.toml`, validated |
//! | `words` | the rules for single values: names, ids, origins, URLs, header names |
//! | `secret` | a secret that cannot be printed by accident; `${ENV}` |
//! | `limit_table` | every limit with its default, range and meaning |
//! | `stamp` | how a file stood when it was read |
//! | `files` | whether `file` nodes could append to their files, without touching them |
//! | `edit` | create and change the file: locked, atomic, comments kept |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

pub mod edit;
mod files;
pub(crate) mod limit_table;
mod read;
mod secret;
mod section;
mod source;
mod stamp;
pub(crate) mod words;

pub use limit_table::RawLimits;
pub use secret::Secret;
pub(crate) use section::closest;
pub use source::{ConfigError, Place, Problem, Written, write_problem};
pub use stamp::{ReadFile, Stamp};

/// The file that is read when nobody names another.
pub const DEFAULT_PATH: &str = "inrush.toml";

/// Everything the operator wrote.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// Every file that it was read from: this one, unless it came as text, and those that hold secrets.
    pub files: Vec<ReadFile>,
    /// Addresses, directories, threads.
    pub server: Server,
    /// The limits that were written; the others stay at their defaults.
    pub limits: RawLimits,
    /// The installed webhooks, in the order of the file.
    pub webhooks: Vec<Webhook>,
    /// Whether the file holds a secret's value, instead of naming a variable or another file.
    pub holds_secrets: bool,
    /// What is legal and probably not meant; `check` and `serve` print it.
    pub warnings: Vec<Problem>,
}

/// `[server]`: addresses, directories, threads.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where webhooks are posted to.
    pub listen: SocketAddr,
    /// Where health, readiness and metrics are served.
    pub admin_listen: SocketAddr,
    /// What inrush keeps on disk. Relative paths of the file are taken from the file's own directory.
    pub data_dir: PathBuf,
    /// The start of every printed URL, when a proxy stands in front; without a slash at its end.
    pub public_url: Option<String>,
    /// Core threads; `None`: one for each CPU that the process may use.
    pub cores: Option<usize>,
    /// Trigger workers; `None`: one for two cores.
    pub workers: Option<usize>,
}

/// `[[webhook]]`: one installed endpoint.
#[derive(Debug, Clone, Default)]
pub struct Webhook {
    /// What people call it; unique.
    pub name: String,
    /// The path of its URL; unique.
    pub id: Uuid,
    /// None: open to everyone. Two: a rotation is under way, both are valid.
    pub secrets: Vec<Secret>,
    /// Origins whose browsers may post; `*` allows any, an empty list none.
    pub allowed_origins: Vec<String>,
    /// The longest body accepted here, if it differs from the limit of that name.
    pub body_bytes_max: Option<u64>,
    /// Credential headers that are left in the payload all the same; lower case.
    pub keep_headers: Vec<String>,
    /// What runs for each event.
    pub triggers: Vec<Trigger>,
    /// Where the file speaks of it.
    pub place: Place,
}

/// `[[webhook.trigger]]`: a stable id and the ordered nodes that run for each event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trigger {
    /// Unique in its webhook, and stable: what was delivered is remembered under it.
    pub id: String,
    /// Which events it runs for: a condition; `None`: all.
    pub when: Option<Written<String>>,
    /// Events of one value of this expression run on one worker; `None`: all on the same.
    pub key: Option<Written<String>>,
    /// Whether an event starts only when the one before has run.
    pub ordered: bool,
    /// Whether the nodes behind one that failed still run.
    pub on_error: OnError,
    /// Run in this order.
    pub nodes: Vec<Node>,
}

/// What becomes of the nodes behind one that failed, for the same event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// They do not run.
    #[default]
    Stop,
    /// They run all the same.
    Continue,
}

/// One action of a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// One JSON line per event on stdout.
    Log,
    /// One JSON line per event appended to a file.
    File {
        /// The file; its directory exists. With a name, that directory.
        path: Written<PathBuf>,
        /// The name of the file in it, a template.
        name: Option<Written<String>>,
        /// When it is set aside for a new one.
        rotation: Rotation,
    },
    /// A command for each event.
    Exec(Exec),
    /// A request to another server for each event.
    Forward(Forward),
    /// A change to a variable of the webhook.
    Variable(Variable),
    /// Nothing but a count.
    Discard,
    /// Reads a field of the body and counts whether it is there.
    #[cfg(inrush_bench)]
    Read {
        /// A key of the body's object.
        field: String,
    },
}

/// The node `exec`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// A path, or a name to look for in the server's `PATH`.
    pub program: Written<String>,
    /// Templates.
    pub arguments: Vec<Written<String>>,
    /// What a relative path of the program starts from; absolute.
    pub base: PathBuf,
    /// Where it runs, if not where the server does.
    pub directory: Option<PathBuf>,
    /// Variables of the server's environment that it gets.
    pub env: Vec<String>,
    /// Variables with a value of their own.
    pub env_set: Vec<(String, String)>,
    /// How long it may run.
    pub timeout_ms: u64,
    /// How many of it run at once on one worker.
    pub in_flight: usize,
}

/// The node `forward`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where to; a template behind the host.
    pub url: Written<String>,
    /// Headers of the event that are passed on.
    pub headers: Vec<Written<String>>,
    /// Other headers; templates.
    pub set_headers: Vec<(String, Written<String>)>,
    /// What is sent instead of the bytes received; a template.
    pub body: Option<Written<String>>,
    /// Keys that sign it; none: it is not signed.
    pub signing_keys: Vec<Written<Secret>>,
    /// Inner addresses that may be connected to.
    pub allow: Vec<Written<String>>,
    /// Authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// For the whole exchange.
    pub timeout_ms: u64,
    /// Of that, for the connection.
    pub connect_timeout_ms: u64,
    /// How many are on their way at once from one worker.
    pub in_flight: usize,
}

/// The node `variable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Which one; a template.
    pub name: Written<String>,
    /// What becomes of it.
    pub change: Change,
}

/// What becomes of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It gets the value of an expression.
    Set(Written<String>),
    /// The value of an expression, a whole number, is added to it.
    Increment(Written<String>),
    /// It goes.
    Delete,
}

impl Node {
    /// The word for it in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::File { .. } => "file",
            Self::Exec(_) => "exec",
            Self::Forward(_) => "forward",
            Self::Variable(_) => "variable",
            Self::Discard => "discard",
            #[cfg(inrush_bench)]
            Self::Read { .. } => "read",
        }
    }
}

/// When the file of a `file` node is set aside, and how many of those stay. By default never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Once it is this large. Lines stay whole, so it becomes larger by up to one batch of lines, or one long line.
    pub bytes: Option<u64>,
    /// Once its first line is this old, and another one comes.
    pub after: Option<Duration>,
    /// The oldest beyond this many are removed; 0: all stay.
    pub keep: usize,
}

impl Rotation {
    /// Whether the file is ever set aside.
    pub fn is_on(&self) -> bool {
        self.bytes.is_some() || self.after.is_some()
    }
}

/// What the command line and the environment say over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// In place of `server.listen`.
    pub listen: Option<SocketAddr>,
    /// In place of `server.admin_listen`.
    pub admin_listen: Option<SocketAddr>,
    /// In place of `server.data_dir`; relative to the working directory.
    pub data_dir: Option<PathBuf>,
    /// In place of `server.cores`.
    pub cores: Option<usize>,
    /// In place of `server.workers`.
    pub workers: Option<usize>,
}

impl Server {
    /// What holds where the file is silent; `directory` is the one of the file.
    pub fn default_in(directory: &Path) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            data_dir: directory.join("inrush-data"),
            public_url: None,
            cores: None,
            workers: None,
        }
    }
}

impl Config {
    /// Reads and validates the file at `path`; every mistake in it is reported, not only the first.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let file = ReadFile::about_to_be_read(path);
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let mut config = Self::parse(path, &text, overrides, &|name| std::env::var(name).ok())?;
        config.files.insert(0, file);
        edit::warn_of_readable_secrets(&mut config);
        Ok(config)
    }

    /// The same from text in memory; `environment` answers for `${NAME}`.
    pub fn parse(
        path: &Path,
        text: &str,
        overrides: &Overrides,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        read::read(path, text, overrides, environment)
    }

    /// The webhook of that name.
    pub fn webhook(&self, name: &str) -> Option<&Webhook> {
        self.webhooks.iter().find(|webhook| webhook.name == name)
    }

    /// Where the admin API of a server with this config is reached.
    pub fn admin_address(&self) -> SocketAddr {
        reachable(self.server.admin_listen)
    }

    /// The URL that senders post to: under `public_url` where one is set, else under the address listened on.
    pub fn url(&self, webhook: &Webhook) -> String {
        self.url_at(self.server.listen, webhook)
    }

    /// The same once it is known where the server listens: port 0 has become a real one.
    pub fn url_at(&self, listen: SocketAddr, webhook: &Webhook) -> String {
        match &self.server.public_url {
            Some(public) => format!("{public}/{}", webhook.id),
            None => format!("http://{}/{}", reachable(listen), webhook.id),
        }
    }
}

/// An address to connect to, for one that is listened on: "every address" is reached through loopback.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
