//! Owns how the members of a chain of proxies are read and written (RFC 7239 §6).
//! Never decides which of them is believed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

/// A value that is being written.
pub(super) type Text = SmallVec<[u8; 256]>;

/// One member of a chain of proxies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Node {
    /// This address.
    Address(IpAddr),
    /// An identifier that is no address: `_hidden`, or `unknown`, which also stands for any text that
    /// cannot be read.
    Name(SmallVec<[u8; 16]>),
}

impl Node {
    /// Reads one member, without the blanks around it: an address as it is, in brackets, with a
    /// port, in quotes, or another identifier.
    pub(super) fn read(text: &[u8]) -> Self {
        let text = match text {
            [b'"', inner @ .., b'"'] => inner,
            text => text,
        };
        if let Some(address) = std::str::from_utf8(text).ok().and_then(address) {
            return Self::Address(address);
        }
        let end = memchr::memchr(b':', text).unwrap_or(text.len());
        match &text[..end] {
            [b'_', rest @ ..] if !rest.is_empty() && rest.iter().all(is_of_identifier) => {
                Self::Name(SmallVec::from_slice(&text[..end]))
            }
            _ => Self::unknown(),
        }
    }

    pub(super) fn unknown() -> Self {
        Self::Name(SmallVec::from_slice(b"unknown"))
    }

    pub(super) const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }

    /// Appends it as a member of `X-Forwarded-For`.
    pub(super) fn put(&self, list: &mut Text) {
        match self {
            Self::Address(address) => put_text(*address, list),
            Self::Name(name) => list.extend_from_slice(name),
        }
    }

    /// Appends it as the `for` of an element of `Forwarded`.
    pub(super) fn put_for(&self, element: &mut Text) {
        match self {
            Self::Address(address) => {
                let mut text = Text::new();
                put_text(*address, &mut text);
                put_for(*address, &text, element);
            }
            Self::Name(name) => {
                element.extend_from_slice(b"for=");
                element.extend_from_slice(name);
            }
        }
    }
}

/// RFC 7239 §6.3: what an identifier made up by a proxy consists of.
fn is_of_identifier(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(byte)
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (inside, port) = rest.split_once(']')?;
        let is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        IpAddr::V6(inside.parse::<Ipv6Addr>().ok().filter(|_| is_good)?)
    } else if let Ok(address) = text.parse() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        IpAddr::V4(address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port))?)
    };
    Some(address.to_canonical())
}

/// RFC 7239 §6: digits, or made up.
fn is_port(text: &str) -> bool {
    match text.as_bytes() {
        [b'_', rest @ ..] => !rest.is_empty() && rest.iter().all(is_of_identifier),
        digits => (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
    }
}

/// Appends the text of an address; that of IPv4, which most are, without the machinery of
/// formatting.
pub(super) fn put_text(address: IpAddr, text: &mut Text) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(address) => text.extend_from_slice(address.to_string().as_bytes()),
    }
}

/// Appends the `for` of `address`, whose text is `text`.
pub(super) fn put_for(address: IpAddr, text: &[u8], element: &mut Text) {
    // RFC 7239 §6: an IPv6 address is in brackets, and those in quotes.
    let (before, after): (&[u8], &[u8]) = match address {
        IpAddr::V4(_) => (b"for=", b""),
        IpAddr::V6(_) => (b"for=\"[", b"]\""),
    };
    for part in [before, text, after] {
        element.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str, element: &str) {
        let node = Node::read(text.as_bytes());
        let mut written = Text::new();
        node.put(&mut written);
        assert_eq!(String::from_utf8_lossy(&written), expected);
        assert_eq!(Node::read(&written), node, "read again it is the same");
        written.clear();
        node.put_for(&mut written);
        assert_eq!(String::from_utf8_lossy(&written), format!("for={element}"));
    }

    #[test]
    fn members_of_chains() {
        for text in [
            "192.0.2.1",
            "192.0.2.1:1",
            "192.0.2.1:65535",
            "\"192.0.2.1:1234\"",
            "192.0.2.1:_port",
            "::ffff:192.0.2.1",
            "[::ffff:192.0.2.1]:80",
        ] {
            check(text, "192.0.2.1", "192.0.2.1");
        }
        for text in [
            "2001:db8::1",
            "[2001:db8::1]",
            "[2001:db8::1]:443",
            "\"[2001:db8::1]:443\"",
            "2001:DB8:0::1",
        ] {
            check(text, "2001:db8::1", "\"[2001:db8::1]\"");
        }
        check("_hidden", "_hidden", "_hidden");
        check("\"_a.b-C:_p\"", "_a.b-C", "_a.b-C");
        for text in [
            "unknown",
            "UNKNOWN:80",
            "",
            "_",
            "_a b",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:123456",
            "192.0.2.1:80:80",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "[192.0.2.1]",
            "[2001:db8::1]443",
            "fe80::1%eth0",
            "192.0.2.1/24",
            "\"192.0.2.1",
            "<script>",
            "ü",
        ] {
            check(text, "unknown", "unknown");
        }
    }
}
