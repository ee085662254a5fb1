//! `forward`: each event as a `POST` to a URL, the exact bytes received or what a template made of it.
//!
//! ```text
//!   event ─► headers, body, signature ─► client ─► kept connection ───────────────────────────────► answer ─► verdict
//!                                               └► look-up ─► guard ─► connect ─► TLS ─► new one ─┘
//! ```
//!
//! Nobody but the operator decides who is connected to: the host is fixed, every address passes the guard, redirects are
//! not followed, and no environment variable puts a proxy between. One attempt; what failed is for the log.

mod answer;
mod client;
mod connect;
mod connection;
mod guard;
mod headers;
mod idle;
mod node;
mod sign;
mod target;
#[cfg(test)]
mod tests;
mod tls;

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::uri::PathAndQuery;

pub use client::{Client, ClientOptions, Outgoing};
pub use guard::{Guard, Refused};
pub use headers::HeaderNames;
pub use node::ForwardNode;
pub use sign::Signer;
pub use target::{Target, path_and_query};

use crate::event::HeldEvent;

/// What the operator wrote about one node, checked.
pub struct ForwardOptions {
    /// Target, guard, times.
    pub client: ClientOptions,
    /// The path, unless a template renders it for each event.
    pub path: PathAndQuery,
    /// Headers of the event that are passed on, if it has them.
    pub headers: HeaderNames,
    /// Headers whose values [`Rendered::set_headers`] holds, in the same order.
    pub set_headers: HeaderNames,
    /// A template renders the body: the event's content type does not tell of it.
    pub is_body_rendered: bool,
    /// Signs what is sent.
    pub signer: Option<Signer>,
}

/// What templates made of one event.
#[derive(Debug, Default)]
pub struct Rendered {
    /// Instead of the path and query that were written.
    pub path: Option<String>,
    /// Instead of the bytes received.
    pub body: Option<Bytes>,
    /// One value for each of the headers that the operator sets.
    pub set_headers: Vec<String>,
}

/// Sends events to one target.
pub struct Forward {
    client: Client,
    path: PathAndQuery,
    /// `host` and `user-agent`.
    base: HeaderMap,
    passed: HeaderNames,
    set: HeaderNames,
    signer: Option<Signer>,
}

impl Forward {
    /// Prepares; see [`Client::open`].
    ///
    /// # Errors
    /// When TLS cannot be had as asked, or a header that is passed on or set is one that the signature writes.
    pub fn open(options: ForwardOptions) -> Result<Self, String> {
        let ForwardOptions { client, path, headers, set_headers, is_body_rendered, signer } = options;
        if signer.is_some() && (headers.names_a_signature() || set_headers.names_a_signature()) {
            return Err(
                "`webhook-id`, `webhook-timestamp` and `webhook-signature` are those of the signing key; \
                        leave them out of the headers"
                    .into(),
            );
        }
        Ok(Self {
            base: headers::base(client.target.authority()),
            client: Client::open(client)?,
            path,
            passed: if is_body_rendered { headers } else { headers.and_content_type() },
            set: set_headers,
            signer,
        })
    }

    /// Sends one event; see [`Client::send`]. The event is held until its body was sent, or the future is dropped.
    ///
    /// # Errors
    /// Why it was not delivered, as a reason for a log; also when what was rendered cannot be sent.
    pub async fn send(&self, event: &HeldEvent, rendered: Rendered) -> Result<(), String> {
        let request = self.request(event, rendered).await?;
        self.client.send(request).await
    }

    async fn request(&self, held: &HeldEvent, rendered: Rendered) -> Result<Outgoing, String> {
        let path = match &rendered.path {
            Some(path) => path_and_query(path)?,
            None => self.path.clone(),
        };
        if rendered.set_headers.len() != self.set.len() {
            return Err("not every header that is set has a value".into());
        }
        let mut headers = self.base.clone();
        headers::add_event(&mut headers, &held.event(), &self.passed)?;
        headers::set(&mut headers, &self.set, &rendered.set_headers)?;
        let body = rendered.body.unwrap_or_else(|| held.body());
        if let Some(signer) = &self.signer {
            let id = held.event().id().to_string();
            let timestamp =
                SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs());
            let signature = signer.sign(&id, timestamp, &body).await?;
            headers.insert(headers::SIGNED_ID, HeaderValue::try_from(id).map_err(|error| error.to_string())?);
            headers.insert(headers::SIGNED_TIMESTAMP, timestamp.into());
            headers.insert(headers::SIGNATURE, signature);
        }
        Ok(Outgoing { path, headers, body })
    }
}
