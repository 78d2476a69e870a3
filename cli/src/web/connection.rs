//! Owns [`Connection`]: one client of the server, from bytes to requests and from answers to
//! bytes, with keep-alive, pipelining and deadlines (RFC 9112 §9).
//! Never touches a socket or reads a clock, and never answers a whole request itself.

use std::io::IoSlice;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use retter_core::h1::{
    Event, Framing, HeadWriter, ProtocolError, SendQueue, ServerConn, keep_alive,
};
use retter_core::message::{RequestHead, Version};

use super::{CONTENT_BYTES_MAX, HEAD_BYTES_MAX, Limits, Request, Response};

/// How long a client may take to close after its last answer. Closing at once could reset the
/// connection and destroy the answer on its way (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// A client's connection.
///
/// Requests come one at a time: the next is looked at when the answer to the one before has left.
#[derive(Debug)]
pub(super) struct Connection {
    conn: ServerConn,
    limits: Limits,
    out: SendQueue,
    /// Since when the client owes a whole request.
    since: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The request is with the handler.
    Answering(ReplyForm),
    Closed,
    /// A head was read; its content comes.
    Content {
        request: Request,
        form: ReplyForm,
        /// Bytes of content so far.
        len: u64,
        /// First byte of the request.
        since: Instant,
    },
    /// A head is awaited; with the time of its first byte, when that is there.
    Head(Option<Instant>),
    /// Our half is closed; what still comes is thrown away until this time.
    Lingering(Instant),
    /// An answer leaves, until this time.
    Writing {
        keep: bool,
        until: Instant,
    },
}

/// How a request is to be answered.
#[derive(Clone, Copy, Debug)]
struct ReplyForm {
    /// Not for HEAD.
    has_body: bool,
    keep: bool,
    version: Version,
}

impl ReplyForm {
    /// The form for bytes that are no request, and for those of which no more is read.
    const LAST: Self = Self {
        has_body: true,
        keep: false,
        version: Version::Http11,
    };
}

/// Which connection gives way to a new one: the least.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum GivesWay {
    /// It has had its last answer.
    Done(Instant),
    /// It owes a whole request since then.
    Waiting(Instant),
    /// It takes its answer slowly, and owed a request before since then.
    Writing(Instant),
}

