//! Owns the entity tags of content that this program codes (RFC 9110 §8.8.3): a strong tag gets an
//! ending of its own, which is taken off again where a client sends it back. So it stays strong, and of
//! use to `If-Match`, which a weak one never is (§13.1.1).
//! Never takes the ending off in `If-Range`: parts are those of the plain content, and the coded form
//! has other bytes.

use std::borrow::Cow;

use crate::message::Fields;

/// What the tag of the coded form has before its last quote.
const ENDING: &[u8] = b"-retter-gzip";

/// The tag of a response after its content was coded; a weak one, and what is no tag, stay as they are.
#[must_use]
pub fn coded(tag: &[u8]) -> Cow<'_, [u8]> {
    match tag.strip_suffix(b"\"") {
        Some(rest) if rest.starts_with(b"\"") => Cow::Owned([rest, ENDING, b"\""].concat()),
        Some(_) | None => Cow::Borrowed(tag),
    }
}

/// The part of a tag between its quotes, without the ending.
pub(super) fn without_ending(opaque: &[u8]) -> &[u8] {
    opaque.strip_suffix(ENDING).unwrap_or(opaque)
}

/// The value of `If-Match` or `If-None-Match` as the origin knows its tags; `None` where it has no other
/// ones.
#[must_use]
pub fn plain(condition: &[u8]) -> Option<Vec<u8>> {
    let mut found = memchr::memmem::find_iter(condition, ENDING).peekable();
    found.peek()?;
    let mut plain = Vec::with_capacity(condition.len());
    let mut copied = 0;
    for at in found {
        let end = at + ENDING.len();
        if condition.get(end) == Some(&b'"') {
            plain.extend_from_slice(&condition[copied..at]);
            copied = end;
        }
    }
    plain.extend_from_slice(&condition[copied..]);
    Some(plain)
}

/// Whether a client has the coded form of what the origin tagged with `tag`, as it says.
#[must_use]
pub fn has_coded(request: &Fields, tag: &[u8]) -> bool {
    let mut lines = request.get_all("if-none-match").peekable();
    if lines.peek().is_none() {
        return false;
    }
    match coded(tag) {
        Cow::Borrowed(_) => false,
        Cow::Owned(coded) => lines.any(|line| memchr::memmem::find(line, &coded).is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strong_tag_has_an_ending_that_comes_off_again() {
        for (tag, expected) in [
            (&b"\"a\""[..], &b"\"a-retter-gzip\""[..]),
            (b"\"\"", b"\"-retter-gzip\""),
            (b"W/\"a\"", b"W/\"a\""),
            (b"a", b"a"),
            (b"\"", b"\""),
            (b"", b""),
        ] {
            assert_eq!(&*coded(tag), expected);
            let back = plain(expected);
            assert_eq!(back.as_deref().unwrap_or(expected), tag);
        }
    }

    #[test]
    fn conditions_name_the_tags_of_the_origin() {
        for (sent, expected) in [
            (
                "\"a-retter-gzip\", W/\"b\", \"c\"",
                Some("\"a\", W/\"b\", \"c\""),
            ),
            ("\"a-retter-gzip\",\"b-retter-gzip\"", Some("\"a\",\"b\"")),
            ("\"a-retter-gzip-2\"", Some("\"a-retter-gzip-2\"")),
            ("\"a-gzip\"", None),
            ("*", None),
            ("", None),
        ] {
            assert_eq!(
                plain(sent.as_bytes()).as_deref(),
                expected.map(str::as_bytes)
            );
        }
    }

    #[test]
    fn a_client_has_the_coded_form_where_it_says_so() {
        let has = |sent: &str, tag: &[u8]| {
            let request = Fields::from_pairs([("If-None-Match", sent.as_bytes())]);
            has_coded(&request, tag)
        };
        assert!(has("\"x\", \"a-retter-gzip\"", b"\"a\""));
        assert!(!has("\"a\"", b"\"a\"") && !has("\"b-retter-gzip\"", b"\"a\""));
        assert!(!has("W/\"a\"", b"W/\"a\"") && !has("*", b"\"a\""));
        assert!(!has_coded(&Fields::default(), b"\"a\""));
    }
}
