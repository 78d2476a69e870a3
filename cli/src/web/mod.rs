//! Owns a small HTTP/1.1 server, for the admin address and the demo: requests and answers as
//! values, and the bounds within which they are exchanged.
//! Never parses HTTP itself: [`retter_core::h1`] does. Never shares a thread with the clients that
//! are to be rescued.
//!
//! [`connection`] turns bytes into requests and answers into bytes, with time as an argument.
//! [`server`] has the sockets, the clock and the threads.

mod connection;
mod server;
#[cfg(test)]
mod tests;

use std::time::Duration;

use retter_core::message::RequestHead;

pub(crate) use server::Server;

/// Longest request head. Browsers send about 1 KiB, with many cookies 8.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest request content where none is kept: it is read and thrown away.
const CONTENT_BYTES_MAX: u64 = 64 * 1024;

/// What a server has room and patience for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Open connections. One more takes the place of the one that has owed a whole request for
    /// the longest.
    pub(crate) connections_max: usize,
    /// Bytes of a request's content that are kept for its handler; 0 keeps none.
    pub(crate) content_kept_max: usize,
    /// Requests that are answered at one time; more wait.
    pub(crate) workers: usize,
    /// How long a connection may stay without a byte of a request.
    pub(crate) idle_timeout: Duration,
    /// For all of a request, from its first byte, so that dripping bytes keeps no place.
    pub(crate) request_timeout: Duration,
    /// For all of an answer to be taken.
    pub(crate) write_timeout: Duration,
}

impl Limits {
    /// The usual limits, with this many workers.
    pub(crate) const fn with_workers(workers: usize) -> Self {
        Self {
            connections_max: 256,
            content_kept_max: 0,
            workers,
            // Longer than the minute that scrapers let pass between two requests.
            idle_timeout: Duration::from_secs(75),
            request_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// A whole request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Without `?`; empty when there is none.
    pub(crate) query: String,
    pub(crate) fields: Vec<(String, String)>,
    /// Empty where the server keeps none.
    pub(crate) content: Vec<u8>,
}

impl From<&RequestHead> for Request {
    fn from(head: &RequestHead) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let fields = head.fields.iter();
        Self {
            method: head.method.as_str().to_owned(),
            path: text(head.path()),
            query: text(head.query().unwrap_or_default()),
            fields: fields
                .map(|(name, value)| (name.to_owned(), text(value)))
                .collect(),
            content: Vec::new(),
        }
    }
}

impl Request {
    /// The value of the first field named `name`; empty when there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self
            .fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// An answer of the given media type.
    pub(crate) fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            fields: vec![("Content-Type", media_type.to_owned())],
            body: body.into(),
        }
    }

    /// A plain-text answer.
    pub(crate) fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// Adds a field. One whose value would split the message is left out when it is written.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// What answers requests.
pub(crate) type Handler = dyn Fn(&Request) -> Response + Send + Sync;
