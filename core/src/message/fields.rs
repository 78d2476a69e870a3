//! Owns the field lines of a message: where names and values are, and how they are found by name.
//! Never decides what a field means, and never keeps a line that would split a message.

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::known::{is_forwarding, may_begin_so};
use super::names::{Marks, Tags, is_same};
use super::text::{is_one_line, is_token};
use crate::limits::HEAD_BYTES_CEILING;

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u16,
    end: u16,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self {
            start: saturating_u16(range.start),
            end: saturating_u16(range.end),
        }
    }
}

impl Span {
    fn of(self, raw: &[u8]) -> &[u8] {
        &raw[self.range()]
    }

    fn range(self) -> Range<usize> {
        usize::from(self.start)..usize::from(self.end)
    }
}

#[derive(Clone, Copy, Debug)]
struct Spans {
    name: Span,
    value: Span,
    /// That of [`Tags`] of its name.
    tag: u16,
}

impl Spans {
    /// The line with its end, if `raw` has it as HTTP/1.1 writes it.
    fn written(self, raw: &[u8]) -> Option<&[u8]> {
        let (name, value) = (self.name.range(), self.value.range());
        let is_written = raw.get(name.end..value.start) == Some(b": ")
            && raw.get(value.end..value.end + 2) == Some(b"\r\n");
        is_written.then(|| &raw[name.start..value.end + 2])
    }
}

/// One field line of a message.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The name, in the case in which it was sent.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
    /// Where it was parsed, or built.
    source: Option<(&'a [u8], Spans)>,
}

impl<'a> Line<'a> {
    /// A line of these parts.
    #[must_use]
    pub const fn new(name: &'a str, value: &'a [u8]) -> Self {
        Self {
            name: name.as_bytes(),
            value,
            source: None,
        }
    }

    /// The line as HTTP/1.1 writes it, with its line end, where it is kept in that form and was
    /// found to be one line.
    #[must_use]
    pub fn as_written(&self) -> Option<&'a [u8]> {
        let (raw, spans) = self.source?;
        spans.written(raw)
    }

    /// The line with another value.
    #[must_use]
    pub const fn with_value(self, value: &'a [u8]) -> Self {
        Self {
            value,
            source: None,
            ..self
        }
    }

    /// Whether its name is `name`, without case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The field lines of one message (RFC 9110 §5), in their order, repeated names kept apart.
///
/// Names compare without case. Values are bytes without surrounding white space.
#[derive(Clone, Default)]
pub struct Fields {
    raw: Bytes,
    index: Index,
    /// `raw` is the field lines as they are written, and nothing else.
    is_written: bool,
    is_cut: bool,
}

/// The values of lines of one name.
#[derive(Clone)]
struct ValuesOf<'a, 'b> {
    lines: std::slice::Iter<'a, Spans>,
    name: &'b [u8],
    raw: &'a [u8],
    tag: u16,
}

impl<'a> ValuesOf<'a, '_> {
    /// A call, so that there is little where most names are not.
    #[inline(never)]
    fn search(&mut self) -> Option<&'a [u8]> {
        for line in self.lines.by_ref() {
            if line.tag == self.tag && is_same(line.name.of(self.raw), self.name) {
                return Some(line.value.of(self.raw));
            }
        }
        None
    }
}

impl<'a> Iterator for ValuesOf<'a, '_> {
    type Item = &'a [u8];

    #[inline(always)]
    fn next(&mut self) -> Option<&'a [u8]> {
        match self.lines.as_slice() {
            [] => None,
            [_, ..] => self.search(),
        }
    }
}

/// Where the names and values of fields are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    lines: Vec<Spans>,
    /// The marks of all names: most names that are asked for are not there.
    names: u64,
}

impl Index {
    /// An empty one, with room for this many lines.
    pub(crate) fn with_capacity(lines: usize) -> Self {
        Self {
            lines: Vec::with_capacity(lines),
            names: 0,
        }
    }

