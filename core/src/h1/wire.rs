//! Owns what both directions of a connection share: its phases, its buffer and its end.
//! Never knows whether it reads requests or responses: a [`Role`] does.

use bytes::Bytes;

use super::body::Framing;
use super::decode::{Ahead, Decoded, Decoder};
use super::event::Event;
use super::fields::LineRules;
use super::head::{Scan, Scanned};
use super::recv::RecvBuf;
use crate::limits::{HEAD_BYTES_CEILING, RECV_CHUNK};
use crate::message::ProtocolError;

/// What differs between reading requests and reading responses.
pub(super) trait Role {
    type Head;

    /// Judges the bytes that arrived between messages.
    fn start(&mut self, data: &[u8]) -> Result<Start, ProtocolError>;

    /// Checks the first byte of a head: what cannot become one is refused at once.
    fn check_first(byte: u8) -> Result<(), ProtocolError>;

    /// The error for a head of which only `lines` whole lines are within the limit.
    fn too_long(lines: usize) -> ProtocolError;

    /// Parses a whole head of `lines` lines.
    fn read_head(
        &mut self,
        raw: Bytes,
        lines: usize,
        rules: LineRules,
    ) -> Result<Read<Self::Head>, ProtocolError>;
}

/// What to do with bytes between messages.
pub(super) enum Start {
    Head,
    NeedData,
    Skip(usize),
}

/// A parsed head and what follows it.
pub(super) struct Read<H> {
    pub(super) head: H,
    pub(super) next: Next,
}

/// What follows a head.
#[derive(Clone, Copy)]
pub(super) enum Next {
    Body(Framing),
    /// Another head, of the same message.
    Head,
    /// Bytes of another protocol.
    Tunnel,
}

#[derive(Debug)]
enum Phase {
    Body(Decoder),
    Done,
    Failed(ProtocolError),
    Head(Scan),
    Idle,
    Tunnel,
}

/// The reading half of one connection.
#[derive(Debug)]
pub(super) struct Wire {
    /// How far the content that nobody has taken yet was looked through.
    ahead: Ahead,
    recv: RecvBuf,
    phase: Phase,
    framing: Framing,
    head_bytes_max: usize,
    has_started: bool,
    is_eof: bool,
    rules: LineRules,
}

impl Wire {
    pub(super) fn new(head_bytes_max: usize, recv: RecvBuf, rules: LineRules) -> Self {
        Self {
            ahead: Ahead::default(),
            recv,
            phase: Phase::Idle,
            framing: Framing::Empty,
            head_bytes_max: head_bytes_max.min(HEAD_BYTES_CEILING),
            has_started: false,
            is_eof: false,
            rules,
        }
    }

    /// Another limit for the lines of a head or trailer section.
    pub(super) fn set_lines_max(&mut self, lines_max: usize) {
        self.rules.lines_max = lines_max;
    }

    pub(super) fn read_buf(&mut self) -> &mut [u8] {
        if self.is_paused() {
            return &mut [];
        }
        self.recv.read_buf()
    }

    /// Whether bytes are wanted and no memory waits for them.
    pub(super) fn awaits_first(&self) -> bool {
        !self.recv.holds_memory() && !self.is_paused()
    }

    /// Whether more of a body, of which nothing was taken yet, can come before any of it has to be.
    pub(super) fn awaits_content(&mut self) -> bool {
        let Phase::Body(decoder) = &self.phase else {
            return false;
        };
        let data = self.recv.data();
        let is_here = match decoder {
            Decoder::Chunked(_) => self.ahead.sees_end(data),
            Decoder::Length(left) => data.len() as u64 >= *left,
            Decoder::UntilClose => true,
        };
        !is_here && !self.is_full()
    }

    pub(super) fn handle_read(&mut self, len: usize) {
        if self.is_failed() {
            return;
        }
        if len == 0 {
            self.is_eof = true;
        } else {
            self.has_started = true;
            self.recv.filled(len);
        }
    }

    pub(super) fn next<R: Role>(&mut self, role: &mut R) -> Result<Event<R::Head>, ProtocolError> {
        let result = self.step(role);
        if let Err(error) = result {
            self.fail(error);
        }
        result
    }

    /// Ends a finished message; no effect in an idle, failed or tunnelling connection.
    pub(super) fn start_next_cycle(&mut self) {
        debug_assert!(!self.is_inside(), "the message has not ended");
        if matches!(self.phase, Phase::Done) {
            self.phase = Phase::Idle;
        }
    }

    /// Expects a head; bytes that are there already cannot belong to it.
    pub(super) fn expect_head(&mut self) {
        debug_assert!(!self.is_inside(), "the message has not ended");
        let is_between = matches!(self.phase, Phase::Idle | Phase::Done);
        self.has_started = false;
        if is_between && self.recv.is_empty() {
            self.phase = Phase::Head(Scan::default());
        } else if !self.is_failed() {
            self.fail(ProtocolError::UnsolicitedResponse);
        }
    }

