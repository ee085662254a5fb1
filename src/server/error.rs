//! Why the server did not start, or stopped.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{Config, ConfigError, Problem};

/// Why the server did not start, or stopped.
#[derive(Debug)]
pub enum ServeError {
    /// Somebody listens there already.
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// The flag that names another.
        flag: &'static str,
    },
    /// The address cannot be listened on for another reason.
    AddressUnavailable {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        error: io::Error,
    },
    /// Another inrush uses the data directory.
    Locked {
        /// The directory.
        data_dir: PathBuf,
    },
    /// The config contradicts itself.
    Config {
        /// How.
        reason: String,
    },
    /// The variables that a webhook has kept cannot be read.
    Variables {
        /// Its webhook.
        webhook: String,
        /// What is wrong.
        reason: String,
    },
    /// A trigger of the program that the server is a part of cannot be set up.
    Node {
        /// Its webhook.
        webhook: String,
        /// Its trigger.
        trigger: String,
        /// What is wrong.
        reason: String,
    },
    /// `INRUSH_DRIVER` asks for what cannot be.
    Driver {
        /// What it says.
        asked: String,
        /// What is wrong with that.
        reason: &'static str,
    },
    /// The system refused something.
    Io {
        /// What was wanted.
        what: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A thread of the server died; the others were drained.
    Died {
        /// Which, and of what.
        what: String,
    },
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse { address, flag } => write!(
                f,
                "{address} is in use by another process; stop it, or choose another address with {flag} or in the \
                 [server] table of the configuration"
            ),
            Self::AddressUnavailable { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Locked { data_dir } => write!(
                f,
                "another inrush uses the data directory {}; stop it, or choose another with --data-dir",
                data_dir.display()
            ),
            Self::Config { reason } => f.write_str(reason),
            Self::Variables { webhook, reason } => write!(f, "variables of webhook `{webhook}`: {reason}"),
            Self::Node { webhook, trigger, reason } => {
                write!(f, "webhook `{webhook}`, trigger `{trigger}`: {reason}")
            }
            Self::Driver { asked, reason } => write!(f, "INRUSH_DRIVER is `{asked}`: {reason}"),
            Self::Io { what, error } => write!(f, "{what}: {error}"),
            Self::Died { what } => write!(f, "{what}; the server has stopped"),
        }
    }
}

impl std::error::Error for ServeError {}

impl ServeError {
    pub(super) fn config(config: &Config, problems: Vec<Problem>) -> Self {
        Self::Config { reason: ConfigError::new(&config.path, problems).to_string() }
    }

    pub(super) fn io(what: impl Into<String>, error: io::Error) -> Self {
        Self::Io { what: what.into(), error }
    }
}
