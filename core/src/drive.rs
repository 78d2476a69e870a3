//! Owns the loop that moves bytes, actions and time between one [`Session`] and its two sockets,
//! over traits that a runtime's adapter implements in a few lines each.
//! Never opens, names or knows a socket; never looks at a byte.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::addresses::is_want;
use crate::event::Report;
use crate::limits::IOVECS_MAX;
use crate::session::{Action, Input, Session, Side, Standing};
use crate::time::Instant;

/// Rounds of one poll before other sessions get their turn.
const STEPS_MAX: usize = 64;

/// A connected stream of a runtime. Polls follow the rules of [`Future::poll`]: `Pending` has
/// registered the waker.
pub trait Socket {
    /// Whether a read is worth a try. A socket that cannot tell says that it is, as this does.
    fn poll_readable(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Reads; 0 is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes as much of `slices` as goes at once.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Closes the writing half. A socket that is gone is found gone by the next read.
    fn shut_write(&self);

    /// Makes the coming close a reset, so that the peer sees that its answer is incomplete.
    fn reset_on_close(&self);
}

/// A timer of a runtime.
pub trait Alarm {
    /// Becomes ready once `deadline` has passed. The deadline may differ from call to call.
    fn poll_at(&mut self, deadline: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()>;
}

/// What a session needs of the worker that runs it.
pub trait Host {
    /// Its timers.
    type Alarm: Alarm;
    /// An attempt to connect; dropped when nobody waits any more. Whether it can move between
    /// threads is the runtime's affair: so can the session then.
    type Dial: Future<Output = io::Result<Self::Socket>> + Unpin;
    /// Its sockets.
    type Socket: Socket;

    /// The time: the only clock that is read.
    fn now(&self) -> Instant;

    /// An idle origin connection that is still alive.
    fn checkout(&self, now: Instant) -> Option<Self::Socket>;

    /// Keeps an origin connection for later.
    fn park(&self, socket: Self::Socket, now: Instant);

    /// Whether a connection that one client has kept for itself is still open and silent: a byte
    /// that came before anything was asked would begin the next answer. An adapter that
    /// cannot tell says that it is, as this does.
    fn is_alive(&self, _socket: &Self::Socket) -> bool {
        true
    }

    /// Starts to connect to the origin.
    fn dial(&self) -> Self::Dial;

    /// A new timer.
    fn alarm(&self) -> Self::Alarm;

    /// Whether sessions should end when they can. Not by itself.
    fn is_draining(&self) -> bool {
        false
    }

    /// Whether this session was chosen to give its place to another client. Not by itself.
    fn must_leave(&self) -> bool {
        false
    }

    /// Takes note of how the session stands while it waits.
    fn note(&self, _standing: Standing) {}

    /// Runs a session without a client, beside the caller's, on an origin connection that it
    /// has already. Dropping both, as this does, gives the copy up that would have been renewed.
    fn detach(&self, _session: Session, _origin: Self::Socket) {}

    /// Takes the record of an exchange.
    fn report(&self, report: Report);
}

/// One session with its sockets. [`Drive::poll`] it until it is ready.
pub struct Drive<H: Host> {
    alarm: H::Alarm,
    client: Option<H::Socket>,
    host: H,
    origin: Origin<H::Socket, H::Dial>,
    session: Session,
    /// Whose socket has said in this poll that it has nothing to read: it wakes the task.
    silent: Silent,
    told_to_drain: bool,
    told_to_leave: bool,
}

#[derive(Default)]
struct Silent {
    client: bool,
    origin: bool,
}

impl Silent {
    const fn of(&mut self, side: Side) -> &mut bool {
        match side {
            Side::Client => &mut self.client,
            Side::Origin => &mut self.origin,
        }
    }
}

enum Origin<S, D> {
    Connected(S),
    Dialing(D),
    None,
}

impl<H: Host> Drive<H> {
    /// Joins a session to its client's socket.
    pub fn new(host: H, client: H::Socket, session: Session) -> Self {
        Self {
            alarm: host.alarm(),
            client: Some(client),
            host,
            origin: Origin::None,
            session,
            silent: Silent::default(),
            told_to_drain: false,
            told_to_leave: false,
        }
    }

