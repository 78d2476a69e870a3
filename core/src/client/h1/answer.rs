//! Owns the HTTP/1.1 bytes of answers: heads, framing, and what becomes of the connection.
//! Never changes what an answer says.

use crate::canary::{Plant, is_planted};
use crate::exchange::reply::{Body, Data, Head, PutHead};
use crate::h1::{BodyEncoder, HeadWriter, SendQueue};
use crate::message::{Fields, Line, ResponseHead, Version};
use crate::rules::forwarding;

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

    /// The head goes out; `may_keep` says that the client's connection could stay.
    pub(super) fn put_head(
        &mut self,
        head: &Head,
        may_keep: bool,
        version: Version,
        out: &mut SendQueue,
    ) {
        let encoder = match (head.body, version) {
            (Body::Empty | Body::Tunnel, _) => BodyEncoder::Empty,
            (Body::Length(length), _) => BodyEncoder::Length(length),
            // RFC 9112 §6.1: no transfer coding to HTTP/1.0.
            (Body::Unknown, Version::Http10) => BodyEncoder::UntilClose,
            (Body::Unknown, Version::Http11) => BodyEncoder::Chunked,
        };
        let is_framed = !matches!(encoder, BodyEncoder::UntilClose);
        let keep = may_keep && head.may_keep && is_framed;
        let mut out = Lines {
            encoder,
            out: HeadWriter::response(out, head.status, head.reason()),
        };
        head.put(&mut out);
        let Lines { mut out, .. } = out;
        if head.body == Body::Tunnel {
            *self = Self::Tunnel(Sent::Open);
        } else {
            put_connection(&mut out, keep, version);
            *self = Self::Body { encoder, keep };
        }
        out.finish();
    }

    /// A piece of the content goes out.
    pub(super) fn put_data(&mut self, data: Data, out: &mut SendQueue) {
        let Data { bytes, is_shared } = data;
        let pushed = match self {
            Self::Body { encoder, .. } if is_shared => encoder.shared_data(bytes, out),
            Self::Body { encoder, .. } => encoder.data(bytes, out),
            Self::Tunnel(_) => {
                out.push(bytes);
                Ok(())
            }
            Self::None => {
                debug_assert!(false, "the head comes first");
                Ok(())
            }
        };
        debug_assert!(pushed.is_ok(), "content is as long as its head says");
    }

    /// The content is complete. Says whether the connection stays; nothing yet of a tunnel's.
    pub(super) fn put_end(&mut self, trailers: &Fields, out: &mut SendQueue) -> Option<bool> {
        match *self {
            Self::Body { mut encoder, keep } => {
                let ended = encoder.end(trailers, out);
                debug_assert!(ended.is_ok(), "content is as long as its head says");
                *self = Self::None;
                Some(keep)
            }
            Self::Tunnel(_) => {
                *self = Self::Tunnel(Sent::Ending);
                None
            }
            Self::None => {
                debug_assert!(false, "the head comes first");
                None
            }
        }
    }

    /// The answer stays incomplete: its end is not queued, so that it shows.
    pub(super) fn break_off(&mut self, by_client: bool, out: &mut SendQueue) {
        if !by_client
            && is_planted(Plant::TruncatedEnd)
            && let Self::Body { encoder, .. } = self
            && matches!(encoder, BodyEncoder::Chunked)
        {
            let ended = encoder.end(&Fields::default(), out);
            debug_assert!(ended.is_ok(), "chunks can end anywhere");
        }
        *self = Self::None;
    }

    /// Whether all of what came through a tunnel has left, and its end is to be shown now; says so
    /// once.
    pub(super) fn poll_shut(&mut self, out: &SendQueue) -> bool {
        let is_due = *self == Self::Tunnel(Sent::Ending) && out.is_empty();
        if is_due {
            *self = Self::Tunnel(Sent::All);
        }
        is_due
    }

    /// The tunnel has ended, if there was one; says whether.
    pub(super) fn end_tunnel(&mut self) -> bool {
        let is_tunnel = matches!(self, Self::Tunnel(_));
        if is_tunnel {
            *self = Self::None;
        }
        is_tunnel
    }
}

/// RFC 9110 §15.2: an interim response is passed on, in front of the answer.
pub(super) fn put_interim(head: &ResponseHead, out: &mut SendQueue) {
    let mut out = HeadWriter::response(out, head.status, &head.reason);
    forwarding::forward_response(head, |line| {
        // Nobody notes what it hands out, and browsers ignore it there.
        if !line.is("set-cookie") {
            out.line(line);
        }
    });
    out.finish();
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
