//! Owns heads of messages: start line, fields, and the framing that they declare.
//! Never knows whether a head is a request's or a response's.

use crate::Unfit;

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// By chunked transfer coding.
    Chunked,
    /// By a length.
    Length(u64),
    /// By the end of the connection.
    UntilClose,
}

/// Field lines in the order and spelling in which they came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of the first line of the field `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let is_named = |(line, _): &&(String, String)| line.eq_ignore_ascii_case(name);
        let first = self.0.iter().find(is_named);
        first.map(|(_, value)| value.as_str())
    }

    /// The only value of the field `name`.
    ///
    /// # Panics
    /// If there is more than one line of it.
    #[track_caller]
    #[must_use]
    pub fn one(&self, name: &str) -> Option<&str> {
        let count = self.all(name).count();
        assert!(count < 2, "repeated {name} in {self:?}");
        self.get(name)
    }

    /// The values of all lines of the field `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let is_named = move |(line, _): &&(String, String)| line.eq_ignore_ascii_case(name);
        let lines = self.0.iter().filter(is_named);
        lines.map(|(_, value)| value.as_str())
    }

    /// Whether the comma-separated list in the field `name` has the member `token`.
    #[must_use]
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|member| member.trim().eq_ignore_ascii_case(token))
    }

    /// The framing that the fields declare; `None` when they declare none.
    ///
    /// # Errors
    /// When they declare it in a way that RFC 9112 §6 does not allow a sender.
    pub fn framing(&self) -> Result<Option<Framing>, Unfit> {
        let lengths: Vec<_> = self.all("content-length").collect();
        let codings: Vec<_> = self.all("transfer-encoding").collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(None),
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => length
                .parse()
                .map(|length| Some(Framing::Length(length)))
                .map_err(|error| Unfit(format!("length {length:?}: {error}"))),
            _ => Err(Unfit(format!("framing by {lengths:?} and {codings:?}"))),
        }
    }
}

/// A start line and its fields.
#[derive(Clone, Debug)]
pub struct Head {
    /// The bytes as they came, with the empty line.
    pub raw: Vec<u8>,
    /// The start line.
    pub start: String,
    /// The fields.
    pub fields: Fields,
}

impl Head {
    /// Reads a head with its empty line.
    ///
    /// # Errors
    /// See [`Unfit`]: control characters, folded lines and odd field names too.
    pub fn parse(raw: Vec<u8>) -> Result<Self, Unfit> {
        let all = text(raw.strip_suffix(b"\r\n\r\n").unwrap_or(&raw));
        let mut lines = all.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let is_control =
            |line: &str| line.contains(|char: char| char != '\t' && char.is_ascii_control());
        if start.is_empty() || all.split("\r\n").any(is_control) {
            return Err(Unfit(format!("head {all:?}")));
        }
        let fields = lines.map(field).collect::<Result<_, _>>()?;
        Ok(Self {
            raw,
            start,
            fields: Fields(fields),
        })
    }

    /// As bytes, with the empty line.
    #[must_use]
    pub fn bytes(start: &str, fields: &Fields) -> Vec<u8> {
        let mut head = format!("{start}\r\n");
        for (name, value) in &fields.0 {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        head.into_bytes()
    }
}

/// A body as chunks of about this size (RFC 9112 §7.1).
#[must_use]
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(size.max(1)) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// A line `name: value` without its end.
pub(crate) fn field(line: &str) -> Result<(String, String), Unfit> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| Unfit(format!("field {line:?}")))?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Unfit(format!("field name {name:?}")));
    }
    let value = value.trim_matches([' ', '\t']);
    Ok((name.to_owned(), value.to_owned()))
}

/// Bytes that are no UTF-8 stand for themselves, as in Latin-1 (RFC 9110 §5.5, `obs-text`).
pub(crate) fn text(bytes: &[u8]) -> String {
    let latin = || bytes.iter().copied().map(char::from).collect();
    std::str::from_utf8(bytes).map_or_else(|_| latin(), str::to_owned)
}
