//! Owns what the two sides of sessions saw, and what has to hold of it by itself and between two
//! runs of one script. Never knows how it came about.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use http::{Method, StatusCode};

use crate::event::Report;
use crate::fuzzing::naive::{self, Message, Reading, Stop};
use crate::h1::Framing;
use crate::report::{End, Source, Stats};

/// Everything that was seen in one run.
#[derive(Debug)]
pub(super) struct World {
    pub(super) stats: Stats,
    pub(super) clients: Vec<Seen>,
    /// Whether one went on because of what another did: when that was depends on how bytes came.
    pub(super) has_handed_on: bool,
}

/// Everything that was seen of one session.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// One for each connection to the origin.
    pub(super) asked: Vec<Asked>,
    pub(super) is_aborted: bool,
    /// What the session took of what the client sent.
    pub(super) sent: Vec<u8>,
    pub(super) received: Vec<u8>,
    pub(super) reports: Vec<Report>,
}

/// What one connection to the origin got, and gave.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) bytes: Vec<u8>,
    fresh: bool,
    pub(super) told: Vec<u8>,
}

/// One answer as the client understands it.
pub(super) struct Answer<'a> {
    pub(super) report: &'a Report,
    pub(super) reading: Reading,
    /// What came through a tunnel.
    tunnel: &'a [u8],
}

impl World {
    /// Compares two runs of one script.
    pub(super) fn assert_same(&self, other: &Self) {
        if self.has_handed_on || other.has_handed_on {
            return;
        }
        assert_eq!(self.clients.len(), other.clients.len());
        for (one, other) in self.clients.iter().zip(&other.clients) {
            one.assert_same(other);
        }
        let (one, other) = (&self.stats, &other.stats);
        assert_eq!(one.circuit, other.circuit);
        assert_eq!(one.paths_open, other.paths_open);
        assert_eq!(one.copies, other.copies);
        assert_eq!(one.insertions, other.insertions);
        assert_eq!(one.admission.limit, other.admission.limit);
        assert_eq!(one.admission.overflows, other.admission.overflows);
    }
}

impl Seen {
    /// What has to hold of one session by itself.
    pub(super) fn check(&self) {
        for asked in &self.asked {
            asked.check();
        }
        for answer in self.answers() {
            answer.check(self.is_aborted);
        }
    }

    /// The origin has sent `bytes` on its newest connection.
    pub(super) fn told(&mut self, bytes: &[u8]) {
        let asked = self.asked.last_mut().expect("somebody asked");
        asked.told.extend_from_slice(bytes);
    }

    /// The newest connection is to be used again.
    pub(super) fn check_parked(&self) {
        self.asked.last().expect("it was connected").check_parked();
    }

    fn assert_same(&self, other: &Self) {
        assert_eq!(self.asked.len(), other.asked.len(), "as many connections");
        for (one, other) in self.asked.iter().zip(&other.asked) {
            one.assert_same(other);
        }
        assert_eq!(self.is_aborted, other.is_aborted);
        let told = |seen: &Self| seen.reports.iter().map(tell).collect::<Vec<_>>();
        assert_eq!(told(self), told(other));
        for (one, other) in self.answers().iter().zip(other.answers()) {
            one.assert_same(&other);
        }
    }

    /// The answers that the client got, in the order of their reports.
    pub(super) fn answers(&self) -> Vec<Answer<'_>> {
        let mut input = &self.received[..];
        let mut answers = Vec::new();
        // Nobody is answered by what renews a copy.
        let with_client = |report: &&Report| report.source != Source::Refresh;
        for report in self.reports.iter().filter(with_client) {
            let request = report.request.as_deref();
            let is_head = request.is_some_and(|request| request.method == Method::HEAD);
            let is_upgrade = request.is_some_and(|request| request.fields.contains("upgrade"));
            let reading = naive::answer(is_head, is_upgrade, &mut input);
            let is_tunnel = report.end == End::Tunnel;
            let tunnel = if is_tunnel {
                std::mem::take(&mut input)
            } else {
                &[]
            };
            answers.push(Answer {
                report,
                reading,
                tunnel,
            });
        }
        assert!(
            input.is_empty(),
            "no bytes but answers: {}",
            input.escape_ascii()
        );
        answers
    }
}

