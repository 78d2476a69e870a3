//! Owns which parts of a complete copy a `Range` request gets (RFC 9110 §14, §13.1.5).
//! Never cuts bytes, and never decides whether the copy may be used.

use std::ops::Range;

use smallvec::SmallVec;

use crate::limits::RANGES_MAX;
use crate::message::Fields;
use crate::time::UnixTime;

/// What a GET with `Range` gets of a representation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cut {
    /// One part: 206.
    Part(Range<usize>),
    /// Several parts in the order asked for: 206 with `multipart/byteranges`.
    Parts(SmallVec<[Range<usize>; 4]>),
    /// Nothing of it: 416.
    Unsatisfiable,
    /// All of it: there is no range, or none that has to be obeyed.
    Whole,
}

/// Decides what `request` gets of a stored 200 of `length` bytes.
#[must_use]
pub fn cut(request: &Fields, stored: &Fields, length: usize) -> Cut {
    let mut lines = request.get_all("range");
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Cut::Whole;
    };
    if !condition_holds(request, stored) {
        return Cut::Whole;
    }
    // RFC 9110 §14.2: an unknown unit or a malformed set is ignored, as is one that asks for too
    // much work: too many parts, or more bytes than there are.
    let Some(set) = parse(line, length) else {
        return Cut::Whole;
    };
    let asked: usize = set.iter().map(|range| range.len()).sum();
    match &set[..] {
        [] => Cut::Unsatisfiable,
        [part] => Cut::Part(part.clone()),
        _ if asked > length => Cut::Whole,
        _ => Cut::Parts(set),
    }
}

/// The satisfiable ranges; `None` when the set is to be ignored.
fn parse(line: &[u8], length: usize) -> Option<SmallVec<[Range<usize>; 4]>> {
    let (unit, set) = line.split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut ranges = SmallVec::new();
    let mut count = 0;
    let specs = set.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    for spec in specs.filter(|spec| !spec.is_empty()) {
        count += 1;
        let dash = memchr::memchr(b'-', spec)?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        let range = match (first, last) {
            (b"", suffix) => length.saturating_sub(number(suffix)?)..length,
            (first, b"") => number(first)?..length,
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if last < first {
                    return None;
                }
                first..last.saturating_add(1).min(length)
            }
        };
        if range.start < range.end {
            ranges.push(range);
        }
    }
    (1..=RANGES_MAX).contains(&count).then_some(ranges)
}

/// Digits only; what is too large for this machine is past every end.
fn number(digits: &[u8]) -> Option<usize> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all)?;
    Some(text.parse().unwrap_or(usize::MAX))
}

/// Whether the part is wanted only if nothing changed since a date. Of a page that has two forms
/// that date is no strong validator (RFC 9110 §8.8.2.2).
#[must_use]
pub fn is_dated(request: &Fields) -> bool {
    let mut conditions = request.get_all("if-range");
    conditions.any(|condition| !condition.ends_with(b"\""))
}

/// RFC 9110 §13.1.5: the part is wanted only of the very representation that the client has.
fn condition_holds(request: &Fields, stored: &Fields) -> bool {
    let mut lines = request.get_all("if-range");
    let condition = match (lines.next(), lines.next()) {
        (None, _) => return true,
        (Some(condition), None) => condition,
        (Some(_), Some(_)) => return false,
    };
    if condition.ends_with(b"\"") {
        // Strong comparison: a weak tag never matches.
        return condition.starts_with(b"\"") && stored.get("etag") == Some(condition);
    }
    let date = |name| stored.get(name).and_then(UnixTime::parse);
    let (Some(modified), Some(sent)) = (date("last-modified"), date("date")) else {
        return false;
    };
    // §8.8.2.2: within the second of the change, a date does not tell two forms apart.
    UnixTime::parse(condition) == Some(modified) && modified < sent
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 10;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn sets() {
        #[track_caller]
        fn check(line: &str, expected: &Cut) {
            let request = fields(&[("Range", line)]);
            assert_eq!(
                &cut(&request, &Fields::default(), LENGTH),
                expected,
                "{line}"
            );
        }
        let parts = |ranges: &[Range<usize>]| Cut::Parts(ranges.iter().cloned().collect());
        check("bytes=0-0", &Cut::Part(0..1));
        check("Bytes=2-4", &Cut::Part(2..5));
        check("bytes=2-", &Cut::Part(2..10));
        check("bytes=2-99999999999999999999999", &Cut::Part(2..10));
        check("bytes=-3", &Cut::Part(7..10));
        check("bytes=-99", &Cut::Part(0..10));
        check("bytes=9-, 10-, , -0", &Cut::Part(9..10));
        check("bytes=5-6, 0-1", &parts(&[5..7, 0..2]));
        check("bytes=0-4,5-9", &parts(&[0..5, 5..10]));
        check("bytes=0-5,5-9", &Cut::Whole);
        check("bytes=10-", &Cut::Unsatisfiable);
        check("bytes=-0", &Cut::Unsatisfiable);
        let many = format!("bytes={}", "0-0,".repeat(RANGES_MAX + 1));
        for ignored in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=1",
            "bytes=4-2",
            "bytes=1-2,x",
            "bytes=+1-2",
            "bytes=1 - 2",
            "lines=1-2",
            &many,
        ] {
            check(ignored, &Cut::Whole);
        }
    }

    #[test]
    fn nothing_is_satisfiable_of_an_empty_representation() {
        for line in ["bytes=0-", "bytes=-5", "bytes=0-0"] {
            let request = fields(&[("Range", line)]);
            assert_eq!(cut(&request, &Fields::default(), 0), Cut::Unsatisfiable);
        }
    }

    #[test]
    fn two_lines_are_no_range() {
        let request = fields(&[("Range", "bytes=0-1"), ("Range", "bytes=0-1")]);
        assert_eq!(cut(&request, &Fields::default(), LENGTH), Cut::Whole);
    }

    #[test]
    fn if_range() {
        #[track_caller]
        fn check(condition: &str, stored: &[(&str, &str)], holds: bool) {
            let request = fields(&[("Range", "bytes=0-1"), ("If-Range", condition)]);
            let expected = if holds { Cut::Part(0..2) } else { Cut::Whole };
            assert_eq!(
                cut(&request, &fields(stored), LENGTH),
                expected,
                "{condition}"
            );
        }
        const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const LATE: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
        check("\"a\"", &[("ETag", "\"a\"")], true);
        check("\"a\"", &[("ETag", "\"b\"")], false);
        check("\"a\"", &[("ETag", "W/\"a\"")], false);
        check("W/\"a\"", &[("ETag", "W/\"a\"")], false);
        check("\"a\"", &[], false);
        check(EARLY, &[("Last-Modified", EARLY), ("Date", LATE)], true);
        check(EARLY, &[("Last-Modified", EARLY), ("Date", EARLY)], false);
        check(LATE, &[("Last-Modified", EARLY), ("Date", LATE)], false);
        check(EARLY, &[("Last-Modified", EARLY)], false);
        check("soon", &[("Last-Modified", EARLY), ("Date", LATE)], false);
    }
}
