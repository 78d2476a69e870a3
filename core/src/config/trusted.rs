//! Owns [`TrustedProxies`]: whose word on the client's address is taken.
//! Never looks at a request.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Networks of proxies that are believed when they say who asked. The default is this machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustedProxies {
    /// First and last address of each, sorted, none touching another.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// As they were given.
    text: String,
}

impl TrustedProxies {
    /// Nobody is believed.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
            text: String::new(),
        }
    }

    /// Whether `address` is one of them. An IPv4 address in IPv6 is that of IPv4.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.v6, address.to_bits()),
        }
    }
}

impl Default for TrustedProxies {
    fn default() -> Self {
        let (first, last) = (
            Ipv4Addr::new(127, 0, 0, 0),
            Ipv4Addr::new(127, 255, 255, 255),
        );
        let loopback = Ipv6Addr::LOCALHOST.to_bits();
        Self {
            v4: vec![(first.to_bits(), last.to_bits())],
            v6: vec![(loopback, loopback)],
            text: "127.0.0.0/8,::1".to_owned(),
        }
    }
}

impl fmt::Display for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    /// Networks (`172.18.0.0/16`) and addresses, separated by commas.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut trusted = Self::none();
        for item in text.split(',').map(str::trim) {
            if item.is_empty() {
                return Err("there is nothing before or after a comma".to_owned());
            }
            let bad = || {
                format!(
                    "`{item}` is no address and no network (192.0.2.7 or 192.0.2.0/24, without a \
                     port; names are not looked up)"
                )
            };
            let (address, bits) = match item.split_once('/') {
                Some((address, bits)) => (address, Some(length(bits).ok_or_else(bad)?)),
                None => (item, None),
            };
            match address.parse().map_err(|_| bad())? {
                IpAddr::V4(address) => {
                    let bits = bits.unwrap_or(32);
                    let hosts = 32_u32.checked_sub(bits).ok_or_else(bad)?;
                    trusted.v4.push(range_v4(address, hosts));
                }
                IpAddr::V6(address) => {
                    let bits = bits.unwrap_or(128);
                    let hosts = 128_u32.checked_sub(bits).ok_or_else(bad)?;
                    match address.to_ipv4_mapped() {
                        // `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
                        Some(address) if hosts <= 32 => trusted.v4.push(range_v4(address, hosts)),
                        Some(_) | None => {
                            let all = 1_u128.checked_shl(hosts).map_or(u128::MAX, |size| size - 1);
                            let first = address.to_bits() & !all;
                            trusted.v6.push((first, first | all));
                        }
                    }
                }
            }
        }
        trusted.text = text.split(',').map(str::trim).collect::<Vec<_>>().join(",");
        merge(&mut trusted.v4);
        merge(&mut trusted.v6);
        Ok(trusted)
    }
}

/// The length of a prefix: digits, and nothing that `parse` takes besides.
fn length(bits: &str) -> Option<u32> {
    let is_number = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    bits.parse().ok().filter(|_| is_number)
}

fn range_v4(address: Ipv4Addr, hosts: u32) -> (u32, u32) {
    let all = 1_u32.checked_shl(hosts).map_or(u32::MAX, |size| size - 1);
    let first = address.to_bits() & !all;
    (first, first | all)
}

/// Sorts, and makes one of those that overlap.
fn merge<T: Copy + Ord>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
}

fn is_in<T: Copy + Ord>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= address);
    after
        .checked_sub(1)
        .is_some_and(|at| ranges[at].1 >= address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, inside: &[&str], outside: &[&str]) {
        let trusted: TrustedProxies = text.parse().unwrap();
        for address in inside {
            assert!(
                trusted.contain(address.parse().unwrap()),
                "{address} of {text}"
            );
        }
        for address in outside {
            assert!(
                !trusted.contain(address.parse().unwrap()),
                "{address} of {text}"
            );
        }
    }

    #[test]
    fn networks_and_addresses() {
        check(
            "192.0.2.7",
            &["192.0.2.7", "::ffff:192.0.2.7"],
            &["192.0.2.6", "192.0.2.8"],
        );
        check(
            "192.0.2.7/24",
            &["192.0.2.0", "192.0.2.255"],
            &["192.0.1.255", "192.0.3.0", "::1"],
        );
        check(
            "2001:db8::/32",
            &["2001:db8::1", "2001:db8:ffff::"],
            &["2001:db9::", "192.0.2.1"],
        );
        check(
            "::ffff:192.0.2.0/120",
            &["192.0.2.9"],
            &["192.0.3.0", "::1"],
        );
        check("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::1"]);
        check(
            "::/0",
            &["::", "ffff::"],
            &["192.0.2.1", "::ffff:192.0.2.1"],
        );
        check(
            "10.0.0.0/8, 10.1.0.0/16 ,10.255.255.255,192.0.2.0/31",
            &["10.0.0.0", "10.200.0.0", "10.255.255.255", "192.0.2.1"],
            &["11.0.0.0", "192.0.2.2", "9.255.255.255"],
        );
        assert_eq!("127.0.0.0/8, ::1".parse(), Ok(TrustedProxies::default()));
        assert!(!TrustedProxies::none().contain([127, 0, 0, 1].into()));
    }

    #[test]
    fn what_is_no_network() {
        for text in [
            "",
            ",",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/-1",
            "10/8",
            "nginx",
            "10.0.0.1:80",
            "[::1]",
            "10.0.0.1,",
            "10.0.0.0/8/8",
            "fe80::1%eth0",
        ] {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text:?}");
        }
    }
}
