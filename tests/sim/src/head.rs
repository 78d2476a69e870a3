//! Owns heads of messages as the simulated clients and origin read them, strictly.
//! Never forgives: what RFC 9112 does not allow a sender is an error, and whose it is shows.

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Chunked,
    Length(u64),
    UntilClose,
}

/// Field lines in the order and spelling in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

/// A start line and its fields.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) fields: Fields,
}

impl Fields {
    /// The value of the first line of the field `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let is_named = |(line, _): &&(String, String)| line.eq_ignore_ascii_case(name);
        self.0
            .iter()
            .find(is_named)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the comma-separated list in the field `name` has the member `token`.
    pub(crate) fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|member| member.trim().eq_ignore_ascii_case(token))
    }

    /// The framing that the fields declare; `None` when they declare none.
    pub(crate) fn framing(&self) -> Result<Option<Framing>, String> {
        let lengths: Vec<_> = self.all("content-length").collect();
        let codings: Vec<_> = self.all("transfer-encoding").collect();
        match (&lengths[..], &codings[..]) {
            ([], []) => Ok(None),
            ([], ["chunked"]) => Ok(Some(Framing::Chunked)),
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => length
                .parse()
                .map(|length| Some(Framing::Length(length)))
                .map_err(|_| format!("length {length}")),
            _ => Err(format!("framing by {lengths:?} and {codings:?}")),
        }
    }

    /// The values of all lines of the field `name`.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(line, _)| line.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Head {
    /// Reads a head without its last, empty line.
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(raw).map_err(|error| error.to_string())?;
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines.map(parse_field).collect::<Result<_, _>>()?;
        if start.is_empty() || text.replace("\r\n", "").contains(['\r', '\n', '\0']) {
            return Err(format!("head {text:?}"));
        }
        Ok(Self {
            start,
            fields: Fields(fields),
        })
    }
}

fn parse_field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("field {line:?}"))?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("field name {name:?}"));
    }
    let value = value.trim_matches([' ', '\t']);
    Ok((name.to_owned(), value.to_owned()))
}
