//! Owns the evaluation of a client's conditional request against a copy (RFC 9110 §13).
//! Never evaluates `If-Match` and `If-Unmodified-Since`: those are the origin's (RFC 9111 §4.3.2).

use super::etag;
use crate::message::Fields;
use crate::time::UnixTime;

/// The fields of a stored 200 that its 304 carries (RFC 9110 §15.4.5), in lower case.
///
/// `Last-Modified` is there for clients that saw no `ETag`, `CDN-Cache-Control` because it is
/// what `Cache-Control` is to a cache in front of this program.
pub const NOT_MODIFIED_FIELDS: [&str; 8] = [
    "cache-control",
    "cdn-cache-control",
    "content-location",
    "date",
    "etag",
    "expires",
    "last-modified",
    "vary",
];

/// Whether a GET or HEAD is to be answered with 304 instead of the copy.
#[must_use]
pub fn not_modified(request: &Fields, stored: &Fields) -> bool {
    // RFC 9110 §13.2.2 step 3 before step 4: If-Modified-Since is ignored beside If-None-Match.
    if request.contains("if-none-match") {
        let etag = stored.get("etag").and_then(opaque_tag);
        return request
            .get_all("if-none-match")
            .any(|line| line == b"*" || etag.is_some_and(|etag| lists(line, etag)));
    }
    let mut since = request.get_all("if-modified-since");
    // RFC 9110 §13.1.3: a field value that is not one valid date is ignored.
    let (Some(since), None) = (since.next().and_then(UnixTime::parse), since.next()) else {
        return false;
    };
    // RFC 9111 §4.3.2: Date stands in for a missing Last-Modified.
    let modified = stored.get("last-modified").or_else(|| stored.get("date"));
    modified
        .and_then(UnixTime::parse)
        .is_some_and(|modified| modified <= since)
}

/// What a copy is validated by (RFC 9111 §4.3.1).
#[derive(Clone, Copy, Debug)]
pub struct Validators<'a> {
    etag: Option<&'a [u8]>,
    modified: Option<&'a [u8]>,
}

impl<'a> Validators<'a> {
    /// The validators of a stored response, as the origin sent them.
    #[must_use]
    pub fn of(stored: &'a Fields) -> Self {
        let modified = stored.get("last-modified");
        Self {
            etag: stored.get("etag").filter(|etag| !etag.is_empty()),
            modified: modified.filter(|date| UnixTime::parse(date).is_some()),
        }
    }

    /// Writes the conditions that stand in a request in place of the client's own.
    pub fn put_conditions(&self, mut put: impl FnMut(&str, &[u8])) {
        if let Some(etag) = self.etag {
            put("If-None-Match", etag);
        }
        if let Some(modified) = self.modified {
            put("If-Modified-Since", modified);
        }
    }
}

