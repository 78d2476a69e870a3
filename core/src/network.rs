//! Owns [`Network`]: the part of the internet that one address stands for.
//! Never knows who is behind it, and never resolves a name.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network of an address: of IPv4 its 24 first bits, of IPv6 its 56 first. That is about what
/// one customer, one office or one set of containers has (RFC 6177 §2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Network(IpAddr);

impl Network {
    /// The network that `address` is in. An IPv4 address in IPv6 is that of IPv4.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() >> 8 << 8)),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 72 << 72)),
        })
    }
}

impl fmt::Display for Network {
    /// As a setting takes it: `192.0.2.0/24`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.0.is_ipv4() { 24 } else { 56 };
        write!(f, "{}/{bits}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        #[track_caller]
        fn check(address: &str, shown: &str) {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), shown);
        }
        check("172.18.0.7", "172.18.0.0/24");
        check("::ffff:172.18.0.7", "172.18.0.0/24");
        check("2001:db8:1:2ff:3::4", "2001:db8:1:200::/56");
        check("::1", "::/56");
    }
}
