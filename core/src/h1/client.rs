//! Owns [`ClientConn`]: the machine that reads responses.
//! Never writes: `encode` makes the bytes of the other direction.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::body::{Framing, keep_alive, may_be_followed, response_framing};
use super::event::Event;
use super::fields::LineRules;
use super::head::parse_response;
use super::recv::RecvBuf;
use super::wire::{Next, Read, Role, Start, Wire};
use crate::limits::{INTERIM_MAX, RESPONSE_FIELDS_MAX};
use crate::message::{ProtocolError, ResponseHead};

/// Reads the responses of one origin connection.
///
/// As [`ServerConn`](super::ServerConn), and before each request is written [`ClientConn::begin`] is called: how a
/// response ends depends on the method asked. Bytes that come without it are an error.
#[derive(Debug)]
pub struct ClientConn {
    wire: Wire,
    role: Responses,
}

impl ClientConn {
    /// A connection whose heads may have `head_bytes_max` bytes.
    #[must_use]
    pub fn new(head_bytes_max: usize) -> Self {
        let rules = LineRules {
            lines_max: RESPONSE_FIELDS_MAX,
            takes_off_white: true,
        };
        Self {
            wire: Wire::new(head_bytes_max, RecvBuf::new(), rules),
            role: Responses {
                method: Method::GET,
                is_upgrade_asked: false,
                is_persistent: true,
                interim_count: 0,
            },
        }
    }

    /// Expects the response to a request with `method`; `upgrade_asked` tells that the request
    /// carries `Upgrade`, so that 101 is an answer to it.
    ///
    /// Bytes of the origin that are buffered already make the connection fail.
    pub fn begin(&mut self, method: &Method, upgrade_asked: bool) {
        self.wire.expect_head();
        self.role.method = method.clone();
        self.role.is_upgrade_asked = upgrade_asked;
        self.role.interim_count = 0;
    }

    /// The same with another limit for the fields of a head or trailer section than
    /// [`RESPONSE_FIELDS_MAX`].
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

    /// The next event. `Head` comes once for each interim (1xx) response and once for the final
    /// one; after 101 all bytes are the tunnel's ([`Self::take_buffered`]). `Closed` also when the
    /// origin closes after [`Self::begin`] without a byte of a response.
    ///
    /// # Errors
    /// Names why the bytes are not a response; from then on always the same.
    pub fn next_event(&mut self) -> Result<Event<ResponseHead>, ProtocolError> {
        self.wire.next(&mut self.role)
    }

    /// Puts the finished response away, after `End`.
    pub fn start_next_cycle(&mut self) {
        self.wire.start_next_cycle();
    }

    /// Takes everything buffered, for a tunnel.
    pub fn take_buffered(&mut self) -> Bytes {
        self.wire.take_buffered()
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

    /// Whether all bytes of a body of known length were taken, but not its [end](Event::End).
    #[must_use]
    pub fn is_body_read(&self) -> bool {
        self.wire.is_body_read()
    }

    /// Whether any byte arrived since [`Self::begin`].
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.wire.has_started()
    }

    /// Whether the origin ended its stream.
    #[must_use]
    pub fn is_eof(&self) -> bool {
        self.wire.is_eof()
    }

    /// Whether another request may be sent: the response is complete and the origin keeps the
    /// connection, did not end it, and sent nothing beyond (RFC 9112 §9.3). Nor was it a response
    /// behind whose head content may still come, as one to HEAD.
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.role.is_persistent && self.wire.is_at_rest()
    }
}

#[derive(Debug)]
struct Responses {
    /// The method of the request being answered.
    method: Method,
    is_upgrade_asked: bool,
    /// No response so far forbids another request.
    is_persistent: bool,
    interim_count: usize,
}

impl Role for Responses {
    type Head = ResponseHead;

    fn start(&mut self, data: &[u8]) -> Result<Start, ProtocolError> {
        // RFC 9112 §9.2: "If a client receives data on a connection that doesn't have outstanding
        // requests, the client MUST NOT consider that data to be a valid response".
        if data.is_empty() {
            Ok(Start::NeedData)
        } else {
            Err(ProtocolError::UnsolicitedResponse)
        }
    }

    fn check_first(byte: u8) -> Result<(), ProtocolError> {
        if byte == b'H' {
            Ok(())
        } else {
            Err(ProtocolError::InvalidStatusLine)
        }
    }

    fn too_long(_lines: usize) -> ProtocolError {
        ProtocolError::HeadTooLarge
    }

    fn read_head(
        &mut self,
        raw: Bytes,
        lines: usize,
        rules: LineRules,
    ) -> Result<Read<ResponseHead>, ProtocolError> {
        let head = parse_response(raw, lines, rules)?;
        let framing = response_framing(&self.method, &head)?;
        self.is_persistent &= framing != Framing::UntilClose
            && keep_alive(head.version, &head.fields)
            && !may_be_followed(&self.method, &head);
        let next = match head.status {
            // RFC 9110 §15.2.2 and §7.8: the new protocol starts behind this head.
            StatusCode::SWITCHING_PROTOCOLS if self.is_upgrade_asked => Next::Tunnel,
            StatusCode::SWITCHING_PROTOCOLS => return Err(ProtocolError::UnexpectedUpgrade),
            status if status.is_informational() => {
                self.interim_count += 1;
                if self.interim_count > INTERIM_MAX {
                    return Err(ProtocolError::TooManyInterim);
                }
                Next::Head
            }
            _ => Next::Body(framing),
        };
        Ok(Read { head, next })
    }
}
