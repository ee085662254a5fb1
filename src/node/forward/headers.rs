//! Headers of the request: those of the event that are passed on, those that the operator sets, and our own.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::event::Event;

/// Headers that belong to one connection (RFC 9110 section 7.6.1) or frame the message: the client writes its own.
const OF_THE_CONNECTION: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const EVENT_ID: HeaderName = HeaderName::from_static("x-event-id");
const WEBHOOK: HeaderName = HeaderName::from_static("x-webhook");
pub(super) const SIGNED_ID: HeaderName = HeaderName::from_static("webhook-id");
pub(super) const SIGNED_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
pub(super) const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("inrush/", env!("CARGO_PKG_VERSION")));

/// The most headers of one request: passed on or set.
const HEADERS_MAX: usize = 64;

/// Names of headers that a request may carry for the operator, checked.
#[derive(Debug, Clone, Default)]
pub struct HeaderNames(Vec<HeaderName>);

impl HeaderNames {
    /// Names as the operator wrote them, in any case.
    ///
    /// # Errors
    /// When one is no header name, belongs to the connection or is one of our own, or there are more than 64.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let names = names.into_iter().map(name).collect::<Result<Vec<_>, _>>()?;
        if names.len() > HEADERS_MAX {
            return Err(format!("there are {} headers; {HEADERS_MAX} are the most", names.len()));
        }
        Ok(Self(names))
    }

    /// Whether one of them is what a signature writes.
    pub(super) fn names_a_signature(&self) -> bool {
        self.0.iter().any(|name| [SIGNED_ID, SIGNED_TIMESTAMP, SIGNATURE].contains(name))
    }

    /// The same, and the content type.
    pub(super) fn and_content_type(mut self) -> Self {
        if !self.0.contains(&header::CONTENT_TYPE) {
            self.0.push(header::CONTENT_TYPE);
        }
        self
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn name(text: &str) -> Result<HeaderName, String> {
    let name =
        HeaderName::try_from(text).map_err(|_| format!("`{}` is no header name", text.escape_debug()))?;
    if OF_THE_CONNECTION.contains(&name.as_str()) {
        return Err(format!(
            "`{name}` belongs to the connection and is written by inrush itself; leave it out"
        ));
    }
    if name == EVENT_ID || name == WEBHOOK {
        return Err(format!("`{name}` always tells of the event; leave it out"));
    }
    Ok(name)
}

/// A value that the operator wrote or a template rendered.
///
/// # Errors
/// When it holds what would end the header line, or any other control character.
pub(super) fn value(name: &HeaderName, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text.trim_matches([' ', '\t'])).map_err(|_| {
        format!("the value for the header `{name}` holds a line break or another control character")
    })
}

/// What every request carries.
pub(super) fn base(authority: &HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(header::HOST, authority.clone());
    headers.insert(header::USER_AGENT, USER_AGENT);
    headers
}

/// Adds the headers of `event` that are in `passed`, each name's in the order received, and those that tell of it.
pub(super) fn add_event(
    headers: &mut HeaderMap,
    event: &Event<'_>,
    passed: &HeaderNames,
) -> Result<(), String> {
    headers.insert(header::CONTENT_TYPE, JSON);
    for name in &passed.0 {
        let of_name = |(found, _): &(&[u8], &[u8])| found.eq_ignore_ascii_case(name.as_str().as_bytes());
        for (index, (_, value)) in event.headers().filter(of_name).enumerate() {
            let value = HeaderValue::from_bytes(value)
                .map_err(|_| format!("the event's header `{name}` holds a control character"))?;
            // The first replaces what stands there by default.
            match index {
                0 => drop(headers.insert(name, value)),
                _ => drop(headers.append(name, value)),
            }
        }
    }
    let id = HeaderValue::from_bytes(&event.id().text()).map_err(|error| error.to_string())?;
    headers.insert(EVENT_ID, id);
    headers.insert(WEBHOOK, value(&WEBHOOK, event.webhook())?);
    Ok(())
}

/// Sets the operator's own headers, whatever stood there before.
pub(super) fn set(headers: &mut HeaderMap, names: &HeaderNames, values: &[String]) -> Result<(), String> {
    for (name, text) in names.0.iter().zip(values) {
        headers.insert(name, value(name, text)?);
    }
    Ok(())
}
