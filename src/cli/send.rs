//! `inrush send NAME [FILE]`: posts a document to an installed webhook, as its senders do.
//!
//! The file is streamed, whatever its size. An answer that comes while it is still being sent ends the sending: a
//! refusal is shown as what it says, and never as a broken pipe.

use std::time::Duration;

use clap::Args;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request};
use serde::Serialize;

use super::{Failure, Options, exit, installed, print, say};
use crate::config::{self, Secret};
use answer::Answer;
use exchange::exchange;
use input::Input;
use target::Target;

mod answer;
mod exchange;
mod input;
mod progress;
mod target;

/// The arguments of `send`.
#[derive(Debug, Args)]
pub(super) struct Send {
    /// The name of the webhook; its first secret is taken from the config file
    name: String,
    /// The document; - is stdin [default: stdin, or {} if that is a terminal]
    file: Option<String>,
    /// What follows the id in the URL, such as /orders/1
    #[arg(long, value_name = "PATH", value_parser = target::path)]
    path: Option<String>,
    /// The query, such as 'a=1&b[]=2'
    #[arg(long, value_name = "QUERY")]
    query: Option<String>,
    /// A header beside content-type: application/json, or in its place; may be given more than once
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Where the server is, in place of the address that the config file says it listens on
    #[arg(long, value_name = "URL", value_parser = target::base)]
    url: Option<hyper::Uri>,
    /// The answer as JSON, for programs
    #[arg(long)]
    json: bool,
}

/// What came of it, as `--json` shows it. Every key is always there.
#[derive(Serialize)]
struct Report<'a> {
    webhook: &'a str,
    status: u16,
    event_id: Option<&'a str>,
    code: Option<&'a str>,
    detail: Option<&'a str>,
    offset: Option<u64>,
    document_bytes: u64,
    elapsed_ms: f64,
}

impl Send {
    pub(super) fn run(self, options: &Options) -> Result<(), Failure> {
        let (config, _) = options.load()?;
        let webhook = installed(&config, &self.name)?;
        let target = match &self.url {
            Some(url) => Target::new(url, webhook.id, self.path.as_deref(), self.query.as_deref()),
            None if config.server.listen.port() == 0 => {
                let message =
                    "the config says port 0, so the server chose one when it started; name it with --url";
                return Err(Failure::new(exit::USAGE, message));
            }
            None => {
                let url = target::local(config::reachable(config.server.listen))?;
                Target::new(&url, webhook.id, self.path.as_deref(), self.query.as_deref())
            }
        }?;
        let input = Input::open(self.file.as_deref())?;
        if input.is_a_stand_in() {
            say(format_args!("inrush: no FILE and nothing on stdin: posting {{}}"));
        }
        let request = request(&target, self.headers, webhook.secrets.first())?;

        let sent = exchange(&target, request, input)
            .map_err(|lost| lost.into_failure(&target, options, self.url.is_some()))?;
        show(&self.name, &sent.answer, sent.document_bytes, sent.took, self.json)
    }
}

/// The head of the request. What the operator wrote stands in place of what is sent by default.
fn request(
    target: &Target,
    headers: Vec<(HeaderName, HeaderValue)>,
    secret: Option<&Secret>,
) -> Result<Request<()>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::new(exit::USAGE, format!("cannot be sent: {error}"));
    let mut request = Request::post(target.uri.clone()).body(()).map_err(|error| wrong(&error))?;
    let fields = request.headers_mut();
    for (name, value) in headers {
        fields.append(name, value);
    }
    default(fields, header::HOST, &target.authority).map_err(|error| wrong(&error))?;
    default(fields, header::CONTENT_TYPE, "application/json").map_err(|error| wrong(&error))?;
    let agent = concat!("inrush/", env!("CARGO_PKG_VERSION"));
    default(fields, header::USER_AGENT, agent).map_err(|error| wrong(&error))?;
    if let Some(secret) = secret {
        // A secret is visible ASCII, so this cannot fail, and the error would not show it.
        default(fields, HeaderName::from_static("x-bp-secret"), secret.expose())
            .map_err(|error| wrong(&error))?;
    }
    Ok(request)
}

