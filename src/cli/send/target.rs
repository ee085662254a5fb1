//! Where `send` connects to, and what it asks for there.

use std::net::SocketAddr;

use hyper::Uri;
use uuid::Uuid;

use crate::cli::{Failure, exit};

/// A webhook's URL, in the parts that a client needs.
#[derive(Debug)]
pub struct Target {
    /// A name or an address, an IPv6 one without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Host and port as the Host header has them.
    pub authority: String,
    /// Path and query, RFC 9112 section 3.2.1.
    pub uri: Uri,
}

impl Target {
    /// The webhook `id` of the server at `base`. A base that already ends with the id, which is the whole URL as
    /// `list` shows it, is taken as it is.
    pub fn new(base: &Uri, id: Uuid, path: Option<&str>, query: Option<&str>) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(exit::USAGE, why);
        let authority = base.authority().ok_or_else(|| wrong(format!("{base} names no host")))?;
        let prefix = base.path().trim_end_matches('/');
        let prefix = prefix.strip_suffix(&format!("/{id}")).unwrap_or(prefix);
        let mut target = format!("{prefix}/{id}{}", encoded(path.unwrap_or_default(), b"/:@"));
        if let Some(query) = query {
            target.push('?');
            target.push_str(&encoded(query.strip_prefix('?').unwrap_or(query), b"/:@?[]"));
        }
        Ok(Self {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: authority.to_string(),
            uri: target.parse().map_err(|error| wrong(format!("{target} is no URL path: {error}")))?,
        })
    }
}

/// The URL of a server on this machine.
pub fn local(address: SocketAddr) -> Result<Uri, Failure> {
    base(&format!("http://{address}")).map_err(|message| Failure::new(exit::USAGE, message))
}

/// The start of a URL, before the id.
pub fn base(text: &str) -> Result<Uri, String> {
    let like = "write one such as http://127.0.0.1:8080";
    let url: Uri = text.parse().map_err(|error| format!("it is no URL: {error}; {like}"))?;
    match url.scheme_str() {
        Some("http") => {}
        Some("https") => {
            return Err("send speaks plain HTTP only, to the server itself; `inrush snippet NAME` prints a \
                        program for a URL with https"
                .into());
        }
        _ => return Err(format!("it does not start with http://; {like}")),
    }
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("it names a user; remove what stands before the @".into());
    }
    if url.query().is_some() {
        return Err("it has a query; write that with --query".into());
    }
    Ok(url)
}

/// What follows the id.
pub fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("it starts with a slash: /{text}"));
    }
    if text.contains('?') {
        return Err("it has a `?`; write what follows it with --query".into());
    }
    Ok(text.to_owned())
}

/// Percent-encodes what a path or query cannot hold (RFC 3986 section 3.3); `also` may stand in it beside the
/// characters that may stand anywhere. What is encoded already stays as it is.
fn encoded(text: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte) || also.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x9f3c2f6e_0a51_4d0c_9f6e_2a7d3c1b5e80);

    #[test]
    fn targets() {
        let id = ID.to_string();
        for (url, path, query, host, port, expected) in [
            ("http://127.0.0.1:8080", None, None, "127.0.0.1", 8080, "/ID"),
            ("http://[::1]:1/", Some("/a/b"), Some("a=1&b[]=2"), "::1", 1, "/ID/a/b?a=1&b[]=2"),
            ("http://h/in/", Some("/é x"), Some("?q=a b#c"), "h", 80, "/in/ID/%C3%A9%20x?q=a%20b%23c"),
            ("http://h/in/ID", Some("/%41"), Some(""), "h", 80, "/in/ID/%41?"),
            ("http://h/ID/", None, None, "h", 80, "/ID"),
        ] {
            let base = base(&url.replace("ID", &id)).unwrap();
            let target = Target::new(&base, ID, path, query).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
            assert_eq!(target.uri.to_string(), expected.replace("ID", &id), "{url}");
        }
    }

    #[test]
    fn what_is_no_target_says_what_to_write() {
        for (url, part) in [
            ("https://h", "plain HTTP only"),
            ("h:80", "does not start with http://"),
            ("127.0.0.1:80", "does not start with http://"),
            ("/a", "does not start with http://"),
            ("http://h?a=1", "--query"),
            ("http://u:p@h", "names a user"),
            ("", "no URL"),
        ] {
            let said = base(url).expect_err(url);
            assert!(said.contains(part), "{url}: {said}");
        }
        assert!(path("a").unwrap_err().contains("/a"));
        assert!(path("/a?b").unwrap_err().contains("--query"));
    }
}
