//! Admission: what the head alone decides, before a byte of the body is read.

use super::webhooks::Webhooks;
use crate::http::cors::Browser;
use crate::http::framing::Framing;
use crate::http::head::{Expect, Head, Method, Seen};
use crate::http::{Problem, Reject, Span, reject};

/// What an admitted request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// To take an event in.
    Event,
    /// A browser asks whether it may post.
    Preflight,
    /// Which methods there are.
    Options,
}

/// A request that its head lets in.
#[derive(Debug, Clone, Copy)]
pub struct Admitted {
    /// The webhook, by index.
    pub webhook: u32,
    /// The path behind the id.
    pub suffix: Span,
    /// The browser origin to echo.
    pub cors_origin: Option<Span>,
    /// What it asks for.
    pub asks: Asks,
    /// The largest body this webhook takes.
    pub body_bytes_max: u64,
}

/// A refused request.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// Why.
    pub reject: Reject,
    /// The browser origin to echo, so that a page may read the answer.
    pub cors_origin: Option<Span>,
}

/// Decides about the request whose head is `head`, with its bytes in `bytes`.
#[inline]
pub fn admit(webhooks: &Webhooks, head: &Head, bytes: &[u8]) -> Result<Admitted, Refusal> {
    let refuse =
        |problem: &'static Problem, cors_origin| Err(Refusal { reject: problem.into(), cors_origin });
    if head.method == Method::Options && head.path.of(bytes) == b"*" {
        // RFC 9110 §9.3.7: a question about the server as a whole.
        return Ok(Admitted {
            suffix: head.path,
            webhook: 0,
            cors_origin: None,
            asks: Asks::Options,
            body_bytes_max: 0,
        });
    }
    let found = webhooks.find(head.path.of(bytes));
    let Some((index, id_end, webhook)) = found else {
        return refuse(&reject::UNKNOWN_WEBHOOK, None);
    };
    let cors_origin = match webhook.origins.check(head, bytes) {
        Browser::No => None,
        Browser::Allowed(origin) => origin,
        Browser::Refused => {
            // The method is decided first, the answer to a browser may only not be read by its page.
            return match head.method {
                Method::Head | Method::Known => refuse(&reject::METHOD_NOT_ALLOWED, None),
                _ => refuse(&reject::ORIGIN_NOT_ALLOWED, None),
            };
        }
    };
    let asks = match head.method {
        Method::Get | Method::Post => Asks::Event,
        // A preflight carries no credentials (Fetch, CORS-preflight), and plain OPTIONS needs none either.
        Method::Options if cors_origin.is_some() && head.request_method.is_some() => Asks::Preflight,
        Method::Options => Asks::Options,
        Method::Head | Method::Known => return refuse(&reject::METHOD_NOT_ALLOWED, cors_origin),
    };
    if asks == Asks::Event && !webhook.secrets.is_open() {
        match head.secret {
            Seen::Once(secret) if webhook.secrets.accepts(secret.of(bytes)) => {}
            _ => return refuse(&reject::BAD_SECRET, cors_origin),
        }
    }
    if head.expect == Expect::Unknown {
        return refuse(&reject::BAD_EXPECTATION, cors_origin);
    }
    if head.is_encoded {
        return refuse(&reject::UNSUPPORTED_CODING, cors_origin);
    }
    if matches!(head.framing, Framing::Length(length) if length > webhook.body_bytes_max) {
        return refuse(&reject::BODY_TOO_LARGE, cors_origin);
    }
    let suffix = Span::new(head.path.start as usize + id_end, head.path.end as usize);
    Ok(Admitted { webhook: index, suffix, cors_origin, asks, body_bytes_max: webhook.body_bytes_max })
}