    pub(super) fn take_buffered(&mut self) -> Bytes {
        self.recv.take(self.recv.len())
    }

    pub(super) fn buffered(&self) -> usize {
        self.recv.len()
    }

    pub(super) fn release_if_idle(&mut self) {
        if self.is_idle() {
            self.recv.release();
        }
    }

    pub(super) fn lend_buffer(&mut self) {
        self.recv.lend();
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether all bytes of a body of known length were taken, but not its end.
    pub(super) fn is_body_read(&self) -> bool {
        matches!(self.phase, Phase::Body(Decoder::Length(0)))
    }

    pub(super) fn has_started(&self) -> bool {
        self.has_started
    }

    /// Whether the connection is between messages (the last one may not be put away yet) and
    /// could go on: no error, no end of stream, no byte of anything else.
    pub(super) fn is_at_rest(&self) -> bool {
        let is_between = matches!(self.phase, Phase::Idle | Phase::Done);
        is_between && !self.is_eof && self.recv.is_empty()
    }

    pub(super) fn is_eof(&self) -> bool {
        self.is_eof
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle) && self.recv.is_empty()
    }

    fn is_paused(&self) -> bool {
        self.is_eof || self.is_failed() || self.is_full()
    }

    /// A whole head or trailer section fits below this, so a pause never starves the parser; and at
    /// most [`RECV_CHUNK`] is added to it, so memory has a bound.
    fn is_full(&self) -> bool {
        self.recv.len() >= self.head_bytes_max.max(RECV_CHUNK)
    }

    fn is_failed(&self) -> bool {
        matches!(self.phase, Phase::Failed(_))
    }

    fn is_inside(&self) -> bool {
        matches!(self.phase, Phase::Head(_) | Phase::Body(_))
    }

    /// Makes `error` the answer to everything from now on.
    fn fail(&mut self, error: ProtocolError) {
        self.phase = Phase::Failed(error);
        self.recv = RecvBuf::new();
    }

    fn step<R: Role>(&mut self, role: &mut R) -> Result<Event<R::Head>, ProtocolError> {
        // At most three turns: skip an empty line, start a head, read it.
        loop {
            match &mut self.phase {
                Phase::Idle => match role.start(self.recv.data())? {
                    Start::Head => self.phase = Phase::Head(Scan::default()),
                    Start::NeedData => return self.starve(false),
                    Start::Skip(len) => self.recv.advance(len),
                },
                Phase::Head(scan) => {
                    let data = self.recv.data();
                    if let Some(&byte) = data.first() {
                        R::check_first(byte)?;
                    }
                    return match scan.run(data, self.head_bytes_max)? {
                        Scanned::Partial => self.starve(self.has_started),
                        Scanned::TooLong { lines } => Err(R::too_long(lines)),
                        Scanned::Whole { len, lines } => self.read_head(role, len, lines),
                    };
                }
                Phase::Body(decoder) => {
                    return Ok(
                        match decoder.next(&mut self.recv, self.is_eof, self.rules)? {
                            Decoded::Data(data) => Event::Data(data),
                            Decoded::NeedData => Event::NeedData,
                            Decoded::End(trailers) => {
                                self.phase = Phase::Done;
                                Event::End { trailers }
                            }
                        },
                    );
                }
                Phase::Done => return Ok(Event::NeedData),
                Phase::Tunnel if self.is_eof && self.recv.is_empty() => return Ok(Event::Closed),
                Phase::Tunnel => return Ok(Event::NeedData),
                Phase::Failed(error) => return Err(*error),
            }
        }
    }

    fn read_head<R: Role>(
        &mut self,
        role: &mut R,
        len: usize,
        lines: usize,
    ) -> Result<Event<R::Head>, ProtocolError> {
        let raw = self.recv.take_copy(len);
        let Read { head, next } = role.read_head(raw, lines, self.rules)?;
        self.ahead = Ahead::default();
        (self.phase, self.framing) = match next {
            Next::Body(framing) => (Phase::Body(Decoder::new(framing)), framing),
            Next::Head => (Phase::Head(Scan::default()), Framing::Empty),
            Next::Tunnel => (Phase::Tunnel, Framing::Empty),
        };
        Ok(Event::Head(head))
    }

    /// The event when the bytes do not suffice; `is_inside` tells that a message has begun.
    fn starve<H>(&self, is_inside: bool) -> Result<Event<H>, ProtocolError> {
        if !self.is_eof {
            return Ok(Event::NeedData);
        }
        if is_inside || !self.recv.is_empty() {
            return Err(ProtocolError::UnexpectedEof);
        }
        Ok(Event::Closed)
    }
}
