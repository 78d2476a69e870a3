//! Owns [`ServerConn`]: the machine that reads requests.
//! Never writes: `encode` makes the bytes of the other direction.

use bytes::Bytes;

use super::body::{Framing, request_framing};
use super::event::Event;
use super::fields::LineRules;
use super::head::parse_request;
use super::recv::RecvBuf;
use super::wire::{Next, Read, Role, Start, Wire};
use crate::limits::REQUEST_FIELDS_MAX;
use crate::message::{ProtocolError, RequestHead, is_token};

/// Reads the requests of one client connection.
///
/// 1. Read from the socket into [`ServerConn::read_buf`] and tell the length with
///    [`ServerConn::handle_read`]. An empty slice means: do not read now.
/// 2. Call [`ServerConn::next_event`] until it has nothing more (`NeedData`, `Closed`) or fails.
///    A failed connection stays failed, with the same error.
/// 3. After `End`, and when the answer is on its way, call [`ServerConn::start_next_cycle`]; only
///    then is a pipelined request parsed.
#[derive(Debug)]
pub struct ServerConn {
    wire: Wire,
    role: Requests,
}

impl ServerConn {
    /// A connection whose heads may have `head_bytes_max` bytes.
    #[must_use]
    pub fn new(head_bytes_max: usize) -> Self {
        let rules = LineRules {
            lines_max: REQUEST_FIELDS_MAX,
            takes_off_white: false,
        };
        Self {
            wire: Wire::new(head_bytes_max, RecvBuf::small(), rules),
            role: Requests::default(),
        }
    }

    /// The same with another limit for the fields of a head or trailer section than
    /// [`REQUEST_FIELDS_MAX`].
    #[must_use]
    pub fn with_fields_max(mut self, fields_max: usize) -> Self {
        self.wire.set_lines_max(fields_max);
        self
    }

    /// Where to read to. Empty: enough is buffered that [`Self::next_event`] has not consumed, or
    /// nothing more is wanted (end of stream, error).
    pub fn read_buf(&mut self) -> &mut [u8] {
        self.wire.read_buf()
    }

    /// Tells that `len` bytes were read; 0 is the end of the stream.
    pub fn handle_read(&mut self, len: usize) {
        self.wire.handle_read(len);
    }

    /// The next event.
    ///
    /// # Errors
    /// Names why the bytes are not a request; from then on always the same.
    pub fn next_event(&mut self) -> Result<Event<RequestHead>, ProtocolError> {
        self.wire.next(&mut self.role)
    }

    /// Whether more of a request's content can be received before any of it has to be taken: it is
    /// not here as a whole, and there is room. Asked between its head and the next event.
    #[must_use]
    pub fn awaits_content(&mut self) -> bool {
        self.wire.awaits_content()
    }

    /// Makes ready for the next request, after `End`.
    pub fn start_next_cycle(&mut self) {
        self.role.has_skipped = false;
        self.wire.start_next_cycle();
    }

    /// Takes everything buffered, for a tunnel.
    pub fn take_buffered(&mut self) -> Bytes {
        self.wire.take_buffered()
    }

    /// Bytes received and not consumed yet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.wire.buffered()
    }

    /// Frees the receive buffer between messages.
    pub fn release_if_idle(&mut self) {
        self.wire.release_if_idle();
    }

    /// Lends the receive buffer to other connections of this thread while nothing is in it. Call
    /// it when all events were taken.
    pub fn lend_buffer(&mut self) {
        self.wire.lend_buffer();
    }

    /// Whether bytes are wanted and there is no buffer for them yet: a caller that can tell whether some
    /// have come asks that before [`Self::read_buf`].
    #[must_use]
    pub fn awaits_first(&self) -> bool {
        self.wire.awaits_first()
    }

    /// The framing of the current message, valid after its head.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.wire.framing()
    }

    /// Whether the connection is between messages and no byte of the next one is there.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.wire.is_idle()
    }

    /// Whether the client ended its stream.
    #[must_use]
    pub fn is_eof(&self) -> bool {
        self.wire.is_eof()
    }
}

#[derive(Debug, Default)]
struct Requests {
    /// The one empty line allowed before a request line was seen.
    has_skipped: bool,
}

impl Role for Requests {
    type Head = RequestHead;

    fn start(&mut self, data: &[u8]) -> Result<Start, ProtocolError> {
        match data {
            [] => Ok(Start::NeedData),
            // RFC 9112 §2.2: "SHOULD ignore at least one empty line (CRLF)"; one it is.
            b"\r" if !self.has_skipped => Ok(Start::NeedData),
            [b'\r', b'\n', ..] if !self.has_skipped => {
                self.has_skipped = true;
                Ok(Start::Skip(2))
            }
            _ => Ok(Start::Head),
        }
    }

    fn check_first(byte: u8) -> Result<(), ProtocolError> {
        // A method is a token. Neither TLS nor the HTTP/2 preface of another port waits for more.
        if is_token(&[byte]) {
            Ok(())
        } else {
            Err(ProtocolError::InvalidRequestLine)
        }
    }

    fn too_long(lines: usize) -> ProtocolError {
        if lines == 0 {
            ProtocolError::TargetTooLong
        } else {
            ProtocolError::HeadTooLarge
        }
    }

    fn read_head(
        &mut self,
        raw: Bytes,
        lines: usize,
        rules: LineRules,
    ) -> Result<Read<RequestHead>, ProtocolError> {
        let head = parse_request(raw, lines, rules)?;
        let next = Next::Body(request_framing(&head)?);
        Ok(Read { head, next })
    }
}
