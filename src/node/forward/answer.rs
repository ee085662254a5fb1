//! What an answer means. Standard Webhooks 1.0.0, "Delivery success and failure": 2xx is success, all else is not, and
//! redirects are not followed.

use http::{HeaderMap, StatusCode, header};

/// Characters of an answer that a reason quotes.
const QUOTED_CHARS: usize = 200;

/// Bytes that hold them, at four each.
pub(super) const QUOTED_BYTES: usize = 4 * QUOTED_CHARS;

/// The verdict on an answer whose body starts with `body`.
pub(super) fn verdict(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    if status.is_success() {
        return Ok(());
    }
    let number = status.as_u16();
    if status.is_redirection() {
        let to = headers
            .get(header::LOCATION)
            .map_or(String::new(), |to| format!(" to {}", quoted(to.as_bytes())));
        return Err(format!(
            "answered {number}, a redirect{to}; redirects are not followed: name the final URL"
        ));
    }
    let said = match body.trim_ascii() {
        b"" => String::new(),
        body => format!(": {}", quoted(body)),
    };
    Err(format!("answered {number}{said}"))
}

/// The first characters, with all that could break a line of a log escaped.
fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(QUOTED_CHARS).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2xx_is_success() {
        for (status, location, body, expected) in [
            (200, "", "whatever", Ok(())),
            (204, "", "", Ok(())),
            (299, "", "", Ok(())),
            (
                301,
                "https://h/\u{7f}",
                "moved",
                Err("answered 301, a redirect to https://h/\\u{7f}; redirects are"),
            ),
            (304, "", "", Err("answered 304, a redirect; redirects are not followed: name the final URL")),
            (
                307,
                "http://169.254.169.254/",
                "",
                Err("a redirect to http://169.254.169.254/; redirects are not"),
            ),
            (400, "", " no \"x\"\n\u{1b}[2J ", Err("answered 400: no \\\"x\\\"\\n\\u{1b}[2J")),
            (404, "", "", Err("answered 404")),
            (503, "", "busy", Err("answered 503: busy")),
            (101, "", "", Err("answered 101")),
        ] {
            let mut headers = HeaderMap::new();
            if !location.is_empty() {
                let value = location.replace('\u{7f}', "\u{80}");
                headers.insert(header::LOCATION, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let found = verdict(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes());
            match (found, expected) {
                (Ok(()), Ok(())) => {}
                (Err(found), Err(part)) => {
                    assert!(found.contains(&part.replace("7f", "80")), "{status}: {found}");
                }
                (found, _) => panic!("{status}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_quote_is_short_and_never_torn() {
        let long = "ü".repeat(1000);
        let reason = verdict(StatusCode::BAD_GATEWAY, &HeaderMap::new(), &long.as_bytes()[..QUOTED_BYTES]);
        assert_eq!(reason.unwrap_err(), format!("answered 502: {}", "ü".repeat(QUOTED_CHARS)));
        let torn = verdict(StatusCode::BAD_GATEWAY, &HeaderMap::new(), &long.as_bytes()[..3]);
        assert_eq!(torn.unwrap_err(), "answered 502: ü\u{fffd}");
    }
}
