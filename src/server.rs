//! The face of the library, and what builds both wings, runs them, and takes them down again.
//!
//! ```text
//! lock the data directory ─► probe and bind ─► workers ─► cores ─► admin ─► ready
//! stop ─► not ready ─► drain_delay ─► cores: finish, stop accepting ─► workers: empty the queues ─► the end
//! ```
//!
//! Threads: one per core, pinned; one per worker; and a control thread, which carries the admin listener and the orders
//! of the operator on a tokio runtime of its own.
//!
//! | file | what |
//! | --- | --- |
//! | `builder` | [`Builder`]: a config, and triggers of your own |
//! | `life` | from the start to the end |
//! | `orders` | signals, or the program that the server is a part of |
//! | `build` | the threads, the queues between them |
//! | `installed` | webhooks and triggers, and what another config changes of them |
//! | `reload` | when the config is read anew |
//! | `saving` | what webhooks keep in variables |
//! | `socket` | addresses |
//! | `tail` | who watches events |

mod build;
mod builder;
mod error;
mod installed;
mod life;
mod orders;
mod reload;
mod saving;
mod socket;
mod tail;

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread::JoinHandle;

use crate::config::Config;
use crate::limits::Limits;

pub use builder::{Builder, check};
pub use error::ServeError;

/// What a running server says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Started {
    /// Where webhooks are posted to.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub admin_listen: SocketAddr,
    /// What carries the I/O.
    pub driver: crate::io::Driver,
}

/// What is to be served.
struct Plan {
    config: Config,
    limits: Limits,
    natives: Vec<builder::NativeTrigger>,
    read: Box<ReadConfig>,
}

/// Reads the config anew, or says why that cannot be.
type ReadConfig = dyn FnMut() -> Result<Config, String> + Send;

/// A server on threads of its own: one for each core, pinned, one for each worker, and one for control.
///
/// Dropping it stops it as [`Server::stop`] does, and waits as long; what went wrong is logged then. A process may have
/// several, each with its own addresses and data directory.
///
/// ```
/// use std::sync::mpsc;
/// # use std::io::{Read, Write};
///
/// # let directory = tempfile::tempdir()?;
/// let (seen, events) = mpsc::sync_channel(100);
/// let server = inrush::Server::builder()
///     .listen("127.0.0.1:0".parse()?)
///     .admin_listen("127.0.0.1:0".parse()?)
///     .data_dir(directory.path())
///     .webhook("orders", "0d3b1a52-6a9e-4c39-9b5e-2f4d8c7e6a10".parse()?)
///     .on_event("orders", "print", move |event| {
///         // The event is borrowed: what is needed later is copied.
///         seen.try_send(format!("{} {}", event.method(), String::from_utf8_lossy(event.body())))?;
///         Ok(())
///     })
///     .start()?;
///
/// let url = server.url("orders").expect("it was installed above");
/// # let path = url.splitn(4, '/').nth(3).expect("a path");
/// # let mut stream = std::net::TcpStream::connect(server.started().listen)?;
/// # write!(stream, "POST /{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{{\"a\": 1}}")?;
/// # stream.read_to_string(&mut String::new())?;
/// // curl -d '{"a": 1}' $url
/// assert_eq!(events.recv()?, "POST {\"a\": 1}");
/// server.stop()?; // every event that was accepted has run
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    started: Started,
    config: Config,
    /// None once it was told to stop.
    command: Option<orders::Command>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Server {
    /// Says what to serve.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// The URL of the webhook with this name.
    pub fn url(&self, webhook: &str) -> Option<String> {
        self.config.webhook(webhook).map(|webhook| self.config.url_at(self.started.listen, webhook))
    }

    /// Stops it: every request of which a byte was read is answered, and every event that was accepted runs, within the
    /// limits for draining. It blocks for so long, so it must not be called by a node of this server, which would wait for
    /// itself.
    ///
    /// # Errors
    /// When a thread had died, or something was cut off.
    pub fn stop(mut self) -> Result<(), ServeError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), ServeError> {
        self.command = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(ServeError::Died { what: "the control thread panicked".into() }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!("{error}");
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("started", &self.started).finish_non_exhaustive()
    }
}

/// Writes a line for the operator. Stdout belongs to the `log` node.
pub fn say(line: fmt::Arguments<'_>) {
    // Without a stderr there is nobody to tell.
    let _ = writeln!(io::stderr(), "{line}");
}
