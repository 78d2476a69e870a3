//! Owns what the store needs to know of a value ([`Entry`]) and the secondary key of a copy
//! ([`Vary`]); RFC 9111 §4.1, RFC 9110 §12.5.5.
//! Never decides whether a response may be kept or used: that is `rules`.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::message::{Fields, is_token};

/// A value of the store: one variant of the copies under a key.
pub trait Entry {
    /// Bytes that the value keeps alive beside its own `size_of`.
    fn bytes(&self) -> usize;

    /// Whether the value may answer a request with these fields.
    fn matches(&self, request: &Fields) -> bool;

    /// Whether `other` answers the same requests, so that only the newer one is kept.
    fn same_variant(&self, other: &Self) -> bool;

    /// Whether the value may stand in for a failing origin.
    fn is_good(&self) -> bool;

    /// Who had it made, as far as owners are told apart; 0 for nobody, who has no share. An owner who
    /// fills more than a share of a full store makes room by what else is its own.
    fn owner(&self) -> u8 {
        0
    }
}

/// The secondary key of a copy: the request fields named by the response's `Vary`, and the values
/// they had.
#[derive(Clone, Default, Eq, Hash, PartialEq)]
pub struct Vary(Box<[Nominated]>);

#[derive(Clone)]
struct Nominated {
    /// In lower case.
    name: Box<str>,
    /// As it was sent, where that is not the normal form: who sends the same again is found
    /// without making a normal form.
    sent: Option<Box<[u8]>>,
    /// In normal form; `None` when the request did not have the field.
    value: Option<Box<[u8]>>,
}

impl Nominated {
    fn of(name: String, request: &Fields) -> Self {
        let sent = joined(request, &name);
        let value = sent
            .as_deref()
            .map(|sent| normal(&name, sent).into_boxed_slice());
        let sent = sent
            .map(Vec::into_boxed_slice)
            .filter(|sent| Some(sent) != value.as_ref());
        Self {
            name: name.into_boxed_str(),
            sent,
            value,
        }
    }

    fn matches(&self, request: &Fields) -> bool {
        let sent = self.sent.as_deref().or(self.value.as_deref());
        if has_value(request, &self.name, sent) {
            return true;
        }
        let (Some(value), Some(other)) = (&self.value, joined(request, &self.name)) else {
            return false;
        };
        normal(&self.name, &other) == **value
    }

    fn identity(&self) -> (&str, Option<&[u8]>) {
        (&self.name, self.value.as_deref())
    }
}

impl PartialEq for Nominated {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Nominated {}

impl Hash for Nominated {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl Vary {
    /// Takes from `request` the fields that `response` varies by.
    ///
    /// `Authorization` is left out, and so is `Cookie` when `cookies_in_key`: the partition tells
    /// them apart already. `None` when no later request can match: `Vary: *`, or a member that is
    /// no field name.
    #[must_use]
    pub fn of(request: &Fields, response: &Fields, cookies_in_key: bool) -> Option<Self> {
        let mut nominated = Vec::new();
        for member in response.tokens("vary") {
            // RFC 9111 §4.1: "A stored response with a Vary header field value containing a
            // member "*" always fails to match." (`*` is a token, but no field has that name.)
            if member == b"*" || !is_token(member) {
                return None;
            }
            let name = std::str::from_utf8(member).ok()?.to_ascii_lowercase();
            let in_key = name == "authorization" || (name == "cookie" && cookies_in_key);
            if !in_key {
                nominated.push(Nominated::of(name, request));
            }
        }
        nominated.sort_unstable_by(|one, other| one.identity().cmp(&other.identity()));
        nominated.dedup();
        Some(Self(nominated.into_boxed_slice()))
    }

    /// Whether `request` has the same values in all fields of this key.
    #[must_use]
    pub fn matches(&self, request: &Fields) -> bool {
        self.0.iter().all(|field| field.matches(request))
    }

