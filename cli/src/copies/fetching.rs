//! Owns one GET through the instance that runs, as a visitor's that sends nothing of anybody's
//! ([`Fetcher`]), and what its answer means for copies ([`Outcome`]).
//! Never decides what is asked for, or when.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use retter_core::limits::HEAD_BYTES_CEILING;
use retter_core::message::{FieldsBuilder, RequestHead, ResponseHead};
use retter_core::rules::retry_after::retry_after;
use retter_core::time::UnixTime;

use super::url::Url;
use crate::client::{self, Error, Peer};

const USER_AGENT: &str = concat!(
    "RETTER/",
    env!("CARGO_PKG_VERSION"),
    " (retter copies --from)"
);

/// Asks one instance.
#[derive(Debug)]
pub(super) struct Fetcher {
    pub(super) address: SocketAddr,
    /// Larger pages are not kept, and not read to their end.
    pub(super) bytes_max: usize,
    pub(super) timeout: Duration,
}

/// What came of asking for a page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The application has answered with the page.
    Answered,
    /// The application or the instance has no room; come back after so long, where they say so.
    Busy(Option<Duration>),
    /// The application failed, or did not answer.
    Fails(String),
    /// There was a fresh copy already.
    Had,
    /// The application leads on to another page, or does not give this one.
    No(u16),
}

impl Fetcher {
    /// Asks for a page as a browser does that is not signed in.
    pub(super) fn get(
        &self,
        url: &Url,
        bytes_max: usize,
    ) -> Result<(ResponseHead, Vec<u8>), Error> {
        let mut fields = FieldsBuilder::default();
        let lines = [
            ("Host", url.authority.as_str()),
            ("User-Agent", USER_AGENT),
            (
                "Accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            ),
        ];
        for (name, value) in lines {
            fields.push(name, value.as_bytes());
        }
        if url.is_https {
            // What the proxy in front says of visitors who come by it.
            fields.push("X-Forwarded-Proto", b"https");
        }
        let head = RequestHead::new(Method::GET, &url.target, fields.build());
        let (host, port) = (self.address.ip().to_string(), self.address.port());
        let to = Peer::Host(&host, port);
        client::ask_with(to, (&head, &url.target), bytes_max, self.timeout)
    }

    /// Asks for a page so that there is a copy of it.
    pub(super) fn keep(&self, url: &Url, now: UnixTime) -> Outcome {
        match self.get(url, self.bytes_max + HEAD_BYTES_CEILING) {
            Ok((head, _)) => outcome(&head, now),
            Err(error) => Outcome::Fails(error.to_string()),
        }
    }
}

/// What an answer says, by its status and by what the instance says of it (RFC 9211).
fn outcome(head: &ResponseHead, now: UnixTime) -> Outcome {
    let status = head.status.as_u16();
    let told = head.fields.get("cache-status").unwrap_or_default();
    let told = String::from_utf8_lossy(told);
    let says = |what: &str| told.split(';').any(|part| part.trim() == what);
    let is_copy = head
        .fields
        .get("x-retter")
        .is_some_and(|from| from != b"backend");
    match status {
        429 | 503 => Outcome::Busy(retry_after(&head.fields, now)),
        200 if says("detail=overload") => Outcome::Busy(None),
        200 if says("hit") && !told.contains("detail=") => Outcome::Had,
        200 if is_copy && !says("fwd-status=304") => {
            Outcome::Fails("the application fails; a copy answers in its place".to_owned())
        }
        200 => Outcome::Answered,
        500.. => Outcome::Fails(format!("status {status}")),
        _ => Outcome::No(status),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use retter_core::message::Fields;

    use super::*;

    #[test]
    fn what_answers_mean() {
        #[track_caller]
        fn check(status: u16, lines: &[(&str, &str)], expected: &Outcome) {
            let lines = lines.iter().map(|(name, value)| (*name, value.as_bytes()));
            let status = StatusCode::from_u16(status).unwrap();
            let head = ResponseHead::new(status, Fields::from_pairs(lines));
            assert_eq!(&outcome(&head, UnixTime(784_111_777)), expected);
        }
        fn told(text: &'static str, from: &'static str) -> [(&'static str, &'static str); 2] {
            [("cache-status", text), ("x-retter", from)]
        }
        let forwarded = told("retter; fwd=uri-miss; fwd-status=200", "backend");
        check(200, &forwarded, &Outcome::Answered);
        let confirmed = told("retter; fwd=stale; fwd-status=304; ttl=3", "cache");
        check(200, &confirmed, &Outcome::Answered);
        check(200, &told("retter; hit; ttl=3", "cache"), &Outcome::Had);
        let full = told("retter; hit; ttl=0; detail=overload", "cache");
        check(200, &full, &Outcome::Busy(None));
        let why = "the application fails; a copy answers in its place".to_owned();
        for rescued in [
            "retter; fwd=stale; fwd-status=500; ttl=-3; detail=rescued",
            "retter; hit; ttl=-3; detail=circuit-open",
        ] {
            check(200, &told(rescued, "cache"), &Outcome::Fails(why.clone()));
        }
        check(302, &[], &Outcome::No(302));
        check(404, &[], &Outcome::No(404));
        check(502, &[], &Outcome::Fails("status 502".to_owned()));
        check(503, &[], &Outcome::Busy(None));
        check(
            429,
            &[("retry-after", "7")],
            &Outcome::Busy(Some(Duration::from_secs(7))),
        );
        let date = [("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")];
        check(503, &date, &Outcome::Busy(Some(Duration::from_secs(10))));
        check(503, &[("retry-after", "soon")], &Outcome::Busy(None));
    }
}
