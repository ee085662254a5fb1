//! RFC 9112 §3.2: the four forms of a request target, split into path and query.

use super::super::class::{HEX, PATH_PLAIN, QUERY, all, is};
use super::super::reject::BAD_TARGET;
use super::super::{Reject, Span};
use super::Head;
use super::authority::is_host_and_port;

/// Sets `path` and `query` from `target`.
pub(super) fn split(bytes: &[u8], method: &[u8], head: &mut Head) -> Result<(), Reject> {
    let start = head.target.start as usize;
    let target = head.target.of(bytes);
    head.query = Span::new(start + target.len(), start + target.len());
    let path = match (target, method) {
        // RFC 9112 §3.2.3: authority-form, only with CONNECT, with a port.
        (_, b"CONNECT") => {
            head.path = Span::new(start, start);
            let has_port = target.last().is_some_and(u8::is_ascii_digit) && target.contains(&b':');
            return if has_port && is_host_and_port(target) { Ok(()) } else { Err((&BAD_TARGET).into()) };
        }
        ([b'/', ..], _) => 0,
        // RFC 9112 §3.2.4: asterisk-form, only with OPTIONS.
        (b"*", b"OPTIONS") => {
            head.path = head.target;
            return Ok(());
        }
        _ => match absolute(target) {
            Some(path) => path,
            None => return Err((&BAD_TARGET).into()),
        },
    };

    let end = memchr::memchr(b'?', &target[path..]).map_or(target.len(), |question| path + question);
    if end < target.len() {
        if !all(&target[end + 1..], QUERY) {
            return Err((&BAD_TARGET).into());
        }
        head.query = Span::new(start + end + 1, start + target.len());
    }
    head.path = Span::new(start + path, start + end);
    if path == end {
        // RFC 9110 §4.2.3: an empty path is `/`. The last slash of `://` is such a byte to point at.
        let slash = start + memchr::memchr(b'/', target).unwrap_or(0) + 1;
        head.path = Span::new(slash, slash + 1);
    }
    if is_path(&target[path..end]) { Ok(()) } else { Err((&BAD_TARGET).into()) }
}

/// RFC 9112 §3.2.2: where the path of an absolute-form target starts.
fn absolute(target: &[u8]) -> Option<usize> {
    // RFC 3986 §3.1: schemes are case-insensitive.
    let scheme = ["http://", "https://"].into_iter().find(|scheme| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    })?;
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    is_host_and_port(&rest[..end]).then_some(scheme.len() + end)
}

/// RFC 3986 §3.3: an absolute path, without NUL and without dot segments.
fn is_path(path: &[u8]) -> bool {
    // Most paths are an id and need no second look.
    let Some(odd) = path.iter().position(|&byte| !is(byte, PATH_PLAIN)) else { return true };
    is_odd_path(path, odd)
}

/// The same for a path whose first `%`, `.` or bad byte stands at `odd`.
#[cold]
fn is_odd_path(path: &[u8], odd: usize) -> bool {
    let mut at = odd;
    while let Some(&byte) = path.get(at) {
        match byte {
            b'%' => match path.get(at + 1..at + 3) {
                Some(hex) if all(hex, HEX) && hex != b"00" => at += 3,
                _ => return false,
            },
            b'.' => at += 1,
            _ if is(byte, PATH_PLAIN) => at += 1,
            _ => return false,
        }
    }
    !has_dot_segment(path)
}

/// RFC 3986 §5.2.4: a `.` or `..` that a proxy in front may have resolved, or may not. Dots and slashes count when
/// percent-encoded too, as some servers decode first.
fn has_dot_segment(path: &[u8]) -> bool {
    let (mut rest, mut dots, mut others) = (path, 0, 0);
    loop {
        let (width, byte) = match rest {
            [] => return others == 0 && (1..=2).contains(&dots),
            [b'%', b'2', b'e' | b'E', ..] => (3, b'.'),
            [b'%', b'2', b'f' | b'F', ..] => (3, b'/'),
            [byte, ..] => (1, *byte),
        };
        rest = &rest[width..];
        match byte {
            b'.' => dots += 1,
            b'/' if others == 0 && (1..=2).contains(&dots) => return true,
            b'/' => (dots, others) = (0, 0),
            _ => others += 1,
        }
    }
}