impl Connection {
    /// A connection that was just accepted.
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            conn: ServerConn::new(HEAD_BYTES_MAX),
            limits,
            out: SendQueue::new(),
            since: now,
            state: State::Head(None),
        }
    }

    // -- bytes

    /// Whether bytes of the client are wanted.
    pub(super) fn wants_read(&self) -> bool {
        match self.state {
            State::Content { .. } | State::Head(_) | State::Lingering(_) => true,
            State::Answering(_) | State::Closed | State::Writing { .. } => false,
        }
    }

    /// Where to read to; `None` where nobody looks at what comes.
    pub(super) fn read_buf(&mut self) -> Option<&mut [u8]> {
        let is_read = !matches!(self.state, State::Lingering(_));
        is_read.then(|| self.conn.read_buf())
    }

    /// Takes note that `len` bytes were read; 0 is the end of the stream.
    pub(super) fn handle_read(&mut self, len: usize) {
        if !matches!(self.state, State::Lingering(_)) {
            self.conn.handle_read(len);
        } else if len == 0 {
            self.state = State::Closed;
        }
    }

    /// Whether there is something to write.
    pub(super) fn has_bytes(&self) -> bool {
        !self.out.is_empty() && !self.is_closed()
    }

    /// Fills `dst` with what to write; returns how many slices were filled.
    pub(super) fn write_slices<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        self.out.slices(dst)
    }

    /// Takes note that `len` bytes were written. Returns whether our half is to be closed now.
    pub(super) fn handle_written(&mut self, len: usize, now: Instant) -> bool {
        self.out.advance(len);
        let State::Writing { keep, .. } = self.state else {
            return false;
        };
        if !self.out.is_empty() {
            return false;
        }
        self.since = now;
        if keep {
            self.conn.start_next_cycle();
            self.conn.release_if_idle();
            self.state = State::Head(None);
        } else if self.conn.is_eof() {
            self.state = State::Closed;
        } else {
            self.state = State::Lingering(now + LINGER);
        }
        !keep
    }

    /// Lends the receive buffer to other connections while nothing is in it.
    pub(super) fn lend_buffer(&mut self) {
        self.conn.lend_buffer();
    }

    // -- requests and answers

    /// The next whole request, if there is one; [`handle_response`](Self::handle_response) has to
    /// follow. What is no request is refused here.
    pub(super) fn poll_request(&mut self, now: Instant) -> Option<Request> {
        while let State::Content { .. } | State::Head(_) = self.state {
            match self.conn.next_event() {
                Ok(Event::Head(head)) => self.begin(&head, now),
                Ok(Event::Data(data)) => self.take(&data, now),
                Ok(Event::End { .. }) => {
                    let ended = std::mem::replace(&mut self.state, State::Closed);
                    let State::Content { request, form, .. } = ended else {
                        debug_assert!(false, "the head comes first");
                        return None;
                    };
                    self.state = State::Answering(form);
                    return Some(request);
                }
                Ok(Event::NeedData) => {
                    // An empty line before a request begins none (RFC 9112 §2.2).
                    if let State::Head(since @ None) = &mut self.state
                        && !self.conn.is_idle()
                    {
                        *since = Some(now);
                    }
                    return None;
                }
                Ok(Event::Closed) => self.state = State::Closed,
                Err(error) => self.refuse(error.status_hint(), &explain(error), now),
            }
        }
        None
    }

    fn begin(&mut self, head: &RequestHead, now: Instant) {
        let form = ReplyForm {
            has_body: head.method != Method::HEAD,
            keep: keep_alive(head.version, &head.fields),
            version: head.version,
        };
        let State::Head(since) = self.state else {
            debug_assert!(false, "content ends before the next head");
            return;
        };
        self.state = State::Content {
            request: Request::from(head),
            form,
            len: 0,
            since: since.unwrap_or(now),
        };
        let framing = self.conn.framing();
        if let Framing::Length(len) = framing
            && len > self.content_bytes_max()
        {
            return self.refuse_content(now);
        }
        // RFC 9110 §10.1.1: the client waits for this, unless its content is on its way already.
        let expects = head.version == Version::Http11
            && head.fields.has_token("expect", "100-continue")
            && !matches!(framing, Framing::Empty | Framing::Length(0))
            && self.conn.buffered() == 0;
        if expects {
            HeadWriter::response(&mut self.out, StatusCode::CONTINUE, b"").finish();
        }
    }

    fn content_bytes_max(&self) -> u64 {
        CONTENT_BYTES_MAX.max(self.limits.content_kept_max as u64)
    }

    fn take(&mut self, data: &[u8], now: Instant) {
        let bytes_max = self.content_bytes_max();
        if let State::Content { len, request, .. } = &mut self.state {
            *len = len.saturating_add(data.len() as u64);
            if *len > bytes_max {
                self.refuse_content(now);
            } else if self.limits.content_kept_max > 0 {
                request.content.extend_from_slice(data);
            }
        }
    }

    fn refuse_content(&mut self, now: Instant) {
        let bytes_max = self.content_bytes_max();
        let text = format!("its content is longer than {bytes_max} bytes");
        self.refuse(StatusCode::PAYLOAD_TOO_LARGE, &text, now);
    }

    /// Says what is wrong with a request, as its last answer.
    fn refuse(&mut self, status: StatusCode, reason: &str, now: Instant) {
        let text = format!("This request cannot be answered: {reason}.\n");
        self.put(Response::text(status.as_u16(), text), ReplyForm::LAST, now);
    }

    /// Queues the answer to the request that was polled last.
    pub(super) fn handle_response(&mut self, response: Response, now: Instant) {
        if let State::Answering(form) = self.state {
            self.put(response, form, now);
        }
    }

    fn put(&mut self, response: Response, form: ReplyForm, now: Instant) {
        let ReplyForm { keep, .. } = form;
        let status = StatusCode::from_u16(response.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut head = HeadWriter::response(&mut self.out, status, b"");
        for (name, value) in &response.fields {
            head.field(name, value.as_bytes());
        }
        head.field_number("Content-Length", response.body.len() as u64);
        // RFC 9112 §9.3: what becomes of the connection, where it is not the version's default.
        match (keep, form.version) {
            (false, _) => {
                head.field("Connection", b"close");
            }
            (true, Version::Http10) => {
                head.field("Connection", b"keep-alive");
            }
            (true, Version::Http11) => {}
        }
        head.finish();
        if form.has_body {
            self.out.push(response.body.into());
        }
        let until = now + self.limits.write_timeout;
        self.state = State::Writing { keep, until };
    }

    // -- its end

    /// Takes no further request: the connection ends now, or after the answer to the whole request
    /// that it has sent.
    pub(super) fn handle_drain(&mut self) {
        match &mut self.state {
            State::Answering(form) => form.keep = false,
            State::Writing { keep, .. } => *keep = false,
            State::Closed | State::Content { .. } | State::Head(_) | State::Lingering(_) => {
                self.state = State::Closed;
            }
        }
    }

    /// Whether nothing is left to do on it.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// How soon it gives way to a new connection; `None` while it is being answered.
    pub(super) fn gives_way(&self) -> Option<GivesWay> {
        match self.state {
            State::Answering(_) => None,
            State::Closed | State::Lingering(_) => Some(GivesWay::Done(self.since)),
            State::Content { .. } | State::Head(_) => Some(GivesWay::Waiting(self.since)),
            State::Writing { .. } => Some(GivesWay::Writing(self.since)),
        }
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Answering(_) | State::Closed => None,
            State::Content { since, .. } | State::Head(Some(since)) => {
                Some(*since + self.limits.request_timeout)
            }
            State::Head(None) => Some(self.since + self.limits.idle_timeout),
            State::Lingering(until) | State::Writing { until, .. } => Some(*until),
        }
    }

    /// Acts on the deadline when it has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|due| now < due) {
            return;
        }
        if let State::Content { .. } | State::Head(Some(_)) = self.state {
            let seconds = self.limits.request_timeout.as_secs();
            let text = format!("it was not complete within {seconds} s");
            self.refuse(StatusCode::REQUEST_TIMEOUT, &text, now);
        } else {
            self.state = State::Closed;
        }
    }
}

/// What is wrong with bytes that are no request, and what would be right.
fn explain(error: ProtocolError) -> String {
    if error == ProtocolError::MissingHost {
        "it has no Host field, which HTTP/1.1 requires (RFC 9112 section 3.2)".to_owned()
    } else if error == ProtocolError::InvalidHost {
        "its Host field is there twice, is no host, or is not the host of its target \
         (RFC 9112 section 3.2)"
            .to_owned()
    } else if matches!(
        error,
        ProtocolError::HeadTooLarge | ProtocolError::TargetTooLong
    ) {
        format!("{error}, at most {HEAD_BYTES_MAX} bytes are read")
    } else {
        error.to_string()
    }
}
