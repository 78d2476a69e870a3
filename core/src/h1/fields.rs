//! Owns the parsing of field lines: where a name and its value are, and that they are no more than
//! that.
//! Never knows what a field means, and never is lenient: no folded lines, no controls (RFC 9112 §5,
//! RFC 9110 §5.5), and white space around names only where an origin put it before the colon.

use std::ops::Range;

use bytes::Bytes;

use crate::limits::HEAD_BYTES_CEILING;
use crate::message::{Fields, Index, ProtocolError, text_len, token_len};

/// What the field lines of a head or trailer section may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineRules {
    pub(super) lines_max: usize,
    /// White space before a colon belongs to nothing. RFC 9112 §5.1: a server MUST reject a request
    /// with it, a proxy MUST remove it from a response.
    pub(super) takes_off_white: bool,
}

/// Parses the `lines` field lines of `raw` that begin at `start` and end with an empty one.
pub(super) fn parse_fields(
    raw: Bytes,
    start: usize,
    lines: usize,
    rules: LineRules,
) -> Result<Fields, ProtocolError> {
    if lines > rules.lines_max {
        return Err(ProtocolError::TooManyFields);
    }
    if raw.len() > HEAD_BYTES_CEILING {
        return Err(ProtocolError::HeadTooLarge);
    }
    let mut index = Index::with_capacity(lines);
    let mut at = start;
    for _ in 0..lines {
        let Some(line) = parse_line(&raw, at) else {
            return parse_padded_fields(raw, start, lines, rules);
        };
        index.push(&raw, line.name, line.value);
        at = line.end;
    }
    debug_assert_eq!(raw.get(at..), Some(&b"\r\n"[..]), "as the scan has found");
    Ok(Fields::parsed(raw, index))
}

/// As [`parse_fields`], with lines that have white space before their colons, if the rules take it
/// off. It shares no code with that, which is faster for heads that have none.
#[cold]
fn parse_padded_fields(
    raw: Bytes,
    start: usize,
    lines: usize,
    rules: LineRules,
) -> Result<Fields, ProtocolError> {
    let mut index = Index::with_capacity(lines);
    let mut at = start;
    for _ in 0..lines {
        let line = parse_padded(&raw, at).filter(|_| rules.takes_off_white);
        let line = line.ok_or(ProtocolError::InvalidField)?;
        index.push(&raw, line.name, line.value);
        at = line.end;
    }
    Ok(Fields::parsed(raw, index))
}

#[derive(Debug, Eq, PartialEq)]
struct Found {
    name: Range<usize>,
    value: Range<usize>,
    /// Where the next one begins.
    end: usize,
}

/// Parses the line of `raw` that begins at `start`; `None` when it is no field line.
fn parse_line(raw: &[u8], start: usize) -> Option<Found> {
    let colon = start + token_len(raw.get(start..)?);
    if colon == start || raw.get(colon) != Some(&b':') {
        return None;
    }
    let mut end = colon;
    loop {
        end += text_len(&raw[end..]);
        match raw.get(end)? {
            b'\t' => end += 1,
            b'\r' if raw.get(end + 1) == Some(&b'\n') => break,
            _ => return None,
        }
    }
    let is_white = |at: &usize| matches!(raw[*at], b' ' | b'\t');
    let first = (colon + 1..end).find(|at| !is_white(at)).unwrap_or(end);
    let last = (first..end).rfind(|at| !is_white(at));
    Some(Found {
        name: start..colon,
        value: first..last.map_or(first, |last| last + 1),
        end: end + 2,
    })
}