    /// Adds a line that is in these places of `raw`.
    pub(crate) fn push(&mut self, raw: &[u8], name: Range<usize>, value: Range<usize>) {
        let tags = Tags::of(&raw[name.clone()]);
        self.names |= tags.mark;
        self.lines.push(Spans {
            tag: tags.tag,
            name: Span::from(name),
            value: Span::from(value),
        });
    }
}

impl Fields {
    /// Builds fields from name and value pairs; see [`FieldsBuilder`] for what is dropped.
    #[must_use]
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut builder = FieldsBuilder::default();
        for (name, value) in pairs {
            builder.push(name, value);
        }
        builder.build()
    }

    /// The fields that a parser has found in `raw`: tokens, and values that end no line.
    pub(crate) fn parsed(raw: Bytes, index: Index) -> Self {
        debug_assert!(raw.len() <= HEAD_BYTES_CEILING, "its places have 16 bits");
        Self {
            raw,
            index,
            is_written: false,
            is_cut: false,
        }
    }

    /// Whether a [`FieldsBuilder`] left a line out. Nobody may judge by what is left: among the
    /// missing may be the cookie that says whose page it is.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Number of field lines.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.lines.len()
    }

    /// Whether there is no field line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.lines.is_empty()
    }

    /// All lines in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        // One look at all bytes costs less than one at each name. Values may be anything.
        let text = std::str::from_utf8(&self.raw).ok();
        self.index.lines.iter().map(move |line| {
            let name = match text {
                Some(text) => text.get(line.name.range()),
                None => std::str::from_utf8(line.name.of(&self.raw)).ok(),
            };
            (name.unwrap_or_default(), line.value.of(&self.raw))
        })
    }

    /// All lines in order, as bytes, and to be written again.
    #[inline]
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.index.lines.iter().map(|spans| Line {
            name: spans.name.of(&self.raw),
            value: spans.value.of(&self.raw),
            source: Some((&self.raw, *spans)),
        })
    }

    /// All names, in order.
    #[inline]
    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        let raw = &self.raw[..];
        self.index.lines.iter().map(|spans| spans.name.of(raw))
    }

    /// Whether a proxy says in one of these lines who asked, and for what.
    pub(crate) fn tell_forwarding(&self) -> bool {
        let raw = &self.raw[..];
        self.index.lines.iter().any(|spans| {
            let start = usize::from(spans.name.start);
            match raw.get(start..start + 2) {
                Some(&[first, second]) => {
                    may_begin_so(first, second) && is_forwarding(spans.name.of(raw))
                }
                _ => false,
            }
        })
    }

    /// The line at a place among all of them.
    pub(crate) fn line(&self, at: usize) -> Option<Line<'_>> {
        let spans = *self.index.lines.get(at)?;
        Some(Line {
            name: spans.name.of(&self.raw),
            value: spans.value.of(&self.raw),
            source: Some((&self.raw, spans)),
        })
    }

    /// The value of the first line named `name`.
    #[inline]
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The first value of `name` as text; `None` when absent or not UTF-8.
    #[must_use]
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The values of all lines named `name`, in order.
    #[inline]
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.values_of(name.as_bytes())
    }

    /// The same, to be read more than once.
    pub(crate) fn values<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a [u8]> + Clone + 'a {
        self.values_of(name.as_bytes())
    }

    #[inline]
    fn values_of<'a, 'b>(&'a self, name: &'b [u8]) -> ValuesOf<'a, 'b> {
        let tags = Tags::of(name);
        let lines = if self.index.names & tags.mark == 0 {
            &[]
        } else {
            &self.index.lines[..]
        };
        ValuesOf {
            lines: lines.iter(),
            name,
            raw: &self.raw,
            tag: tags.tag,
        }
    }

    /// Whether a line named `name` is present.
    #[inline]
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether a line with one of these names may be present.
    pub(crate) const fn may_contain(&self, names: &Marks) -> bool {
        self.index.names & names.0 != 0
    }

    /// The members of a comma-separated list field (RFC 9110 §5.6.1), over all its lines,
    /// trimmed, empty members left out. Quoted strings are *not* understood: for token lists.
    pub fn tokens<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
    }

    /// Whether list field `name` has member `token`, compared without case.
    #[must_use]
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.tokens(name)
            .any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// All lines as HTTP/1.1 writes them, each with its line end, where they are kept in that
    /// form: those that a [`FieldsBuilder`] made.
    #[must_use]
    pub fn as_written(&self) -> Option<&[u8]> {
        self.is_written.then_some(&self.raw[..])
    }

    /// Leaves out the lines that `keeps` does not want. Their bytes stay where they are.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(Line<'_>) -> bool) {
        let raw = &self.raw;
        let mut names = 0;
        let before = self.index.lines.len();
        self.index.lines.retain(|spans| {
            let name = spans.name.of(raw);
            let is_kept = keeps(Line {
                name,
                value: spans.value.of(raw),
                source: Some((raw, *spans)),
            });
            names |= if is_kept { Tags::of(name).mark } else { 0 };
            is_kept
        });
        self.index.names = names;
        self.is_written &= self.index.lines.len() == before;
    }

    /// Bytes that these fields keep alive.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        self.raw.len() + self.index.lines.len() * size_of::<Spans>()
    }

    /// Copies into the `http` crate's map; lines it refuses are left out.
    #[must_use]
    pub fn to_header_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len());
        for (name, value) in self.iter() {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }
}

