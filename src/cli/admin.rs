//! The admin API of the running server, as commands ask it: one GET, answered by a document or by lines without end.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Failure, Options, exit};
use crate::config::Config;

/// Until there is a connection, and again until there is an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Without a byte of an answer that has begun. Lines without end have a sign of life every 10 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// Of a document so much is read; 10,000 triggers have some 3 MB.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// The admin API of one server.
pub(super) struct Admin {
    address: SocketAddr,
    /// What starts a server with this config.
    serve: String,
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    address: SocketAddr,
    body: Incoming,
}

/// What of a problem document (RFC 9457) the operator needs.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

impl Admin {
    /// Where the server of this config answers.
    pub fn of(config: &Config, options: &Options) -> Result<Self, Failure> {
        let address = config.admin_address();
        if address.port() == 0 {
            let message = "admin_listen has port 0, and only the running server knows which one that has become; it said \
                           so at its start: name it with --admin-listen";
            return Err(Failure::new(exit::USAGE, message));
        }
        let named = options.config.as_ref().map(|path| format!(" --config {}", path.display()));
        Ok(Self { address, serve: format!("inrush serve{}", named.unwrap_or_default()) })
    }

    /// Asks for `target`. Anything but a 200 is a failure that says what the server said.
    pub async fn get(&self, target: &str) -> Result<Answer, Failure> {
        let address = self.address;
        let stream = match timeout(ANSWER_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(self.unavailable(&error.to_string())),
            Err(_) => return Err(self.unavailable("no connection in time")),
        };
        let request =
            Request::get(target).header(header::HOST, address.to_string()).body(Empty::<Bytes>::new());
        let request = request.map_err(|error| Failure::new(exit::INTERNAL, format!("{target}: {error}")))?;
        let asked = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // How it ends, the answer says as well.
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let answer = match timeout(ANSWER_TIMEOUT, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.unavailable(&error.to_string())),
            Err(_) => return Err(self.unavailable("no answer in time")),
        };
        let status = answer.status();
        let answer = Answer { address, body: answer.into_body() };
        match status {
            StatusCode::OK => Ok(answer),
            status => Err(refused(address, status, &answer.document().await?)),
        }
    }

    fn unavailable(&self, why: &str) -> Failure {
        let message = format!(
            "no inrush answers on {}: {why}; start it with `{}`, or name the address with --admin-listen",
            self.address, self.serve
        );
        Failure::new(exit::UNAVAILABLE, message)
    }
}

impl Answer {
    /// All of it.
    pub async fn document(self) -> Result<Bytes, Failure> {
        let address = self.address;
        match timeout(SILENCE_TIMEOUT, Limited::new(self.body, DOCUMENT_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) => Err(ended(address, &error.to_string())),
            Err(_) => Err(ended(address, "it has stopped sending")),
        }
    }

    /// The next bytes of it; `None`: that was all.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            match timeout(SILENCE_TIMEOUT, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(_trailers) => {}
                },
                Ok(Some(Err(error))) => return Err(ended(self.address, &error.to_string())),
                Err(_) => return Err(ended(self.address, "it says nothing any more")),
            }
        }
    }
}

/// Runs a conversation with a server.
pub(super) fn block_on<T>(talk: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(|error| Failure::new(exit::IO, format!("the system refuses a runtime: {error}")))?
        .block_on(talk)
}

/// The connection ended within an answer.
pub(super) fn ended(address: SocketAddr, why: &str) -> Failure {
    Failure::new(exit::UNAVAILABLE, format!("the server on {address} has gone: {why}"))
}

fn refused(address: SocketAddr, status: StatusCode, body: &[u8]) -> Failure {
    let Ok(Problem { code, detail }) = serde_json::from_slice(body) else {
        let message = format!(
            "what answers on {address} is not inrush's admin API: {status}; name that with --admin-listen"
        );
        return Failure::new(exit::UNAVAILABLE, message);
    };
    let exit = match code.as_str() {
        "no_such_webhook" => exit::NO_SUCH_WEBHOOK,
        "bad_query" | "bad_filter" => exit::USAGE,
        _ => exit::UNAVAILABLE,
    };
    Failure::new(exit, format!("the server on {address} refuses: {detail}"))
}
