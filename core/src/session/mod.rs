//! Owns [`Session`]: one client connection and at most one origin connection, from bytes to bytes.
//! Never opens a socket, reads a clock or decides what may be served: the adapter does the first
//! two, `policy` the last.

mod answer;
mod background;
mod bound;
mod exchange;
mod forward;
mod heads;
mod origin;
mod relay;
mod room;
mod standing;
#[cfg(test)]
mod tests;
mod timer;
mod tunnel;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::h1::{ClientConn, SendQueue, ServerConn};
use crate::pace::Pace;
use crate::policy::Retter;
use crate::report::{End, Report};
use crate::time::Instant;

use bound::Bound;
use exchange::Exchange;
use room::Room;

pub use standing::Standing;
pub use timer::Timer;

/// One of the two sides of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The connection that asked.
    Client,
    /// The connection to the application.
    Origin,
}

/// A fact that is not bytes or time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Input {
    /// No address of the origin took a connection.
    ConnectFailed,
    /// The connection asked for with [`Action::Connect`] stands.
    Connected {
        /// Whether it was used before and may have died unnoticed.
        reused: bool,
    },
    /// No new requests are wanted: finish what runs, then close.
    Drain,
    /// Others need the place: close unless a request runs, else behind its answer.
    GiveWay,
    /// Nothing is left here to make a connection with: no socket, port or memory. That says nothing
    /// of the origin; see [`is_want`](crate::addresses::is_want).
    NoSocket,
    /// A read failed: the connection is gone.
    ReadFailed(Side),
    /// A write failed. What the peer sent before may still be readable.
    WriteFailed(Side),
}

/// What the adapter must do with a socket. Bytes are not actions; see [`Session::write_slices`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Action {
    /// Close this side so that the peer sees a reset, not a clean end (or stop dialling).
    Abort(Side),
    /// Close this side (or stop dialling).
    Close(Side),
    /// Give the origin's connection to the session of
    /// [`poll_detached`](Session::poll_detached), and run that beside this one.
    Detach,
    /// Get a connection to the origin, answer with [`Input::Connected`],
    /// [`Input::ConnectFailed`] or [`Input::NoSocket`].
    Connect {
        /// Whether it must be a new one: an idle one may have died, and this request must not
        /// be sent twice.
        fresh: bool,
    },
    /// Keep the origin's connection for a later request of any client.
    Park,
    /// The next request goes out on the connection to the origin that this session has held since
    /// its last exchange, and on no other that exists. Answer with [`Input::Connected`], `reused`,
    /// if it is still open and silent; else close it and go on as for a fresh
    /// [`Connect`](Self::Connect).
    Resume,
    /// Close the writing half of this side.
    Shutdown(Side),
}

/// One client connection, or none: see [`background`](Self::background).
///
/// The contract with the adapter:
///
/// 1. Time never goes back between calls.
/// 2. After every input (`handle_*`), drain [`poll_action`](Self::poll_action) and
///    [`poll_report`](Self::poll_report) until `None`, write what
///    [`write_slices`](Self::write_slices) gives, and read into
///    [`read_buf`](Self::read_buf); an empty read buffer means *paused*, do not read. The origin's
///    connection is read between exchanges too where no action has taken it away. Then ask
///    [`poll_room`](Self::poll_room), with a waker after which all of this begins again.
/// 3. Call [`handle_timeout`](Self::handle_timeout) at or after
///    [`poll_timeout`](Self::poll_timeout); calling it early is harmless.
/// 4. When [`is_done`](Self::is_done), drop the session and its sockets.
#[derive(Debug)]
pub struct Session {
    retter: Arc<Retter>,
    peer: SocketAddr,
    /// The origin's connection between exchanges, where this client has one of its own.
    bound: Bound,
    client: ClientSide,
    exchange: Exchange,
    life: Life,
    draining: bool,
    actions: VecDeque<Action>,
    /// Goes on without this session's client.
    detached: Option<Box<Self>>,
    /// Reports in the order of their answers, each with the value that [`ClientSide::sent`] has
    /// when its answer has left the client's send queue.
    reports: VecDeque<(u64, Report)>,
    /// So many of them have left.
    reports_due: usize,
    /// Bytes that the reserve for slow peers was told of.
    held: usize,
}