/// Whether a field is a condition that [`Validators`] stand in for.
#[must_use]
pub fn is_cache_condition(name: &[u8]) -> bool {
    ["if-modified-since", "if-none-match"]
        .iter()
        .any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether a request has a condition that only the origin may judge (RFC 9111 §4.3.2).
#[must_use]
pub fn is_for_origin(request: &Fields) -> bool {
    request.contains("if-match") || request.contains("if-unmodified-since")
}

/// Whether a response to HEAD is of the same representation as the copy (RFC 9111 §4.3.5):
/// everything that it says of it is so.
#[must_use]
pub fn same_representation(head: &Fields, stored: &Fields, stored_bytes: usize) -> bool {
    let same = |name: &str| match (head.get(name), stored.get(name)) {
        (Some(told), kept) => kept == Some(told),
        (None, _) => true,
    };
    let length = head
        .get_str("content-length")
        .and_then(|text| text.parse().ok());
    // A coded form has another length, and is another representation.
    same("etag")
        && same("last-modified")
        && length.is_none_or(|length: usize| length == stored_bytes)
}

/// Whether a validator shows it, rather than only nothing against it.
#[must_use]
pub fn has_validator(head: &Fields) -> bool {
    head.contains("etag") || head.contains("last-modified")
}

/// Whether a 304 made from a copy carries the copy's field `name`.
#[must_use]
pub fn kept_in_not_modified(name: &str) -> bool {
    NOT_MODIFIED_FIELDS
        .iter()
        .any(|kept| kept.eq_ignore_ascii_case(name))
}

/// Whether the list of entity tags contains `tag` by weak comparison (RFC 9110 §8.8.3.2), which
/// looks at the quoted parts alone. Tags may contain commas. What is no tag matches nothing.
fn lists(mut line: &[u8], tag: &[u8]) -> bool {
    while let Some(open) = memchr::memchr(b'"', line) {
        let inner = &line[open + 1..];
        let Some(end) = memchr::memchr(b'"', inner) else {
            return false;
        };
        let sent = &inner[..end];
        // What was coded here has the meaning of what the origin sent.
        if sent == tag || etag::without_ending(sent) == tag {
            return true;
        }
        line = &inner[end + 1..];
    }
    false
}

/// The part of an entity tag between its quotes, without `W/`.
fn opaque_tag(etag: &[u8]) -> Option<&[u8]> {
    let quoted = etag.strip_prefix(b"W/").unwrap_or(etag);
    let inner = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!inner.contains(&b'"')).then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATE: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn if_none_match() {
        #[track_caller]
        fn check(sent: &str, etag: &str, expected: bool) {
            let stored = fields(&[("ETag", etag)]);
            let request = fields(&[("If-None-Match", sent)]);
            assert_eq!(not_modified(&request, &stored), expected);
        }
        // RFC 9110 §8.8.3.2, the weak column of its table.
        check("W/\"1\"", "W/\"1\"", true);
        check("W/\"1\"", "W/\"2\"", false);
        check("W/\"1\"", "\"1\"", true);
        check("\"1\"", "\"1\"", true);
        // RFC 9110 §13.1.2
        check(
            "\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\"",
            "\"r2d2xxxx\"",
            true,
        );
        check("W/\"xyzzy\", W/\"r2d2xxxx\"", "\"r2d2xxxx\"", true);
        check("\"a,b\"", "\"a,b\"", true);
        check("\"a,b\"", "\"b\"", false);
        check("*", "\"1\"", true);
        check("*", "", true);
        check("1", "1", false);
        check("\"1", "\"1\"", false);
        check("\"1\"", "1", false);
        check("\"1\"", "\"", false);
        check("", "\"\"", false);
        check("\"\"", "\"\"", true);
        check(", \"1\" ,", "\"1\"", true);
        check("\"x\"\"1\"", "\"1\"", true);
    }

    #[test]
    fn if_none_match_over_many_lines_wins_over_the_date() {
        let request = fields(&[
            ("If-None-Match", "\"1\""),
            ("if-none-match", "\"2\""),
            ("If-Modified-Since", LATE),
        ]);
        assert!(not_modified(&request, &fields(&[("etag", "\"2\"")])));
        let changed = fields(&[("etag", "\"3\""), ("last-modified", EARLY)]);
        assert!(!not_modified(&request, &changed));
        assert!(!not_modified(
            &request,
            &fields(&[("last-modified", EARLY)])
        ));
    }

    #[test]
    fn if_modified_since() {
        #[track_caller]
        fn check(sent: &[&str], stored: &[(&str, &str)], expected: bool) {
            let request = Fields::from_pairs(
                sent.iter()
                    .map(|date| ("If-Modified-Since", date.as_bytes())),
            );
            assert_eq!(not_modified(&request, &fields(stored)), expected);
        }
        check(&[EARLY], &[("Last-Modified", EARLY)], true);
        check(&[LATE], &[("Last-Modified", EARLY)], true);
        check(&[EARLY], &[("Last-Modified", LATE)], false);
        check(&[LATE], &[("Date", EARLY)], true);
        check(&[LATE], &[("Last-Modified", LATE), ("Date", EARLY)], true);
        check(
            &[LATE],
            &[("Last-Modified", "soon"), ("Date", EARLY)],
            false,
        );
        check(&[LATE], &[], false);
        check(&["yesterday"], &[("Last-Modified", EARLY)], false);
        check(&[LATE, LATE], &[("Last-Modified", EARLY)], false);
        check(&[], &[("Last-Modified", EARLY)], false);
    }

    #[test]
    fn what_a_copy_is_validated_by() {
        #[track_caller]
        fn check(stored: &[(&str, &str)], expected: &[(&str, &str)]) {
            let stored = fields(stored);
            let mut put = Vec::new();
            Validators::of(&stored).put_conditions(|name, value| {
                put.push((name.to_owned(), String::from_utf8_lossy(value).into_owned()));
            });
            let put: Vec<_> = put.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(put, expected);
        }
        let (tag, date) = (("ETag", "W/\"1\""), ("Last-Modified", EARLY));
        check(&[tag], &[("If-None-Match", "W/\"1\"")]);
        check(&[date], &[("If-Modified-Since", EARLY)]);
        let both = [("If-None-Match", "W/\"1\""), ("If-Modified-Since", EARLY)];
        check(&[date, tag], &both);
        check(&[("ETag", ""), ("Last-Modified", "lately")], &[]);
    }

    #[test]
    fn what_a_head_says_of_a_copy() {
        #[track_caller]
        fn check(told: &[(&str, &str)], same: bool) {
            let stored = fields(&[("ETag", "\"1\""), ("Last-Modified", EARLY)]);
            assert_eq!(
                same_representation(&fields(told), &stored, 9),
                same,
                "{told:?}"
            );
        }
        check(&[], true);
        check(
            &[
                ("ETag", "\"1\""),
                ("Last-Modified", EARLY),
                ("Content-Length", "9"),
            ],
            true,
        );
        check(&[("ETag", "\"2\"")], false);
        check(&[("Last-Modified", LATE)], false);
        check(&[("Content-Length", "8")], false);
        let tagged = fields(&[("ETag", "\"1\"")]);
        assert!(!same_representation(&tagged, &fields(&[]), 9));
    }

    #[test]
    fn fields_of_a_304() {
        assert!(kept_in_not_modified("ETag") && kept_in_not_modified("Vary"));
        assert!(!kept_in_not_modified("Content-Length"));
        assert!(!kept_in_not_modified("Content-Type"));
    }
}
