//! The command line: one file per command. Flags win over `INRUSH_*`, which win over the config file.
//!
//! Stdout carries what a command was asked for, and in `serve` belongs to the `log` node; everything said beside that
//! goes to stderr.

use std::fmt;
use std::io::IsTerminal;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{self, Config, ConfigError, Overrides, Webhook, edit::EditError, write_problem};
use crate::limits::Limits;
use crate::server::ServeError;

mod admin;
mod check;
mod list;
mod new;
mod send;
mod serve;
mod snippet;
mod tail;
mod triggers;

/// Exit codes, after sysexits(3), so that a supervisor can tell what helps: a restart, or a person.
pub mod exit {
    /// A bug in inrush, or a thread of it died: a restart may help.
    pub const INTERNAL: u8 = 1;
    /// The command line, or a variable that stands for an option, is wrong.
    pub const USAGE: u8 = 2;
    /// No webhook has the name that was asked for.
    pub const NO_SUCH_WEBHOOK: u8 = 66;
    /// The address is in use or cannot be listened on; for `send`, `tail`, `triggers`, nobody answers there, or has gone.
    pub const UNAVAILABLE: u8 = 69;
    /// The system refused to read or write a file, or another resource.
    pub const IO: u8 = 74;
    /// Another inrush uses the data directory; it may be gone later.
    pub const LOCKED: u8 = 75;
    /// `send`: the server answered, and refused what was sent or failed to run it.
    pub const REFUSED: u8 = 76;
    /// The config file is wrong: only an edit helps.
    pub const CONFIG: u8 = 78;
}

const EXIT_CODES: &str = "\
Exit codes:
   0  done; for `serve`: stopped in order by SIGTERM or SIGINT
   1  an internal error, or a thread died
   2  the command line is wrong
  66  no webhook has that name
  69  the address is in use or cannot be listened on; for `send`, `tail`, `triggers`: no server answers there
  74  a file could not be read or written, or the system refused something
  75  another inrush uses the data directory
  76  for `send`: the server answered with something else than 2xx
  78  the configuration is wrong";

/// A self-hosted webhook ingestion engine.
#[derive(Debug, Parser)]
#[command(name = "inrush", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = false)]
struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
struct Options {
    /// The config file [default: inrush.toml; `serve` writes it if it is not there]
    #[arg(long, global = true, env = "INRUSH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where webhooks are posted to, in place of server.listen
    #[arg(long, global = true, env = "INRUSH_LISTEN", value_name = "IP:PORT", value_parser = config::words::address)]
    listen: Option<SocketAddr>,
    /// Where health and metrics are served, in place of server.admin_listen
    #[arg(long, global = true, env = "INRUSH_ADMIN_LISTEN", value_name = "IP:PORT",
          value_parser = config::words::address)]
    admin_listen: Option<SocketAddr>,
    /// What inrush keeps on disk, in place of server.data_dir
    #[arg(long, global = true, env = "INRUSH_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads that receive, in place of server.cores
    #[arg(long, global = true, env = "INRUSH_CORES", value_name = "N", value_parser = threads)]
    cores: Option<usize>,
    /// Threads that run nodes, in place of server.workers
    #[arg(long, global = true, env = "INRUSH_WORKERS", value_name = "N", value_parser = threads)]
    workers: Option<usize>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; this is what happens without a command
    Serve,
    /// Install a webhook: add it to the config file and print its URL
    New(new::New),
    /// Show the installed webhooks
    List(list::List),
    /// Say whether the config file is right, and which limits it gives
    Check,
    /// Post a file, or what comes on stdin, to a webhook
    Send(send::Send),
    /// Print a program that posts to a webhook
    Snippet(snippet::Snippet),
    /// Show events of the running server as they happen
    Tail(tail::Tail),
    /// Show what the running server has counted of each trigger and its nodes
    Triggers(triggers::Triggers),
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(exit::CONFIG, error.to_string())
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        let code = match &error {
            EditError::Config(_) | EditError::Refused(_) => exit::CONFIG,
            EditError::Io { .. } => exit::IO,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let code = match &error {
            ServeError::AddressInUse { .. } | ServeError::AddressUnavailable { .. } => exit::UNAVAILABLE,
            ServeError::Locked { .. } => exit::LOCKED,
            ServeError::Config { .. } | ServeError::Node { .. } => exit::CONFIG,
            ServeError::Driver { .. } => exit::USAGE,
            ServeError::Variables { .. } | ServeError::Io { .. } => exit::IO,
            ServeError::Died { .. } => exit::INTERNAL,
        };
        Self::new(code, error.to_string())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    log_to_stderr();
    let CommandLine { options, command } = CommandLine::parse();
    let done = match command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(&options),
        Command::New(new) => new.run(&options),
        Command::List(list) => list.run(&options),
        Command::Check => check::run(&options),
        Command::Send(send) => send.run(&options),
        Command::Snippet(snippet) => snippet.run(&options),
        Command::Tail(tail) => tail.run(&options),
        Command::Triggers(triggers) => triggers.run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            say(format_args!("inrush: {message}"));
            ExitCode::from(code)
        }
    }
}

/// What the server has to say while it runs goes to stderr; stdout belongs to the `log` node. `RUST_LOG` chooses
/// what, `info` unless set.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    // Only fails when a subscriber was installed before, and then that one is used.
    let _ = subscriber.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr).try_init();
}

impl Options {
    /// The config file that was named, or the default one.
    fn path(&self) -> PathBuf {
        self.config.clone().unwrap_or_else(|| PathBuf::from(config::DEFAULT_PATH))
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen,
            admin_listen: self.admin_listen,
            data_dir: self.data_dir.clone(),
            cores: self.cores,
            workers: self.workers,
        }
    }

    /// The config and the limits it gives, its warnings said.
    fn load(&self) -> Result<(Config, Limits), Failure> {
        let config = Config::load(&self.path(), &self.overrides())?;
        let limits = Limits::derive(&config)?;
        for warning in &config.warnings {
            let mut line = String::new();
            let _ = write_problem(&mut line, &config.path, warning);
            say(format_args!("inrush: warning: {line}"));
        }
        Ok((config, limits))
    }
}

/// The webhook of that name, or what there is in its place.
fn installed<'c>(config: &'c Config, name: &str) -> Result<&'c Webhook, Failure> {
    config.webhook(name).ok_or_else(|| {
        let names: Vec<&str> = config.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        let remedy = match (config::closest(name, names.iter().copied()), names.is_empty()) {
            (Some(meant), _) => format!("did you mean {meant:?}?"),
            (None, true) => "none is installed; add one with `inrush new NAME`".to_owned(),
            (None, false) => format!("there are: {}", names.join(", ")),
        };
        Failure::new(exit::NO_SUCH_WEBHOOK, format!("no webhook is called {name:?}; {remedy}"))
    })
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err(format!("{text:?} is no number of threads from 1 to 1024")),
    }
}

/// Says something to the operator. Without a stderr there is nobody to tell.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes what was asked for to stdout. A reader that has seen enough (`inrush list | head -1`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::IO, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
