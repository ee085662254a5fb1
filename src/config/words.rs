//! The rules for single values: each takes what was written and answers with the value or with what to do about it.

use std::net::{IpAddr, SocketAddr};

use uuid::Uuid;

use super::OnError;

/// What a webhook may be called.
pub(crate) fn name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the name is empty; call the webhook something".into());
    }
    if text.len() > 64 {
        return Err(format!("the name has {} bytes; 64 are the most", text.len()));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err("the name has control characters, or spaces around it; remove them".into());
    }
    if text.starts_with('-') {
        return Err(
            "the name starts with `-`, which the command line would take for a flag; start it otherwise"
                .into(),
        );
    }
    Ok(())
}

/// What a trigger may be called: it becomes part of what is kept on disk.
pub(super) fn trigger_id(text: &str) -> Result<(), String> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(legal) {
        return Err(format!("{text:?} is no trigger id; use 1 to 64 of a-z, 0-9, - and _"));
    }
    Ok(())
}

/// A webhook's id.
pub(crate) fn id(text: &str) -> Result<Uuid, String> {
    match Uuid::try_parse(text) {
        Ok(id) if id.is_nil() => {
            Err("the id is the nil UUID, which anybody would guess; use a random one".into())
        }
        Ok(id) => Ok(id),
        Err(_) => Err(format!("{text:?} is no UUID; a new one, yours to use: \"{}\"", Uuid::new_v4())),
    }
}

/// An address to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let meant = match text.strip_prefix("localhost").unwrap_or(text) {
            port if port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()) => {
                let ip = if text.starts_with(':') { "0.0.0.0" } else { "127.0.0.1" };
                format!("{ip}{port}")
            }
            ip if ip.parse::<IpAddr>().is_ok() => {
                SocketAddr::new(ip.parse().unwrap_or([0; 4].into()), 8080).to_string()
            }
            _ => "127.0.0.1:8080".to_owned(),
        };
        format!("{text:?} is no address; write an IP address and a port, such as \"{meant}\"")
    })
}

/// One entry of `allowed_origins`: `*`, or an origin as browsers serialise it (RFC 6454 section 6.2: scheme and host
/// in lower case, no default port, nothing behind it). Any other form would never be equal to a browser's.
pub(crate) fn origin(text: &str) -> Result<(), String> {
    if text == "*" {
        return Ok(());
    }
    if text == "null" {
        return Err(
            "`null` is what a browser sends when it hides the origin: any page can; only `*` matches it"
                .into(),
        );
    }
    let wrong = |why: &str| Err(format!("{text:?} is no origin: {why}"));
    let Some((scheme, authority)) = text.split_once("://") else {
        return wrong("write scheme and host, such as \"https://app.example.com\"");
    };
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!(
            "{text:?}: browsers send origins in lower case; write \"{}\"",
            text.to_lowercase()
        ));
    }
    if authority.contains('*') {
        return wrong("a `*` stands alone and means every origin; list each host otherwise");
    }
    if let Some(end) = authority.find(['/', '?', '#']) {
        return wrong(&format!("it ends with the host and port; write \"{scheme}://{}\"", &authority[..end]));
    }
    if authority.contains('@') {
        return wrong("it names a user; browsers never send one");
    }
    if !is_scheme(scheme) {
        return wrong("the scheme is letters, digits, +, - and .");
    }
    let (host, port) = split_port(authority);
    if !is_host(host) {
        return wrong("the host is a name (an international one in its xn-- form) or an IP address");
    }
    match (scheme, port) {
        (_, None) => Ok(()),
        ("http", Some("80")) | ("https", Some("443")) => {
            Err(format!("{text:?}: browsers leave the default port out; write \"{scheme}://{host}\""))
        }
        (_, Some(port)) if is_port(port) => Ok(()),
        _ => wrong("the port is a number from 1 to 65535"),
    }
}

/// The start of printed URLs, its trailing slashes removed.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("{text:?} is no URL to put before an id: {why}"));
    let Some((scheme @ ("http" | "https"), rest)) = text.split_once("://") else {
        return wrong("it starts with http:// or https://");
    };
    if !rest.bytes().all(|byte| byte.is_ascii_graphic())
        || rest.contains(['"', '\'', '\\', '`', '$', '<', '>'])
    {
        return wrong("percent-encode everything but letters, digits and the usual punctuation");
    }
    if rest.contains(['?', '#']) {
        return wrong("it has no `?` and no `#`: the id is put behind it");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = split_port(authority);
    if authority.contains('@') || !is_host(&host.to_ascii_lowercase()) || !port.is_none_or(is_port) {
        return wrong("write a host and, if need be, a port, such as \"https://hooks.example.com\"");
    }
    Ok(format!("{scheme}://{authority}{}", path.trim_end_matches('/')))
}

/// A header name (RFC 9110 section 5.6.2, token), in lower case.
pub(super) fn header_name(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || !text.bytes().all(legal) {
        return Err(format!("{text:?} is no header name; write one such as \"authorization\""));
    }
    Ok(text.to_ascii_lowercase())
}

