//! Owns the parsed form of messages: [`Fields`], [`RequestHead`], [`ResponseHead`].
//! Never decides what a field means (that is `rules`) and never reads a wire (that is `h1`).
//!
//! A head keeps the bytes it was parsed from and 16-bit spans into them: parsing copies nothing,
//! and forwarding writes the original bytes again.

mod names;

use std::fmt;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

pub(crate) use names::Names;
use names::mark;

use crate::limits::HEAD_BYTES_CEILING;

/// The HTTP/1 minor version of a message. Higher minor versions are treated as 1.1
/// (RFC 9110 §2.5), other major versions are refused by the parser.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

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

    fn len(self) -> usize {
        usize::from(self.end) - usize::from(self.start)
    }
}

#[derive(Clone, Copy, Debug)]
struct Spans {
    name: Span,
    value: Span,
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

/// Where the names and values of fields are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    lines: Vec<Spans>,
    /// The marks of all names: most names that are asked for are not there.
    names: u64,
}

impl Index {
    /// An empty one, with room for so many lines.
    pub(crate) fn with_capacity(lines: usize) -> Self {
        Self {
            lines: Vec::with_capacity(lines),
            names: 0,
        }
    }

    /// Adds a line that is in these places of `raw`.
    pub(crate) fn push(&mut self, raw: &[u8], name: Range<usize>, value: Range<usize>) {
        self.names |= mark(&raw[name.clone()]);
        self.lines.push(Spans {
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

    /// The value of the first line named `name`.
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
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let name = name.as_bytes();
        let lines = if self.index.names & mark(name) == 0 {
            &[]
        } else {
            &self.index.lines[..]
        };
        // Most names are known not to be the one by their length.
        let is_it = move |line: &&Spans| {
            line.name.len() == name.len() && line.name.of(&self.raw).eq_ignore_ascii_case(name)
        };
        let lines = lines.iter().filter(is_it);
        lines.map(|line| line.value.of(&self.raw))
    }

    /// Whether a line named `name` is present.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
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
    raw: BytesMut,
    index: Index,
    is_cut: bool,
}

impl FieldsBuilder {
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

    /// The finished fields.
    #[must_use]
    pub fn build(self) -> Fields {
        Fields {
            raw: self.raw.freeze(),
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

/// Whether `bytes` is a token (RFC 9110 §5.6.2).
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

/// How many bytes there are before the first that no token has.
pub(crate) fn token_len(bytes: &[u8]) -> usize {
    static TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 0x80 {
            table[byte as usize] = byte.is_ascii_alphanumeric();
            byte += 1;
        }
        let others = b"!#$%&'*+-.^_`|~";
        let mut at = 0;
        while at < others.len() {
            table[others[at] as usize] = true;
            at += 1;
        }
        table
    };
    let end = bytes.iter().position(|&byte| !TOKEN[usize::from(byte)]);
    end.unwrap_or(bytes.len())
}

/// Whether `value` has nothing in it that would end its field line.
#[must_use]
pub(crate) fn is_one_line(value: &[u8]) -> bool {
    /// A bit for each byte that is below a space: hardly a value has one.
    const fn controls(bytes: u64) -> u64 {
        bytes.wrapping_sub(u64::from_ne_bytes([b' '; 8])) & !bytes & u64::from_ne_bytes([0x80; 8])
    }
    let (words, rest) = value.as_chunks::<8>();
    let is_plain = words
        .iter()
        .all(|word| controls(u64::from_ne_bytes(*word)) == 0)
        && rest.iter().all(|&byte| byte >= b' ');
    is_plain || memchr::memchr3(b'\r', b'\n', 0, value).is_none()
}

fn saturating_u16(len: usize) -> u16 {
    debug_assert!(
        len <= HEAD_BYTES_CEILING,
        "parser and builder check the ceiling"
    );
    u16::try_from(len).unwrap_or(u16::MAX)
}

/// The head of a request: request line and fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestHead {
    /// The method, case as sent.
    pub method: Method,
    /// The request target as sent, in any of its four forms (RFC 9112 §3.2): visible ASCII or
    /// bytes from 0x80 up, never white space or controls.
    pub target: Bytes,
    /// The protocol version.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

impl RequestHead {
    /// Builds a head from parts, for embedders and tests.
    #[must_use]
    pub fn new(method: Method, target: &str, fields: Fields) -> Self {
        let target = Bytes::copy_from_slice(target.as_bytes());
        Self {
            method,
            target,
            version: Version::Http11,
            fields,
        }
    }

    /// Builds a head from the `http` crate's request, whatever its body type. One with more than
    /// [`HEAD_BYTES_CEILING`] of fields is [cut](Fields::is_cut): it is asked for, and never kept.
    #[must_use]
    pub fn from_http<B>(request: &http::Request<B>) -> Self {
        Self::from_http_parts(request.method(), request.uri(), request.headers())
    }

    fn from_http_parts(method: &Method, uri: &http::Uri, map: &HeaderMap) -> Self {
        let mut fields = FieldsBuilder::default();
        // HTTP/2 has the authority in the target only (RFC 9113 §8.3.1).
        if !map.contains_key(http::header::HOST)
            && let Some(authority) = uri.authority()
        {
            fields.push("host", authority.as_str().as_bytes());
        }
        for (name, value) in map {
            fields.push(name.as_str(), value.as_bytes());
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Self::new(method.clone(), target, fields.build())
    }

    /// Path and query of the target without its authority: `/a?b` for both `/a?b` and
    /// `http://host/a?b`; `*` and authority-form targets come back as they are.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        match self.split_absolute() {
            Some((_, b"")) => b"/",
            Some((_, rest)) => rest,
            None => &self.target,
        }
    }

    /// The path without query.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let whole = self.path_and_query();
        whole.split(|&byte| byte == b'?').next().unwrap_or(whole)
    }

    /// The query without its `?`; `None` when there is no `?`.
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        let whole = self.path_and_query();
        let mark = memchr::memchr(b'?', whole)?;
        Some(&whole[mark + 1..])
    }

    /// The authority asked for: of an absolute-form target, else the `Host` field
    /// (RFC 9112 §3.3); empty when there is neither.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        match self.split_absolute() {
            Some((authority, _)) => authority,
            None => self.fields.get("host").unwrap_or_default(),
        }
    }

    /// Splits an absolute-form target (`http://authority/path`) into authority and the rest;
    /// `None` for other forms.
    fn split_absolute(&self) -> Option<(&[u8], &[u8])> {
        if self.target.first() == Some(&b'/') {
            return None;
        }
        let scheme_end = memchr::memmem::find(&self.target, b"://")?;
        if !self.target[..scheme_end]
            .iter()
            .all(u8::is_ascii_alphanumeric)
        {
            return None;
        }
        let rest = &self.target[scheme_end + 3..];
        let end = rest
            .iter()
            .position(|byte| b"/?#".contains(byte))
            .unwrap_or(rest.len());
        Some(rest.split_at(end))
    }
}

