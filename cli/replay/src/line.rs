//! Owns [`Line`]: one request of an access log, whatever form the log has.
//! Never reads a form: `combined` and `json` do.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use retter_core::report::Failure;
use retter_log::Visitor;

use super::assume::Assumptions;
use super::{combined, json};

/// One request, and what the application did about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    /// When it came, in nanoseconds since 1970.
    pub(super) at: u64,
    /// The time is known to the second only.
    pub(super) is_coarse: bool,
    /// From where, where that is known.
    pub(super) client: Option<IpAddr>,
    pub(super) host: Option<Box<str>>,
    pub(super) method: Method,
    pub(super) origin: Origin,
    pub(super) target: Bytes,
    pub(super) upgrades: bool,
    /// Whose copies it may see, where nobody shares them whom the log can tell apart.
    pub(super) visitor: Visitor,
    /// Whose copies it may see, where everybody does whom the server has not checked.
    pub(super) shared: Visitor,
}

/// What the application did about a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Origin {
    /// It answered.
    Answered(Answer),
    /// It failed below HTTP.
    Failed { failure: Failure, took: Duration },
    /// The client left before there was an answer.
    Left { took: Duration },
    /// It was not asked, so nobody knows what it would have done.
    NotAsked {
        /// Body bytes that the client got.
        bytes: u64,
        /// The circuit was closed then, so the application was well.
        well: bool,
    },
}

/// A response of the application.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) bytes: u64,
    pub(super) cache_control: Option<Box<str>>,
    pub(super) content_type: Option<Box<str>>,
    pub(super) cookies: Cookies,
    pub(super) end: End,
    /// From the request to the head.
    pub(super) head: Duration,
    pub(super) status: StatusCode,
    /// From the request to the end.
    pub(super) took: Duration,
    pub(super) varies_on_all: bool,
    /// Equal for equal pages; `None` where the log tells nothing about it.
    pub(super) version: Option<u64>,
}

impl Answer {
    /// A whole response of which no more is known: it came all at once, and set no cookie.
    pub(super) fn whole(
        status: StatusCode,
        bytes: u64,
        took: Duration,
        cache_control: Option<&str>,
    ) -> Self {
        Self {
            bytes,
            cache_control: cache_control.map(Into::into),
            content_type: None,
            cookies: Cookies::None,
            end: End::Complete,
            head: took,
            status,
            took,
            varies_on_all: false,
            version: None,
        }
    }
}

/// What a response did to the client's cookies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cookies {
    ChangesSession,
    None,
    Sets,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    ClientLeft,
    Complete,
    Truncated,
}

/// Why a line is not replayed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Skipped {
    /// It is no line of a form that is known.
    Malformed(&'static str),
    /// It tells of a connection that sent no request: an empty one, or bytes that are not HTTP.
    NoRequest,
}

impl Line {
    /// Reads a line of any known form.
    pub(super) fn parse(text: &[u8], assumptions: &Assumptions) -> Result<Self, Skipped> {
        if text.trim_ascii_start().first() == Some(&b'{') {
            json::parse(text, assumptions)
        } else {
            combined::parse(text, assumptions)
        }
    }

    /// Memory of its own, about.
    pub(super) fn bytes(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_deref().map_or(0, str::len);
        let of_answer = match &self.origin {
            Origin::Answered(answer) => text(&answer.cache_control) + text(&answer.content_type),
            Origin::Failed { .. } | Origin::Left { .. } | Origin::NotAsked { .. } => 0,
        };
        size_of::<Self>() + self.target.len() + text(&self.host) + of_answer
    }

    /// The path without query.
    pub(super) fn path(&self) -> &[u8] {
        let end = self.target.iter().position(|&byte| byte == b'?');
        &self.target[..end.unwrap_or(self.target.len())]
    }

    /// Whether a copy may answer it.
    pub(super) fn reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD) && !self.upgrades
    }
}

/// A request line's method and target, when they can be a request.
pub(super) fn request(method: &[u8], target: &[u8]) -> Result<(Method, Bytes), Skipped> {
    let method = Method::from_bytes(method).map_err(|_| Skipped::NoRequest)?;
    let is_target = !target.is_empty() && target.iter().all(|&byte| byte > b' ' && byte != 0x7f);
    if !is_target || method == Method::CONNECT {
        return Err(Skipped::NoRequest);
    }
    Ok((method, Bytes::copy_from_slice(target)))
}

/// A hash that is the same in every run.
pub(super) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
