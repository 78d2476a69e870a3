//! Owns [`Client`]: an HTTP/1.1 connection to a client, from its first byte to its last, and all
//! bytes that are written to it.
//! Never decides what is answered, or when: replies come from an exchange.

mod answer;

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use crate::config::ClientSettings;
use crate::exchange::reply::Reply;
use crate::h1::{Event, Framing, ProtocolError, SendQueue, ServerConn, keep_alive};
use crate::limits::ANSWERS_BYTES_MAX;
use crate::message::{RequestHead, Version};
use crate::pace::{Demand, Pace};
use crate::time::Instant;

use super::{Piece, Stream};
use answer::Answer;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    answer: Answer,
    /// From when on it is slow, where it has something to take or to send.
    brisk: Pace,
    /// What is asked of it for that; here, as it takes some counting.
    brisk_terms: Demand,
    conn: ServerConn,
    /// First byte of the head being received.
    head_since: Option<Instant>,
    /// No further request is wanted.
    is_last: bool,
    life: Life,
    out: SendQueue,
    /// Last byte received, or the moment from which one is expected.
    read_at: Instant,
    /// Until when more of the request's body must have come.
    read_pace: Pace,
    /// Input that nobody will read, while lingering.
    scratch: Vec<u8>,
    /// Bytes that were written to the socket.
    sent: u64,
    version: Version,
    /// Whether the client wants its connection kept (RFC 9112 §9.3).
    wants_keep: bool,
    /// Until when more of the send queue must have been taken, since it became non-empty.
    write_pace: Pace,
}

/// How much longer the connection lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Life {
    /// There is no client.
    Absent,
    /// Requests are read.
    Open,
    /// What is queued goes out, then the connection ends in this way.
    Closing(Last),
    /// Our half is closed; input is thrown away until the peer closes or this deadline, so that
    /// a reset does not destroy the answer on its way (RFC 9112 §9.6).
    Lingering(Instant),
    /// Nothing is left.
    Closed,
}

/// The last act on a client's connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Last {
    /// A reset: the body has no other way to show that it is truncated.
    Abort,
    /// A plain close: the client has ended its stream, or waits for no answer.
    Close,
    /// Half-close, then throw away what still comes.
    Linger,
}

/// What a deadline guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timer {
    /// A whole request head, from its first byte.
    Head,
    /// The next request on an idle connection.
    Idle,
    /// The client to close after our last answer.
    Linger,
    /// Progress of the send queue.
    Write,
}

/// What is found where the next request should begin.
#[derive(Debug)]
pub(crate) enum Next {
    /// The client ended its stream inside a head.
    BrokenOff,
    Head(RequestHead),
    Malformed(ProtocolError),
    Nothing,
}

/// How much of a request's content is here, before any of it is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Received {
    /// The client ended its stream inside it.
    BrokenOff,
    /// All, or as much as is held.
    Enough,
    Partly,
}

/// What the client did to its stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Read {
    /// It sent bytes, or ended a stream that nobody reads any more.
    Bytes,
    /// It ended its stream.
    End,
    /// It ended the stream that lingered: nothing is left to wait for.
    Over,
}

/// What is asked of a client that sends a body.
const fn read_terms(settings: &ClientSettings) -> Demand {
    Demand {
        ahead_max: settings.read_timeout,
        grace: settings.read_timeout,
        rate_min: settings.rate_min,
    }
}

/// What is asked of a client that takes an answer.
fn write_terms(settings: &ClientSettings) -> Demand {
    /// What is written lies in two kernels, and room for more shows only when a good part of it
    /// was taken: at 20 kB a second that can be half a minute.
    const AHEAD: u32 = 4;
    Demand {
        ahead_max: settings.write_timeout.saturating_mul(AHEAD),
        grace: settings.write_timeout,
        rate_min: settings.rate_min,
    }
}

/// What is asked of a client that is not to be called slow: more than of one that may stay as long as
/// there are seats.
fn brisk_terms(settings: &ClientSettings) -> Demand {
    /// In bytes a second. Less is a line that hardly bears pages, or somebody who wants it to last.
    const RATE: u32 = 16 * 1024;
    let grace = settings.write_timeout.min(settings.read_timeout) / 2;
    Demand {
        ahead_max: grace,
        grace,
        rate_min: settings.rate_min.map(|least| least.max(RATE)),
    }
}

