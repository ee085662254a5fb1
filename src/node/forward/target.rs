//! Where events go: a URL whose scheme, host and port are fixed, and whose path and query may vary.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderValue;
use http::uri::PathAndQuery;

/// The fixed part of a URL: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    is_https: bool,
    /// Lower case, an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// What the header `host` says: without the scheme's own port (RFC 9110 section 7.2).
    authority: HeaderValue,
}

impl Target {
    /// Takes a URL apart: the target, and what stands behind it, which may be a template and is not looked at.
    ///
    /// # Errors
    /// When it is no URL with a fixed `http` or `https` scheme, host and port; the text says what to write.
    pub fn split(url: &str) -> Result<(Self, &str), String> {
        let (scheme, rest) = url.split_once("://").ok_or("it is no URL; write https://host/path")?;
        let is_https = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err(format!("the scheme `{}` is neither http nor https", scheme.escape_debug())),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(
                "it holds a user or password; put an `authorization` header into `set_headers`".into()
            );
        }
        let (host, port) = split_port(authority)?;
        let host = host.to_ascii_lowercase();
        let name = match host.strip_prefix('[') {
            Some(bracketed) => {
                let inside = bracketed.strip_suffix(']').unwrap_or_default();
                inside
                    .parse::<Ipv6Addr>()
                    .map_err(|_| format!("{} is no IPv6 address", host.escape_debug()))?;
                inside
            }
            None => {
                check_name(&host)?;
                &host
            }
        };
        let standard = if is_https { 443 } else { 80 };
        let port = port.unwrap_or(standard);
        let authority = if port == standard { host.clone() } else { format!("{host}:{port}") };
        let authority = HeaderValue::try_from(authority).map_err(|_| "its host cannot be sent".to_owned())?;
        Ok((Self { is_https, host: name.to_owned(), port, authority }, path))
    }

    /// A URL without a template.
    ///
    /// # Errors
    /// As [`Target::split`] and [`path_and_query`].
    pub fn parse(url: &str) -> Result<(Self, PathAndQuery), String> {
        let (target, path) = Self::split(url)?;
        Ok((target, path_and_query(path)?))
    }

    /// Whether the connection is encrypted.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host as it is looked up: a name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host, when it is written as an address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port, written or of the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of the header `host`.
    pub(super) fn authority(&self) -> &HeaderValue {
        &self.authority
    }
}

/// The path and query of a request, whether written or rendered from a template; an empty one is `/`.
///
/// A path with `.` or `..` as a segment is refused: a client removes them before it sends (RFC 3986 section 5.2.4), and
/// what a sender put into a template must not climb out of the path that the operator wrote around it.
///
/// # Errors
/// When it cannot stand in a request line.
pub fn path_and_query(text: &str) -> Result<PathAndQuery, String> {
    if text.is_empty() {
        return Ok(PathAndQuery::from_static("/"));
    }
    // The parser of `http` would cut a fragment off silently.
    if let Some(bad) = text.chars().find(|it| !it.is_ascii_graphic() || *it == '#') {
        let bad = bad.escape_debug();
        return Err(format!("the URL's path or query holds `{bad}`; percent-encode it, or leave it out"));
    }
    let slashed;
    let text = if text.starts_with('?') {
        slashed = format!("/{text}");
        &slashed
    } else {
        text
    };
    if !text.starts_with('/') {
        return Err("the URL's path does not start with `/`".into());
    }
    let path = text.split('?').next().unwrap_or_default();
    let is_dots =
        |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').any(is_dots) {
        return Err("the URL's path has `.` or `..` as a segment; write the path that is meant".into());
    }
    PathAndQuery::try_from(text).map_err(|error| format!("the URL's path or query cannot be sent: {error}"))
}

/// Host and port; the host keeps its brackets.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let host_ends = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let Some(colon) = authority[host_ends..].find(':') else { return Ok((authority, None)) };
    let (host, port) = authority.split_at(host_ends + colon);
    let port = &port[1..];
    // `parse` alone would take a sign.
    match port.parse() {
        Ok(number) if number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        _ => Err(format!("`{}` is no port; write a number from 1 to 65535", port.escape_debug())),
    }
}

