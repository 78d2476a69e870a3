//! Owns the tests that feed what the encoders write to the decoders of the other side.

use std::io::IoSlice;

use bytes::Bytes;
use http::StatusCode;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::h1::{BodyEncoder, BodyError, HeadWriter, SendQueue};
use crate::limits::IOVECS_MAX;

type Pairs = Vec<(String, Vec<u8>)>;

/// One message to write and to find again.
#[derive(Clone, Debug)]
struct Message {
    method: &'static str,
    target: String,
    status: u16,
    fields: Pairs,
    is_chunked: bool,
    body: Vec<Vec<u8>>,
    trailers: Pairs,
}

impl Message {
    fn write_request(&self, out: &mut SendQueue) {
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        let mut head = HeadWriter::request(out, &method, self.target.as_bytes());
        head.field("Host", b"h");
        let encoder = self.write_fields(head);
        self.write_body(encoder, out);
    }

    fn write_response(&self, out: &mut SendQueue) {
        let status = StatusCode::from_u16(self.status).unwrap();
        let encoder = self.write_fields(HeadWriter::response(out, status, b""));
        self.write_body(encoder, out);
    }

    fn write_fields(&self, mut head: HeadWriter<'_>) -> BodyEncoder {
        for (name, value) in &self.fields {
            head.field(name, value);
        }
        let encoder = if self.is_chunked {
            head.field("Transfer-Encoding", b"chunked");
            BodyEncoder::Chunked
        } else {
            let len = self.body.concat().len() as u64;
            head.field_number("Content-Length", len);
            BodyEncoder::Length(len)
        };
        head.finish();
        encoder
    }

    fn write_body(&self, mut encoder: BodyEncoder, out: &mut SendQueue) {
        for piece in &self.body {
            encoder.data(Bytes::copy_from_slice(piece), out).unwrap();
        }
        encoder.end(&fields_of(&self.trailers), out).unwrap();
        assert_eq!(encoder, BodyEncoder::Empty);
    }

    /// What must come out, given the parsed head.
    fn expected<H: Clone>(&self, head: &H) -> Vec<Seen<H>> {
        let body = self.body.concat();
        let framing = if self.is_chunked {
            Framing::Chunked
        } else {
            Framing::Length(body.len() as u64)
        };
        let mut events = vec![Seen::Head(head.clone(), framing)];
        if !body.is_empty() {
            events.push(Seen::Data(body));
        }
        let is_sent = self.is_chunked;
        let trailers = if is_sent {
            fields_of(&self.trailers)
        } else {
            Fields::default()
        };
        events.push(Seen::End(trailers));
        events
    }

    #[track_caller]
    fn check_fields(&self, fields: &Fields) {
        for (name, value) in &self.fields {
            assert!(
                fields
                    .get_all(name)
                    .any(|found| found == value.trim_ascii())
            );
        }
        assert!(fields.len() >= self.fields.len());
    }
}

fn fields_of(pairs: &Pairs) -> Fields {
    Fields::from_pairs(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), &value[..])),
    )
}

/// Everything in `out`, through short vectored writes.
fn flush(out: &mut SendQueue, mut step: usize) -> Vec<u8> {
    let mut wire = Vec::with_capacity(out.len());
    while !out.is_empty() {
        step = step % 977 + 1;
        let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
        let count = out.slices(&mut slices);
        let all: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        let len = step.min(all.len());
        wire.extend_from_slice(&all[..len]);
        out.advance(len);
    }
    wire
}

fn pairs(prefix: &'static str, count: usize) -> impl Strategy<Value = Pairs> {
    let value = vec(
        prop_oneof![0x20_u8..0x7f, 0x80_u8..=0xff, Just(b'\t')],
        0..40,
    )
    .prop_map(|value| value.trim_ascii().to_vec());
    let name = "[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}".prop_map(move |name| format!("{prefix}{name}"));
    vec((name, value), 0..count)
}

