//! Owns text from the network in a log: how it is escaped, read back, and kept free of secrets.
//! Never knows what a text means.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes from the network: escaped in a log, themselves in memory.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Text<'a>(pub Cow<'a, [u8]>);

impl Text<'_> {
    /// What something says of itself.
    pub(crate) fn said(words: impl ToString) -> Self {
        Self(words.to_string().into_bytes().into())
    }

    /// The values of several field lines as one list (RFC 9110 §5.2); `None` of none.
    pub(crate) fn joined<'v>(values: impl Iterator<Item = &'v [u8]>) -> Option<Text<'v>> {
        let mut values = values.peekable();
        let first = values.next()?;
        if values.peek().is_none() {
            return Some(first.into());
        }
        let mut all = first.to_vec();
        for value in values {
            all.extend_from_slice(b", ");
            all.extend_from_slice(value);
        }
        Some(Text(all.into()))
    }
}

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escape(self))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                // Without a backslash there is nothing to undo.
                Ok(Text(Cow::Borrowed(text.as_bytes())))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(unescape(text.as_bytes()).into()))
            }
        }

        deserializer.deserialize_str(Reader)
    }
}

/// Text from the network as one harmless word: everything but printable ASCII, and quote and
/// backslash, becomes `\xHH`, so that nobody can forge a line or steer a terminal.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => out.push_str(&format!("\\x{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

/// Undoes [`escape`], and the escapes of nginx (`\xHH`) and Apache (also `\"`, `\\`, `\n`, `\t`
/// and their kin).
#[must_use]
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match (byte, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |digit: u8| char::from(digit).to_digit(16);
                match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => {
                        (u8::try_from(high * 16 + low).unwrap_or(b'?'), after)
                    }
                    _ => (b'\\', &rest[1..]),
                }
            }
            (b'\\', [escaped, after @ ..]) => {
                let byte = match escaped {
                    b'b' => 0x08,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    other => *other,
                };
                (byte, after)
            }
            (byte, after) => (byte, after),
        };
        out.push(byte);
        rest = after;
    }
    out
}

/// Parts of the names of query parameters whose values let a reader of the log act as the user
/// (RFC 6750 §2.3 warns of logs).
const SECRETS: [&str; 9] = [
    "apikey", "api_key", "auth", "code", "passw", "secret", "session", "sig", "token",
];

/// A URL without the values of query parameters that would let a reader act as the user.
#[must_use]
pub fn without_secrets(url: &[u8]) -> Cow<'_, [u8]> {
    let Some(mark) = url.iter().position(|&byte| byte == b'?') else {
        return Cow::Borrowed(url);
    };
    let (path, query) = url.split_at(mark + 1);
    let is_secret = |pair: &[u8]| {
        let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        name.len() < pair.len() && SECRETS.iter().any(|secret| name.contains(secret))
    };
    if !query.split(|&byte| byte == b'&').any(is_secret) {
        return Cow::Borrowed(url);
    }
    let mut shown = path.to_vec();
    for (index, pair) in query.split(|&byte| byte == b'&').enumerate() {
        if index > 0 {
            shown.push(b'&');
        }
        if is_secret(pair) {
            shown.extend(pair.iter().take_while(|&&byte| byte != b'='));
            shown.extend_from_slice(b"=...");
        } else {
            shown.extend_from_slice(pair);
        }
    }
    Cow::Owned(shown)
}
