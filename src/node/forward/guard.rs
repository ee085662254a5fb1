//! Which addresses may be connected to. Whoever can choose a target, or the answer of the name server for it, must not
//! reach what only this machine can reach (server-side request forgery).
//!
//! The verdict is on the address that is connected to, never on how it was written: `2130706433`, `0x7f.1` and a name
//! that answers differently at each look-up all end here. Refused is what the IANA registries of special-purpose
//! addresses list (iana-ipv4-special-registry, iana-ipv6-special-registry; RFC 6890) and multicast; of IPv6, everything
//! outside the global unicast space that IANA allocates from, 2000::/3. The few blocks of the registries that may be
//! routed (192.0.0.9/32, 2001:20::/28, …) are no place for a web server and stay refused with the block around them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Refused blocks of IPv4, and what they are.
const REFUSED_V4: [([u8; 4], u8, &str); 16] = [
    ([0, 0, 0, 0], 8, "an address of this host (RFC 791)"),
    ([10, 0, 0, 0], 8, "a private address (RFC 1918)"),
    ([100, 64, 0, 0], 10, "a shared address (RFC 6598)"),
    ([127, 0, 0, 0], 8, "a loopback address (RFC 1122)"),
    ([169, 254, 0, 0], 16, "a link-local address (RFC 3927)"),
    ([172, 16, 0, 0], 12, "a private address (RFC 1918)"),
    ([192, 0, 0, 0], 24, "an address for protocols (RFC 6890)"),
    ([192, 0, 2, 0], 24, "an address for documentation (RFC 5737)"),
    ([192, 88, 99, 0], 24, "a 6to4 relay (RFC 7526)"),
    ([192, 168, 0, 0], 16, "a private address (RFC 1918)"),
    ([198, 18, 0, 0], 15, "an address for benchmarks (RFC 2544)"),
    ([198, 51, 100, 0], 24, "an address for documentation (RFC 5737)"),
    ([203, 0, 113, 0], 24, "an address for documentation (RFC 5737)"),
    ([224, 0, 0, 0], 4, "a multicast address (RFC 5771)"),
    ([255, 255, 255, 255], 32, "the broadcast address (RFC 919)"),
    ([240, 0, 0, 0], 4, "a reserved address (RFC 1112)"),
];

/// Refused blocks of IPv6. What is outside 2000::/3 and not here is refused without a name.
const REFUSED_V6: [([u16; 4], u8, &str); 10] = [
    ([0x0064, 0xff9b, 1, 0], 48, "an address for local translation (RFC 8215)"),
    ([0x0100, 0, 0, 0], 64, "a discarded address (RFC 6666)"),
    ([0x2001, 0, 0, 0], 32, "a Teredo address (RFC 4380)"),
    ([0x2001, 0, 0, 0], 23, "an address for protocols (RFC 2928)"),
    ([0x2001, 0x0db8, 0, 0], 32, "an address for documentation (RFC 3849)"),
    ([0x2002, 0, 0, 0], 16, "a 6to4 address (RFC 3056)"),
    ([0x3fff, 0, 0, 0], 20, "an address for documentation (RFC 9637)"),
    ([0xfc00, 0, 0, 0], 7, "a private address (RFC 4193)"),
    ([0xfe80, 0, 0, 0], 10, "a link-local address (RFC 4291)"),
    ([0xfec0, 0, 0, 0], 10, "a site-local address (RFC 3879)"),
];

/// Addresses with the same first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    network: IpAddr,
    prefix: u8,
}

/// Decides about addresses.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Vec<Block>,
}

/// The most exceptions that one node may have: each is compared at every new connection.
const ALLOWED_MAX: usize = 256;

impl Guard {
    /// Refuses what is refused by default, except for the addresses and blocks of `allow`.
    ///
    /// # Errors
    /// When an entry is neither an address nor a block, or would allow more than it shows.
    pub fn new<'a>(allow: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let allowed = allow.into_iter().map(Block::parse).collect::<Result<Vec<_>, _>>()?;
        if allowed.len() > ALLOWED_MAX {
            return Err(format!("`allow` has {} entries; {ALLOWED_MAX} are the most", allowed.len()));
        }
        Ok(Self { allowed })
    }

    /// The address to connect to instead of `address`: the same, and an IPv4 address out of its IPv6 disguise, which
    /// Linux would connect to anyway.
    ///
    /// # Errors
    /// When it may not be connected to; the error says what it is.
    pub fn check(&self, address: IpAddr) -> Result<IpAddr, Refused> {
        let address = address.to_canonical();
        if self.allowed.iter().any(|block| block.contains(address)) {
            return Ok(address);
        }
        let kind = match address {
            IpAddr::V4(v4) => kind_v4(v4),
            IpAddr::V6(v6) => kind_v6(v6),
        };
        kind.map_or(Ok(address), |kind| Err(Refused { address, kind }))
    }
}