/// What becomes of the nodes behind one that failed.
pub(super) fn on_error(text: &str) -> Result<OnError, String> {
    match text {
        "stop" => Ok(OnError::Stop),
        "continue" => Ok(OnError::Continue),
        _ => Err(format!("on_error is {text:?}; it is \"stop\" or \"continue\"")),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// Host and port; the colons of an IPv6 address stay within their brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => {
            (&authority[..colon], Some(&authority[colon + 1..]))
        }
        _ => (authority, None),
    }
}

fn is_host(text: &str) -> bool {
    if let Some(ip) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return matches!(ip.parse(), Ok(IpAddr::V6(_)));
    }
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(legal)
        && !text.starts_with('.')
        && !text.contains("..")
}

fn is_port(text: &str) -> bool {
    !text.starts_with(['0', '+']) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: std::fmt::Debug>(
        rule: impl Fn(&str) -> Result<T, String>,
        cases: &[(&str, Result<(), &str>)],
    ) {
        for (text, expected) in cases {
            match (rule(text), expected) {
                (Ok(_), Ok(())) => {}
                (Err(found), Err(part)) => assert!(found.contains(part), "{text:?}: {found}"),
                (found, expected) => panic!("{text:?}: {found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn origins() {
        check(
            origin,
            &[
                ("*", Ok(())),
                ("https://app.example.com", Ok(())),
                ("http://localhost:3000", Ok(())),
                ("http://[::1]:3000", Ok(())),
                ("https://[2001:db8::1]", Ok(())),
                ("chrome-extension://abcdefghijklmnop", Ok(())),
                ("https://a.example:65535", Ok(())),
                ("", Err("scheme and host")),
                ("null", Err("only `*` matches it")),
                ("app.example.com", Err("scheme and host")),
                ("https://app.example.com/", Err("write \"https://app.example.com\"")),
                ("https://app.example.com/x?y", Err("write \"https://app.example.com\"")),
                ("https://App.example.com", Err("write \"https://app.example.com\"")),
                ("HTTPS://app.example.com", Err("lower case")),
                ("https://*.example.com", Err("stands alone")),
                ("https://app.example.com:443", Err("write \"https://app.example.com\"")),
                ("http://app.example.com:80", Err("default port")),
                ("https://app.example.com:0", Err("port")),
                ("https://app.example.com:65536", Err("port")),
                ("https://app.example.com:", Err("port")),
                ("https://app.example.com:08", Err("port")),
                ("https://user@app.example.com", Err("user")),
                ("https://", Err("host")),
                ("https://a b", Err("host")),
                ("https://münchen.example", Err("xn--")),
                ("https://[::1", Err("host")),
                ("1s://a", Err("scheme")),
            ],
        );
    }

    #[test]
    fn addresses() {
        check(
            address,
            &[
                ("127.0.0.1:8080", Ok(())),
                ("[::]:0", Ok(())),
                ("localhost:9000", Err("\"127.0.0.1:9000\"")),
                (":9000", Err("\"0.0.0.0:9000\"")),
                ("10.0.0.1", Err("\"10.0.0.1:8080\"")),
                ("::1", Err("\"[::1]:8080\"")),
                ("nonsense", Err("\"127.0.0.1:8080\"")),
                ("127.0.0.1:99999", Err("no address")),
            ],
        );
    }

    #[test]
    fn public_urls() {
        check(
            public_url,
            &[
                ("https://hooks.example.com", Ok(())),
                ("http://10.0.0.1:8080/in/", Ok(())),
                ("https://[::1]:8443", Ok(())),
                ("ftp://a", Err("http://")),
                ("hooks.example.com", Err("http://")),
                ("https://", Err("host")),
                ("https://a:b", Err("port")),
                ("https://u:p@a", Err("host")),
                ("https://a/?x=1", Err("`?`")),
                ("https://a/$(id)", Err("percent-encode")),
                ("https://a b", Err("percent-encode")),
            ],
        );
        assert_eq!(public_url("https://a/in//").unwrap(), "https://a/in");
        assert_eq!(public_url("https://a/").unwrap(), "https://a");
    }

    #[test]
    fn names_and_ids() {
        check(name, &[("shop", Ok(())), ("Über uns 2", Ok(())), ("", Err("empty")), (" a", Err("spaces"))]);
        check(name, &[("a\nb", Err("control")), ("-x", Err("flag")), (&"x".repeat(65), Err("65 bytes"))]);
        check(trigger_id, &[("main", Ok(())), ("a-b_1", Ok(())), ("", Err("1 to 64")), ("A", Err("a-z"))]);
        check(
            id,
            &[
                ("9f3c2f6e-0a51-4d0c-9f6e-2a7d3c1b5e80", Ok(())),
                ("00000000-0000-0000-0000-000000000000", Err("nil")),
                ("9f3c", Err("a new one")),
            ],
        );
        check(header_name, &[("Authorization", Ok(())), ("", Err("no header")), ("a:b", Err("no header"))]);
        assert_eq!(header_name("X-Y").unwrap(), "x-y");
    }
}
