//! Which requests are a browser's, and which browsers are let in.

use super::*;
use crate::http::Status;
use crate::http::head::HeadReader;

fn allowed(list: &[&str]) -> AllowedOrigins {
    AllowedOrigins::new(&list.iter().map(|entry| entry.to_string()).collect::<Vec<_>>()).unwrap()
}

/// `Some(origin to echo)` if the browser is allowed, `None` if refused; panics if it is none.
#[track_caller]
fn check(list: &[&str], fields: &str) -> Option<Option<String>> {
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let mut head = Head::default();
    assert_eq!(HeadReader::default().read(request.as_bytes(), &mut head), Ok(Status::Complete(())));
    match allowed(list).check(&head, request.as_bytes()) {
        Browser::No => panic!("not a browser"),
        Browser::Refused => None,
        Browser::Allowed(span) => {
            Some(span.map(|span| String::from_utf8(span.of(request.as_bytes()).to_vec()).unwrap()))
        }
    }
}

#[test]
fn who_is_let_in() {
    let app = "https://app.example.com";
    let origin = |origin: &str| format!("Origin: {origin}\r\n");
    let echoed = |origin: &str| Some(Some(origin.to_string()));
    assert_eq!(check(&[app], &origin(app)), echoed(app));
    assert_eq!(check(&["https://x", app], &origin(app)), echoed(app));
    assert_eq!(check(&["HTTPS://App.Example.com"], &origin(app)), echoed(app));
    assert_eq!(check(&["*"], &origin(app)), echoed(app));
    assert_eq!(check(&["*"], &origin("null")), echoed("null"));
    assert_eq!(
        check(&["http://localhost:3000"], &origin("http://localhost:3000")),
        echoed("http://localhost:3000")
    );
    for other in [
        "null",
        "",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.com",
        "https://evil.com",
        "https://app.example.com/",
        "https://xapp.example.com",
        "https://app.example.com https://x",
    ] {
        assert_eq!(check(&[app], &origin(other)), None, "{other}");
        assert_eq!(check(&[], &origin(other)), None, "{other}");
    }
    assert_eq!(check(&[], &origin(app)), None);
    // Two origins: whatever the list says, one of them is a lie.
    for list in [&[app][..], &["*"]] {
        assert_eq!(check(list, &format!("{}{}", origin(app), origin(app))), None);
    }
}

#[test]
fn a_browser_that_names_no_origin() {
    for site in ["cross-site", "same-origin", "none"] {
        let fields = format!("Sec-Fetch-Site: {site}\r\n");
        assert_eq!(check(&["*"], &fields), Some(None));
        assert_eq!(check(&["https://a.example"], &fields), None);
        assert_eq!(check(&[], &fields), None);
        let both = format!("{fields}Origin: https://a.example\r\n");
        assert_eq!(check(&["https://a.example"], &both), Some(Some("https://a.example".into())));
    }
}

#[test]
fn servers_are_not_asked() {
    for list in [&[][..], &["*"], &["https://a.example"]] {
        assert_eq!(allowed(list).check(&Head::default(), b""), Browser::No);
    }
    // Node's fetch sends Sec-Fetch-Mode; that alone is no browser.
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nSec-Fetch-Mode: cors\r\n\r\n";
    let mut head = Head::default();
    assert_eq!(HeadReader::default().read(request, &mut head), Ok(Status::Complete(())));
    assert_eq!(allowed(&[]).check(&head, request), Browser::No);
}

#[test]
fn the_operators_list() {
    for good in [
        "*",
        "https://example.com",
        "http://localhost:3000",
        "http://127.0.0.1",
        "http://[::1]:8080",
        "https://xn--bcher-kva.example",
        "chrome-extension://abcdefghijklmnop",
        "capacitor://localhost",
        "https://a:4430",
        "http://a:443",
        "https://a:80",
    ] {
        assert!(AllowedOrigins::new(&[good.into()]).is_ok(), "{good}");
    }
    for (bad, why) in [
        ("null", "only `*` allows"),
        ("", "begin with a scheme"),
        ("example.com", "begin with a scheme"),
        ("//example.com", "begin with a scheme"),
        ("1https://a", "not a scheme"),
        ("://a", "not a scheme"),
        ("https://a/", "slash at the end"),
        ("https://a/b", "after the host and port"),
        ("https://a?b", "after the host and port"),
        ("https://u@a", "user name"),
        ("https://*.a", "wildcard"),
        ("https://bücher.example", "ASCII form"),
        ("https://", "not a valid host"),
        ("https://a b", "not a valid host"),
        ("https://a:99999", "not a valid host"),
        ("https://a:443", "default one"),
        ("HTTP://a:80", "default one"),
        ("https://a:", "default one"),
    ] {
        let error = AllowedOrigins::new(&["https://fine.example".into(), bad.into()]).unwrap_err();
        assert!(error.contains(why) && error.contains(&format!("`{bad}`")), "{bad}: {error}");
    }
}
