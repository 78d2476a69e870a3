//! Owns in how many ways one thing may be written: the authority of a site, with the port that its
//! scheme has anyway or the dot of the root (RFC 9110 §4.2.3, RFC 3986 §3.2.2), and the same octets of
//! a path (RFC 3986 §6.2.2.1).
//! Never says that an origin takes them for the same: some make links of what they are asked by.

/// What may stand behind the plain form of an authority. With TLS in front nobody knows which of the
/// ports is meant, and no site has another behind the other one.
const SUFFIXES: [&[u8]; 6] = [b"", b".", b":80", b":443", b".:80", b".:443"];

/// A set of ways to write an authority.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Spellings(pub(crate) u8);

impl Spellings {
    /// The way in which this authority is written.
    pub(crate) fn of(authority: &[u8]) -> Self {
        let suffix = &authority[plain(authority).len()..];
        let at = SUFFIXES.iter().position(|known| *known == suffix);
        Self(at.map_or(0, |at| 1 << at))
    }

    /// Whether it is the plain one, or none that is known.
    pub(crate) const fn is_plain(self) -> bool {
        self.0 <= 1
    }

    /// An authority in the plain way, and in all of these, but for the way in which it is written.
    pub(crate) fn others(self, authority: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
        let (plain, own) = (plain(authority), Self::of(authority));
        let plain = plain.to_ascii_lowercase();
        let wanted = (self.0 | 1) & !own.0;
        let suffixes = SUFFIXES.iter().enumerate();
        suffixes
            .filter(move |(at, _)| wanted >> at & 1 == 1)
            .map(move |(_, suffix)| [&plain, *suffix].concat())
    }
}

/// An authority without what may be left out, in the case in which it is written.
pub(crate) fn plain(authority: &[u8]) -> &[u8] {
    let host = authority
        .strip_suffix(b":80")
        .or_else(|| authority.strip_suffix(b":443"))
        .unwrap_or(authority);
    // An IPv6 address has colons of its own.
    let host = if host.starts_with(b"[") && !host.ends_with(b"]") {
        authority
    } else {
        host
    };
    match host.strip_suffix(b".") {
        Some(rest) if !rest.is_empty() => rest,
        Some(_) | None => host,
    }
}

/// Path and query in the one way of writing them in which equivalent ones are the same: what need not
/// be percent-encoded is not, what has to be is, in capitals.
pub(crate) fn canonical(path_and_query: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        let digit = path_and_query.get(at).copied().map(char::from)?;
        u8::try_from(digit.to_digit(16)?).ok()
    };
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut written = Vec::with_capacity(path_and_query.len());
    let mut encode = |byte: u8, is_plain: bool| {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        if is_plain {
            return written.push(byte);
        }
        let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
        written.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
    };
    let mut at = 0;
    while let Some(&byte) = path_and_query.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                let byte = high << 4 | low;
                encode(byte, is_unreserved(byte));
                at += 3;
            }
            _ => {
                // Delimiters stay what they are (RFC 3986 §2.2); what is in no URI is encoded.
                let is_plain = byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
                encode(byte, is_plain);
                at += 1;
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (authority, expected) in [
            ("shop", "shop"),
            ("shop:80", "shop"),
            ("shop:443", "shop"),
            ("shop.", "shop"),
            ("shop.:80", "shop"),
            ("shop:8080", "shop:8080"),
            ("shop:", "shop:"),
            ("shop..", "shop."),
            ("[::1]:80", "[::1]"),
            ("[::80]", "[::80]"),
            ("[::1:80", "[::1:80"),
            (".", "."),
            ("", ""),
        ] {
            assert_eq!(
                plain(authority.as_bytes()),
                expected.as_bytes(),
                "{authority}"
            );
        }
        let all = |mask: u8, authority: &str| {
            let others = Spellings(mask).others(authority.as_bytes());
            let others: Vec<_> = others
                .map(|other| String::from_utf8(other).unwrap())
                .collect();
            others
        };
        assert_eq!(all(0, "Shop"), Vec::<String>::new());
        assert_eq!(all(0, "Shop:80"), ["shop"]);
        assert_eq!(all(0b110, "shop"), ["shop.", "shop:80"]);
        assert_eq!(all(0b110, "shop:80"), ["shop", "shop."]);
        assert!(Spellings::of(b"shop").is_plain() && !Spellings::of(b"shop.").is_plain());
        assert_eq!(Spellings::of(b"shop.:443"), Spellings(32));
    }

    #[test]
    fn equivalent_octets() {
        for (one, other, same) in [
            ("/café/", "/caf%C3%A9/", true),
            ("/caf%c3%a9/", "/caf%C3%A9/", true),
            ("/%7Euser", "/~user", true),
            ("/a b", "/a%20b", true),
            ("/a?q=é", "/a?q=%C3%A9", true),
            ("/%61", "/a", true),
            ("/a%2Fb", "/a/b", false),
            ("/a%2fb", "/a%2Fb", true),
            ("/a%3Fb", "/a?b", false),
            ("/a+b", "/a%20b", false),
            ("/A", "/a", false),
            ("/100%", "/100%25", false),
            ("/%zz", "/%ZZ", false),
        ] {
            let [one, other] = [one, other].map(|text| canonical(text.as_bytes()));
            assert_eq!(one == other, same, "{one:?} {other:?}");
        }
    }
}
