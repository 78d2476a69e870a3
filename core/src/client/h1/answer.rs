//! Owns the HTTP/1.1 bytes of answers: heads, framing, and what becomes of the connection.
//! Never changes what an answer says.

use http::StatusCode;

use super::{Client, Last, Life, Reply, write_terms};
use crate::canary::{Plant, is_planted};
use crate::config::ClientSettings;
use crate::exchange::reply::{Body, Data, Head, PutHead};
use crate::h1::{BodyEncoder, HeadWriter};
use crate::message::{Fields, Line, ResponseHead, Version};
use crate::rules::forwarding;
use crate::time::Instant;

/// How far the answer to the running request is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// Its head is out, and this is how its body is written.
    Body {
        encoder: BodyEncoder,
        /// Whether the head promised that the connection stays.
        keep: bool,
    },
    /// None is on its way.
    None,
    /// Another protocol.
    Tunnel(Sent),
}

/// How far a tunnel is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sent {
    /// All of it, and the client's side is shut.
    All,
    /// All of it is queued.
    Ending,
    Open,
}

impl Answer {
    /// Whether the end of the body is the end of the connection.
    pub(super) const fn ends_by_close(self) -> bool {
        matches!(
            self,
            Self::Body {
                encoder: BodyEncoder::UntilClose,
                ..
            }
        )
    }
}

impl Client {
    /// Queues the next part of an answer.
    pub(crate) fn handle_reply(&mut self, reply: Reply, settings: &ClientSettings, now: Instant) {
        if self.out.is_empty() {
            // The write deadline counts from when there is something to write.
            self.write_pace.resume(write_terms(settings), now);
        }
        match reply {
            Reply::Abort { by_client } => self.break_off(by_client),
            Reply::Data(data) => self.put_data(data),
            Reply::End { is_read, trailers } => self.put_end(&trailers, is_read, now),
            Reply::Head(head) => self.put_head(&head),
            Reply::Interim(head) => {
                if head.status == StatusCode::CONTINUE {
                    self.expect_content(settings, now);
                }
                self.put_interim(&head);
            }
        }
    }

    /// RFC 9110 §15.2: interim responses are passed on, but not to HTTP/1.0 clients.
    fn put_interim(&mut self, head: &ResponseHead) {
        if self.version == Version::Http10 {
            return;
        }
        let mut out = HeadWriter::response(&mut self.out, head.status, &head.reason);
        forwarding::forward_response(head, |line| {
            // Nobody notes what it hands out, and browsers ignore it there.
            if !line.is("set-cookie") {
                out.line(line);
            }
        });
        out.finish();
    }

    fn put_head(&mut self, head: &Head) {
        let encoder = match (head.body, self.version) {
            (Body::Empty | Body::Tunnel, _) => BodyEncoder::Empty,
            (Body::Length(length), _) => BodyEncoder::Length(length),
            // RFC 9112 §6.1: no transfer coding to HTTP/1.0.
            (Body::Unknown, Version::Http10) => BodyEncoder::UntilClose,
            (Body::Unknown, Version::Http11) => BodyEncoder::Chunked,
        };
        let is_framed = !matches!(encoder, BodyEncoder::UntilClose);
        let keep = self.wants_keep && !self.is_last && head.may_keep && is_framed;
        let mut out = Lines {
            encoder,
            out: HeadWriter::response(&mut self.out, head.status, head.reason()),
        };
        head.put(&mut out);
        let Lines { mut out, .. } = out;
        if head.body == Body::Tunnel {
            self.answer = Answer::Tunnel(Sent::Open);
        } else {
            put_connection(&mut out, keep, self.version);
            self.answer = Answer::Body { encoder, keep };
        }
        out.finish();
    }

    fn put_data(&mut self, data: Data) {
        let Data { bytes, is_shared } = data;
        let pushed = match &mut self.answer {
            Answer::Body { encoder, .. } if is_shared => encoder.shared_data(bytes, &mut self.out),
            Answer::Body { encoder, .. } => encoder.data(bytes, &mut self.out),
            Answer::Tunnel(_) => {
                self.out.push(bytes);
                Ok(())
            }
            Answer::None => {
                debug_assert!(false, "the head comes first");
                Ok(())
            }
        };
        debug_assert!(pushed.is_ok(), "content is as long as its head says");
    }

    fn put_end(&mut self, trailers: &Fields, is_read: bool, now: Instant) {
        match self.answer {
            Answer::Body { mut encoder, keep } => {
                let ended = encoder.end(trailers, &mut self.out);
                debug_assert!(ended.is_ok(), "content is as long as its head says");
                self.answer = Answer::None;
                self.next_or_close(keep && is_read, now);
            }
            Answer::Tunnel(_) => self.answer = Answer::Tunnel(Sent::Ending),
            Answer::None => debug_assert!(false, "the head comes first"),
        }
    }

    /// The answer stays incomplete: its end is not queued, so that it shows.
    fn break_off(&mut self, by_client: bool) {
        if !by_client
            && is_planted(Plant::TruncatedEnd)
            && let Answer::Body { encoder, .. } = &mut self.answer
            && matches!(encoder, BodyEncoder::Chunked)
        {
            let ended = encoder.end(&Fields::default(), &mut self.out);
            debug_assert!(ended.is_ok(), "chunks can end anywhere");
        }
        self.cut(if by_client { Last::Linger } else { Last::Close });
        self.answer = Answer::None;
    }

    /// Makes the connection ready for the next request, or ends it.
    fn next_or_close(&mut self, keep: bool, now: Instant) {
        self.read_at = now;
        if keep {
            self.conn.start_next_cycle();
            self.conn.release_if_idle();
        } else if self.life == Life::Open {
            self.close(self.last());
        }
    }

    /// Whether all of what came through a tunnel has left, and its end is to be shown now; says so
    /// once.
    pub(crate) fn poll_shut(&mut self) -> bool {
        let is_due = self.answer == Answer::Tunnel(Sent::Ending) && self.out.is_empty();
        if is_due {
            self.answer = Answer::Tunnel(Sent::All);
        }
        is_due
    }

    /// The tunnel has ended, if there was one: the connection cannot be used for anything else.
    pub(crate) fn end_tunnel(&mut self) {
        if let Answer::Tunnel(_) = self.answer {
            self.answer = Answer::None;
            if self.life == Life::Open {
                self.close(self.last());
            }
        }
    }
}

/// Writes the lines of a head as they come.
struct Lines<'a> {
    encoder: BodyEncoder,
    out: HeadWriter<'a>,
}

impl PutHead for Lines<'_> {
    fn fields(&mut self, fields: &Fields) {
        self.out.fields(fields);
    }

    fn framing(&mut self, head: &Head) {
        let out = &mut self.out;
        match self.encoder {
            BodyEncoder::Chunked => {
                out.field("transfer-encoding", b"chunked");
            }
            BodyEncoder::Length(length) => {
                out.field_number("content-length", length);
            }
            BodyEncoder::Empty if head.body == Body::Tunnel => {
                out.field("connection", b"upgrade");
                if let Some(protocol) = head.protocol() {
                    out.field("upgrade", protocol);
                }
            }
            BodyEncoder::Empty => {
                if let Some(length) = head.told_length() {
                    out.field("content-length", &length);
                }
            }
            BodyEncoder::UntilClose => {}
        }
    }

    fn line(&mut self, line: Line<'_>) {
        self.out.line(line);
    }
}

/// RFC 9112 §9.3 and §9.6: says what becomes of the connection.
fn put_connection(out: &mut HeadWriter<'_>, keep: bool, version: Version) {
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