    /// A session without a client, with the origin connection that it may have already.
    pub fn background(host: H, origin: Option<H::Socket>, session: Session) -> Self {
        Self {
            alarm: host.alarm(),
            client: None,
            host,
            origin: origin.map_or(Origin::None, Origin::Connected),
            session,
            silent: Silent::default(),
            told_to_drain: false,
            told_to_leave: false,
        }
    }

    /// Moves everything that can move; ready when the session is done.
    ///
    /// Wake the task also when [`Host::is_draining`] or [`Host::must_leave`] becomes true.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // One look at the clock serves the whole turn.
        let now = self.host.now();
        self.silent = Silent::default();
        if self.host.is_draining() && !std::mem::replace(&mut self.told_to_drain, true) {
            self.session.handle_input(Input::Drain, now);
        }
        if self.host.must_leave() && !std::mem::replace(&mut self.told_to_leave, true) {
            self.session.handle_input(Input::GiveWay, now);
        }
        for _ in 0..STEPS_MAX {
            let progress = self.step(now, cx);
            if self.session.is_done() {
                return Poll::Ready(());
            }
            // Time is asked when nothing else moves: what moves makes deadlines later.
            if !progress && self.poll_alarm(now, cx).is_pending() {
                self.host.note(self.session.standing());
                return Poll::Pending;
            }
        }
        // They hold for a session that is always busy too.
        self.session.handle_timeout(now);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends the session as it is, for a caller that cannot wait any more: drop it then. The record of
    /// what ran is told as ever. Returns whether a request ran.
    #[must_use]
    pub fn cut(&mut self) -> bool {
        let now = self.host.now();
        let runs = self.session.is_at_work();
        self.reset_if_answering();
        self.session.handle_input(
            match self.client {
                Some(_) => Input::ReadFailed(Side::Client),
                None => Input::Drain,
            },
            now,
        );
        self.tell_reports();
        runs
    }

    /// What the host is.
    pub fn host(&self) -> &H {
        &self.host
    }

    fn tell_reports(&mut self) {
        while let Some(report) = self.session.poll_report() {
            self.host.report(report);
        }
    }

    /// A regular end would make a body complete that ends with the connection.
    fn reset_if_answering(&self) {
        if self.session.is_answering()
            && let Some(client) = &self.client
        {
            client.reset_on_close();
        }
    }

    /// One round; `true` when anything moved.
    fn step(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(action) = self.session.poll_action() {
            self.apply(action, now);
            progress = true;
        }
        self.tell_reports();
        progress |= self.session.poll_room(cx.waker(), now);
        progress |= self.poll_dial(now, cx).is_ready();
        for side in [Side::Origin, Side::Client] {
            progress |= self.poll_write(side, now, cx).is_ready();
            progress |= self.poll_read(side, now, cx).is_ready();
        }
        progress
    }

    fn apply(&mut self, action: Action, now: Instant) {
        match action {
            Action::Abort(side) => {
                if let Some(socket) = socket(side, &mut self.client, &mut self.origin) {
                    socket.reset_on_close();
                }
                self.close(side);
            }
            Action::Close(side) => self.close(side),
            Action::Connect { fresh, .. } => self.connect(fresh, now),
            Action::Detach(_) => {
                let origin = std::mem::replace(&mut self.origin, Origin::None);
                if let (Origin::Connected(socket), Some(session)) =
                    (origin, self.session.poll_detached())
                {
                    self.host.detach(session, socket);
                }
            }
            Action::Park(_) => {
                if let Origin::Connected(socket) = std::mem::replace(&mut self.origin, Origin::None)
                {
                    self.host.park(socket, now);
                }
            }
            Action::Resume(_) => self.resume(now),
            Action::Shutdown(side) => {
                if let Some(socket) = socket(side, &mut self.client, &mut self.origin) {
                    socket.shut_write();
                }
            }
        }
    }

