//! Owns the targets of `h1`: what is read is the same in any pieces, as the naive reading has it,
//! and again when it is written again.
//! Never looks at private state.

use std::fmt::Debug;
use std::io::IoSlice;

use bytes::Bytes;
use http::Method;

use super::input::{Input, fields, lines};
use super::naive::{self, Field, Message, Reading, Stop};
use crate::h1::harness::{Conn, Cut, Ended, HEAD_BYTES_MAX, Run, Seen, run};
use crate::h1::{
    BodyEncoder, ClientConn, Framing, HeadWriter, ProtocolError, SendQueue, ServerConn,
};
use crate::limits::IOVECS_MAX;
use crate::message::{Fields, RequestHead, ResponseHead, Version};

/// What a client sends. See [the table](super).
pub fn h1_request(data: &[u8]) {
    let run = run_in_pieces(|| ServerConn::new(HEAD_BYTES_MAX), data).1;
    compare(&run, &naive::requests(data), |head| {
        let version = version_name(head.version);
        [
            head.method.as_str().as_bytes().to_vec(),
            head.target.to_vec(),
            version,
        ]
    });
    let mut again = SendQueue::new();
    let mut expected = Vec::new();
    for whole in complete(&run.events) {
        let (head, framing, body, _) = whole;
        if head.version == Version::Http10 && !head.fields.contains("host") {
            continue;
        }
        let mut out = HeadWriter::request(&mut again, &head.method, &head.target);
        out.fields(&head.fields);
        out.finish();
        let trailers = put_body(whole, &mut again);
        let head = RequestHead {
            version: Version::Http11,
            ..head.clone()
        };
        expected.push((head, framing, body.to_vec(), trailers));
    }
    let written = drain(&mut again);
    let (_, run) = run_in_pieces(|| ServerConn::new(2 * HEAD_BYTES_MAX), &written);
    assert_eq!(run.end, Ok(Ended::Closed), "what we write can be read");
    assert_same_messages(&run, &expected);
}

/// The first byte is the request's method: `H` is HEAD, `P` POST, `U` a GET that asks for an
/// upgrade, anything else a GET. Then what an origin sends. See [the table](super).
pub fn h1_response(data: &[u8]) {
    let mut input = Input(data);
    let (method, is_upgrade_asked) = match input.byte() {
        b'H' => (Method::HEAD, false),
        b'P' => (Method::POST, false),
        b'U' => (Method::GET, true),
        _ => (Method::GET, false),
    };
    let data = input.0;
    let is_head = method == Method::HEAD;
    let new = || {
        let mut conn = ClientConn::new(HEAD_BYTES_MAX);
        conn.begin(&method, is_upgrade_asked);
        conn
    };
    let (_, run) = run_in_pieces(new, data);
    let naive = naive::responses(is_head, is_upgrade_asked, data);
    compare(&run, &naive, first_of_response);
    check_reuse(new(), data, &naive);

    if !matches!(run.events.last(), Some(Seen::End(_))) {
        return;
    }
    let mut again = SendQueue::new();
    let mut expected = Vec::new();
    for whole in complete(&run.events) {
        let (head, framing, body, _) = whole;
        // A head without reason gets the usual one, and HTTP/1.0 is answered as HTTP/1.1 is.
        let mut out = HeadWriter::response(&mut again, head.status, &head.reason);
        out.fields(&head.fields);
        out.finish();
        let trailers = put_body(whole, &mut again);
        let mut head = ResponseHead {
            version: Version::Http11,
            ..head.clone()
        };
        if head.reason.is_empty() {
            let usual = head.status.canonical_reason().unwrap_or_default();
            head.reason = Bytes::from_static(usual.as_bytes());
        }
        expected.push((head, framing, body.to_vec(), trailers));
    }
    let written = drain(&mut again);
    let new = || {
        let mut conn = ClientConn::new(2 * HEAD_BYTES_MAX);
        conn.begin(&method, is_upgrade_asked);
        conn
    };
    let (_, run) = run_in_pieces(new, &written);
    assert_eq!(run.end, Ok(Ended::Closed), "what we write can be read");
    assert_same_messages(&run, &expected);
}