impl Client {
    /// A connection that was just accepted.
    pub(crate) fn new(settings: &ClientSettings, now: Instant) -> Self {
        let pace = Pace::start(read_terms(settings), now);
        let brisk_terms = brisk_terms(settings);
        Self {
            answer: Answer::None,
            brisk: Pace::start(brisk_terms, now),
            brisk_terms,
            conn: ServerConn::new(settings.head_bytes_max)
                .with_fields_max(settings.head_fields_max),
            head_since: None,
            is_last: false,
            life: Life::Open,
            out: SendQueue::default(),
            read_at: now,
            read_pace: pace,
            scratch: Vec::new(),
            sent: 0,
            version: Version::Http11,
            wants_keep: false,
            write_pace: pace,
        }
    }

    /// Nobody: an exchange runs for itself.
    pub(crate) fn absent(settings: &ClientSettings, now: Instant) -> Self {
        Self {
            life: Life::Absent,
            ..Self::new(settings, now)
        }
    }

    // -- bytes

    /// Where to put the next bytes; empty when none are wanted.
    pub(crate) fn read_buf(&mut self) -> &mut [u8] {
        /// Enough to throw input away quickly, small enough to hold for every closing client.
        const SCRATCH_BYTES: usize = 4096;
        match self.life {
            Life::Open => self.conn.read_buf(),
            Life::Lingering(_) => {
                self.scratch.resize(SCRATCH_BYTES, 0);
                &mut self.scratch
            }
            Life::Absent | Life::Closing(_) | Life::Closed => &mut [],
        }
    }

    /// Whether bytes are wanted and there is no buffer for them yet.
    pub(crate) fn awaits_first(&self) -> bool {
        match self.life {
            Life::Open => self.conn.awaits_first(),
            Life::Lingering(_) => self.scratch.is_empty(),
            Life::Absent | Life::Closing(_) | Life::Closed => false,
        }
    }

    /// Takes `len` bytes that were read into [`read_buf`](Self::read_buf); 0 is the end of the
    /// stream.
    pub(crate) fn handle_read(
        &mut self,
        len: usize,
        settings: &ClientSettings,
        now: Instant,
    ) -> Read {
        self.read_at = now;
        self.read_pace.moved(len, read_terms(settings), now);
        if !self.conn.is_idle() {
            self.brisk.moved(len, self.brisk_terms, now);
        }
        if let Life::Lingering(_) = self.life {
            return if len == 0 { Read::Over } else { Read::Bytes };
        }
        self.conn.handle_read(len);
        if len == 0 { Read::End } else { Read::Bytes }
    }

    /// Takes note that `len` bytes were written.
    pub(crate) fn handle_written(&mut self, len: usize, settings: &ClientSettings, now: Instant) {
        self.out.advance(len);
        self.sent = self.sent.saturating_add(len as u64);
        self.write_pace.moved(len, write_terms(settings), now);
        if !self.out.is_empty() {
            self.brisk.moved(len, self.brisk_terms, now);
        }
    }