/// An address that may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    address: IpAddr,
    kind: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind } = self;
        write!(f, "{address}, {kind}: refused; if it is meant, set `allow = [\"{address}\"]` for this node")
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<&'static str> {
    let found = REFUSED_V4.iter().find(|(network, prefix, _)| {
        Block { network: Ipv4Addr::from(*network).into(), prefix: *prefix }.contains(address.into())
    });
    found.map(|(_, _, kind)| *kind)
}

fn kind_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    // RFC 6052: the translator connects to the IPv4 address in the last 32 bits.
    if let [0x0064, 0xff9b, 0, 0, 0, 0, high, low] = segments {
        return kind_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    }
    if address.is_loopback() {
        return Some("a loopback address (RFC 4291)");
    }
    if address.is_multicast() {
        return Some("a multicast address (RFC 4291)");
    }
    let found = REFUSED_V6.iter().find(|([a, b, c, d], prefix, _)| {
        let network = Ipv6Addr::new(*a, *b, *c, *d, 0, 0, 0, 0).into();
        Block { network, prefix: *prefix }.contains(address.into())
    });
    let is_global_unicast = segments[0] >> 13 == 0b001;
    found.map(|(_, _, kind)| *kind).or((!is_global_unicast).then_some("no global unicast address (RFC 4291)"))
}

impl Block {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            let text = text.escape_debug();
            format!(
                "`{text}` in `allow` is neither an address nor a block, such as \"127.0.0.1\" or \"10.1.0.0/16\""
            )
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(wrong)?
            }
            Some(_) => return Err(wrong()),
        };
        if network.to_canonical() != network {
            let inside = network.to_canonical();
            return Err(format!("`{text}` in `allow` is an IPv4 address in IPv6 form; write {inside}"));
        }
        let first = Self { network: masked(network, prefix), prefix };
        if first.network != network {
            let Self { network, prefix } = first;
            return Err(format!("`{text}` in `allow` has bits behind its prefix; write {network}/{prefix}"));
        }
        Ok(first)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.network.is_ipv4() == address.is_ipv4() && masked(address, self.prefix) == self.network
    }
}