/// The client's connection.
#[derive(Debug)]
struct ClientSide {
    conn: ServerConn,
    out: SendQueue,
    /// Last byte received, or the moment from which one is expected.
    read_at: Instant,
    /// Until when more of the request's body must have come.
    read_pace: Pace,
    /// Until when more of the send queue must have been taken, since it became non-empty.
    write_pace: Pace,
    /// Bytes that were written to the socket.
    sent: u64,
    room: Room,
    /// First byte of the head being received.
    head_since: Option<Instant>,
    /// Input that nobody will read, while lingering.
    scratch: Vec<u8>,
}

/// How much longer the client's connection lives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Life {
    /// There is no client: it ends with its exchange.
    Background,
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
enum Last {
    /// A reset: the body has no other way to show that it is truncated.
    Abort,
    /// A plain close: the client has ended its stream, or waits for no answer.
    Close,
    /// Half-close, then throw away what still comes.
    Linger,
}

impl Session {
    /// Starts a session for a client connection that was just accepted from `peer`.
    #[must_use]
    pub fn new(retter: Arc<Retter>, peer: SocketAddr, now: Instant) -> Self {
        let settings = &retter.config().client();
        let conn = ServerConn::new(settings.head_bytes_max);
        let pace = Pace::start(timer::client_read(settings), now);
        let client = ClientSide {
            conn,
            out: SendQueue::default(),
            read_at: now,
            read_pace: pace,
            write_pace: pace,
            sent: 0,
            room: Room::Free,
            head_since: None,
            scratch: Vec::new(),
        };
        Self {
            retter,
            peer,
            bound: Bound::Never,
            client,
            exchange: Exchange::None,
            life: Life::Open,
            draining: false,
            actions: VecDeque::new(),
            detached: None,
            reports: VecDeque::new(),
            reports_due: 0,
            held: 0,
        }
    }

    // -- inputs

    /// Where to put the next bytes from `side`; empty when it must not be read now.
    pub fn read_buf(&mut self, side: Side) -> &mut [u8] {
        /// Enough to throw input away quickly, small enough to hold for every closing client.
        const SCRATCH_BYTES: usize = 4096;
        if self.is_paused(side) {
            return &mut [];
        }
        match (side, self.life) {
            (Side::Origin, _) => match (self.exchange.origin_mut(), &mut self.bound) {
                (Some(origin), _) => origin.conn.read_buf(),
                (None, Bound::Idle(conn)) => conn.read_buf(),
                (None, Bound::Away | Bound::Never) => &mut [],
            },
            (Side::Client, Life::Open) => self.client.conn.read_buf(),
            (Side::Client, Life::Lingering(_)) => {
                self.client.scratch.resize(SCRATCH_BYTES, 0);
                &mut self.client.scratch
            }
            (Side::Client, Life::Background | Life::Closing(_) | Life::Closed) => &mut [],
        }
    }

    /// Whether bytes of `side` are wanted and there is no buffer for them yet. A socket that can
    /// tell whether some have come is asked before [`read_buf`](Self::read_buf), so that a silent
    /// peer costs no memory.
    #[must_use]
    pub fn awaits_first(&self, side: Side) -> bool {
        if self.is_paused(side) {
            return false;
        }
        match (side, self.life) {
            (Side::Origin, _) => {
                let origin = self.exchange.origin().map(|origin| &origin.conn);
                let conn = origin.or_else(|| self.bound());
                conn.is_some_and(ClientConn::awaits_first)
            }
            (Side::Client, Life::Open) => self.client.conn.awaits_first(),
            (Side::Client, Life::Lingering(_)) => self.client.scratch.is_empty(),
            (Side::Client, Life::Background | Life::Closing(_) | Life::Closed) => false,
        }
    }

    /// Takes `len` bytes that were read into [`read_buf`](Self::read_buf); 0 is the end of the
    /// stream.
    pub fn handle_read(&mut self, side: Side, len: usize, now: Instant) {
        match side {
            Side::Client => self.client_read(len, now),
            Side::Origin => self.origin_read(len, now),
        }
        self.pump(now);
    }

    /// Takes note that `len` bytes of [`write_slices`](Self::write_slices) were written.
    pub fn handle_written(&mut self, side: Side, len: usize, now: Instant) {
        match side {
            Side::Client => {
                self.client.out.advance(len);
                self.client.sent = self.client.sent.saturating_add(len as u64);
                let terms = timer::client_write(self.retter.config().client());
                self.client.write_pace.moved(len, terms, now);
                match self.exchange {
                    // It is idle from the end of its last answer on.
                    Exchange::None if self.client.out.is_empty() => self.client.read_at = now,
                    Exchange::Tunnel(_) => self.client.read_at = now,
                    Exchange::Connecting(_)
                    | Exchange::Draining(_)
                    | Exchange::None
                    | Exchange::Receiving(_)
                    | Exchange::Relaying(_)
                    | Exchange::Waiting(_) => {}
                }
                self.release_sent(now);
            }
            Side::Origin => {
                if let Some(origin) = self.exchange.origin_mut() {
                    origin.out.advance(len);
                    origin.is_asked |= len > 0;
                    origin.write_at = now;
                }
            }
        }
        self.pump(now);
    }

