//! A head, read line by line.

use super::super::framing::Framing;
use super::super::head::{self, Expect, FIELDS_MAX, HEAD_BYTES_MAX, HeadReader, LINE_BYTES_MAX, Method};
use super::super::{Reject, Status, reject};
use super::{Verdict, field, find, is_token};

/// A head as plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its length.
    pub bytes: usize,
    /// Its method.
    pub method: String,
    /// The digit behind `HTTP/1.`.
    pub minor: u8,
    /// Its path.
    pub path: String,
    /// Its query.
    pub query: String,
    /// Its fields, names and values.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Its framing.
    pub framing: Framing,
    /// Whether the connection stays.
    pub keep_alive: bool,
    /// What the sender waits for.
    pub expect: Expect,
}

/// Reads the head at the start of `bytes`.
pub fn read(bytes: &[u8]) -> Verdict<Head> {
    let lead = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let Some(end) = find(&bytes[lead..], b"\r\n\r\n") else { return Verdict::Undecided };
    let whole = lead + end + 4;
    match lines(&bytes[lead..lead + end]).filter(|_| whole <= HEAD_BYTES_MAX) {
        Some(head) => Verdict::Accepted(Head { bytes: whole, ..head }),
        None => Verdict::Refused(&reject::BAD_HEAD),
    }
}

/// The head without its last four bytes.
fn lines(text: &[u8]) -> Option<Head> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    if lines.iter().any(|line| line.len() > LINE_BYTES_MAX || line.contains(&b'\n')) {
        return None;
    }
    let request_line = std::str::from_utf8(lines[0]).ok()?;
    let [method, target, version] = request_line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let minor = match version {
        "HTTP/1.0" => 0,
        "HTTP/1.1" => 1,
        _ => return None,
    };
    let known = "GET POST HEAD OPTIONS PUT PATCH DELETE CONNECT TRACE QUERY PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK";
    known.split(' ').find(|known| *known == method)?;
    let (path, query) = target_parts(method, target)?;
    let fields = lines[1..]
        .iter()
        .map(|line| field(line).map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec())))
        .collect::<Option<Vec<_>>>()?;
    let named = |wanted: &str| {
        fields.iter().filter(|(name, _)| name == wanted.as_bytes()).map(|(_, value)| &value[..]).collect()
    };
    let hosts: Vec<&[u8]> = named("host");
    match hosts[..] {
        [] if minor == 0 => {}
        [host] if is_authority(std::str::from_utf8(host).ok()?) => {}
        _ => return None,
    }
    if fields.len() > FIELDS_MAX {
        return None;
    }
    let framing = framing(minor, named("content-length"), named("transfer-encoding"))?;
    let list = |name| -> Vec<String> {
        let values: Vec<&[u8]> = named(name);
        let joined = values.iter().map(|value| String::from_utf8_lossy(value)).collect::<Vec<_>>().join(",");
        joined.split(',').map(|member| member.trim_matches([' ', '\t']).to_ascii_lowercase()).collect()
    };
    let options = list("connection");
    let has = |wanted: &str| options.iter().any(|option| option == wanted);
    let mut expected = list("expect");
    expected.retain(|member| !member.is_empty());
    let expect = if minor == 0 || expected.is_empty() {
        Expect::None
    } else if expected.iter().all(|member| member == "100-continue") {
        Expect::Continue
    } else {
        Expect::Unknown
    };
    Some(Head {
        bytes: 0,
        method: method.into(),
        minor,
        path,
        query,
        framing,
        keep_alive: !has("close") && (minor == 1 || has("keep-alive")),
        expect,
        fields,
    })
}

/// Path and query of a target.
fn target_parts(method: &str, target: &str) -> Option<(String, String)> {
    if method == "CONNECT" {
        let port = target.rsplit_once(':')?.1;
        let has_port = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
        return (has_port && is_authority(target)).then(Default::default);
    }
    if method == "OPTIONS" && target == "*" {
        return Some(("*".into(), String::new()));
    }
    let mut rest = target.to_string();
    if !rest.starts_with('/') {
        let (scheme, after) = rest.split_once("://")?;
        if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
            return None;
        }
        let end = after.find(['/', '?']).unwrap_or(after.len());
        if !is_authority(&after[..end]) {
            return None;
        }
        rest = after[end..].to_string();
    }
    let (path, query) = rest.split_once('?').unwrap_or((&rest, ""));
    let path = if path.is_empty() { "/" } else { path };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%".contains(letter);
    let decoded = decode(path)?;
    let dots = decoded.split(|&byte| byte == b'/').any(|segment| segment == b"." || segment == b"..");
    let good = path.chars().all(plain)
        && !dots
        && !decoded.contains(&0)
        && query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    good.then(|| (path.into(), query.into()))
}