impl Asked {
    pub(super) fn new(fresh: bool) -> Self {
        let (bytes, told) = (Vec::new(), Vec::new());
        Self { bytes, fresh, told }
    }

    /// One whole request went out and one whole answer came in, and nothing else.
    fn check_parked(&self) {
        let asked = naive::requests(&self.bytes);
        assert_eq!((asked.end, asked.messages.len()), (Stop::Clean, 1));
        let is_head = asked.messages[0].first[0] == b"HEAD";
        let told = naive::responses(is_head, false, &self.told);
        assert_eq!(told.end, Stop::Clean, "{}", self.told.escape_ascii());
        let last = told.messages.last().expect("an answer");
        assert!(!last.is_interim() && last.framing != Framing::UntilClose);
    }

    /// One connection of one exchange carries one request, which anybody reads the same.
    fn check(&self) {
        let reading = naive::requests(&self.bytes);
        let Some(message) = reading.messages.first() else {
            assert_ne!(
                reading.end,
                Stop::Malformed,
                "{}",
                self.bytes.escape_ascii()
            );
            return;
        };
        let names = |name: &str| {
            message
                .fields
                .iter()
                .filter(|field| field.0 == name)
                .count()
        };
        assert_eq!(names("host"), 1, "{}", self.bytes.escape_ascii());
        assert!(names("via") > 0 && names("x-forwarded-for") > 0);
        assert!(names("content-length") + names("transfer-encoding") <= 1);
        // Behind a request for another protocol that protocol may follow.
        if names("upgrade") == 0 {
            assert_ne!(
                reading.end,
                Stop::Malformed,
                "{}",
                self.bytes.escape_ascii()
            );
            assert_eq!(reading.messages.len(), 1, "{}", self.bytes.escape_ascii());
        }
    }

    fn assert_same(&self, other: &Self) {
        assert_eq!(self.fresh, other.fresh);
        let (one, other) = (naive::requests(&self.bytes), naive::requests(&other.bytes));
        // Of an exchange that was given up more or less may have left.
        if let (Some(one), Some(other)) = (one.messages.first(), other.messages.first()) {
            assert_same_message(one, other, Prefix::OfEither);
        }
    }
}

impl Answer<'_> {
    fn check(&self, is_aborted: bool) {
        let Self {
            report, reading, ..
        } = self;
        let (interim, last) = match reading.messages.split_last() {
            Some((last, interim)) if !last.is_interim() => (interim, Some(last)),
            Some(_) | None => (&reading.messages[..], None),
        };
        assert!(interim.iter().all(Message::is_interim));
        assert_ne!(reading.end, Stop::Malformed, "{reading:?}");
        let Some(last) = last else {
            assert_ne!(
                report.end,
                End::Complete,
                "an answer was reported: {report:?}"
            );
            return;
        };
        let status = report
            .status
            .map(|status| status.as_str().as_bytes().to_vec());
        assert_eq!(Some(&last.first[1]), status.as_ref());
        self.check_labels(last);
        let is_whole = last.body.end == Stop::Clean;
        match report.end {
            End::Complete => {
                assert!(is_whole, "{reading:?}");
                assert_eq!(report.bytes_sent, last.body.bytes.len() as u64);
            }
            End::Truncated => {
                let ends_by_close = last.framing == Framing::UntilClose;
                assert!(
                    !is_whole || ends_by_close && is_aborted,
                    "the client sees the break"
                );
            }
            End::ClientLeft | End::Tunnel => {}
        }
    }

    fn check_labels(&self, last: &Message) {
        let field = |name: &str| {
            let mut named = last.fields.iter().filter(|field| field.0 == name);
            let found = named
                .next()
                .map(|field| String::from_utf8_lossy(&field.1).into_owned());
            assert!(named.next().is_none(), "one {name} line");
            found
        };
        let source = self.report.source;
        assert_eq!(field("x-retter").as_deref(), Some(source.as_str()));
        assert_eq!(
            field("x-circuit").as_deref(),
            Some(self.report.circuit.as_str())
        );
        if matches!(source, Source::Cache | Source::LastKnownSuccess) {
            // Cookies come with what the origin has just said of the copy, not with the copy.
            let asked = self.report.origin.as_ref().and_then(|origin| origin.status);
            let is_validated = asked == Some(StatusCode::NOT_MODIFIED);
            let sets_cookie = last.fields.iter().any(|field| field.0 == "set-cookie");
            assert!(is_validated || !sets_cookie);
            assert!(field("age").is_some(), "a copy tells its age");
            check_part(last, field("content-range"));
        }
    }

    fn assert_same(&self, other: &Self) {
        let (one, two) = (&self.reading, &other.reading);
        assert_eq!(one.end, two.end);
        assert_eq!(one.messages.len(), two.messages.len());
        for (one, two) in one.messages.iter().zip(&two.messages) {
            assert_same_message(one, two, Prefix::None);
        }
        assert_eq!(self.tunnel, other.tunnel);
    }
}