fn message() -> impl Strategy<Value = Message> {
    (
        prop_oneof![Just("GET"), Just("POST"), Just("PUT"), Just("PURGE")],
        "/[!-\"$-~]{0,30}",
        prop_oneof![200_u16..=203, 206_u16..=303, 305_u16..=599],
        pairs("X-", 12),
        any::<bool>(),
        vec(vec(any::<u8>(), 0..600), 0..8),
        pairs("T-", 4),
    )
        .prop_map(
            |(method, target, status, fields, is_chunked, body, trailers)| Message {
                method,
                target,
                status,
                fields,
                is_chunked,
                body,
                trailers,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn pipelined_requests(messages in vec(message(), 1..5), seed in any::<u64>()) {
        let mut out = SendQueue::new();
        for message in &messages {
            message.write_request(&mut out);
        }
        let step = usize::try_from(seed % 977).unwrap();
        let wire = flush(&mut out, step);
        for cut in [Cut::Whole, Cut::Bytewise, Cut::Random(seed)] {
            let mut conn = ServerConn::new(8 * 1024);
            let run = run(&mut conn, &wire, cut, true);
            prop_assert_eq!(run.end, Ok(Ended::Closed));
            let mut events = &run.events[..];
            for message in &messages {
                let Some(Seen::Head(head, _)) = events.first() else {
                    panic!("no head");
                };
                prop_assert_eq!(head.method.as_str(), message.method);
                prop_assert_eq!(&head.target[..], message.target.as_bytes());
                message.check_fields(&head.fields);
                let expected = message.expected(head);
                prop_assert_eq!(&events[..expected.len()], &expected[..]);
                events = &events[expected.len()..];
            }
            prop_assert!(events.is_empty());
        }
    }

    #[test]
    fn responses_on_one_connection(messages in vec(message(), 1..5), seed in any::<u64>()) {
        let mut conn = ClientConn::new(8 * 1024);
        for message in &messages {
            let mut out = SendQueue::new();
            message.write_response(&mut out);
            conn.begin(&Method::GET, false);
            let run = run(&mut conn, &flush(&mut out, 1), Cut::Random(seed), false);
            prop_assert_eq!(run.end, Ok(Ended::NeedData));
            let Some(Seen::Head(head, _)) = run.events.first() else {
                panic!("no head");
            };
            prop_assert_eq!(head.status.as_u16(), message.status);
            message.check_fields(&head.fields);
            prop_assert_eq!(&run.events, &message.expected(head));
            prop_assert!(conn.is_reusable());
        }
    }

    #[test]
    fn no_input_panics_and_cuts_never_matter(
        input in vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b':')], 0..200),
        start in prop_oneof![
            Just("GET / HTTP/1.1\r\nHost: h\r\n"),
            Just("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Just("HTTP/1.1 200 OK\r\n"),
            Just("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;"),
            Just(""),
        ],
    ) {
        let input = [start.as_bytes(), &input].concat();
        run_requests(&input, true);
        run_response(&Method::GET, true, &input, true);
    }
}