impl From<&HeaderMap> for Fields {
    fn from(map: &HeaderMap) -> Self {
        Self::from_pairs(
            map.iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        )
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(name, value)| (name, String::from_utf8_lossy(value))),
            )
            .finish()
    }
}

impl PartialEq for Fields {
    /// Same lines in the same order; names without case.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .iter()
                .zip(other.iter())
                .all(|(a, b)| a.0.eq_ignore_ascii_case(b.0) && a.1 == b.1)
    }
}

impl Eq for Fields {}

/// Builds [`Fields`] line by line into one buffer.
///
/// A line with a name that is no token, or a value with CR, LF or NUL, would split the message:
/// it is dropped, never written. So is a line past [`HEAD_BYTES_CEILING`]. The fields
/// [tell](Fields::is_cut).
#[derive(Debug, Default)]
pub struct FieldsBuilder {
    raw: Vec<u8>,
    index: Index,
    is_cut: bool,
}

impl FieldsBuilder {
    /// An empty one with room for about as much as `fields` are, so that it does not grow.
    #[must_use]
    pub fn with_room_for(fields: &Fields) -> Self {
        // For a line or two that are added.
        const MORE_BYTES: usize = 64;
        Self {
            raw: Vec::with_capacity(fields.raw.len() + MORE_BYTES),
            index: Index::with_capacity(fields.len() + 2),
            is_cut: false,
        }
    }

    /// Appends one line; returns whether it was kept.
    pub fn push(&mut self, name: &str, value: &[u8]) -> bool {
        self.push_line(Line::new(name, value))
    }

    /// Appends a line of another message; returns whether it was kept.
    pub fn push_line(&mut self, line: Line<'_>) -> bool {
        let Line { name, value, .. } = line;
        let value = value.trim_ascii();
        let fits = self.raw.len() + name.len() + value.len() + 4 <= HEAD_BYTES_CEILING;
        if !fits || !is_token(name) || !is_one_line(value) {
            self.is_cut = true;
            return false;
        }
        let name = self.append(name);
        self.raw.put_slice(b": ");
        let value = self.append(value);
        self.raw.put_slice(b"\r\n");
        self.index.push(&self.raw, name, value);
        true
    }