/// A part has the length that it says, and is inside of the whole.
fn check_part(message: &Message, content_range: Option<String>) {
    let Some(told) = content_range.filter(|_| message.first[1] == b"206") else {
        return;
    };
    let told = told.strip_prefix("bytes ").expect("parts are of bytes");
    let (part, whole) = told.split_once('/').expect("the whole is known");
    let (first, last) = part.split_once('-').expect("first and last byte");
    let numbers = [first, last, whole].map(|digits| digits.parse::<usize>());
    let [Ok(first), Ok(last), Ok(whole)] = numbers else {
        panic!("no part: {told}");
    };
    assert!(first <= last && last < whole);
    let is_whole = message.body.end == Stop::Clean && !message.body.bytes.is_empty();
    assert!(!is_whole || message.body.bytes.len() == last + 1 - first);
}

/// How two bodies may differ.
#[derive(Clone, Copy)]
enum Prefix {
    None,
    /// One is cut where the other goes on.
    OfEither,
}

fn assert_same_message(one: &Message, other: &Message, allowed: Prefix) {
    assert_eq!(one.first, other.first);
    assert_eq!(one.fields, other.fields);
    assert_eq!(one.framing, other.framing);
    let (bytes, other_bytes) = (content(one), content(other));
    match (allowed, one.body.end, other.body.end) {
        (Prefix::None, end, other_end) | (_, end @ Stop::Clean, other_end @ Stop::Clean) => {
            assert_eq!((bytes, end), (other_bytes, other_end));
            assert_eq!(one.body.trailers, other.body.trailers);
        }
        (Prefix::OfEither, Stop::Clean, _) => assert!(bytes.starts_with(&other_bytes)),
        (Prefix::OfEither, _, Stop::Clean) => assert!(other_bytes.starts_with(&bytes)),
        (Prefix::OfEither, _, _) => {
            assert!(bytes.starts_with(&other_bytes) || other_bytes.starts_with(&bytes));
        }
    }
}

/// The body without a compression that depends on the pieces in which it came.
pub(super) fn content(message: &Message) -> Vec<u8> {
    let is_gzip = |field: &naive::Field| field.0 == "content-encoding" && field.1 == b"gzip";
    if !message.fields.iter().any(is_gzip) {
        return message.body.bytes.clone();
    }
    let mut content = Vec::new();
    let mut decoder = MultiGzDecoder::new(&message.body.bytes[..]);
    // A broken stream gives what is whole of it.
    let _ = decoder.read_to_end(&mut content);
    content
}

/// What a report says that must not depend on how bytes came.
fn tell(report: &Report) -> String {
    let Report {
        broken,
        bytes_received,
        circuit,
        claims_forwarding,
        client,
        copy_age,
        end,
        ended,
        handling,
        origin,
        request,
        request_id,
        source,
        started,
        status,
        waited,
        bytes_sent: _,
        call: _,
        peer: _,
    } = report;
    format!(
        "{request:?} {request_id:?} {status:?} {source:?} {circuit:?} {end:?} {started:?} {ended:?} {origin:?} \
         {bytes_received} {client} {claims_forwarding} {broken:?} {handling:?} \
         {copy_age:?} {waited}"
    )
}