    fn connect(&mut self, fresh: bool, now: Instant) {
        self.silent.origin = false;
        if !fresh && let Some(socket) = self.host.checkout(now) {
            self.origin = Origin::Connected(socket);
            self.session
                .handle_input(Input::Connected { reused: true }, now);
        } else {
            self.origin = Origin::Dialing(self.host.dial());
        }
    }

    /// Uses the connection again that the session has kept, or a new one where it has ended.
    fn resume(&mut self, now: Instant) {
        match &self.origin {
            Origin::Connected(socket) if self.host.is_alive(socket) => {
                let input = Input::Connected { reused: true };
                self.session.handle_input(input, now);
            }
            Origin::Connected(_) | Origin::Dialing(_) | Origin::None => {
                self.close(Side::Origin);
                self.connect(true, now);
            }
        }
    }

    fn close(&mut self, side: Side) {
        match side {
            Side::Client => self.client = None,
            Side::Origin => self.origin = Origin::None,
        }
    }

    fn poll_dial(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Origin::Dialing(dial) = &mut self.origin else {
            return Poll::Pending;
        };
        let input = match ready!(Pin::new(dial).poll(cx)) {
            Ok(socket) => {
                self.origin = Origin::Connected(socket);
                Input::Connected { reused: false }
            }
            Err(error) => {
                self.origin = Origin::None;
                if is_want(&error) {
                    Input::NoSocket
                } else {
                    Input::ConnectFailed
                }
            }
        };
        self.session.handle_input(input, now);
        Poll::Ready(())
    }

    fn poll_write(&mut self, side: Side, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if !self.session.has_bytes_for(side) {
            return Poll::Pending;
        }
        let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
        let count = self.session.write_slices(side, &mut slices);
        let Some(socket) = socket(side, &mut self.client, &mut self.origin) else {
            return Poll::Pending;
        };
        if count == 0 {
            return Poll::Pending;
        }
        match ready!(socket.poll_write(cx, &slices[..count])) {
            Ok(len) => self.session.handle_written(side, len, now),
            Err(_) => self.session.handle_input(Input::WriteFailed(side), now),
        }
        Poll::Ready(())
    }

    fn poll_read(&mut self, side: Side, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let silent = self.silent.of(side);
        let Some(socket) = socket(side, &mut self.client, &mut self.origin) else {
            return Poll::Pending;
        };
        if *silent {
            return Poll::Pending;
        }
        if self.session.awaits_first(side) && socket.poll_readable(cx).is_pending() {
            // No memory is lent to peers that are silent, as most are.
            *silent = true;
            return Poll::Pending;
        }
        let room = self.session.read_buf(side);
        if room.is_empty() {
            return Poll::Pending;
        }
        match socket.poll_read(cx, room) {
            Poll::Pending => {
                *silent = true;
                return Poll::Pending;
            }
            Poll::Ready(Ok(len)) => self.session.handle_read(side, len, now),
            Poll::Ready(Err(_)) => self.session.handle_input(Input::ReadFailed(side), now),
        }
        Poll::Ready(())
    }

    fn poll_alarm(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.session.poll_timeout() else {
            return Poll::Pending;
        };
        if deadline > now {
            ready!(self.alarm.poll_at(deadline, now, cx));
            // It has become later, but perhaps not late enough: the next turn looks again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.session.handle_timeout(now);
        Poll::Ready(())
    }
}

impl<H: Host> Drop for Drive<H> {
    fn drop(&mut self) {
        self.reset_if_answering();
    }
}

impl<H: Host> fmt::Debug for Drive<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

fn socket<'a, S, D>(
    side: Side,
    client: &'a mut Option<S>,
    origin: &'a mut Origin<S, D>,
) -> Option<&'a mut S> {
    match (side, origin) {
        (Side::Client, _) => client.as_mut(),
        (Side::Origin, Origin::Connected(socket)) => Some(socket),
        (Side::Origin, Origin::Dialing(_) | Origin::None) => None,
    }
}

#[cfg(test)]
mod tests;
