//! The admin listener: is inrush alive, is it ready, what has it counted, and what does it receive just now. It runs on
//! the control thread and only reads; nothing that happens here can slow a core.
//!
//! | path | answer |
//! | --- | --- |
//! | `/healthz` | 200 `ok`, as long as the process lives |
//! | `/readyz` | 200 `ready`, or 503 and why not: starting, draining |
//! | `/metrics` | the counts, in the text format of Prometheus |
//! | `/triggers` | what was counted of each trigger and its nodes, as JSON |
//! | `/tail` | events as they happen, one JSON line each |
//!
//! Everything else is refused as `application/problem+json` (RFC 9457) with a stable `code`. Connections are few
//! and bounded in time and bytes ([`bounded`]), and web pages that reached this address by a trick are turned
//! away ([`host`]).

mod bounded;
mod host;
mod readiness;
mod tail;

pub use readiness::{Readiness, State as ReadyState};
pub use tail::{OpenTail, TailLines, TailRefused, TailWanted};

use crate::metrics::Metrics;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, serve as serve_http};
use bounded::{Bounded, Bounds};
use std::borrow::Cow;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use tail::Tailing;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Serves until `shutdown` is done and the last answers are out.
///
/// A connection that does not end by itself is given up after two seconds, and what is left of it ends with the
/// runtime.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    open_tail: OpenTail,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_within(Bounds::DEFAULT, listener, metrics, readiness, open_tail, shutdown).await
}

async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    open_tail: OpenTail,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let loopback_only = listener.local_addr()?.ip().to_canonical().is_loopback();
    let routes = routes(metrics, readiness, Tailing { open: open_tail, loopback_only });
    // The caller's future need not outlive this one, which that of axum must: so it is told.
    let (tell, told) = oneshot::channel::<()>();
    let serving = serve_http(Bounded::new(listener, bounds), routes).with_graceful_shutdown(async {
        let _ended_either_way = told.await;
    });
    let mut serving = pin!(serving.into_future());
    tokio::select! {
        ended = &mut serving => return ended,
        () = shutdown => drop(tell),
    }
    tokio::time::timeout(bounds.farewell, serving).await.unwrap_or(Ok(()))
}

fn routes(metrics: Arc<Metrics>, readiness: Arc<Readiness>, tailing: Tailing) -> Router {
    let loopback_only = tailing.loopback_only;
    let routes = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready).with_state(readiness))
        .route("/metrics", get(count).with_state(metrics.clone()))
        .route("/triggers", get(triggers).with_state(metrics))
        .route("/tail", get(tail::tail).with_state(tailing))
        .fallback(async || NOT_FOUND)
        .method_not_allowed_fallback(async || METHOD_NOT_ALLOWED);
    let routes = match loopback_only {
        true => routes.layer(from_fn(local_only)),
        false => routes,
    };
    routes.layer(from_fn(seal))
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> Response {
    match readiness.state() {
        ReadyState::Ready => "ready".into_response(),
        ReadyState::Starting => STARTING.into_response(),
        ReadyState::Draining => DRAINING.into_response(),
    }
}

async fn count(State(metrics): State<Arc<Metrics>>) -> Response {
    let mut text = String::new();
    metrics.render_prometheus(&mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn triggers(State(metrics): State<Arc<Metrics>>) -> Response {
    let counts = serde_json::json!(metrics.trigger_counts());
    ([(header::CONTENT_TYPE, "application/json")], format!("{counts}\n")).into_response()
}

/// Lets a request pass that names this machine as its host.
async fn local_only(request: Request, next: Next) -> Response {
    match host::judge(&request) {
        host::Verdict::Local => next.run(request).await,
        host::Verdict::Foreign => FOREIGN_HOST.into_response(),
        host::Verdict::Malformed => BAD_HOST.into_response(),
    }
}

/// Puts on every answer what every answer carries: it is of this moment, and what it says it is.
async fn seal(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A refusal of the console.
struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
}

impl Problem {
    const fn new(status: StatusCode, code: &'static str, detail: &'static str) -> Self {
        Self { status, code, detail: Cow::Borrowed(detail) }
    }
}

const NOT_FOUND: Problem = Problem::new(
    StatusCode::NOT_FOUND,
    "not_found",
    "There is nothing here; try /healthz, /readyz, /metrics, /triggers or /tail.",
);
const METHOD_NOT_ALLOWED: Problem = Problem::new(
    StatusCode::METHOD_NOT_ALLOWED,
    "method_not_allowed",
    "This page can only be read, with GET or HEAD.",
);
const BAD_HOST: Problem =
    Problem::new(StatusCode::BAD_REQUEST, "bad_host", "Send exactly one valid Host header.");
const FOREIGN_HOST: Problem = Problem::new(
    StatusCode::FORBIDDEN,
    "foreign_host",
    "The admin address listens on loopback only: call it localhost or by its IP address.",
);
const STARTING: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "starting",
    "inrush is starting and does not take requests yet.",
);
const DRAINING: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "draining",
    "inrush is shutting down; send requests elsewhere.",
);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        (self.status, kind, format!("{body}\n")).into_response()
    }
}

#[cfg(test)]
mod tests;