/// As [`parse_line`], where white space may be before the colon.
fn parse_padded(raw: &[u8], start: usize) -> Option<Found> {
    let is_white = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let name_end = start + token_len(raw.get(start..)?);
    let rest = raw.get(name_end..)?;
    let colon = name_end + rest.iter().take_while(is_white).count();
    if name_end == start || raw.get(colon) != Some(&b':') {
        return None;
    }
    let rest = &raw[colon + 1..];
    let len = memchr::memchr(b'\r', rest)?;
    let value = &rest[..len];
    let is_text = |byte: &u8| *byte == b'\t' || text_len(&[*byte]) == 1;
    if rest.get(len + 1) != Some(&b'\n') || !value.iter().all(is_text) {
        return None;
    }
    let end = colon + 1 + len;
    let first = end - value.trim_ascii_start().len();
    Some(Found {
        name: start..name_end,
        value: first..first + value.trim_ascii().len(),
        end: end + 2,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What httparse makes of a line, which we must never take for more.
    fn by_httparse(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut room = [httparse::EMPTY_HEADER; 2];
        let whole = [line, b"\r\n"].concat();
        match httparse::parse_headers(&whole, &mut room) {
            Ok(httparse::Status::Complete((len, [found]))) if len == whole.len() => {
                Some((found.name.as_bytes().to_vec(), found.value.to_vec()))
            }
            _ => None,
        }
    }

    #[track_caller]
    fn check(line: &[u8]) {
        let parsed = parse_line(line, 0).filter(|parsed| parsed.end == line.len());
        let parsed = parsed.map(|it| (line[it.name].to_vec(), line[it.value].to_vec()));
        assert_eq!(parsed, by_httparse(line), "{}", line.escape_ascii());
    }

    const STRICT: LineRules = LineRules {
        lines_max: 100,
        takes_off_white: false,
    };

    #[test]
    fn each_byte_at_each_place() {
        let line = b"Some-Name: a value of some \xc3\xa9 length\r\n";
        check(line);
        for at in 0..line.len() - 2 {
            // Bare line ends are the scan's.
            for byte in (0..=u8::MAX).filter(|byte| !b"\r\n".contains(byte)) {
                let mut line = line.to_vec();
                line[at] = byte;
                check(&line);
                line.insert(at, byte);
                check(&line);
            }
        }
    }

    #[test]
    fn a_head_is_as_long_as_its_places_can_say() {
        let parse = |len: usize| {
            let raw = format!("a:{}\r\n\r\n", "b".repeat(len - 6));
            parse_fields(Bytes::from(raw), 0, 1, STRICT).map(|fields| fields.len())
        };
        assert_eq!(parse(HEAD_BYTES_CEILING), Ok(1));
        assert_eq!(
            parse(HEAD_BYTES_CEILING + 1),
            Err(ProtocolError::HeadTooLarge)
        );
    }

    #[test]
    fn what_is_no_field_line() {
        for line in [
            "",
            "\r\n",
            ":\r\n",
            ":a\r\n",
            "a\r\n",
            " a: b\r\n",
            "a : b\r\n",
            "a\t: b\r\n",
            "a: b",
            "a: b\r",
            "a: b\n",
            "a: b\r\r\n",
            "a: \0\r\n",
            "a: \x7f\r\n",
            "\u{e9}: b\r\n",
        ] {
            assert_eq!(parse_line(line.as_bytes(), 0), None, "{line:?}");
            let is_padded = line.starts_with('a') && line.ends_with(": b\r\n");
            let parsed = parse_padded(line.as_bytes(), 0);
            assert_eq!(parsed.is_some(), is_padded, "{line:?}");
        }
    }

    #[test]
    fn white_space_before_the_colon_of_an_origin_belongs_to_nothing() {
        for (line, value) in [
            ("a: b\r\n", 3..4),
            ("a : b\r\n", 4..5),
            ("a\t:b\r\n", 3..4),
            ("a \t  : b : c\r\n", 7..12),
            ("a :\r\n", 3..3),
        ] {
            let expected = Found {
                name: 0..1,
                value,
                end: line.len(),
            };
            let parsed = parse_padded(line.as_bytes(), 0);
            assert_eq!(parsed, Some(expected), "{line:?}");
        }
        for line in [
            "a b: c\r\n",
            "a b : c\r\n",
            "a \r\n",
            "a \x0b: b\r\n",
            " : b\r\n",
            "a ",
        ] {
            assert_eq!(parse_padded(line.as_bytes(), 0), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn as_httparse(name in "[!-~]{0,12}", value in prop::collection::vec(
            prop_oneof![4 => b' '..=b'~', 2 => Just(b' '), 1 => Just(b'\t'), 1 => 0x7f..=u8::MAX],
            0..40,
        )) {
            check(&[name.as_bytes(), b":", &value, b"\r\n"].concat());
            let shift = |found: Found, by: usize| Found {
                name: found.name,
                value: found.value.start + by..found.value.end + by,
                end: found.end + by,
            };
            let name = "name";
            let bare = [name.as_bytes(), b":", &value, b"\r\n"].concat();
            let padded = [name.as_bytes(), b" \t:", &value, b"\r\n"].concat();
            let bare = parse_line(&bare, 0).map(|found| shift(found, 2));
            prop_assert_eq!(parse_padded(&padded, 0), bare);
        }
    }
}