/// The first `prefix` bits, and zeroes.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Addresses that are refused unless allowed, with a part of what they are called.
    pub(in super::super) const REFUSED: &[(&str, &str)] = &[
        ("0.0.0.0", "this host"),
        ("0.255.255.255", "this host"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.0", "shared"),
        ("100.127.255.255", "shared"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("169.254.0.0", "link-local"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.1", "protocols"),
        ("192.0.0.170", "protocols"),
        ("192.0.2.1", "documentation"),
        ("192.88.99.1", "6to4"),
        ("192.168.0.0", "private"),
        ("192.168.255.255", "private"),
        ("198.18.0.0", "benchmarks"),
        ("198.19.255.255", "benchmarks"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.0", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "no global unicast"),
        ("::1", "loopback"),
        ("::7f00:1", "no global unicast"),
        ("::10.0.0.1", "no global unicast"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:0:127.0.0.1", "no global unicast"),
        ("64:ff9b::127.0.0.1", "loopback"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::93.184.216.34", "translation"),
        ("64:ff9b:1:ffff::1", "translation"),
        ("64:ff9b:2::1", "no global unicast"),
        ("64:ff9b::1:0:0", "no global unicast"),
        ("100::1", "discarded"),
        ("100:0:0:1::1", "no global unicast"),
        ("2001::1", "Teredo"),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
        ("2001:1::1", "protocols"),
        ("2001:20::1", "protocols"),
        ("2001:1ff:ffff::1", "protocols"),
        ("2001:db8::1", "documentation"),
        ("2002:7f00:1::1", "6to4"),
        ("2002:5db8:d822::1", "6to4"),
        ("3fff::1", "documentation"),
        ("3fff:fff:ffff::1", "documentation"),
        ("4000::1", "no global unicast"),
        ("5f00::1", "no global unicast"),
        ("fc00::1", "private"),
        ("fd00:ec2::254", "private"),
        ("fdff:ffff::1", "private"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "site-local"),
        ("feff::1", "site-local"),
        ("ff02::1", "multicast"),
        ("ff0e::1", "multicast"),
    ];

    #[test]
    fn what_is_not_public_is_refused() {
        let guard = Guard::default();
        for (address, part) in REFUSED {
            let refused = guard.check(address.parse().unwrap()).expect_err(address).to_string();
            assert!(refused.contains(part) && refused.contains("allow = [\""), "{address}: {refused}");
        }
    }

    #[test]
    fn what_is_public_is_not() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "3ffe::1",
            "64:ff9b::93.184.216.34",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(Guard::default().check(address), Ok(address));
        }
        let mapped = "::ffff:93.184.216.34".parse().unwrap();
        assert_eq!(
            Guard::default().check(mapped),
            Ok("93.184.216.34".parse().unwrap()),
            "out of its disguise"
        );
    }

    #[test]
    fn only_what_is_allowed_is_excepted() {
        for (allow, address, passes) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::1", false),
            ("127.0.0.1", "64:ff9b::127.0.0.1", false),
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("10.1.2.4/31", "10.1.2.5", true),
            ("10.1.2.4/31", "10.1.2.6", false),
            ("0.0.0.0/0", "169.254.169.254", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("::1", "::1", true),
            ("::1", "127.0.0.1", false),
            ("fd00:1::/32", "fd00:1:ffff::1", true),
            ("fd00:1::/32", "fd00:2::1", false),
            ("::/0", "fd00::1", true),
            ("::/0", "127.0.0.1", false),
            ("64:ff9b::/96", "64:ff9b::10.0.0.1", true),
        ] {
            let guard = Guard::new([allow]).unwrap();
            assert_eq!(guard.check(address.parse().unwrap()).is_ok(), passes, "{allow} {address}");
        }
    }

    #[test]
    fn an_entry_that_says_something_else_than_it_means_is_refused() {
        for (entry, part) in [
            ("", "neither"),
            ("localhost", "neither"),
            ("127.1", "neither"),
            ("2130706433", "neither"),
            ("0177.0.0.1", "neither"),
            ("10.0.0.0/33", "neither"),
            ("10.0.0.0/", "neither"),
            ("10.0.0.0/+8", "neither"),
            ("10.0.0.0/8/8", "neither"),
            ("::1/129", "neither"),
            ("fe80::1%eth0", "neither"),
            ("10.0.0.0/300", "neither"),
            ("127.0.0.1:80", "neither"),
            ("10.1.2.3/16", "write 10.1.0.0/16"),
            ("fd00::1/8", "write fd00::/8"),
            ("::ffff:10.0.0.1", "write 10.0.0.1"),
        ] {
            let reason = Guard::new([entry]).expect_err(entry);
            assert!(reason.contains(part), "{entry}: {reason}");
        }
        assert!(Guard::new(vec!["::1"; ALLOWED_MAX + 1]).unwrap_err().contains("256"));
    }

    proptest! {
        /// The standard library knows some of these blocks, too.
        #[test]
        fn nothing_that_std_calls_special_passes(bits: u32, high: u32) {
            let (v4, guard) = (Ipv4Addr::from_bits(bits), Guard::default());
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_multicast() || v4.is_unspecified();
            prop_assert!(!special || guard.check(v4.into()).is_err());
            let plain = guard.check(v4.into()).is_ok();
            prop_assert_eq!(guard.check(v4.to_ipv6_mapped().into()).is_ok(), plain);
            let translated = Ipv6Addr::from_bits(0x0064_ff9b << 96 | u128::from(bits));
            prop_assert_eq!(guard.check(translated.into()).is_ok(), plain);
            let v6 = Ipv6Addr::from_bits(u128::from(high) << 96 | u128::from(bits));
            let special = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local()
                || v6.is_unicast_link_local();
            prop_assert!(!special || guard.check(v6.into()).is_err());
        }
    }
}