    /// Each field with its value as it was sent; `None` where the request did not have it. By
    /// [`of`](Self::of) a request with these makes the same key.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.0.iter().map(|field| {
            let sent = field.sent.as_deref().or(field.value.as_deref());
            (&*field.name, sent)
        })
    }

    /// Whether there is nothing to match.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that this key keeps alive beside its own `size_of`.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        let bytes = |value: &Option<Box<[u8]>>| value.as_ref().map_or(0, |value| value.len());
        let held = |field: &Nominated| {
            size_of::<Nominated>() + field.name.len() + bytes(&field.value) + bytes(&field.sent)
        };
        self.0.iter().map(held).sum()
    }
}

impl fmt::Debug for Vary {
    /// Shows the names only: a value may be a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|field| &field.name))
            .finish()
    }
}

/// All lines of a field as one value (RFC 9110 §5.3).
fn joined(fields: &Fields, name: &str) -> Option<Vec<u8>> {
    let mut lines = fields.get_all(name);
    let mut value = lines.next()?.trim_ascii().to_vec();
    for line in lines {
        value.extend_from_slice(SEPARATOR);
        value.extend_from_slice(line.trim_ascii());
    }
    Some(value)
}

/// The form in which values that mean the same are the same (RFC 9111 §4.1): white space around
/// commas is taken off, language tags are compared without case, and of `Accept-Encoding` only
/// counts which codings are acceptable. The order of languages stays, because many applications
/// take the first one. What has quotes is left as it is.
fn normal(name: &str, value: &[u8]) -> Vec<u8> {
    if value.contains(&b'"') {
        return value.to_vec();
    }
    let members = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    match name {
        "accept-encoding" => {
            let mut codings: Vec<_> = members
                .filter(|member| !member.is_empty())
                .map(coding)
                .collect();
            codings.sort_unstable();
            codings.dedup();
            codings.join(SEPARATOR)
        }
        "accept-language" => members
            .collect::<Vec<_>>()
            .join(SEPARATOR)
            .to_ascii_lowercase(),
        _ => members.collect::<Vec<_>>().join(SEPARATOR),
    }
}

/// A coding in lower case, with `!` before it where it is not acceptable (RFC 9110 §12.5.3).
fn coding(member: &[u8]) -> Vec<u8> {
    let mut parts = member.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let is_refused = parts.any(|part| match part.split_at_checked(2) {
        Some((key, weight)) => {
            key.eq_ignore_ascii_case(b"q=")
                && weight.first() == Some(&b'0')
                && weight.iter().all(|byte| b"0.".contains(byte))
        }
        None => false,
    });
    if is_refused {
        [b"!", &name[..]].concat()
    } else {
        name
    }
}

/// Whether the joined lines of a field are `expected`, found without joining them: this runs on
/// every hit.
fn has_value(fields: &Fields, name: &str, expected: Option<&[u8]>) -> bool {
    let mut lines = fields.get_all(name).map(<[u8]>::trim_ascii);
    // RFC 9111 §4.1: a field absent here must be absent there.
    let (first, expected) = match (lines.next(), expected) {
        (None, None) => return true,
        (Some(_), None) | (None, Some(_)) => return false,
        (Some(first), Some(expected)) => (first, expected),
    };
    let Some(mut rest) = expected.strip_prefix(first) else {
        return false;
    };
    for line in lines {
        let after = rest
            .strip_prefix(SEPARATOR)
            .and_then(|rest| rest.strip_prefix(line));
        let Some(after) = after else { return false };
        rest = after;
    }
    rest.is_empty()
}