fn check_name(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("it names no host; write https://host/path".into());
    }
    if host.len() > 253 {
        return Err(format!("its host has {} characters; 253 are the most", host.len()));
    }
    match host.chars().find(|it| !it.is_ascii_alphanumeric() && !"-._".contains(*it)) {
        Some('{' | '}' | '$') => {
            Err("scheme, host and port cannot be templates; only path and query can".into())
        }
        Some(other) if !other.is_ascii() => {
            Err(format!("its host holds `{}`; write the name as DNS has it, xn--…", other.escape_debug()))
        }
        Some(other) => Err(format!("its host holds `{}`, which no host does", other.escape_debug())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, https, host, port, authority, path) in [
            ("https://example.com/hook?a=b", true, "example.com", 443, "example.com", "/hook?a=b"),
            ("HTTP://Example.COM", false, "example.com", 80, "example.com", "/"),
            ("http://h?x", false, "h", 80, "h", "/?x"),
            ("https://h:443/", true, "h", 443, "h", "/"),
            ("https://h:80/", true, "h", 80, "h:80", "/"),
            ("http://127.0.0.1:8080/a", false, "127.0.0.1", 8080, "127.0.0.1:8080", "/a"),
            ("http://[::1]/a", false, "::1", 80, "[::1]", "/a"),
            ("http://[FD00::1]:81/%20", false, "fd00::1", 81, "[fd00::1]:81", "/%20"),
            (
                "http://under_score.internal./",
                false,
                "under_score.internal.",
                80,
                "under_score.internal.",
                "/",
            ),
            ("http://h/a@b:c", false, "h", 80, "h", "/a@b:c"),
        ] {
            let (target, found) = Target::parse(url).unwrap_or_else(|reason| panic!("{url}: {reason}"));
            assert_eq!((target.is_https(), target.host(), target.port()), (https, host, port), "{url}");
            assert_eq!((target.authority().to_str().unwrap(), found.as_str()), (authority, path), "{url}");
        }
    }

    #[test]
    fn what_is_no_fixed_target_is_refused_with_what_to_do() {
        for (url, part) in [
            ("", "no URL"),
            ("example.com/hook", "no URL"),
            ("ftp://h/", "neither http nor https"),
            ("{{payload.body.scheme}}://h/", "neither http nor https"),
            ("https://", "names no host"),
            ("https:///path", "names no host"),
            ("https://:443/", "names no host"),
            ("https://user:secret@h/", "set_headers"),
            ("https://user@h/", "set_headers"),
            ("https://h:0/", "no port"),
            ("https://h:65536/", "no port"),
            ("https://h:/", "no port"),
            ("https://h:+80/", "no port"),
            ("https://h:8a/", "no port"),
            ("https://a:1:2/", "no port"),
            ("https://[::1/", "no port"),
            ("https://[::/", "no port"),
            ("https://[x]/", "no IPv6 address"),
            ("https://[fe80::1%25eth0]/", "no IPv6 address"),
            ("https://[::1]x/", "no IPv6 address"),
            ("https://::1/", "no port"),
            ("https://{{payload.query.host}}/", "cannot be templates"),
            ("https://${HOST}/", "cannot be templates"),
            ("https://h h/", "which no host does"),
            ("https://h\\evil/", "which no host does"),
            ("https://h%2e/", "which no host does"),
            ("https://bücher.example/", "xn--"),
            ("https://h/a b", "percent-encode"),
            ("https://h/#top", "percent-encode"),
        ] {
            let reason = Target::parse(url).expect_err(url);
            assert!(reason.contains(part) && !reason.contains("secret@"), "{url}: {reason}");
        }
        assert!(Target::parse(&format!("http://{}/", "a".repeat(254))).unwrap_err().contains("253"));
    }

    #[test]
    fn a_rendered_path_is_checked() {
        for (text, expected) in [
            ("", Ok("/")),
            ("/", Ok("/")),
            ("/a/b?c=%0d%0a", Ok("/a/b?c=%0d%0a")),
            ("/a..b/...", Ok("/a..b/...")),
            ("/a?x=/../", Ok("/a?x=/../")),
            ("?q", Ok("/?q")),
            ("a", Err("start with `/`")),
            ("@evil.example/", Err("start with `/`")),
            (":81/", Err("start with `/`")),
            ("/a b", Err("percent-encode")),
            ("/a\r\nx: y", Err("percent-encode")),
            ("/\u{7f}", Err("percent-encode")),
            ("/\0", Err("percent-encode")),
            ("/é", Err("percent-encode")),
            ("/#f", Err("percent-encode")),
            ("/..", Err("as a segment")),
            ("/a/../b", Err("as a segment")),
            ("/a/./b", Err("as a segment")),
            ("/a/.%2E/b?c", Err("as a segment")),
            ("/a/%2e%2e?c", Err("as a segment")),
        ] {
            match (path_and_query(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.as_str(), expected, "{text:?}"),
                (Err(found), Err(part)) => assert!(found.contains(part), "{text:?}: {found}"),
                (found, _) => panic!("{text:?}: {found:?}"),
            }
        }
        assert!(path_and_query(&format!("/{}", "a".repeat(70_000))).is_err());
    }
}