fn default(fields: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), header::InvalidHeaderValue> {
    if !fields.contains_key(&name) {
        let mut value = HeaderValue::from_str(value)?;
        value.set_sensitive(name == "x-bp-secret");
        fields.insert(name, value);
    }
    Ok(())
}

/// A header as it is written: `name: value`. Errors never show the value, which may be a credential.
fn field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("write `name: value`")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes())
        .map_err(|_| format!("{:?} is no header name", name.trim()))?;
    if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::EXPECT].contains(&name)
    {
        return Err(format!("{name} says how the body is framed; that is not yours to set here"));
    }
    let value = HeaderValue::from_bytes(value.trim().as_bytes())
        .map_err(|_| format!("the value of {name} has control characters; remove them"))?;
    Ok((name, value))
}

/// Prints the answer, and fails unless it is a 2xx.
fn show(webhook: &str, answer: &Answer, bytes: u64, took: Duration, json: bool) -> Result<(), Failure> {
    if json {
        let report = Report {
            webhook,
            status: answer.status.as_u16(),
            event_id: answer.event_id.as_deref(),
            code: answer.code.as_deref(),
            detail: answer.detail.as_deref(),
            offset: answer.offset,
            document_bytes: bytes,
            elapsed_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
        };
        let text = serde_json::to_string(&report)
            .map_err(|error| Failure::new(exit::INTERNAL, format!("cannot write JSON: {error}")))?;
        print(&format!("{text}\n"))?;
    }
    if !answer.status.is_success() {
        let message =
            format!("the server answered {} after {}{}", answer.status, time(took), answer.remarks());
        return Err(Failure::new(exit::REFUSED, message));
    }
    if json {
        return Ok(());
    }
    let event = answer.event_id.as_ref().map(|id| format!("; event {id}")).unwrap_or_default();
    print(&format!("{}{event}; {} in {}\n", answer.status, amount(bytes), time(took)))
}

fn amount(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

fn time(took: Duration) -> String {
    match took.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_split_checked_and_never_shown() {
        for (text, expected) in [
            ("x-a: 1", Ok(("x-a", "1"))),
            ("X-A:1:2", Ok(("x-a", "1:2"))),
            ("x-a:", Ok(("x-a", ""))),
            ("authorization: Bearer hunter2", Ok(("authorization", "Bearer hunter2"))),
            ("x-a", Err("name: value")),
            (": 1", Err("no header name")),
            ("a b: 1", Err("no header name")),
            ("Content-Length: 3", Err("not yours to set")),
            ("x-a: hunter2\u{7}", Err("control characters")),
        ] {
            match (field(text), expected) {
                (Ok((name, value)), Ok(pair)) => {
                    assert_eq!((name.as_str(), value.to_str().unwrap()), pair, "{text}");
                }
                (Err(message), Err(part)) => {
                    assert!(message.contains(part) && !message.contains("hunter2"), "{text}: {message}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_the_operator_writes_wins_over_the_defaults() {
        let url = "http://127.0.0.1:8080".parse().unwrap();
        let target = Target::new(&url, uuid::Uuid::nil(), None, None).unwrap();
        let secret = Secret::new("hunter2".into()).unwrap();
        let plain = request(&target, Vec::new(), Some(&secret)).unwrap();
        assert_eq!(plain.headers()["content-type"], "application/json");
        assert_eq!(plain.headers()["x-bp-secret"], "hunter2");
        assert_eq!(plain.headers()["host"], "127.0.0.1:8080");
        assert!(!format!("{plain:?}").contains("hunter2"));
        let own = ["content-type: text/plain", "x-bp-secret: other", "x-a: 1", "x-a: 2"];
        let own = request(&target, own.map(|text| field(text).unwrap()).to_vec(), Some(&secret)).unwrap();
        let values = |name| own.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(values("content-type"), ["text/plain"]);
        assert_eq!(values("x-bp-secret"), ["other"]);
        assert_eq!(values("x-a"), ["1", "2"]);
    }

    #[test]
    fn times_are_short() {
        for (took, expected) in [(1_234, "1.2 ms"), (999_000, "999.0 ms"), (1_500_000, "1.50 s")] {
            assert_eq!(time(Duration::from_micros(took)), expected);
        }
    }
}