    /// Fills `dst` with what to write and returns how many slices were filled.
    pub(crate) fn write_slices<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        if self.may_write() {
            self.out.slices(dst)
        } else {
            0
        }
    }

    /// Whether there is something to write.
    pub(crate) fn has_bytes(&self) -> bool {
        self.may_write() && !self.out.is_empty()
    }

    const fn may_write(&self) -> bool {
        matches!(self.life, Life::Open | Life::Closing(_))
    }

    /// Lends the receive buffer to others while nothing is in it.
    pub(crate) fn lend_buffer(&mut self) {
        self.conn.lend_buffer();
    }

    // -- requests

    /// Reads the next request head, if there is one. `has_room` says that its answer has.
    pub(crate) fn poll_head(&mut self, has_room: bool, now: Instant) -> Next {
        if !has_room || self.out.len() >= ANSWERS_BYTES_MAX {
            // Its time begins when it can be heard.
            self.head_since = None;
            return Next::Nothing;
        }
        match self.conn.next_event() {
            Ok(Event::Head(head)) => Next::Head(head),
            Ok(Event::NeedData | Event::Closed) => {
                // Idle again is a connection that got an empty line (RFC 9112 §2.2).
                let is_inside = !self.conn.is_idle();
                self.head_since = is_inside.then(|| self.head_since.unwrap_or(now));
                Next::Nothing
            }
            Ok(Event::Data(_) | Event::End { .. }) => {
                debug_assert!(false, "a body is taken before the next head is asked for");
                Next::Nothing
            }
            Err(ProtocolError::UnexpectedEof) => Next::BrokenOff,
            Err(error) => Next::Malformed(error),
        }
    }

    /// Takes on the request whose head was just read. Says how its content is framed, and whether
    /// all of it is here already.
    pub(crate) fn accept(&mut self, request: &RequestHead) -> (Framing, bool) {
        let framing = self.conn.framing();
        let is_read = matches!(framing, Framing::Empty | Framing::Length(0))
            && matches!(self.conn.next_event(), Ok(Event::End { .. }));
        self.version = request.version;
        self.wants_keep = keep_alive(request.version, &request.fields);
        (framing, is_read)
    }

    /// When the first byte of the request being read was seen; asked once.
    pub(crate) fn take_head_since(&mut self) -> Option<Instant> {
        self.head_since.take()
    }

    /// Whether enough of a request's content is here for it to be acted on.
    pub(crate) fn poll_received(&mut self) -> Received {
        if !self.conn.awaits_content() {
            Received::Enough
        } else if self.conn.is_eof() {
            Received::BrokenOff
        } else {
            Received::Partly
        }
    }

    /// The next bytes are of a body: the time for it begins.
    pub(crate) fn expect_content(&mut self, settings: &ClientSettings, now: Instant) {
        self.read_pace = Pace::start(read_terms(settings), now);
        self.brisk.resume(self.brisk_terms, now);
    }

    // -- answers

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

    /// The tunnel has ended, if there was one: the connection cannot be used for anything else.
    pub(crate) fn end_tunnel(&mut self) {
        if self.answer.end_tunnel() && self.life == Life::Open {
            self.close(self.last());
        }
    }

    // -- its end

    /// No further request is wanted.
    pub(crate) const fn handle_drain(&mut self) {
        self.is_last = true;
    }

    /// It is idle from now on.
    pub(crate) const fn rest(&mut self, now: Instant) {
        self.read_at = now;
    }

    /// Ends the connection in this way, once what is queued has gone out.
    pub(crate) const fn close(&mut self, last: Last) {
        self.life = Life::Closing(last);
    }

    /// As [`close`](Self::close), but where the body of an answer would be complete with that, by a
    /// reset (RFC 9112 §8).
    pub(crate) const fn cut(&mut self, otherwise: Last) {
        self.close(if self.answer.ends_by_close() {
            Last::Abort
        } else {
            otherwise
        });
    }

    /// How to end the connection behind an answer: whatever else the client sends may cross it
    /// (RFC 9112 §9.6), unless it has ended its stream.
    fn last(&self) -> Last {
        if self.conn.is_eof() {
            Last::Close
        } else {
            Last::Linger
        }
    }

    /// Throws away what was queued: nobody will take it.
    pub(crate) fn discard(&mut self) {
        self.out.clear();
    }

    /// Nothing is left of the connection.
    pub(crate) const fn end(&mut self) {
        self.life = Life::Closed;
    }

    /// Closes a connection between requests on which no further one is wanted or possible.
    pub(crate) fn end_if_idle(&mut self) {
        let is_idle = self.out.is_empty() && self.conn.is_idle();
        if self.life == Life::Open && is_idle && (self.is_last || self.conn.is_eof()) {
            self.close(Last::Close);
        }
    }

    /// The last act on the connection, when it is due.
    pub(crate) fn poll_last(&mut self, now: Instant) -> Option<Last> {
        /// How long a client may take to read its last answer and close.
        const LINGER: Duration = Duration::from_secs(2);
        let Life::Closing(last) = self.life else {
            return None;
        };
        if !self.out.is_empty() {
            return None;
        }
        if last == Last::Linger {
            self.life = Life::Lingering(now + LINGER);
        }
        Some(last)
    }

    // -- deadlines

    /// When more of a body must have come.
    pub(crate) const fn content_due(&self) -> Instant {
        self.read_pace.due()
    }

    /// The next deadline; `is_between` says that no request is being worked on.
    pub(crate) fn deadlines(
        &self,
        is_between: bool,
        settings: &ClientSettings,
    ) -> [Option<(Instant, Timer)>; 2] {
        let waits = !self.out.is_empty() && self.life != Life::Closed;
        let write = waits.then(|| (self.write_pace.due(), Timer::Write));
        let life = match (self.life, self.head_since) {
            (Life::Lingering(deadline), _) => Some((deadline, Timer::Linger)),
            (Life::Open, Some(since)) if is_between => {
                Some((since + settings.read_timeout, Timer::Head))
            }
            // It has its last answer to take first.
            (Life::Open, None) if is_between && self.out.is_empty() => {
                Some((self.read_at + settings.idle_timeout, Timer::Idle))
            }
            (Life::Absent | Life::Open | Life::Closing(_) | Life::Closed, _) => None,
        };
        [write, life]
    }

    // -- how it stands

    pub(crate) const fn life(&self) -> Life {
        self.life
    }

    pub(crate) fn is_open(&self) -> bool {
        self.life == Life::Open
    }

    /// Bytes that were written to the socket.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// From when on it has been, or will be, slow to take or send what it has to.
    pub(crate) const fn slow_from(&self) -> Instant {
        self.brisk.due()
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.out.len()
    }

    /// Whether it reads nothing at the moment but may send a request.
    pub(crate) const fn idle_since(&self) -> Instant {
        self.read_at
    }

    /// The first byte of the head being received.
    pub(crate) const fn head_since(&self) -> Option<Instant> {
        self.head_since
    }

    /// Whether bytes were received that nobody has taken.
    pub(crate) fn has_buffered(&self) -> bool {
        self.conn.buffered() > 0
    }

    /// Whether the client asked for its connection to be kept.
    pub(crate) const fn wants_keep(&self) -> bool {
        self.wants_keep
    }
}