/// Read as the body of a request, and written as the body of another. See [the table](super).
pub fn chunked(data: &[u8]) {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let wire = [HEAD, data].concat();
    let (_, run) = run_in_pieces(|| ServerConn::new(HEAD_BYTES_MAX), &wire);
    let read = run.events.get(1..).unwrap_or_default();
    let naive = naive::chunked(&mut { data });
    let seen = match read.first() {
        Some(Seen::Data(seen)) => &seen[..],
        Some(Seen::Head(..) | Seen::End(_)) | None => b"",
    };
    assert!(naive.bytes.starts_with(seen));
    // What follows the body would be another request.
    match read.iter().find(|seen| matches!(seen, Seen::End(_))) {
        Some(Seen::End(trailers)) => {
            assert_eq!((seen, naive.end), (&naive.bytes[..], Stop::Clean));
            assert_same_fields(trailers, &naive.trailers);
        }
        Some(Seen::Data(_) | Seen::Head(..)) | None => {
            assert!(
                naive.end != Stop::Clean || is_limit(&run.end),
                "{:?}",
                run.end
            );
            let is_cut = run.end == Err(ProtocolError::UnexpectedEof);
            assert!(!is_cut || naive.end == Stop::Cut);
        }
    }

    let mut out = SendQueue::new();
    let mut encoder = BodyEncoder::Chunked;
    let pieces = data.split(|&byte| byte == b'\n');
    for piece in pieces.clone() {
        let queued = encoder.data(Bytes::copy_from_slice(piece), &mut out);
        assert_eq!(queued, Ok(()));
    }
    assert_eq!(encoder.end(&Fields::default(), &mut out), Ok(()));
    let written = [HEAD, &drain(&mut out)].concat();
    let (_, run) = run_in_pieces(|| ServerConn::new(HEAD_BYTES_MAX), &written);
    let joined: Vec<u8> = pieces.flatten().copied().collect();
    let mut expected = vec![Seen::End(Fields::default())];
    if !joined.is_empty() {
        expected.insert(0, Seen::Data(joined));
    }
    assert_eq!(run.events.get(1..), Some(&expected[..]));
}

/// Runs the input whole, by single bytes and cut at random; all must give the same.
fn run_in_pieces<C>(new: impl Fn() -> C, data: &[u8]) -> (C, Run<C::Head>)
where
    C: Conn,
{
    let mut conn = new();
    let whole = run(&mut conn, data, Cut::Whole, true);
    for cut in [Cut::Bytewise, Cut::Random(data.len() as u64)] {
        let pieces = run(&mut new(), data, cut, true);
        assert_eq!(pieces, whole, "{cut:?}: {}", data.escape_ascii());
    }
    (conn, whole)
}

/// A message with its framing, its body and, unless it is interim, its trailers.
type Whole<'a, H> = (&'a H, Framing, &'a [u8], Option<&'a Fields>);

/// The messages that are there to their end.
fn complete<H>(events: &[Seen<H>]) -> Vec<Whole<'_, H>> {
    let mut messages = Vec::new();
    let mut open: Option<(&H, Framing)> = None;
    let mut body: &[u8] = b"";
    for event in events {
        match event {
            Seen::Head(head, framing) => {
                // An interim response ends with its head.
                if let Some((head, framing)) = open.replace((head, *framing)) {
                    messages.push((head, framing, &b""[..], None));
                }
                body = b"";
            }
            Seen::Data(data) => body = data,
            Seen::End(trailers) => {
                if let Some((head, framing)) = open.take() {
                    messages.push((head, framing, body, Some(trailers)));
                }
            }
        }
    }
    messages
}

/// Compares events with the naive reading. Where `h1` refuses for a reason of its own (a limit,
/// a host), the naive reading may go on; where it does not, both end in the same way.
fn compare<H: Debug>(run: &Run<H>, naive: &Reading, first: impl Fn(&H) -> [Vec<u8>; 3]) {
    let mut expected = naive.messages.iter();
    let mut message: Option<&Message> = None;
    let mut seen: &[u8] = b"";
    for event in &run.events {
        match event {
            Seen::Head(head, framing) => {
                let next = expected
                    .next()
                    .expect("the naive reading has this message too");
                assert_eq!((first(head), *framing), (next.first.clone(), next.framing));
                message = Some(next);
                seen = b"";
            }
            Seen::Data(data) => seen = data,
            Seen::End(trailers) => {
                let message = message.expect("a head comes before an end");
                assert_eq!(
                    (seen, message.body.end),
                    (&message.body.bytes[..], Stop::Clean)
                );
                assert_same_fields(trailers, &message.body.trailers);
            }
        }
    }
    let body = message.map_or(&b""[..], |message| &message.body.bytes[..]);
    assert!(body.starts_with(seen) || run.events.is_empty());
    match run.end {
        Ok(Ended::Closed) => {
            assert_eq!(naive.end, Stop::Clean);
            assert!(expected.next().is_none(), "nothing was left out");
        }
        // Bytes of a tunnel.
        Ok(Ended::NeedData) => {}
        Err(ProtocolError::UnexpectedEof) => assert_eq!(naive.end, Stop::Cut),
        Err(_) if is_limit(&run.end) => {}
        Err(_) => assert_ne!(naive.end, Stop::Clean, "{:?}", run.end),
    }
}

