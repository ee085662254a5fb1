//! What the fields of a head mean: one pass that picks them out by the length of their names, then the rules.

use super::super::class::members;
use super::super::framing;
use super::super::reject::BAD_HOST;
use super::super::{Reject, Span};
use super::authority::is_host_and_port;
use super::{Expect, Head, Seen, Version};

impl Seen {
    fn add(&mut self, value: Span) {
        *self = if *self == Self::Absent { Self::Once(value) } else { Self::Repeated };
    }
}

/// The options of all Connection fields.
#[derive(Default)]
struct Options {
    close: bool,
    keep_alive: bool,
}

/// Fills in everything that follows from `head.fields`, or refuses it.
pub(super) fn interpret(bytes: &[u8], head: &mut Head) -> Result<(), Reject> {
    let (mut host, mut lengths, mut codings) = (Seen::Absent, Seen::Absent, Seen::Absent);
    let mut options = Options::default();
    (head.origin, head.secret) = (Seen::Absent, Seen::Absent);
    (head.request_method, head.request_headers) = (None, None);
    head.sec_fetch_site = false;
    head.is_encoded = false;
    head.expect = Expect::None;

    for field in &head.fields {
        let (name, value) = (field.name.of(bytes), field.value);
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        match name.len() {
            4 if is(b"host") => host.add(value),
            6 if is(b"origin") => head.origin.add(value),
            6 if is(b"expect") => head.expect = expectation(value.of(bytes), head.expect),
            10 if is(b"connection") => connection(value.of(bytes), &mut options),
            11 if is(b"x-bp-secret") => head.secret.add(value),
            14 if is(b"content-length") => lengths.add(value),
            14 if is(b"sec-fetch-site") => head.sec_fetch_site = true,
            // RFC 9110 §12.5.3: `identity` is the absence of a coding.
            16 if is(b"content-encoding") => {
                head.is_encoded |= !value.of(bytes).eq_ignore_ascii_case(b"identity")
            }
            17 if is(b"transfer-encoding") => codings.add(value),
            29 if is(b"access-control-request-method") => head.request_method = Some(value),
            30 if is(b"access-control-request-headers") => head.request_headers = Some(value),
            _ => {}
        }
    }

    // RFC 9112 §3.2: HTTP/1.1 needs exactly one valid Host; RFC 1945 knows none, so HTTP/1.0 may leave it out.
    match (host, head.version) {
        (Seen::Once(host), _) if is_host_and_port(host.of(bytes)) => {}
        (Seen::Absent, Version::Http10) => {}
        _ => return Err((&BAD_HOST).into()),
    }
    head.framing = framing::decide(bytes, head.version, lengths, codings, &head.fields)?;
    // RFC 9112 §9.3: close wins; HTTP/1.1 persists, HTTP/1.0 only when asked to.
    head.keep_alive = !options.close && (head.version == Version::Http11 || options.keep_alive);
    if head.version == Version::Http10 {
        // RFC 9110 §10.1.1: an expectation in an HTTP/1.0 request must be ignored.
        head.expect = Expect::None;
    }
    Ok(())
}

/// RFC 9110 §7.6.1: a list of options, in any case of letters. Others, Upgrade among them, are ignored.
fn connection(value: &[u8], options: &mut Options) {
    for option in members(value) {
        options.close |= option.eq_ignore_ascii_case(b"close");
        options.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
}

/// RFC 9110 §10.1.1: a list, in any case of letters; one unknown member makes the whole unknown.
fn expectation(value: &[u8], before: Expect) -> Expect {
    members(value).filter(|member| !member.is_empty()).fold(before, |expect, member| {
        if expect != Expect::Unknown && member.eq_ignore_ascii_case(b"100-continue") {
            Expect::Continue
        } else {
            Expect::Unknown
        }
    })
}
