//! Who may speak to an address that only this machine can reach.
//!
//! A web page can: its author lets the name of the page's own server point at 127.0.0.1 for a moment (DNS
//! rebinding), and the browser, seeing the same name, lets the page read the answers. But the browser then
//! sends that name as the host. So a request must name a host that nobody can rebind: `localhost`, or an address.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{Version, header};
use std::net::{IpAddr, Ipv6Addr};

/// What the host of a request says about who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It names this machine.
    Local,
    /// It names something else.
    Foreign,
    /// It is missing, or no host, or two.
    Malformed,
}

/// Judges every host that the request names, for a reader behind us may believe the other one.
pub(super) fn judge(request: &Request) -> Verdict {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let verdict = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_or(Verdict::Malformed, judge_host),
        // RFC 9112 §3.2: only HTTP/1.0 may leave it out. Browsers do not speak that, plain health checks do.
        (None, _) if request.version() == Version::HTTP_10 => Verdict::Local,
        _ => Verdict::Malformed,
    };
    match (verdict, request.uri().authority()) {
        // RFC 9112 §3.2.2: of a target in absolute form, its host is the one that counts.
        (Verdict::Local, Some(authority)) => judge_host(authority.as_str()),
        _ => verdict,
    }
}

/// The port is left alone: behind a forwarded port it is another one, and a page cannot gain by it.
fn judge_host(host: &str) -> Verdict {
    // RFC 9110 §7.2: a host and perhaps a port, no user.
    let Some(authority) = host.parse::<Authority>().ok().filter(|_| !host.contains('@')) else {
        return Verdict::Malformed;
    };
    let name = authority.host();
    let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let address = match bracketed {
        Some(inside) => inside.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => name.parse().ok(),
    };
    let local = match address {
        Some(address) => address.to_canonical().is_loopback(),
        None => name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case("localhost"),
    };
    if local { Verdict::Local } else { Verdict::Foreign }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn hosts() {
        use Verdict::{Foreign, Local, Malformed};
        #[track_caller]
        fn check(host: &str, expected: Verdict) {
            assert_eq!(judge_host(host), expected, "{host:?}");
        }
        for host in [
            "localhost",
            "localhost:8081",
            "LocalHost:1",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:8081",
            "127.8.9.10:80",
            "[::1]",
            "[::1]:8081",
            "[0:0:0:0:0:0:0:1]:8081",
            "[::ffff:127.0.0.1]:8081",
        ] {
            check(host, Local);
        }
        for host in [
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "evil-localhost",
            "127.0.0.1.evil.example",
            "localhost..",
            "10.0.0.1",
            "0.0.0.0:8081",
            "[::]:8081",
            "[::2]",
            "[localhost]",
            "2130706433",
            "127.1",
        ] {
            assert_ne!(judge_host(host), Local, "{host:?}");
        }
        check("evil.example:8081", Foreign);
        check("10.0.0.1", Foreign);
        for host in
            ["", "localhost@evil.example", "evil@localhost", "local host", "localhost/", "::1", "[::1"]
        {
            check(host, Malformed);
        }
    }

    #[test]
    fn requests() {
        #[track_caller]
        fn check(version: Version, target: &str, hosts: &[&str], expected: Verdict) {
            let mut request = Request::builder().version(version).uri(target);
            for host in hosts {
                request = request.header(header::HOST, *host);
            }
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(judge(&request), expected, "{version:?} {target} {hosts:?}");
        }
        use Verdict::{Foreign, Local, Malformed};
        check(Version::HTTP_11, "/", &["localhost"], Local);
        check(Version::HTTP_11, "/", &["evil.example"], Foreign);
        check(Version::HTTP_11, "/", &[], Malformed);
        check(Version::HTTP_11, "/", &["localhost", "localhost"], Malformed);
        check(Version::HTTP_11, "/", &["localhost", "evil.example"], Malformed);
        check(Version::HTTP_10, "/", &[], Local);
        check(Version::HTTP_10, "/", &["evil.example"], Foreign);
        check(Version::HTTP_11, "http://localhost/", &["localhost"], Local);
        check(Version::HTTP_11, "http://evil.example/", &["localhost"], Foreign);
        check(Version::HTTP_11, "http://localhost/", &["evil.example"], Foreign);
        check(Version::HTTP_10, "http://evil.example/", &[], Foreign);
    }
}