/// Whether the naive reading knows nothing of this reason.
fn is_limit(end: &Result<Ended, ProtocolError>) -> bool {
    use ProtocolError as E;
    matches!(
        end,
        Err(E::ChunkExtTooLong
            | E::HeadTooLarge
            | E::InvalidHost
            | E::InvalidTarget
            | E::MissingHost
            | E::TargetTooLong
            | E::TooManyFields
            | E::TooManyInterim
            | E::TrailersTooLarge)
    )
}

/// A connection that may be used again has read one whole answer and nothing beyond, from an
/// origin that did not say otherwise.
fn check_reuse(mut conn: ClientConn, data: &[u8], naive: &Reading) {
    let run = run(&mut conn, data, Cut::Whole, false);
    if !conn.is_reusable() || data.is_empty() {
        return;
    }
    assert_eq!((run.end, naive.end), (Ok(Ended::NeedData), Stop::Clean));
    for message in &naive.messages {
        assert_ne!(message.framing, Framing::UntilClose);
        for (name, value) in &message.fields {
            let mut members = value.split(|&byte| byte == b',');
            let closes = members.any(|member| member.trim_ascii().eq_ignore_ascii_case(b"close"));
            assert!(name != "connection" || !closes);
        }
    }
}

fn assert_same_fields(fields: &Fields, naive: &[Field]) {
    let lower = |(name, value): (&str, &[u8])| (name.to_ascii_lowercase(), value.to_vec());
    let seen: Vec<Field> = fields.iter().map(lower).collect();
    assert_eq!(seen, naive);
}

fn assert_same_messages<H>(run: &Run<H>, expected: &[(H, Framing, Vec<u8>, Option<Fields>)])
where
    H: Debug + PartialEq,
{
    let found = complete(&run.events);
    assert_eq!(found.len(), expected.len());
    for ((head, framing, body, trailers), expected) in found.into_iter().zip(expected) {
        assert_eq!((head, framing), (&expected.0, expected.1));
        assert_eq!((body, trailers), (&expected.2[..], expected.3.as_ref()));
    }
}

fn first_of_response(head: &ResponseHead) -> [Vec<u8>; 3] {
    let status = head.status.as_str().as_bytes().to_vec();
    [version_name(head.version), status, head.reason.to_vec()]
}

fn version_name(version: Version) -> Vec<u8> {
    match version {
        Version::Http10 => b"HTTP/1.0".to_vec(),
        Version::Http11 => b"HTTP/1.1".to_vec(),
    }
}

/// Writes a body; returns the trailers that went with it.
fn put_body(whole: Whole<'_, impl Debug>, out: &mut SendQueue) -> Option<Fields> {
    let (_, framing, body, trailers) = whole;
    let mut encoder = BodyEncoder::from(framing);
    for piece in body.chunks(7) {
        let queued = encoder.data(Bytes::copy_from_slice(piece), out);
        assert_eq!(queued, Ok(()), "the body fits its framing");
    }
    let mut end = SendQueue::new();
    assert_eq!(encoder.end(trailers?, &mut end), Ok(()));
    let section = drain(&mut end);
    let passed = fields(lines(section.strip_prefix(b"0\r\n").unwrap_or_default()));
    out.push_slice(&section);
    Some(passed)
}

fn drain(out: &mut SendQueue) -> Vec<u8> {
    let mut written = Vec::new();
    while !out.is_empty() {
        let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
        let count = out.slices(&mut slices);
        let before = written.len();
        for slice in &slices[..count] {
            written.extend_from_slice(slice);
        }
        out.advance(written.len() - before);
    }
    written
}
