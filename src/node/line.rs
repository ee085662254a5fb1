//! An event as one line of JSON: `{"id","webhook","received_at","payload":{"body","query","path","method","headers"}}`.
//!
//! The body is not rendered: its exact bytes stand in the line, except that raw LF and CR become spaces. In valid
//! JSON these occur only between tokens (RFC 8259 §2 and §7), so the value is the same.

use std::io::{self, Write};

use memchr::memchr2;

use crate::event::Event;

/// What ends the event, behind its payload.
const LINE_END: &[u8] = b"}\n";

/// The parts of an event's line before and after its body, rendered when first asked for.
#[derive(Default)]
pub struct EventLine {
    before: Vec<u8>,
    after: Vec<u8>,
    rendered: bool,
}

impl EventLine {
    /// Makes it ready for the next event.
    #[inline]
    pub fn reset(&mut self) {
        self.rendered = false;
    }

    /// The line of `event` before and after its body; `after` ends with LF.
    pub fn around_body(&mut self, event: &Event<'_>) -> (&[u8], &[u8]) {
        if !std::mem::replace(&mut self.rendered, true) {
            self.before.clear();
            self.after.clear();
            // Writing to a vector does not fail.
            let _ = self.render(event);
        }
        (&self.before, &self.after)
    }

    /// Appends the whole line of `event` to `out`. A body of more than `body_bytes_max` bytes, or one whose text was
    /// given up, is left out: the line has `"body":null` then, and ends with `"omitted_body_bytes":N`.
    pub fn append_to(&mut self, out: &mut Vec<u8>, event: &Event<'_>, body_bytes_max: usize) {
        let (before, after) = self.around_body(event);
        let body = event.body_if_kept().filter(|body| body.len() <= body_bytes_max);
        let omitted = match body {
            Some(_) => String::new(),
            None => format!(",\"omitted_body_bytes\":{}", event.body_bytes()),
        };
        let (payload, end) = after.split_at(after.len() - LINE_END.len());
        out.reserve(before.len() + body.map_or(0, <[u8]>::len) + after.len() + omitted.len());
        out.extend_from_slice(before);
        let body_at = out.len();
        out.extend_from_slice(body.unwrap_or(b"null"));
        flatten(&mut out[body_at..]);
        out.extend_from_slice(payload);
        out.extend_from_slice(omitted.as_bytes());
        out.extend_from_slice(end);
    }

    fn render(&mut self, event: &Event<'_>) -> io::Result<()> {
        let before = &mut self.before;
        before.extend_from_slice(b"{\"id\":\"");
        before.extend_from_slice(&event.id().text());
        before.extend_from_slice(b"\",\"webhook\":");
        write_text(before, event.webhook().as_bytes())?;
        write!(before, ",\"received_at\":\"{}\"", humantime::format_rfc3339_millis(event.received_at()))?;
        before.extend_from_slice(b",\"payload\":{\"body\":");

        let after = &mut self.after;
        after.extend_from_slice(b",\"query\":");
        serde_json::to_writer(&mut *after, &event.query())?;
        after.extend_from_slice(b",\"path\":");
        write_text(after, event.path())?;
        write!(after, ",\"method\":\"{}\",\"headers\":", event.method())?;
        write_headers(after, event)?;
        after.push(b'}');
        after.extend_from_slice(LINE_END);
        Ok(())
    }
}

/// Writes the headers as an object: lower-case names, a string each or, for repeated ones, an array.
fn write_headers(out: &mut Vec<u8>, event: &Event<'_>) -> io::Result<()> {
    let headers: Vec<(String, &[u8])> = event
        .headers()
        .map(|(name, value)| (String::from_utf8_lossy(name).to_ascii_lowercase(), value))
        .collect();
    let mut separator = b'{';
    for (index, (name, value)) in headers.iter().enumerate() {
        if headers[..index].iter().any(|(earlier, _)| earlier == name) {
            continue;
        }
        out.push(separator);
        separator = b',';
        write_text(out, name.as_bytes())?;
        out.push(b':');
        let mut later = headers[index + 1..].iter().filter(|(other, _)| other == name).peekable();
        if later.peek().is_none() {
            write_text(out, value)?;
            continue;
        }
        out.push(b'[');
        write_text(out, value)?;
        for (_, value) in later {
            out.push(b',');
            write_text(out, value)?;
        }
        out.push(b']');
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
    Ok(())
}

/// Writes `text` as a JSON string. Bytes that are not UTF-8 are read as ISO-8859-1, which RFC 9110 §5.5 names as
/// what header values once were.
fn write_text(out: &mut Vec<u8>, text: &[u8]) -> io::Result<()> {
    match std::str::from_utf8(text) {
        Ok(text) => serde_json::to_writer(out, text)?,
        Err(_) => serde_json::to_writer(out, &text.iter().map(|&byte| char::from(byte)).collect::<String>())?,
    }
    Ok(())
}

/// Puts a JSON document on one line: raw LF and CR become spaces.
pub(super) fn flatten(json: &mut [u8]) {
    for byte in json {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// A document is put on one line so many bytes at a time: neither is one of many short lines as many system calls, nor
/// a large one held twice.
pub(super) const PIECE_BYTES: usize = 128 * 1024;

/// A piece of a JSON document as it stands on one line: itself, or a copy in `scratch` if it has line ends.
pub(super) fn flat<'a>(piece: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr2(b'\n', b'\r', piece).is_none() {
        return piece;
    }
    scratch.clear();
    scratch.extend_from_slice(piece);
    flatten(scratch);
    scratch
}

/// Writes a JSON document on one line.
pub(super) fn write_flat<W: Write + ?Sized>(
    out: &mut W,
    json: &[u8],
    scratch: &mut Vec<u8>,
) -> io::Result<()> {
    json.chunks(PIECE_BYTES).try_for_each(|piece| out.write_all(flat(piece, scratch)))
}