    /// Takes a fact.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        match input {
            Input::ConnectFailed => self.connect_failed(now),
            Input::Connected { reused } => self.connected(reused, now),
            Input::Drain => {
                self.draining = true;
                if self.is_background() {
                    self.give_up_refresh(now);
                }
            }
            Input::GiveWay => self.give_way(now),
            Input::NoSocket => self.no_socket(now),
            Input::ReadFailed(Side::Client) | Input::WriteFailed(Side::Client) => {
                self.client_left(now);
            }
            Input::ReadFailed(Side::Origin) => self.origin_reset(now),
            Input::WriteFailed(Side::Origin) => self.origin_deaf(now),
        }
        self.pump(now);
    }

    // -- outputs

    /// The next thing to do with a socket.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Fills `dst` with what to write to `side` and returns how many slices were filled.
    pub fn write_slices<'a>(&'a self, side: Side, dst: &mut [IoSlice<'a>]) -> usize {
        match (side, self.life) {
            (Side::Client, Life::Open | Life::Closing(_)) => self.client.out.slices(dst),
            (Side::Client, Life::Background | Life::Lingering(_) | Life::Closed) => 0,
            (Side::Origin, _) => self
                .exchange
                .origin()
                .map_or(0, |side| side.out.slices(dst)),
        }
    }

    /// Whether [`write_slices`](Self::write_slices) has something to give.
    #[must_use]
    pub fn has_bytes_for(&self, side: Side) -> bool {
        match (side, self.life) {
            (Side::Client, Life::Open | Life::Closing(_)) => !self.client.out.is_empty(),
            (Side::Client, Life::Background | Life::Lingering(_) | Life::Closed) => false,
            (Side::Origin, _) => {
                let origin = self.exchange.origin();
                origin.is_some_and(|origin| !origin.out.is_empty())
            }
        }
    }

    /// The session without a client of [`Action::Detach`].
    pub fn poll_detached(&mut self) -> Option<Self> {
        self.detached.take().map(|session| *session)
    }

    /// The next finished exchange.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports_due = self.reports_due.checked_sub(1)?;
        self.reports.pop_front().map(|(_, report)| report)
    }

    /// Whether nothing is left to do; actions and reports are drained then.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.life == Life::Closed && self.actions.is_empty() && self.reports_due == 0
    }

    /// Whether an answer is on its way. Who drops the session then must reset the client's
    /// connection: its regular end would make a body complete that ends with it (RFC 9112 §8).
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.is_forwarding() || !self.client.out.is_empty()
    }

    /// Whether a request runs, or its answer is on its way.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        let runs = !matches!(self.exchange, Exchange::None | Exchange::Draining(_));
        runs || self.is_answering()
    }

    // -- the machine

    /// Moves everything that can move, until nothing does.
    fn pump(&mut self, now: Instant) {
        loop {
            let progress = match (&self.exchange, self.life) {
                (Exchange::None, Life::Open) => self.pump_head(now),
                (Exchange::None | Exchange::Connecting(_) | Exchange::Waiting(_), _) => false,
                (Exchange::Draining(_), _) => self.pump_draining(),
                (Exchange::Receiving(_), _) => self.pump_receiving(now),
                (Exchange::Relaying(_), _) => self.pump_relay(now),
                (Exchange::Tunnel(_), _) => self.pump_tunnel(now),
            };
            if !progress {
                break;
            }
        }
        self.client.conn.lend_buffer();
        if let Some(origin) = self.exchange.origin_mut() {
            origin.conn.lend_buffer();
        }
        self.pump_life(now);
        self.note_held();
        self.check_invariants();
    }

    /// Carries out the end of the client's connection as far as it can go now.
    fn pump_life(&mut self, now: Instant) {
        /// How long a client may take to read its last answer and close.
        const LINGER: std::time::Duration = std::time::Duration::from_secs(2);
        if self.life == Life::Background && matches!(self.exchange, Exchange::None) {
            self.life = Life::Closed;
        }
        if self.life == Life::Open && self.should_close_idle() {
            self.life = Life::Closing(Last::Close);
        }
        if self.life != Life::Open {
            self.unbind();
        }
        if let Life::Closing(last) = self.life
            && self.client.out.is_empty()
        {
            match last {
                Last::Abort => self.end(Action::Abort(Side::Client)),
                Last::Close => self.end(Action::Close(Side::Client)),
                Last::Linger => {
                    self.actions.push_back(Action::Shutdown(Side::Client));
                    self.life = Life::Lingering(now + LINGER);
                }
            }
        }
    }

    /// Whether the connection is between requests and no further one is wanted or possible.
    fn should_close_idle(&self) -> bool {
        let between = matches!(self.exchange, Exchange::None)
            && self.client.out.is_empty()
            && self.client.conn.is_idle();
        between && (self.draining || self.client.conn.is_eof())
    }

    /// The client's next bytes are of a body: its time begins.
    fn expect_body(&mut self, now: Instant) {
        let terms = timer::client_read(self.retter.config().client());
        self.client.read_pace = Pace::start(terms, now);
    }

    fn client_read(&mut self, len: usize, now: Instant) {
        self.client.read_at = now;
        let terms = timer::client_read(self.retter.config().client());
        self.client.read_pace.moved(len, terms, now);
        if let Life::Lingering(_) = self.life {
            if len == 0 {
                self.end(Action::Close(Side::Client));
            }
            return;
        }
        self.client.conn.handle_read(len);
        if len == 0 && self.client_owes_content() {
            self.client_broke_off(now);
        } else if len == 0 && !self.client_waits_half_closed() {
            self.client_left(now);
        }
    }

    /// The client is gone: whatever runs for it stops.
    fn client_left(&mut self, now: Instant) {
        self.leave_client(Action::Close(Side::Client), now);
    }

    /// The client ended its stream inside a request: it asked for nothing with that, but what it
    /// asked for before is still answered.
    fn client_broke_off(&mut self, now: Instant) {
        let last = self.exchange.forwarding();
        let last = last.map_or(Last::Close, |forward| forward.cut(Last::Close));
        self.give_up_exchange(End::ClientLeft, now);
        self.life = Life::Closing(last);
    }

    /// Whatever runs for the client stops, with this last action on its socket.
    fn leave_client(&mut self, action: Action, now: Instant) {
        self.client.out.clear();
        self.give_up_exchange(End::ClientLeft, now);
        self.release_unsent(now);
        self.end(action);
    }

    /// Ends the session with this last action on the client's socket.
    fn end(&mut self, action: Action) {
        if self.life == Life::Closed {
            return;
        }
        self.close_origin();
        self.unbind();
        self.exchange = Exchange::None;
        self.life = Life::Closed;
        self.actions.push_back(action);
    }

    /// Files a report; it leaves when the last byte of its answer does. So there are never more
    /// of them than answers in the client's queue, however many requests a client sends ahead.
    fn file(&mut self, report: Report, now: Instant) {
        let queued = self.client.out.len() as u64;
        let end = self.client.sent.saturating_add(queued);
        if self.reports.capacity() == 0 {
            // Most clients wait for one answer before they ask again, and most are idle.
            self.reports.reserve_exact(1);
        }
        self.reports.push_back((end, report));
        self.release_sent(now);
    }

    /// Lets the reports go whose answers have left.
    fn release_sent(&mut self, now: Instant) {
        while let Some((end, report)) = self.reports.get_mut(self.reports_due)
            && *end <= self.client.sent
        {
            report.ended = now;
            self.reports_due += 1;
        }
    }

    /// Lets the reports go whose answers will not leave any more.
    fn release_unsent(&mut self, now: Instant) {
        for (_, report) in self.reports.iter_mut().skip(self.reports_due) {
            report.ended = now;
            if report.end == End::Complete {
                report.end = End::ClientLeft;
            }
        }
        self.reports_due = self.reports.len();
    }

    fn check_invariants(&self) {
        debug_assert!(
            self.life != Life::Closed || matches!(self.exchange, Exchange::None),
            "a closed session runs no exchange"
        );
        debug_assert!(
            self.bound().is_none() || self.life == Life::Open && self.exchange.origin().is_none(),
            "one connection to the origin, and only for a client that may ask again"
        );
        debug_assert!(
            self.life != Life::Closed || self.reports_due == self.reports.len(),
            "a closed session owes no report"
        );
    }
}

const _: () = {
    const fn send<T: Send>() {}
    const fn sync<T: Send + Sync>() {}
    send::<Session>();
    sync::<Retter>();
};