impl Stream for Client {
    fn poll_content(&mut self) -> Result<Piece, ProtocolError> {
        Ok(match self.conn.next_event()? {
            Event::Data(data) => Piece::Data(data),
            Event::End { trailers } => Piece::End(trailers),
            Event::NeedData => Piece::Nothing,
            Event::Closed | Event::Head(_) => {
                debug_assert!(false, "the decoder ends a body before the next head");
                Piece::Nothing
            }
        })
    }

    fn resume_content(&mut self, settings: &ClientSettings, now: Instant) {
        self.read_at = now;
        self.expect_content(settings, now);
    }

    fn take_buffered(&mut self) -> Bytes {
        self.conn.take_buffered()
    }

    fn is_eof(&self) -> bool {
        self.conn.is_eof()
    }

    fn handle_reply(&mut self, reply: Reply, settings: &ClientSettings, now: Instant) {
        let Self { answer, out, .. } = self;
        if out.is_empty() {
            // The write deadline counts from when there is something to write.
            self.write_pace.resume(write_terms(settings), now);
            self.brisk.resume(self.brisk_terms, now);
        }
        match reply {
            Reply::Abort { by_client } => {
                // Before the answer is forgotten: how it is framed decides how it is cut.
                let is_complete_by_close = answer.ends_by_close();
                answer.break_off(by_client, out);
                self.close(match (is_complete_by_close, by_client) {
                    (true, _) => Last::Abort,
                    (false, true) => Last::Linger,
                    (false, false) => Last::Close,
                });
            }
            Reply::Data(data) => answer.put_data(data, out),
            Reply::End { is_read, trailers } => {
                if let Some(keep) = answer.put_end(&trailers, out) {
                    self.next_or_close(keep && is_read, now);
                }
            }
            Reply::Head(head) => {
                let may_keep = self.wants_keep && !self.is_last;
                answer.put_head(&head, may_keep, self.version, out);
            }
            Reply::Interim(head) => {
                // Not to HTTP/1.0 clients.
                if self.version == Version::Http11 {
                    answer::put_interim(&head, out);
                }
                if head.status == StatusCode::CONTINUE {
                    self.expect_content(settings, now);
                }
            }
        }
    }

    fn held(&self) -> usize {
        self.out.held()
    }

    fn wants_nothing(&self) -> bool {
        self.conn.is_idle() && !self.conn.is_eof() && !self.is_last
    }

    fn poll_shut(&mut self) -> bool {
        self.answer.poll_shut(&self.out)
    }
}
