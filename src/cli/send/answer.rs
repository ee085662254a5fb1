//! What the server said.

use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;

/// An answer: of inrush, or of whatever stands in front of it.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// `x-event-id`: the event that the request became.
    pub event_id: Option<String>,
    /// `code` of the problem document.
    pub code: Option<String>,
    /// `detail` of the problem document: what is wrong and what to do.
    pub detail: Option<String>,
    /// The first bad byte of the body, where there is one.
    pub offset: Option<u64>,
}

/// RFC 9457, with our two members beside.
#[derive(Default, Deserialize)]
struct Problem {
    code: Option<String>,
    detail: Option<String>,
    offset: Option<u64>,
}

impl Answer {
    /// Reads it. A body that is no problem document says nothing.
    pub fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        let event_id = headers.get("x-event-id").and_then(|id| id.to_str().ok());
        Self {
            status,
            event_id: event_id.map(printable),
            code: problem.code.as_deref().map(printable),
            detail: problem.detail.as_deref().map(printable),
            offset: problem.offset,
        }
    }

    /// What there is to say of a refusal beside its status: ` (code, at byte n): detail`.
    pub fn remarks(&self) -> String {
        let facts = [
            self.code.clone(),
            self.offset.map(|offset| format!("at byte {offset}")),
            self.event_id.as_ref().map(|id| format!("event {id}")),
        ];
        let facts: Vec<String> = facts.into_iter().flatten().collect();
        let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
        let detail = self.detail.as_deref().unwrap_or("no reason given; is it inrush that answers there?");
        format!("{facts}: {detail}")
    }
}

/// What others wrote must not steer the terminal, nor fill it.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let with_id: HeaderMap =
            [(hyper::header::HeaderName::from_static("x-event-id"), "1".parse().unwrap())]
                .into_iter()
                .collect();
        for (headers, body, event_id, remarks) in [
            (&with_id, "", Some("1"), " (event 1): no reason given; is it inrush that answers there?"),
            (&HeaderMap::new(), "<html>", None, ": no reason given; is it inrush that answers there?"),
            (
                &HeaderMap::new(),
                r#"{"code":"invalid_json","detail":"No.","offset":7,"status":400}"#,
                None,
                " (invalid_json, at byte 7): No.",
            ),
            (&HeaderMap::new(), r#"{"detail":"\u001b[31mred"}"#, None, ": [31mred"),
            (
                &HeaderMap::new(),
                r#"{"detail":7}"#,
                None,
                ": no reason given; is it inrush that answers there?",
            ),
        ] {
            let answer = Answer::read(StatusCode::BAD_REQUEST, headers, body.as_bytes());
            assert_eq!(answer.event_id.as_deref(), event_id, "{body}");
            assert_eq!(answer.remarks(), remarks, "{body}");
        }
    }
}
