//! RFC 3986 §3.2: the authority of a target, the value of Host, the host of an origin.

use std::net::Ipv6Addr;

use super::super::class::{HEX, REG_NAME, all, is, is_token, run};

/// RFC 9110 §7.2: whether this is `uri-host [ ":" port ]` with a host that is not empty, and without user information
/// (RFC 9110 §4.2.4).
pub fn is_host_and_port(value: &[u8]) -> bool {
    let host = if value.first() == Some(&b'[') {
        match value.iter().position(|&byte| byte == b']') {
            Some(end) if is_literal(&value[1..end]) => end + 1,
            _ => return false,
        }
    } else {
        match reg_name(value) {
            Some(end) if end > 0 => end,
            _ => return false,
        }
    };
    match &value[host..] {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    }
}

/// RFC 3986 §3.2.3: `*DIGIT`, so an empty port is none; RFC 9293 §3.1: 16 bits.
fn is_port(port: &[u8]) -> bool {
    let number = port.iter().try_fold(0_u32, |number, &byte| match byte {
        b'0'..=b'9' => Some(number * 10 + u32::from(byte - b'0')).filter(|&number| number <= 65_535),
        _ => None,
    });
    number.is_some()
}

/// RFC 3986 §3.2.2: how far the `reg-name` goes; it covers IPv4 too. `None` for a bad percent-encoding.
fn reg_name(value: &[u8]) -> Option<usize> {
    let mut at = run(value, REG_NAME);
    while value.get(at) == Some(&b'%') {
        match value.get(at + 1..at + 3) {
            Some(hex) if all(hex, HEX) && hex != b"00" => at += 3,
            _ => return None,
        }
        at += run(&value[at..], REG_NAME);
    }
    Some(at)
}

/// RFC 3986 §3.2.2: what stands between the brackets of an IP literal. Zones (RFC 6874) have no place in a request.
fn is_literal(inside: &[u8]) -> bool {
    if let [b'v' | b'V', future @ ..] = inside {
        let version = run(future, HEX);
        return match &future[version..] {
            [b'.', address @ ..] if version > 0 => {
                !address.is_empty() && address.iter().all(|&byte| is(byte, REG_NAME) || byte == b':')
            }
            _ => false,
        };
    }
    std::str::from_utf8(inside).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// RFC 3986 §3.1: a scheme.
pub fn is_scheme(scheme: &[u8]) -> bool {
    scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && is_token(scheme)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}
