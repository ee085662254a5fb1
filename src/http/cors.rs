//! Which browsers may post to a webhook (Fetch, "CORS protocol"). A request is a browser's when it carries `Origin` or
//! `Sec-Fetch-Site`; everything else is a server's and is not asked for an origin.

#[cfg(test)]
mod tests;

use super::Span;
use super::head::authority::{is_host_and_port, is_scheme};
use super::head::{Head, Seen};

/// The origins that a webhook accepts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AllowedOrigins {
    any: bool,
    list: Vec<Box<[u8]>>,
}

/// Whether a request is a browser's, and whether its origin is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Browser {
    /// Neither `Origin` nor `Sec-Fetch-Site`: not a browser.
    No,
    /// A browser that is allowed, and the `Origin` to echo if it sent one.
    Allowed(Option<Span>),
    /// A browser that is not.
    Refused,
}

impl AllowedOrigins {
    /// From the operator's list: `*` for any origin, else serialised origins such as `https://app.example.com`.
    pub fn new(list: &[String]) -> Result<Self, String> {
        let mut origins = Self::default();
        for entry in list {
            if entry == "*" {
                origins.any = true;
            } else {
                is_serialised_origin(entry).map_err(|why| {
                    format!("`{entry}` is not an origin like https://app.example.com: {why}")
                })?;
                origins.list.push(entry.to_ascii_lowercase().into_bytes().into());
            }
        }
        Ok(origins)
    }

    /// Decides about the request with this head.
    pub fn check(&self, head: &Head, bytes: &[u8]) -> Browser {
        match head.origin {
            Seen::Absent if !head.sec_fetch_site => Browser::No,
            // A browser leaves Origin out where a page merely embeds or links: whose page is then unknown.
            Seen::Absent if self.any => Browser::Allowed(None),
            Seen::Once(origin) if self.any || self.lists(origin.of(bytes)) => Browser::Allowed(Some(origin)),
            _ => Browser::Refused,
        }
    }

    fn lists(&self, origin: &[u8]) -> bool {
        self.list.iter().any(|listed| listed.eq_ignore_ascii_case(origin))
    }
}

/// RFC 6454 §6.2: whether a browser could send this as its Origin; an entry that cannot match is a mistake.
fn is_serialised_origin(entry: &str) -> Result<(), &'static str> {
    if entry == "null" {
        return Err("a browser sends `null` for pages without an origin; only `*` allows these");
    }
    let Some((scheme, authority)) = entry.split_once("://") else {
        return Err("it must begin with a scheme, such as https://");
    };
    if !is_scheme(scheme.as_bytes()) {
        return Err("the part before :// is not a scheme");
    }
    if authority.ends_with('/') {
        return Err("leave out the slash at the end");
    }
    if authority.contains(['/', '?', '#']) {
        return Err("leave out everything after the host and port");
    }
    if authority.contains('@') {
        return Err("leave out user name and password");
    }
    if authority.contains('*') {
        return Err("a wildcard inside an origin is not understood; list each origin, or allow any with `*`");
    }
    if !authority.is_ascii() {
        return Err("write the host in its ASCII form (xn--…), as browsers send it");
    }
    if !is_host_and_port(authority.as_bytes()) {
        return Err("what follows :// is not a valid host[:port]");
    }
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return Ok(()),
    };
    if authority.ends_with(':') || authority.ends_with(default_port) {
        return Err("leave out the port: browsers do not send the default one");
    }
    Ok(())
}