    /// The finished fields. What was not needed of the room is given back: they may be kept for
    /// long, and there are many.
    #[must_use]
    pub fn build(mut self) -> Fields {
        self.index.lines.shrink_to_fit();
        Fields {
            raw: Bytes::from(self.raw.into_boxed_slice()),
            index: self.index,
            is_written: true,
            is_cut: self.is_cut,
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.raw.len();
        self.raw.put_slice(bytes);
        start..self.raw.len()
    }
}

fn saturating_u16(len: usize) -> u16 {
    debug_assert!(
        len <= HEAD_BYTES_CEILING,
        "parser and builder check the ceiling"
    );
    u16::try_from(len).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(raw: &'static [u8], name: Range<usize>, value: Range<usize>) -> Fields {
        let mut index = Index::default();
        index.push(raw, name, value);
        Fields::parsed(Bytes::from_static(raw), index)
    }

    #[test]
    fn built_fields_are_kept_as_they_are_written() {
        let pairs: [(&str, &[u8]); 3] = [("A", b" 1 "), ("b", b""), ("no name", b"x")];
        let built = Fields::from_pairs(pairs);
        assert_eq!(built.as_written(), Some(&b"A: 1\r\nb: \r\n"[..]));
        let parsed = parsed(b"a:1\r\n", 0..1, 2..3);
        assert_eq!(
            (parsed.as_written(), parsed.get("A")),
            (None, Some(&b"1"[..]))
        );
    }

    #[test]
    fn names_ignore_case_and_lines_stay_apart() {
        let pairs: [(&str, &[u8]); 3] = [("A", b"1"), ("b", b" x, Y ,,z"), ("a", b"2")];
        let fields = Fields::from_pairs(pairs);
        assert_eq!(fields.get("a"), Some(&b"1"[..]));
        assert_eq!(fields.get_all("A").count(), 2);
        assert_eq!(fields.tokens("B").collect::<Vec<_>>(), [b"x", b"Y", b"z"]);
        assert!(fields.has_token("b", "y") && !fields.has_token("b", "w"));
        assert_eq!(Fields::from(&fields.to_header_map()).len(), 3);
    }

    #[test]
    fn lines_are_written_again_as_they_came_where_that_is_the_form_they_are_written_in() {
        #[track_caller]
        fn check(raw: &'static [u8], name: Range<usize>, value: Range<usize>, expected: bool) {
            let line = parsed(raw, name, value);
            let line = line.lines().next().unwrap();
            assert_eq!(line.as_written(), expected.then_some(raw));
        }
        check(b"a: 1\r\n", 0..1, 3..4, true);
        check(b"a:1\r\n", 0..1, 2..3, false);
        check(b"a:  1\r\n", 0..1, 4..5, false);
        check(b"a:\t1\r\n", 0..1, 3..4, false);
        check(b"a: 1 \r\n", 0..1, 3..4, false);
        check(b"a: \r\n", 0..1, 3..3, true);
        check(b"a:\r\n", 0..1, 2..2, false);
        check(b"a: 1", 0..1, 3..4, false);
    }

    #[test]
    fn lines_are_left_out() {
        let pairs: [(&str, &[u8]); 3] = [("A", b"1"), ("b", b"2"), ("a", b"3")];
        let mut fields = Fields::from_pairs(pairs);
        fields.retain(|_| true);
        assert!(fields.as_written().is_some());
        fields.retain(|line| !line.is("a"));
        assert_eq!(fields, Fields::from_pairs([("b", &b"2"[..])]));
        assert_eq!((fields.as_written(), fields.get("a")), (None, None));
        assert_eq!(
            fields.lines().next().unwrap().as_written(),
            Some(&b"b: 2\r\n"[..])
        );
    }

    #[test]
    fn a_line_that_would_split_the_message_is_dropped() {
        let long = vec![b'x'; HEAD_BYTES_CEILING - 4];
        let lines: [(&str, &[u8]); 4] = [
            ("a b", b"1"),
            ("", b"1"),
            ("a", b"1\r\nSet-Cookie: x"),
            ("a", &long),
        ];
        for (name, value) in lines {
            let mut builder = FieldsBuilder::default();
            assert!(!builder.push(name, value));
            let fields = builder.build();
            assert!(fields.is_empty() && fields.is_cut(), "{name}");
        }
        let whole = Fields::from_pairs([("a", &long[1..])]);
        assert!(!whole.is_cut());
        assert_eq!(
            whole.as_written().map(<[u8]>::len),
            Some(HEAD_BYTES_CEILING)
        );
    }
}
