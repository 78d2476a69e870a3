//! Owns the parsed form of messages: [`Fields`], [`RequestHead`], [`ResponseHead`].
//! Never decides what a field means (that is `rules`) and never reads a wire (that is `h1`).
//!
//! A head keeps the bytes it was parsed from and 16-bit spans into them: parsing copies nothing,
//! and forwarding writes the original bytes again.

mod error;
mod fields;
pub(crate) mod known;
mod names;
mod text;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

pub use error::ProtocolError;
pub(crate) use fields::Index;
pub use fields::{Fields, FieldsBuilder, Line};
pub(crate) use names::Marks;
pub use text::is_token;
pub(crate) use text::{folded, is_one_line, text_len, token_len};

/// The HTTP/1 minor version of a message. Higher minor versions are treated as 1.1
/// (RFC 9110 §2.5), other major versions are refused by the parser.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
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

    /// Builds a head from the `http` crate's request, whatever its body type. One whose fields are
    /// longer than [`HEAD_BYTES_CEILING`](crate::limits::HEAD_BYTES_CEILING) is
    /// [cut](Fields::is_cut): it is asked for, and never kept.
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
}
