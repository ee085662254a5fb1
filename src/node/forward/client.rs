//! The client of one worker for one target: kept connections, bounded times, one attempt.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use http_body_util::Full;
use tokio::time::{Instant, timeout_at};

use super::answer::{QUOTED_BYTES, verdict};
use super::connect::Connector;
use super::connection::Connection;
use super::guard::Guard;
use super::idle::Idle;
use super::target::Target;

/// An answer is read up to here so that its connection can be used again; with a longer one, the connection is closed.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The longest time for anything: a longer one is a mistake, and one without end would overflow the clock.
const TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How a client behaves. Times are up to a day.
pub struct ClientOptions {
    /// Whom it sends to.
    pub target: Target,
    /// Which addresses it may connect to.
    pub guard: Guard,
    /// Authorities to trust instead of the system's, in PEM form.
    pub ca_file: Option<PathBuf>,
    /// For the look-up, the connection and the TLS handshake together.
    pub connect_timeout: Duration,
    /// For the whole exchange, the above included.
    pub timeout: Duration,
    /// After this time without use, a kept connection is closed. Longer than some servers keep theirs, which costs
    /// nothing: that they closed is seen before the next use.
    pub idle_timeout: Duration,
    /// The most connections that are kept: as many as there are runs at once.
    pub idle_connections_max: usize,
}

impl ClientOptions {
    /// The defaults: 5 s to connect, 30 s for everything, 15 s and 64 connections of rest.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            guard: Guard::default(),
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(15),
            idle_connections_max: 64,
        }
    }
}

/// A request, sent with `POST`.
pub struct Outgoing {
    /// Where to, at the client's target.
    pub path: PathAndQuery,
    /// All headers but `content-length`.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Bytes,
}

/// Sends requests to one target. Environment variables that name proxies have no say.
pub struct Client {
    connector: Connector,
    idle: Idle,
    timeout: Duration,
}

impl Client {
    /// Prepares; nothing is connected yet. Needs no runtime, reads files.
    ///
    /// # Errors
    /// When TLS cannot be had as asked, or a time is none.
    pub fn open(options: ClientOptions) -> Result<Self, String> {
        let ClientOptions { target, guard, ca_file, connect_timeout, timeout, .. } = options;
        for (name, time) in [("connect_timeout", connect_timeout), ("timeout", timeout)] {
            if time.is_zero() || time > TIME_MAX {
                return Err(format!("`{name}` has to be longer than nothing and at most 24h"));
            }
        }
        Ok(Self {
            connector: Connector::new(target, guard, ca_file.as_deref(), connect_timeout)?,
            idle: Idle::new(options.idle_timeout.min(TIME_MAX), options.idle_connections_max),
            timeout,
        })
    }

    #[cfg(test)]
    pub(super) fn with_lookups(
        mut self,
        answer: impl Fn() -> super::connect::Answer + Send + Sync + 'static,
    ) -> Self {
        self.connector = self.connector.with_lookups(answer);
        self
    }

    /// Sends `request` once and waits for the answer. A kept connection turns out to be closed now and then: the request
    /// is sent on another one only if not a byte of it was written. After that the server may have taken it, and sending
    /// it again would be a second delivery, so it fails instead.
    ///
    /// A 2xx counts from its head on; what goes wrong with its body costs the connection only. Runs on a tokio runtime
    /// with I/O and time. Dropping the future closes its connection.
    ///
    /// # Errors
    /// When the request was not answered with a 2xx in time. The text says why, for a log.
    pub async fn send(&self, request: Outgoing) -> Result<(), String> {
        let deadline = Instant::now() + self.timeout;
        let mut request = assembled(request)?;
        let (mut connection, answer) = loop {
            let (mut connection, is_kept) = match self.idle.take().await {
                Some(kept) => (kept, true),
                None => {
                    let (stream, address) = self.connector.connect(deadline).await?;
                    (Box::new(Connection::new(stream, address).await?), false)
                }
            };
            match timeout_at(deadline, connection.exchange(request)).await {
                Ok(Ok(answer)) => break (connection, answer),
                Ok(Err(mut failed)) => match failed.take_message() {
                    // Ends: there are only so many kept ones.
                    Some(unsent) if is_kept => request = unsent,
                    _ => return Err(failure(failed.error(), connection.address(), is_kept)),
                },
                Err(_) => {
                    let (after, address) = (humantime::format_duration(self.timeout), connection.address());
                    return Err(format!("timed out after {after} while waiting for the answer of {address}"));
                }
            }
        };
        let (head, mut body) = answer.into_parts();
        let mut quote = Vec::new();
        let reading = connection.read(&mut body, ANSWER_BYTES_MAX, |data| {
            if !head.status.is_success() {
                let room = QUOTED_BYTES - quote.len();
                quote.extend_from_slice(&data[..data.len().min(room)]);
            }
        });
        if let Ok(true) = timeout_at(deadline, reading).await {
            self.idle.put(connection).await;
        }
        verdict(head.status, &head.headers, &quote)
    }
}

fn assembled(request: Outgoing) -> Result<Request<Full<Bytes>>, String> {
    let Outgoing { path, mut headers, body } = request;
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let mut assembled = Request::new(Full::new(body));
    *assembled.method_mut() = Method::POST;
    // Only path and query stand in the request line (RFC 9112 section 3.2.1).
    *assembled.uri_mut() = Uri::from(path);
    *assembled.headers_mut() = headers;
    Ok(assembled)
}

/// Why an exchange failed.
fn failure(error: &hyper::Error, address: std::net::SocketAddr, is_kept: bool) -> String {
    if error.is_parse() || error.is_parse_too_large() {
        return format!("what {address} answers is not HTTP/1.1 ({error})");
    }
    let source = std::error::Error::source(error);
    let io = source.and_then(|source| source.downcast_ref::<std::io::Error>());
    match io {
        Some(io) if io.get_ref().is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>()) => {
            format!("TLS: {}", super::tls::reason(io))
        }
        _ if is_kept => format!(
            "{address} closed a kept connection while the event was on its way; it was not sent again, because it may \
             have arrived"
        ),
        Some(io) => format!("the connection to {address} broke before the answer: {io}"),
        None => format!("{address} closed the connection before it answered"),
    }
}
