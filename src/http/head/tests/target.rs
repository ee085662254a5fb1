//! Where a request goes: targets and hosts.

use super::*;

#[test]
fn targets() {
    for (target, path, query) in [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a/b?c=d?e/f", "/a/b", "c=d?e/f"),
        ("//", "//", ""),
        ("/a//b/", "/a//b/", ""),
        ("/-._~!$&'()*+,;=:@", "/-._~!$&'()*+,;=:@", ""),
        ("/%41%c3%a4%2F", "/%41%c3%a4%2F", ""),
        ("/.a/..b/c./.../a..b", "/.a/..b/c./.../a..b", ""),
        ("/%2ea/%2e%2e%2e", "/%2ea/%2e%2e%2e", ""),
        ("/a?b[c]=%zz&d={}|^`\"<>\\%", "/a", "b[c]=%zz&d={}|^`\"<>\\%"),
        ("/a?../..", "/a", "../.."),
        ("http://example.com/a?b", "/a", "b"),
        ("HTTPS://example.com:8443/a", "/a", ""),
        ("http://[::1]:80/", "/", ""),
        ("http://example.com", "/", ""),
        ("http://example.com?b", "/", "b"),
    ] {
        let request = with_target(target);
        let head = accepted(&request);
        assert_eq!(head.path.of(request.as_bytes()), path.as_bytes(), "{target}");
        assert_eq!(head.query.of(request.as_bytes()), query.as_bytes(), "{target}");
        assert_eq!(head.target.of(request.as_bytes()), target.as_bytes());
    }
    for target in [
        "/%00",
        "/a%00b",
        "/%",
        "/%4",
        "/%zz",
        "/%4g",
        "/a%",
        "/.",
        "/..",
        "/a/../b",
        "/a/./b",
        "/a/..",
        "/%2e",
        "/%2E%2e/b",
        "/.%2e",
        "/a/%2e./b",
        "/..%2fb",
        "/a%2F..%2Fb",
        "/a%2f.",
        "/a\\b",
        "/a^b",
        "/{}",
        "/a|b",
        "/\"",
        "/<>",
        "/`",
        "/[",
        "/#",
        "/a#b",
        "/a?b#c",
        "a",
        "a/b",
        "*",
        "?a",
        "./",
        "example.com:80",
        "http:/a",
        "http://",
        "http:///a",
        "http://:80/",
        "http://a:b/",
        "http://u@a/",
        "http://u:p@a/",
        "http://a:65536/",
        "http://[::1/",
        "ftp://a/",
        "file:///a",
        "://a",
        "http://a/..",
        "http://a\\b/",
        "mailto:a",
        "/é",
        "/a?é",
        "http://é/",
    ] {
        refused(with_target(target), "bad_target");
    }
    for target in [&b"\x80"[..], b"/\xff", b"/a?\xc3\xa4"] {
        refused([b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat(), "bad_target");
    }
    for target in ["/a b", "/a\tb", "", "/\x01", "/\x7f", "/a?\x0b"] {
        refused(with_target(target), "bad_head");
    }
}

#[test]
fn asterisk_and_authority_form() {
    let line = |method: &str, target: &str| format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let request = line("OPTIONS", "*");
    assert_eq!(accepted(&request).path.of(request.as_bytes()), b"*");
    assert_eq!(accepted(line("OPTIONS", "/a")).method, Method::Options);
    for method in ["GET", "POST", "HEAD", "PUT"] {
        refused(line(method, "*"), "bad_target");
    }
    assert_eq!(accepted(line("CONNECT", "example.com:443")).method, Method::Known);
    accepted(line("CONNECT", "[::1]:443"));
    for target in ["/", "example.com", "example.com:", ":443", "a:b", "*", "http://a:1/", "[::1]", "u@a:1"] {
        refused(line("CONNECT", target), "bad_target");
    }
    refused(line("OPTIONS", "**"), "bad_target");
}

#[test]
fn hosts() {
    let line = |host: &str| format!("GET / HTTP/1.1\r\n{host}\r\n");
    for host in [
        "a",
        "A.example:8080",
        "127.0.0.1:1",
        "[::1]",
        "[2001:db8::7]:80",
        "[v1.fe80:a]",
        "a:",
        "xn--a",
        "a_b",
        "a%41",
        "a.",
        "a:65535",
        "a:0080",
    ] {
        accepted(line(&format!("Host: {host}\r\n")));
        accepted(line(&format!("hOST:{host}\r\n")));
    }
    for host in [
        "",
        "a b",
        ":80",
        "a:b",
        "a:65536",
        "a:-1",
        "a:80:80",
        "u@a",
        "a/b",
        "a?b",
        "a#b",
        "[::1",
        "::1",
        "[::1]a",
        "[::g]",
        "[fe80::1%25eth0]",
        "[]",
        "a\\b",
        "<a>",
        "a%",
        "a%0",
        "a%00",
        "é",
        "http://a",
        "[v.a]",
        "[v1.]",
        "a\tb",
    ] {
        refused(line(&format!("Host: {host}\r\n")), "bad_host");
    }
    refused(line(""), "bad_host");
    refused(line("Host: a\r\nHost: a\r\n"), "bad_host");
    refused(line("Host: a\r\nA: b\r\nhost: b\r\n"), "bad_host");
    // RFC 9112 §3.2: also with an absolute target.
    refused("GET http://a/ HTTP/1.1\r\n\r\n", "bad_host");
    accepted("GET / HTTP/1.0\r\n\r\n");
    refused("GET / HTTP/1.0\r\nHost: a b\r\n\r\n", "bad_host");
    refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "bad_host");
}
