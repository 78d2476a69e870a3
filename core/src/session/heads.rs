//! Owns the heads that clients get of the origin's responses: fields, framing, connection.
//! Never touches a body.

use http::{Method, StatusCode};

use super::exchange::{Download, Exchange, Upload};
use super::forward::Forward;
use super::timer::client_read;
use super::{Life, Session};
use crate::h1::{BodyEncoder, Framing, HeadWriter};
use crate::message::{ResponseHead, Version};
use crate::pace::Pace;
use crate::rules::{coding, forwarding};
use crate::time::Instant;

impl Session {
    /// RFC 9110 §15.2: interim responses are passed on, but not to HTTP/1.0 clients.
    pub(super) fn pass_interim(&mut self, head: &ResponseHead, now: Instant) {
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return;
        };
        if head.status == StatusCode::CONTINUE {
            relay.call.expects = false;
            self.client.read_pace = Pace::start(client_read(self.retter.config().client()), now);
        }
        let has_reader = self.life != Life::Background;
        if relay.call.request.version == Version::Http10 || !has_reader {
            return;
        }
        self.mark_client_write(now);
        let mut out = HeadWriter::response(&mut self.client.out, head.status, &head.reason);
        forwarding::forward_response(head, |line| {
            out.line(line);
        });
        out.finish();
    }

    pub(super) fn start_forward(&mut self, head: &ResponseHead, now: Instant) {
        self.mark_client_write(now);
        let config = self.retter.config();
        let pool = self.retter.gzip_pool();
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return;
        };
        let Some(fetch) = &mut relay.fetch else {
            return;
        };
        fetch.forget_copy();
        let call = &relay.call;
        let framing = relay.origin.conn.framing();
        let is_head = call.request.method == Method::HEAD;
        let length = match framing {
            Framing::Length(length) => Some(length),
            // RFC 9110 §9.3.2: the length that a GET would have.
            Framing::Empty if is_head => told_length(head),
            Framing::Empty | Framing::Chunked | Framing::UntilClose => None,
        };
        let has_body = is_head || framing != Framing::Empty;
        let varies = config.client().gzip
            && has_body
            && coding::worth_gzip(head.status, &head.fields, length);
        let wants_gzip = varies && coding::accepts_gzip(&call.request.fields);
        let stream = if is_head {
            None
        } else {
            wants_gzip.then(|| pool.stream()).flatten()
        };
        let gzip = stream.is_some() || wants_gzip && is_head;
        let encoder = choose_encoder(framing, gzip, call.request.version);
        let keep = call.keep
            && !self.draining
            && relay.upload == Upload::Sent
            && !matches!(encoder, BodyEncoder::UntilClose);

        let mut out = HeadWriter::response(&mut self.client.out, head.status, &head.reason);
        put_fields(&mut out, head, gzip, varies);
        if !head.fields.contains("date") {
            out.field("date", self.retter.wall_clock(now).to_string().as_bytes());
        }
        fetch.put_labels(&mut |name, value| {
            out.field(name, value);
        });
        put_framing(&mut out, &encoder, head, is_head, gzip);
        put_connection(&mut out, keep, call.request.version);
        out.finish();

        let forward = Forward {
            circuit: fetch.circuit(),
            encoder,
            event_stream: call.streams,
            gzip: stream.map(Box::new),
            has_length: matches!(framing, Framing::Length(_)),
            keep,
            sent: 0,
            status: head.status,
            unflushed: false,
            was_paused: false,
        };
        relay.download = Download::Forwarding(forward);
    }
}

fn told_length(head: &ResponseHead) -> Option<u64> {
    head.fields.get_str("content-length")?.parse().ok()
}

fn choose_encoder(framing: Framing, gzip: bool, version: Version) -> BodyEncoder {
    match (framing, version) {
        (Framing::Empty, _) => BodyEncoder::Empty,
        (Framing::Length(length), _) if !gzip => BodyEncoder::Length(length),
        // RFC 9112 §6.1: no transfer coding to HTTP/1.0.
        (_, Version::Http10) => BodyEncoder::UntilClose,
        (_, Version::Http11) => BodyEncoder::Chunked,
    }
}

/// The end-to-end fields of a response, changed where it is compressed.
fn put_fields(out: &mut HeadWriter<'_>, head: &ResponseHead, gzip: bool, varies: bool) {
    forwarding::forward_response(head, |line| {
        if gzip && line.is("etag") {
            out.line(line.with_value(&coding::weaken_etag(line.value)));
        } else if !(gzip && line.is("accept-ranges")) {
            out.line(line);
        }
    });
    if gzip {
        out.field("content-encoding", b"gzip");
    }
    if varies && !coding::varies_on(&head.fields, "accept-encoding") {
        out.field("vary", b"Accept-Encoding");
    }
}

fn put_framing(
    out: &mut HeadWriter<'_>,
    encoder: &BodyEncoder,
    head: &ResponseHead,
    is_head: bool,
    gzip: bool,
) {
    match encoder {
        BodyEncoder::Chunked => {
            out.field("transfer-encoding", b"chunked");
        }
        BodyEncoder::Length(length) => {
            out.field_number("content-length", *length);
        }
        // RFC 9110 §8.6: a length without content tells of the GET; 1xx and 204 have none.
        BodyEncoder::Empty => {
            let may_tell = is_head && !gzip || head.status == StatusCode::NOT_MODIFIED;
            if may_tell && let Some(length) = head.fields.get("content-length") {
                out.field("content-length", length);
            }
        }
        BodyEncoder::UntilClose => {}
    }
}

/// RFC 9112 §9.3 and §9.6: says what becomes of the connection.
pub(super) fn put_connection(out: &mut HeadWriter<'_>, keep: bool, version: Version) {
    match (keep, version) {
        (false, _) => {
            out.field("connection", b"close");
        }
        (true, Version::Http10) => {
            out.field("connection", b"keep-alive");
        }
        (true, Version::Http11) => {}
    }
}
