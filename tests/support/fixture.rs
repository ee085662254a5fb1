//! The table of HTTP cases: what a client sends, byte for byte, and what it must get. The files stand in
//! `tests/fixtures/http/`, one theme each, and read like a transcript:
//!
//! ```text
//! === a name that says the case
//! # why, with the section of the RFC
//! > POST /{open} HTTP/1.1\r\n
//! > Host: h\r\nContent-Length: 7\r\n\r\n
//! > {"a":1}
//! < 200 keep
//! = {"a":1}
//! @ /query {}
//! ```
//!
//! | line | meaning |
//! | --- | --- |
//! | `> BYTES` | Sent, joined without anything between. `\r \n \t \0 \\ \xHH` are escapes; `{open}` and the other webhooks' names are their ids, `{unknown}` is nobody's, `{secret}` and `{host}` as said; `{repeat:N:TEXT}` is TEXT N times. |
//! | `> {end}` | The sender ends its side; only as the last. |
//! | `< STATUS [CODE] [to-head] [FATE]` | One answer. STATUS and CODE may be alternatives, `400\|501`. `100?` may be left out by the server. FATE stands at the last answer: `keep` (a further request on the connection is served), `close` (nothing pipelined behind is served, the stream ends), `any`. |
//! | `< cut` | The stream ends, at most after one refusal. |
//! | `= BODY` | The answer above, when it is a 200, has an event whose body stands in the file like this. Without such a line there is no event. |
//! | `@ POINTER JSON` | A part of that event's payload; `-` for a part that must be missing. |
//! | `~ NAME: VALUE` | A field of the answer above: one of `A\|B`, compared without case, found anywhere in the value; `*` for any. |
//! | `! NAME` | A field that the answer above must not have. |

use serde_json::Value;

use super::server::{SECRET, UNKNOWN, WEBHOOKS};

/// One case of the table.
pub struct Case {
    /// `file: name`.
    pub name: String,
    pub bytes: Vec<u8>,
    /// The sender ends its side behind the bytes.
    pub ends: bool,
    pub answers: Vec<Expected>,
    pub fate: Fate,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Keep,
    Close,
    Any,
    /// It ends without a 2xx, whatever else is said.
    Cut,
}

/// One answer as it must be.
#[derive(Default, Clone)]
pub struct Expected {
    pub statuses: Vec<u16>,
    /// Empty: any code, or none.
    pub codes: Vec<String>,
    pub to_head: bool,
    /// An interim answer that the server may leave out.
    pub optional: bool,
    pub event: Option<String>,
    pub payload: Vec<(String, Option<Value>)>,
    pub headers: Vec<(String, String)>,
    pub missing_headers: Vec<String>,
}

/// Reads a file of cases. A mistake in it is a panic that names the line.
pub fn load(file: &str, host: &str) -> Vec<Case> {
    let path = format!("{}/tests/fixtures/http/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line == "#" || line.starts_with("# ") {
            continue;
        }
        if let Some(name) = line.strip_prefix("=== ") {
            cases.last().inspect(|case| case.check());
            let name = format!("{file}: {name}");
            assert!(cases.iter().all(|case| case.name != name), "{name}: stands twice");
            cases.push(Case { name, bytes: Vec::new(), ends: false, answers: Vec::new(), fate: Fate::Any });
            continue;
        }
        let (mark, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{file}:{}: {line:?}", number + 1));
        let case = cases.last_mut().unwrap_or_else(|| panic!("{file}:{}: before the first case", number + 1));
        case.line(mark, rest, host).unwrap_or_else(|e| panic!("{file}:{}: {e}", number + 1));
    }
    cases.last().inspect(|case| case.check());
    cases
}

impl Case {
    fn line(&mut self, mark: &str, rest: &str, host: &str) -> Result<(), String> {
        if mark == ">" {
            if rest == "{end}" {
                self.ends = true;
                return Ok(());
            }
            assert!(!self.ends && self.answers.is_empty(), "bytes behind the end");
            self.bytes.extend(unescape(&placeholders(rest, host)?)?);
            return Ok(());
        }
        if mark == "<" {
            return self.answer(rest);
        }
        let answer = self.answers.last_mut().ok_or("before the first answer")?;
        match mark {
            "=" => answer.event = Some(placeholders(rest, host)?),
            "@" => {
                let (pointer, value) = rest.split_once(' ').ok_or("a pointer and a value")?;
                let value = match value {
                    "-" => None,
                    value => Some(serde_json::from_str(value).map_err(|e| e.to_string())?),
                };
                answer.payload.push((pointer.to_owned(), value));
            }
            "~" => {
                let (name, value) = rest.split_once(": ").ok_or("a name and a value")?;
                answer.headers.push((name.to_owned(), value.to_owned()));
            }
            "!" => answer.missing_headers.push(rest.to_owned()),
            _ => return Err(format!("unknown mark {mark:?}")),
        }
        Ok(())
    }

