//! What the operator wrote about where events go, and what templates make of each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;

use super::{
    ClientOptions, Forward, ForwardOptions, Guard, HeaderNames, Rendered, Signer, Target, path_and_query,
};
use crate::config::{self, Problem};
use crate::event::{Event, HeldEvent, Reads};
use crate::expr::{EvalError, Template, Variables};
use crate::node::compile::{Templates, expression_reads, mistake, template};
use crate::node::{NodeError, Surroundings};

/// Sends each event to another server.
pub struct ForwardNode {
    forward: Forward,
    /// None: the same path for every event.
    path: Option<Template>,
    body: Option<Template>,
    set_headers: Templates,
    variables: Arc<Variables>,
    pub(in crate::node) in_flight_max: usize,
}

impl ForwardNode {
    pub(in crate::node) fn open(
        config: &config::Forward,
        around: &Surroundings<'_>,
    ) -> Result<Self, Problem> {
        let at_url = |reason: String| Problem::at(config.url.place, format!("`url`: {reason}"));
        let (target, behind) = Target::split(&config.url.value).map_err(at_url)?;
        let path = Template::compile(behind).map_err(|mut error| {
            error.column += config.url.value.chars().count() - behind.chars().count();
            mistake("url", &config.url, &error)
        })?;
        let (path, fixed) = match path.is_constant() {
            true => (None, path_and_query(behind).map_err(at_url)?),
            false if behind.starts_with(['/', '?']) => (Some(path), PathAndQuery::from_static("/")),
            false => return Err(at_url("a hole may stand in the path or the query only".to_owned())),
        };
        let place = config.url.place;
        let names = |key: &str, names: &mut dyn Iterator<Item = &str>| {
            HeaderNames::new(names).map_err(|reason| Problem::at(place, format!("`{key}`: {reason}")))
        };
        let headers = names("headers", &mut config.headers.iter().map(|written| written.value.as_str()))?;
        let set = names("set_headers", &mut config.set_headers.iter().map(|(name, _)| name.as_str()))?;
        let guard =
            Guard::new(config.allow.iter().map(|written| written.value.as_str())).map_err(|reason| {
                let place = config.allow.first().map_or(place, |first| first.place);
                Problem::at(place, format!("`allow`: {reason}"))
            })?;
        let signer = match &config.signing_keys[..] {
            [] => None,
            keys => {
                let signer = Signer::new(keys.iter().map(|key| key.value.expose()));
                Some(
                    signer
                        .map_err(|reason| Problem::at(keys[0].place, format!("`signing_keys`: {reason}")))?,
                )
            }
        };
        let body = config.body.as_ref().map(|body| template("body", body)).transpose()?;
        let client = ClientOptions {
            guard,
            ca_file: config.ca_file.clone(),
            connect_timeout: Duration::from_millis(config.connect_timeout_ms),
            timeout: Duration::from_millis(config.timeout_ms),
            idle_connections_max: config.in_flight,
            ..ClientOptions::new(target)
        };
        let options = ForwardOptions {
            client,
            path: fixed,
            headers,
            set_headers: set,
            is_body_rendered: body.is_some(),
            signer,
        };
        Ok(Self {
            forward: Forward::open(options).map_err(|reason| Problem::at(place, reason))?,
            path,
            body,
            set_headers: Templates::new(
                "set_headers",
                config.set_headers.iter().map(|(_, value)| value),
                around.variables,
            )?,
            variables: around.variables.clone(),
            in_flight_max: config.in_flight,
        })
    }

    pub(in crate::node) fn reads(&self) -> Reads {
        let templates = self.path.iter().chain(&self.body);
        let reads = expression_reads(templates.into_iter().any(Template::reads_body));
        // The text, even if a template makes the body: an event that waits for its turn is run by what a reload has made
        // of the trigger, and that may read it.
        reads.and(self.set_headers.reads()).and(Reads { value_up_to: 0, text: true })
    }

    pub(in crate::node) async fn run(&self, event: &HeldEvent) -> Result<(), NodeError> {
        let failed = |reason| NodeError { node: "forward", reason };
        let rendered = self.render(&event.event()).map_err(failed)?;
        self.forward.send(event, rendered).await.map_err(failed)
    }

    fn render(&self, event: &Event<'_>) -> Result<Rendered, String> {
        let failed = |key: &'static str| move |error: EvalError| format!("`{key}` cannot be made: {error}");
        let mut rendered = Rendered::default();
        if let Some(template) = &self.path {
            let mut path = String::new();
            template
                .render_holes(event, &self.variables, &mut path, percent_encode)
                .map_err(failed("url"))?;
            rendered.path = Some(path);
        }
        if let Some(template) = &self.body {
            let mut body = String::new();
            template.render(event, &self.variables, &mut body).map_err(failed("body"))?;
            rendered.body = Some(Bytes::from(body));
        }
        let set_headers = self.set_headers.render(event);
        rendered.set_headers =
            set_headers.map_err(|error| format!("`set_headers` cannot be made: {error}"))?;
        Ok(rendered)
    }
}

/// Makes what stands in `text` from `start` on one part of a path or query: everything but unreserved characters is
/// encoded (RFC 3986 section 2.3), so a value can neither end its segment nor begin a query.
fn percent_encode(text: &mut String, start: usize) -> Result<(), EvalError> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let value = text.split_off(start);
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_one_part_of_the_path() {
        for (value, encoded) in [
            ("order-7_a.b~c", "order-7_a.b~c"),
            ("a/../b?c=d&e#f", "a%2F..%2Fb%3Fc%3Dd%26e%23f"),
            ("100 % é\r\n", "100%20%25%20%C3%A9%0D%0A"),
            ("", ""),
        ] {
            let mut text = format!("/x/{value}");
            percent_encode(&mut text, 3).unwrap();
            assert_eq!(text, format!("/x/{encoded}"));
        }
    }
}