#[test]
fn a_field_never_splits_a_message() {
    let mut out = SendQueue::new();
    let mut head = HeadWriter::request(&mut out, &Method::GET, b"/a b\r\nX: y");
    head.field("ok", b"1")
        .field("", b"1")
        .field("a b", b"1")
        .field("a:b", b"1")
        .field("a\r\nb", b"1")
        .field("c", b"1\r\nd: 2")
        .field("e", b"\n")
        .field_fmt("f", format_args!("{}\0", 1))
        .field_fmt("g h", format_args!("1"))
        .field_fmt("fmt", format_args!("{}-{}", 1, 2))
        .field_number("number", u64::MAX);
    let expected = "GET /a%20b%0d%0aX:%20y HTTP/1.1\r\nok: 1\r\nfmt: 1-2\r\n\
                    number: 18446744073709551615\r\n\r\n";
    head.finish();
    assert_eq!(flush(&mut out, 0), expected.as_bytes());
    HeadWriter::request(&mut out, &Method::GET, b"").finish();
    assert_eq!(flush(&mut out, 0), b"GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn status_lines() {
    #[track_caller]
    fn check(status: u16, reason: &[u8], expected: &[u8]) {
        let status = StatusCode::from_u16(status).unwrap();
        let mut out = SendQueue::new();
        HeadWriter::response(&mut out, status, reason).finish();
        assert_eq!(flush(&mut out, 0), expected);
    }
    check(200, b"", b"HTTP/1.1 200 OK\r\n\r\n");
    check(404, b"Nope \xff", b"HTTP/1.1 404 Nope \xff\r\n\r\n");
    check(299, b"", b"HTTP/1.1 299 \r\n\r\n");
    check(200, b"a\r\nb: c", b"HTTP/1.1 200 OK\r\n\r\n");
}

#[test]
fn bodies_keep_what_was_announced() {
    #[track_caller]
    fn check(
        mut encoder: BodyEncoder,
        pieces: &[&'static [u8]],
        expected: Result<&[u8], BodyError>,
    ) {
        let mut out = SendQueue::new();
        let trailers = Fields::from_pairs([
            ("X-Sum", &b"1"[..]),
            ("Content-Length", b"9"),
            ("HOST", b"evil"),
            ("Authorization", b"x"),
        ]);
        let result = pieces
            .iter()
            .try_for_each(|piece| encoder.data(Bytes::from_static(piece), &mut out))
            .and_then(|()| encoder.end(&trailers, &mut out));
        assert_eq!(
            result.map(|()| flush(&mut out, 0)),
            expected.map(<[u8]>::to_vec)
        );
    }
    check(BodyEncoder::Empty, &[b""], Ok(b""));
    check(BodyEncoder::Empty, &[b"a"], Err(BodyError::Excess));
    check(BodyEncoder::Length(3), &[b"ab", b"", b"c"], Ok(b"abc"));
    check(BodyEncoder::Length(3), &[b"ab"], Err(BodyError::Short));
    check(
        BodyEncoder::Length(3),
        &[b"ab", b"cd"],
        Err(BodyError::Excess),
    );
    check(BodyEncoder::UntilClose, &[b"ab", b"c"], Ok(b"abc"));
    check(
        BodyEncoder::Chunked,
        &[b"ab", b"", &[b'x'; 17]],
        Ok(b"2\r\nab\r\n11\r\nxxxxxxxxxxxxxxxxx\r\n0\r\nX-Sum: 1\r\n\r\n"),
    );
    check(
        BodyEncoder::from(Framing::Chunked),
        &[],
        Ok(b"0\r\nX-Sum: 1\r\n\r\n"),
    );
    let mut ended = BodyEncoder::Chunked;
    let mut out = SendQueue::new();
    ended.end(&Fields::default(), &mut out).unwrap();
    ended.end(&Fields::default(), &mut out).unwrap();
    assert_eq!(flush(&mut out, 0), b"0\r\n\r\n", "ended once");
    let late = ended.data(Bytes::from_static(b"a"), &mut out);
    assert_eq!(late, Err(BodyError::Excess));
}

#[test]
fn a_request_and_its_answer_over_a_pair() {
    let (mut client, mut server) = (ClientConn::new(2048), ServerConn::new(2048));
    for round in 0..3 {
        let mut out = SendQueue::new();
        let mut head = HeadWriter::request(&mut out, &Method::POST, b"/pair");
        head.field("host", b"h")
            .field("transfer-encoding", b"chunked");
        head.finish();
        client.begin(&Method::POST, false);
        let mut encoder = BodyEncoder::Chunked;
        encoder
            .data(Bytes::from_static(b"question"), &mut out)
            .unwrap();
        encoder.end(&Fields::default(), &mut out).unwrap();
        let seen = run(&mut server, &flush(&mut out, round), Cut::Random(7), false);
        assert!(seen.events.contains(&Seen::Data(b"question".to_vec())));
        assert!(server.is_idle());

        let mut head = HeadWriter::response(&mut out, StatusCode::OK, b"");
        head.field_number("content-length", 6);
        head.finish();
        let mut encoder = BodyEncoder::Length(6);
        encoder
            .data(Bytes::from_static(b"answer"), &mut out)
            .unwrap();
        encoder.end(&Fields::default(), &mut out).unwrap();
        let seen = run(&mut client, &flush(&mut out, round), Cut::Bytewise, false);
        assert!(seen.events.contains(&Seen::Data(b"answer".to_vec())));
        assert!(client.is_reusable());
    }
}