const SEPARATOR: &[u8] = b", ";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn requests_match_by_the_named_fields_only() {
        #[track_caller]
        fn check(vary: &str, first: &[(&str, &str)], later: &[(&str, &str)], matches: bool) {
            let key = Vary::of(&fields(first), &fields(&[("Vary", vary)]), true).unwrap();
            assert!(key.matches(&fields(first)), "a key matches its own request");
            assert_eq!(key.matches(&fields(later)), matches);
        }
        let gzip = &[("Accept-Encoding", "gzip")][..];
        check("", gzip, &[], true);
        check(
            "accept-encoding",
            gzip,
            &[("ACCEPT-ENCODING", "gzip"), ("X", "1")],
            true,
        );
        check("Accept-Encoding", gzip, &[("Accept-Encoding", "br")], false);
        check(
            "Accept-Encoding",
            gzip,
            &[("Accept-Encoding", "gzip, br")],
            false,
        );
        check("Accept-Encoding", gzip, &[], false);
        check("Accept-Encoding", &[], gzip, false);
        check("X", &[("X", "")], &[], false);
        check("X", &[("X", "1"), ("X", "2")], &[("x", "1, 2")], true);
        check("X", &[("X", "1, 2")], &[("X", "1"), ("x", "2")], true);
        check(
            "X",
            &[("X", "1, 2")],
            &[("X", "1"), ("X", "2"), ("X", "")],
            false,
        );
        check("X", &[("X", "1,2")], &[("X", " 1 ,  2 ")], true);
        check("X", &[("X", "\"1,2\"")], &[("X", "\"1, 2\"")], false);
        check("X", &[("X", "a")], &[("X", "A")], false);
        let languages = &[("Accept-Language", "en, de")][..];
        check(
            "Accept-Language",
            languages,
            &[("Accept-Language", "eN ,De")],
            true,
        );
        check(
            "Accept-Language",
            languages,
            &[("Accept-Language", "de, en")],
            false,
        );
        let codings = &[("Accept-Encoding", "gzip, deflate, br;q=0.9, zstd;q=0")][..];
        let same = "br, GZIP;q=1.0,deflate,, zstd;q=0.000";
        check(
            "Accept-Encoding",
            codings,
            &[("Accept-Encoding", same)],
            true,
        );
        let other = "br, gzip, deflate, zstd;q=0.001";
        check(
            "Accept-Encoding",
            codings,
            &[("Accept-Encoding", other)],
            false,
        );
        check("X, Y, x", &[("X", "1")], &[("X", "1"), ("Y", "2")], false);
        check(
            "Cookie, Authorization",
            &[],
            &[("Cookie", "a"), ("Authorization", "b")],
            true,
        );
    }

    #[test]
    fn what_is_in_the_key_and_what_never_matches() {
        let request = fields(&[("Cookie", "a=secret"), ("X", "2")]);
        let of = |vary: &str, cookies_in_key| {
            Vary::of(&request, &fields(&[("Vary", vary)]), cookies_in_key)
        };
        assert_eq!(of("X, *", true), None);
        assert_eq!(of("*", true), None);
        assert_eq!(of("a b", true), None);
        assert_eq!(of("Cookie", true), Some(Vary::default()));
        assert!(of("Cookie", true).unwrap().is_empty());
        assert_eq!(of("Cookie, Authorization", true).unwrap().bytes_held(), 0);
        let by_cookie = of("X, Cookie,x", false).unwrap();
        assert_eq!(format!("{by_cookie:?}"), r#"["cookie", "x"]"#);
        assert_eq!(Some(&by_cookie), of("cookie ,, X", false).as_ref());
        assert_eq!(
            by_cookie.bytes_held(),
            2 * size_of::<Nominated>() + 6 + 8 + 1 + 1
        );
        assert!(!by_cookie.matches(&fields(&[("Cookie", "a=other"), ("X", "2")])));
    }

    proptest! {
        #[test]
        fn matching_is_equality_of_joined_lines(
            first in prop::collection::vec("[ab, ]{0,4}", 0..3),
            later in prop::collection::vec("[ab, ]{0,4}", 0..3),
        ) {
            let lines = |values: &[String]| {
                Fields::from_pairs(values.iter().map(|value| ("n", value.as_bytes())))
            };
            let (first, later) = (lines(&first), lines(&later));
            let key = Vary::of(&first, &fields(&[("Vary", "n")]), true).unwrap();
            let normal = |fields| joined(fields, "n").map(|value| normal("n", &value));
            prop_assert_eq!(key.matches(&later), normal(&first) == normal(&later));
        }
    }
}