    fn answer(&mut self, line: &str) -> Result<(), String> {
        if line == "cut" {
            self.fate = Fate::Cut;
            return Ok(());
        }
        let mut words = line.split(' ');
        let statuses = words.next().unwrap_or_default();
        let mut answer = Expected { optional: statuses.ends_with('?'), ..Expected::default() };
        for status in statuses.trim_end_matches('?').split('|') {
            answer.statuses.push(status.parse().map_err(|_| format!("not a status: {status:?}"))?);
        }
        for word in words {
            match word {
                "keep" => self.fate = Fate::Keep,
                "close" => self.fate = Fate::Close,
                "any" => self.fate = Fate::Any,
                "to-head" => answer.to_head = true,
                codes => answer.codes = codes.split('|').map(str::to_owned).collect(),
            }
        }
        self.answers.push(answer);
        Ok(())
    }

    fn check(&self) {
        assert!(!self.bytes.is_empty(), "{}: sends nothing", self.name);
        assert!(!self.answers.is_empty() || self.fate == Fate::Cut, "{}: expects nothing", self.name);
        let known: Vec<&str> = inrush::http::reject::ALL.iter().map(|problem| problem.code).collect();
        for code in self.answers.iter().flat_map(|answer| &answer.codes) {
            assert!(known.contains(&code.as_str()), "{}: no refusal has the code {code}", self.name);
        }
    }
}

impl Expected {
    /// Whether an answer is as expected; why not.
    pub fn fault(&self, answer: &super::Answer) -> Option<String> {
        if !self.statuses.contains(&answer.status) {
            let code = answer.code().unwrap_or_default();
            return Some(format!(
                "expected {:?} {:?}, got {} {code}",
                self.statuses, self.codes, answer.status
            ));
        }
        if let Some(fault) = answer.fault(self.to_head) {
            return Some(fault);
        }
        if answer.status >= 400 && !self.to_head && !self.codes.is_empty() {
            let code = answer.code().unwrap_or_default();
            if !self.codes.contains(&code) {
                return Some(format!("{}: expected code {:?}, got {code:?}", answer.status, self.codes));
            }
        }
        // RFC 9110 §15.5.6 and §10.2.3; ours: when to come again.
        let must = match answer.status {
            405 => "allow",
            503 => "retry-after",
            _ => "date",
        };
        if answer.status >= 200 && answer.header(must).is_none() {
            return Some(format!("{} without {must}", answer.status));
        }
        for (name, wanted) in &self.headers {
            let value = answer.list(name).map(|value| value.to_ascii_lowercase());
            let fits = |value: &str| {
                wanted == "*" || wanted.split('|').any(|w| value.contains(&w.to_ascii_lowercase()))
            };
            if !value.as_deref().is_some_and(fits) {
                return Some(format!("expected {name}: {wanted}, got {value:?}"));
            }
        }
        let unwanted = self.missing_headers.iter().find(|name| answer.header(name).is_some());
        if let Some(name) = unwanted {
            return Some(format!("{name} must not be there, got {:?}", answer.header(name)));
        }
        let promised = answer.header("x-event-id").is_some();
        let expected = answer.status == 200 && self.event.is_some();
        (promised != expected)
            .then(|| format!("{}: x-event-id {promised}, expected {expected}", answer.status))
    }
}

fn placeholders(text: &str, host: &str) -> Result<String, String> {
    let mut text = text.replace("{secret}", SECRET).replace("{unknown}", UNKNOWN).replace("{host}", host);
    for webhook in WEBHOOKS {
        text = text.replace(&format!("{{{}}}", webhook.name), webhook.id);
    }
    while let Some(start) = text.find("{repeat:") {
        let rest = &text[start + "{repeat:".len()..];
        let (count, rest) = rest.split_once(':').ok_or("repeat without a count")?;
        let (what, rest) = rest.split_once('}').ok_or("repeat without an end")?;
        let count: usize = count.parse().map_err(|_| format!("not a count: {count:?}"))?;
        text = format!("{}{}{rest}", &text[..start], what.repeat(count));
    }
    Ok(text)
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits =
                    [rest.next(), rest.next()].map(|digit| digit.and_then(|d| char::from(d).to_digit(16)));
                let [Some(high), Some(low)] = digits else { return Err("\\x needs two digits".to_owned()) };
                (high * 16 + low) as u8
            }
            other => return Err(format!("unknown escape {:?}", other.map(char::from))),
        });
    }
    Ok(bytes)
}