/// Percent-decodes, or `None` where that is malformed.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut decoded = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let hex = part.get(..2).filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        decoded.push(u8::from_str_radix(hex, 16).ok()?);
        decoded.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(decoded)
}

/// `uri-host [ ":" port ]`.
fn is_authority(text: &str) -> bool {
    let colon = text.rfind(':').filter(|colon| *colon > text.rfind(']').unwrap_or(0));
    let (host, port) = colon.map_or((text, ""), |colon| (&text[..colon], &text[colon + 1..]));
    let good_port = port.is_empty()
        || port.bytes().all(|digit| digit.is_ascii_digit())
            && port.trim_start_matches('0').len() <= 5
            && port.parse::<u128>().map_or(port.len() > 30, |port| port < 65_536);
    let reg_name = |letter: char| letter.is_ascii_alphanumeric() || "-._~!$&'()*+,;=".contains(letter);
    let good_host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) if inside.to_ascii_lowercase().starts_with('v') => {
            inside[1..].split_once('.').is_some_and(|(version, address)| {
                !version.is_empty()
                    && version.chars().all(|digit| digit.is_ascii_hexdigit())
                    && !address.is_empty()
                    && address.chars().all(|letter| reg_name(letter) || letter == ':')
            })
        }
        Some(inside) => inside.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.chars().all(|letter| reg_name(letter) || letter == '%')
                && decode(host).is_some_and(|host| !host.contains(&0))
        }
    };
    good_host && good_port
}

/// RFC 9112 §6.3, read strictly.
fn framing(minor: u8, lengths: Vec<&[u8]>, codings: Vec<&[u8]>) -> Option<Framing> {
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(Framing::Length(0)),
        ([length], []) if length.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(length).ok()?.parse().ok().map(Framing::Length)
        }
        ([], [coding]) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => Some(Framing::Chunked),
        _ => None,
    }
}

/// What the fast reader makes of `bytes` that arrive in pieces of `piece` bytes.
pub fn read_in_pieces(bytes: &[u8], piece: usize) -> Result<Status<head::Head>, Reject> {
    let (mut reader, mut head) = (HeadReader::default(), head::Head::default());
    for prefix in super::prefixes(bytes, piece) {
        if let Status::Complete(()) = reader.read(prefix, &mut head)? {
            return Ok(Status::Complete(head));
        }
    }
    Ok(Status::Partial)
}

/// Fuzz body: whatever the bytes and wherever they are split, the fast reader says the same, and what this one says.
/// The first byte chooses the split.
pub fn fuzz_head(data: &[u8]) {
    let Some((&seed, bytes)) = data.split_first() else { return };
    let fast = read_in_pieces(bytes, bytes.len());
    for piece in [1, 1 + usize::from(seed)] {
        assert_eq!(read_in_pieces(bytes, piece), fast, "in pieces of {piece}");
    }
    match (read(bytes), &fast) {
        (Verdict::Accepted(naive), Ok(Status::Complete(head))) => assert_same(&naive, head, bytes),
        (Verdict::Undecided, Ok(Status::Partial) | Err(_)) | (Verdict::Refused(_), Err(_)) => {}
        (naive, fast) => panic!("naive says {naive:?}, fast says {fast:?}"),
    }
}

fn assert_same(naive: &Head, head: &head::Head, bytes: &[u8]) {
    let text = |span: super::super::Span| String::from_utf8_lossy(span.of(bytes)).into_owned();
    let fields = head.fields.iter();
    let method = match head.method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Options => "OPTIONS",
        Method::Head => "HEAD",
        Method::Known => &naive.method,
    };
    assert!(is_token(method.as_bytes()));
    let fast = Head {
        bytes: head.bytes,
        method: method.into(),
        minor: u8::from(head.version == head::Version::Http11),
        path: if naive.method == "CONNECT" { String::new() } else { text(head.path) },
        query: text(head.query),
        fields: fields
            .map(|field| (field.name.of(bytes).to_ascii_lowercase(), field.value.of(bytes).to_vec()))
            .collect(),
        framing: head.framing,
        keep_alive: head.keep_alive,
        expect: head.expect,
    };
    assert_eq!(&fast, naive);
}