impl From<&http::request::Parts> for RequestHead {
    fn from(parts: &http::request::Parts) -> Self {
        Self::from_http_parts(&parts.method, &parts.uri, &parts.headers)
    }
}

/// The head of a response: status line and fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResponseHead {
    /// The status code.
    pub status: StatusCode,
    /// The reason phrase as sent, often empty.
    pub reason: Bytes,
    /// The protocol version.
    pub version: Version,
    /// The fields.
    pub fields: Fields,
}

impl ResponseHead {
    /// Builds a head from parts, for embedders and tests.
    #[must_use]
    pub fn new(status: StatusCode, fields: Fields) -> Self {
        Self {
            status,
            reason: Bytes::new(),
            version: Version::Http11,
            fields,
        }
    }

    /// Builds a head from the `http` crate's response, whatever its body type.
    #[must_use]
    pub fn from_http<B>(response: &http::Response<B>) -> Self {
        Self::new(response.status(), Fields::from(response.headers()))
    }
}

impl From<&http::response::Parts> for ResponseHead {
    fn from(parts: &http::response::Parts) -> Self {
        Self::new(parts.status, Fields::from(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str, host: &str) -> RequestHead {
        RequestHead::new(
            Method::GET,
            target,
            Fields::from_pairs([("Host", host.as_bytes())]),
        )
    }

    fn parsed(raw: &'static [u8], name: Range<usize>, value: Range<usize>) -> Fields {
        let mut index = Index::default();
        index.push(raw, name, value);
        Fields::parsed(Bytes::from_static(raw), index)
    }

    #[test]
    fn target_forms() {
        #[track_caller]
        fn check(target: &str, authority: &str, path: &str, query: Option<&str>) {
            let head = get(target, "field.example");
            assert_eq!(head.authority(), authority.as_bytes());
            assert_eq!(head.path(), path.as_bytes());
            assert_eq!(head.query(), query.map(str::as_bytes));
        }
        check("/a/b?c=d", "field.example", "/a/b", Some("c=d"));
        check("/a?", "field.example", "/a", Some(""));
        check("/http://x/", "field.example", "/http://x/", None);
        check("http://h:1/p?q", "h:1", "/p", Some("q"));
        check("http://h", "h", "/", None);
        check("http://h?q", "h", "", Some("q"));
        check("*", "field.example", "*", None);
        check("h:443", "field.example", "h:443", None);
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
    fn every_end_of_a_line_is_found() {
        for len in 0..40 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut value = vec![b'x'; len];
                    value[at] = byte;
                    let ends = b"\r\n\0".contains(&byte);
                    assert_eq!(is_one_line(&value), !ends, "{byte} at {at} of {len}");
                }
            }
        }
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
