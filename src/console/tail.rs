//! `/tail`: events as they happen, a line of JSON each, for as long as the client reads.
//!
//! Payloads are not for the network: it is served only where the listener is on loopback. Where events come from is the
//! server's affair ([`OpenTail`]).

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt};
use std::convert::Infallible;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;

use super::{DRAINING, Problem};

/// What a client asked to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailWanted {
    /// Events of the webhook of this name; `None`: of all.
    pub webhook: Option<String>,
    /// Those that meet this condition.
    pub filter: Option<String>,
    /// Every so many of these.
    pub every: NonZeroU64,
}

/// Why there is nothing to see; a sentence says what is wrong with what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TailRefused {
    /// No webhook has that name.
    NoSuchWebhook(String),
    /// The filter is no condition.
    BadFilter(String),
    /// So many clients watch already.
    TooMany(usize),
    /// The server ends.
    Ending,
}

/// Lines, one or more at a time, and an empty one now and then. It is dropped when the client goes away.
pub type TailLines = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// Opens a tail.
pub type OpenTail = Arc<dyn Fn(TailWanted) -> Result<TailLines, TailRefused> + Send + Sync>;

/// What `/tail` needs to know.
#[derive(Clone)]
pub(super) struct Tailing {
    pub open: OpenTail,
    pub loopback_only: bool,
}

pub(super) async fn tail(State(tailing): State<Tailing>, uri: Uri) -> Response {
    if !tailing.loopback_only {
        return NOT_ON_LOOPBACK.into_response();
    }
    let wanted = match read(uri.query().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(wrong) => return problem(StatusCode::BAD_REQUEST, "bad_query", wrong).into_response(),
    };
    match (tailing.open)(wanted) {
        Ok(lines) => {
            let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
            (kind, Body::from_stream(lines.map(Ok::<_, Infallible>))).into_response()
        }
        Err(TailRefused::NoSuchWebhook(wrong)) => {
            problem(StatusCode::BAD_REQUEST, "no_such_webhook", wrong).into_response()
        }
        Err(TailRefused::BadFilter(wrong)) => {
            problem(StatusCode::BAD_REQUEST, "bad_filter", wrong).into_response()
        }
        Err(TailRefused::TooMany(count)) => {
            let wrong = format!("{count} clients watch already, which is the most; end one of them.");
            problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_tails", wrong).into_response()
        }
        Err(TailRefused::Ending) => DRAINING.into_response(),
    }
}

/// Reads the query. What it does not know it refuses: a misspelt filter would show everything.
fn read(query: &str) -> Result<TailWanted, String> {
    let (mut webhook, mut filter, mut every) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "webhook" => &mut webhook,
            "filter" => &mut filter,
            "every" => &mut every,
            _ => return Err(format!("There is no parameter {name:?}; there are webhook, filter and every.")),
        };
        if place.replace(value.into_owned()).is_some() {
            return Err(format!("The parameter {name:?} stands there twice; send it once."));
        }
    }
    let every = match every {
        None => NonZeroU64::MIN,
        Some(text) => text.parse().map_err(|_| {
            format!("every={text:?} is no whole number from 1 on: 10 shows every tenth event.")
        })?,
    };
    Ok(TailWanted { webhook, filter, every })
}

const NOT_ON_LOOPBACK: Problem = Problem::new(
    StatusCode::FORBIDDEN,
    "not_on_loopback",
    "Payloads are shown only where server.admin_listen is on loopback, such as 127.0.0.1:8081; here others can reach it.",
);

fn problem(status: StatusCode, code: &'static str, detail: String) -> Problem {
    Problem { status, code, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let wanted = |webhook: Option<&str>, filter: Option<&str>, every: u64| TailWanted {
            webhook: webhook.map(str::to_owned),
            filter: filter.map(str::to_owned),
            every: NonZeroU64::new(every).unwrap(),
        };
        for (query, expected) in [
            ("", Ok(wanted(None, None, 1))),
            ("webhook=a%20%26+b", Ok(wanted(Some("a & b"), None, 1))),
            (
                "every=10&filter=payload.body.a%3D%3D%221%22",
                Ok(wanted(None, Some("payload.body.a==\"1\""), 10)),
            ),
            ("filter=", Ok(wanted(None, Some(""), 1))),
            ("every=0", Err("every=\"0\"")),
            ("every=-1", Err("every=\"-1\"")),
            ("every=99999999999999999999", Err("no whole number")),
            ("every=", Err("every=\"\"")),
            ("fliter=x", Err("\"fliter\"")),
            ("webhook=a&webhook=b", Err("twice")),
        ] {
            match (read(query), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{query}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{query}: {found}"),
                (found, expected) => panic!("{query}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
