//! Owns [`Exchange`]: one request from its decision to its end, with the origin's connection.
//! Never sees a client's connection or a byte toward it: the client pulls [`Reply`]s. Never opens a
//! socket, reads a clock or decides what may be served.

mod answer;
mod call;
mod choice;
mod connecting;
mod deadline;
mod download;
mod forward;
mod origin;
mod page;
mod relay;
pub(crate) mod reply;
mod room;
mod signal;
mod state;
#[cfg(test)]
pub(crate) mod tests;
mod tunnel;
mod upload;
mod words;

use std::io::IoSlice;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

use http::StatusCode;

use crate::event::Report;
use crate::gateway::Gateway;
use crate::h1::{ClientConn, Framing};
use crate::report::{CallId, End, Failure};
use crate::rules::forwarded::View;
use crate::site::{Asker, Guest, Refresh, Slow};
use crate::time::Instant;

use answer::Shared;
use connecting::Connecting;
use download::Download;
use origin::Origin;
use reply::Reply;
use room::Room;
use signal::{Step, Turn};
use state::State;

pub(crate) use call::{Call, Owner};
pub(crate) use choice::Choice;
pub use deadline::Timer;
pub(crate) use signal::{Action, Content, Cut, Intake};

/// One request from its decision to its end.
///
/// The contract with its owner:
///
/// 1. Time never goes back between calls.
/// 2. After every input (`handle_*`), carry out what [`poll_action`](Self::poll_action) gives, feed
///    content while [`poll_intake`](Self::poll_intake) takes it, and pull
///    [`poll_reply`](Self::poll_reply) until `None`, or until the client has no room. A client that
///    has none while an exchange [is streaming](Self::is_streaming) says so
///    ([`handle_room`](Self::handle_room)): content of the origin then stays where it is, and
///    deadlines know for whom everything waits.
/// 3. The bytes of the origin's connection go through [`read_buf`](Self::read_buf) and
///    [`write_slices`](Self::write_slices).
/// 4. Call [`handle_timeout`](Self::handle_timeout) at or after
///    [`poll_timeout`](Self::poll_timeout).
/// 5. When it [is over](Self::is_over), take its [report](Self::poll_report) and drop it.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// Goes on without this exchange's client.
    detached: Option<Box<Self>>,
    shared: Shared,
    state: State,
}

impl Exchange {
    /// Asks the site about a request and does what it says.
    pub(crate) fn begin(gateway: &Arc<Gateway>, call: Call, now: Instant) -> Box<Self> {
        let asker = Asker {
            address: call.address(),
            chose_public: call.own_cookies.public,
            guest: Some(Guest {
                claim: call.own_cookies.room,
                peer: call.view.client(),
            }),
            is_bound: call.owner != Owner::Anyone,
            peer: Some(call.view.client()),
        };
        let ruling = gateway.site().decide_on(&call.request, asker, now);
        // Allocated first, so that it is built in its place.
        let place = Box::new_uninit();
        let shared = Shared::new(Arc::clone(gateway), call, true);
        let state = State::Done;
        let mut exchange = Box::write(
            place,
            Self {
                detached: None,
                shared,
                state,
            },
        );
        exchange.state = State::ruled(ruling, &mut exchange.shared, now);
        exchange
    }

    /// Answers a request that is not for the origin.
    pub(crate) fn refused(
        gateway: &Arc<Gateway>,
        call: Call,
        status: StatusCode,
        text: &str,
        now: Instant,
    ) -> Box<Self> {
        let mut shared = Shared::new(Arc::clone(gateway), call, true);
        shared.refuse_call(status, text, None, now);
        Box::new(Self {
            detached: None,
            shared,
            state: State::Done,
        })
    }

    /// Answers a client that chooses to see what strangers are sent, or tells it why it cannot.
    pub(crate) fn chosen(
        gateway: &Arc<Gateway>,
        call: Call,
        choice: &Choice,
        now: Instant,
    ) -> Box<Self> {
        let mut shared = Shared::new(Arc::clone(gateway), call, true);
        shared.answer_choice(choice, now);
        Box::new(Self {
            detached: None,
            shared,
            state: State::Done,
        })
    }

    /// Renews a copy, or probes a circuit, for no client.
    pub(crate) fn renewal(gateway: &Arc<Gateway>, refresh: Refresh, now: Instant) -> Box<Self> {
        let Refresh {
            fetch,
            peer,
            request,
            is_strangers,
        } = refresh;
        let trusted = &gateway.client().trusted_proxies;
        let view = match is_strangers {
            true => View::vouched(&request, peer, trusted),
            // Of what the client sent all is there by which its proxies told.
            false => View::of(&request, peer, trusted),
        };
        let peer = SocketAddr::new(peer, 0);
        let mut call = Call::new(CallId::FIRST, request, Framing::Empty, view, peer, now);
        call.is_read = true;
        call.request_id = gateway.make_id();
        (call.expects, call.upgrade) = (false, false);
        let mut shared = Shared::new(Arc::clone(gateway), call, false);
        shared.actions.push(Action::Connect { fresh: false });
        shared.let_through(&fetch);
        Box::new(Self {
            detached: None,
            shared,
            state: State::Connecting(Connecting { fetch, since: now }),
        })
    }

    // -- inputs of the client

    /// Takes content of the request; only while [`poll_intake`](Self::poll_intake) says so.
    pub(crate) fn handle_content(&mut self, content: Content, now: Instant) {
        let shared = &mut self.shared;
        match (content, &mut self.state) {
            (Content::Cut(cut), _) => self.cut(&cut, now),
            (Content::Data(data), State::Relaying(relay)) => relay.handle_data(data, shared, now),
            (Content::Data(data), State::Tunnel(tunnel)) => tunnel.handle_data(data, shared),
            (Content::End(trailers), State::Relaying(relay)) => {
                relay.handle_end(&trailers, shared, now);
            }
            (Content::End(_), State::Tunnel(tunnel)) => tunnel.handle_end(),
            (
                Content::Data(_) | Content::End(_),
                State::Connecting(_) | State::Done | State::Draining(_) | State::Waiting(_),
            ) => debug_assert!(false, "content comes while it is taken"),
        }
    }

    /// The request's content will not come.
    fn cut(&mut self, cut: &Cut, now: Instant) {
        self.shared.call.broken = cut.broken;
        let may_answer = matches!(&self.state, State::Relaying(relay)
            if matches!(relay.download, Download::Awaiting(_) | Download::Holding(_)));
        if may_answer {
            let origin = self.shared.call.origin_report(None, now);
            self.give_up();
            self.shared
                .refuse_call(cut.status, &cut.text, Some(origin), now);
        } else {
            self.handle_left(now);
            self.shared.outbox.put_abort(true);
        }
    }

    /// The client has gone, or wants nothing of this any more. The site takes no outcome from it.
    pub(crate) fn handle_left(&mut self, now: Instant) {
        self.shared.outbox.clear();
        match &self.state {
            // The client was answered, and the report of that exists.
            State::Done | State::Draining(_) => {
                if let Some(report) = &mut self.shared.report {
                    report.end = End::ClientLeft;
                }
            }
            State::Tunnel(_) => return self.turn(Turn::Stop, now),
            state @ (State::Connecting(_) | State::Relaying(_) | State::Waiting(_)) => {
                let outcome = state.left(&self.shared, now);
                self.shared.report = Some(self.shared.call.report(outcome, now));
            }
        }
        self.give_up();
    }

    /// Says whether the client takes more; asked for while it [is streaming](Self::is_streaming).
    pub(crate) fn handle_room(&mut self, has_room: bool, now: Instant) {
        match (self.shared.room, has_room) {
            (Room::Free, false) => self.shared.room = Room::Full(now),
            (Room::Full(_) | Room::Paused, true) => {
                self.shared.room = Room::Free;
                let settings = self.shared.origin();
                if let Some(origin) = self.state.origin_mut() {
                    // Nobody read from the origin meanwhile.
                    origin.expect_bytes(settings, now);
                }
            }
            (Room::Free, true) | (Room::Full(_) | Room::Paused, false) => {}
        }
    }

    /// Says how many bytes wait for the client already.
    pub(crate) const fn handle_queued(&mut self, bytes: usize) {
        self.shared.queued = bytes;
    }

    /// The client sent or took something through a tunnel.
    pub(crate) const fn handle_moved(&mut self, now: Instant) {
        if let State::Tunnel(tunnel) = &mut self.state {
            tunnel.client_at = now;
        }
    }

    /// The client has got all of what came through a tunnel, and the end of that.
    pub(crate) fn handle_shut(&mut self) {
        if let State::Tunnel(tunnel) = &mut self.state {
            tunnel.handle_shut();
        }
    }

    /// The client, which has its answer, wants something else: the rest of a response that nobody
    /// needs is not waited for.
    pub(crate) fn handle_wanted(&mut self) {
        if self.is_draining() {
            self.give_up();
        }
    }

    /// The program ends: what nobody waits for is not finished.
    pub(crate) fn handle_drain(&mut self, now: Instant) {
        if self.shared.is_joined {
            return;
        }
        if matches!(self.state, State::Connecting(_) | State::Relaying(_)) {
            let report = self.shared.call.origin_report(None, now);
            self.shared.report_renewal(End::ClientLeft, report, now);
        }
        self.give_up();
    }

    // -- inputs of the origin's connection

    /// The connection stands. `conn` is what is known of it, where this client has used it before.
    pub(crate) fn handle_connected(
        &mut self,
        reused: bool,
        conn: Option<Box<ClientConn>>,
        now: Instant,
    ) {
        self.leave_connecting(|connecting, shared| {
            let conn = conn.filter(|_| reused);
            State::Relaying(connecting.connected(reused, conn, shared, now))
        });
    }

    /// No address of the origin took a connection.
    pub(crate) fn handle_connect_failed(&mut self, now: Instant) {
        self.leave_connecting(|connecting, shared| match connecting.failed(shared, now) {
            Some(ticket) => State::Waiting(Box::new(ticket)),
            None => State::Done,
        });
    }

    /// There is nothing to make a connection with.
    pub(crate) fn handle_no_socket(&mut self, now: Instant) {
        self.leave_connecting(|connecting, shared| {
            connecting.no_socket(shared, now);
            State::Done
        });
    }

    /// Only if that is the state: the exchange may have ended while the connection was being made.
    fn leave_connecting(&mut self, next: impl FnOnce(Connecting, &mut Shared) -> State) {
        self.state = match mem::take(&mut self.state) {
            State::Connecting(connecting) => next(connecting, &mut self.shared),
            other @ (State::Done
            | State::Draining(_)
            | State::Relaying(_)
            | State::Tunnel(_)
            | State::Waiting(_)) => other,
        };
    }

    /// The origin sent `len` bytes; 0 is the end of its stream.
    pub(crate) fn handle_read(&mut self, len: usize, now: Instant) {
        let settings = self.shared.origin();
        let Some(origin) = self.state.origin_mut() else {
            return;
        };
        // RFC 9112 §9.2: what comes on a used connection before a byte of the request has left
        // belongs to an earlier exchange.
        if len > 0 && origin.reused && !origin.is_asked {
            return self.turn(Turn::Failed(Failure::Reset), now);
        }
        origin.handle_read(len, settings, now);
    }

    /// `len` bytes of [`write_slices`](Self::write_slices) were written.
    pub(crate) fn handle_written(&mut self, len: usize, now: Instant) {
        if let Some(origin) = self.state.origin_mut() {
            origin.handle_written(len, now);
        }
    }

    /// The connection broke while reading.
    pub(crate) fn handle_reset(&mut self, now: Instant) {
        match &self.state {
            State::Connecting(_) => self.handle_connect_failed(now),
            State::Draining(_) | State::Tunnel(_) => self.turn(Turn::Stop, now),
            State::Relaying(relay) => {
                let failure = relay.reset();
                self.turn(Turn::Failed(failure), now);
            }
            State::Done | State::Waiting(_) => {}
        }
    }

    /// The origin takes no more bytes.
    pub(crate) fn handle_deaf(&mut self, now: Instant) {
        match &mut self.state {
            State::Connecting(_) => self.handle_connect_failed(now),
            State::Draining(_) => self.turn(Turn::Stop, now),
            State::Relaying(relay) => relay.origin_deaf(now),
            State::Tunnel(tunnel) => tunnel.origin_deaf(now),
            State::Done | State::Waiting(_) => {}
        }
    }

    // -- outputs

    /// What is to be done next with the origin's connection.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        let actions = &mut self.shared.actions;
        (!actions.is_empty()).then(|| actions.remove(0))
    }

    /// Whether [`poll_action`](Self::poll_action) has something to give.
    pub(crate) fn has_actions(&self) -> bool {
        !self.shared.actions.is_empty()
    }

    /// The exchange that goes on without this one's client, of [`Action::Detach`].
    pub(crate) fn take_detached(&mut self) -> Option<Box<Self>> {
        self.detached.take()
    }

    /// Whether content of the request is taken now.
    pub(crate) fn poll_intake(&mut self) -> Intake {
        let Some(origin) = self.state.intake() else {
            return Intake::Shut;
        };
        let has_room = self.shared.gateway.reserve().admits(origin.out.held());
        match (mem::replace(&mut origin.is_full, !has_room), has_room) {
            (_, false) => Intake::Full,
            (false, true) => Intake::Open,
            (true, true) => Intake::Reopened,
        }
    }

    /// The next part of the answer. The origin's content is read only as it is pulled.
    pub(crate) fn poll_reply(&mut self, now: Instant) -> Option<Reply> {
        loop {
            if let Some(reply) = self.shared.outbox.pull() {
                return Some(reply);
            }
            let step = match &mut self.state {
                State::Connecting(_) | State::Done | State::Waiting(_) => Step::Rest,
                State::Draining(draining) => draining.advance(),
                State::Relaying(relay) => relay.advance(&mut self.shared, now),
                State::Tunnel(tunnel) => tunnel.advance(&mut self.shared),
            };
            match step {
                Step::Rest => return None,
                Step::Moved => {}
                Step::Turn(turn) => self.turn(turn, now),
            }
        }
    }

    /// Whether parts of the answer are there that need nothing more of the origin.
    pub(crate) fn has_replies(&self) -> bool {
        !self.shared.outbox.is_empty()
    }

    /// Asks whether the origin has room now, or another instance a copy, if that is waited for; `waker` is called when asking
    /// again can help. Says whether the wait is over.
    pub(crate) fn poll_room(&mut self, waker: &Waker, now: Instant) -> bool {
        if !self.state.waits() {
            return false;
        }
        let is_over;
        let state = mem::take(&mut self.state);
        (self.state, is_over) = state.poll_room(waker, &mut self.shared, now);
        is_over
    }

    /// Whether [`poll_report`](Self::poll_report) has something to give.
    pub(crate) fn has_report(&self) -> bool {
        self.shared.report.is_some() && self.shared.outbox.is_empty()
    }

    /// How it went, once all replies were pulled.
    pub(crate) fn poll_report(&mut self) -> Option<Report> {
        if self.shared.outbox.is_empty() {
            self.shared.report.take()
        } else {
            None
        }
    }

    /// Where to put the next bytes of the origin; empty when it must not be read now.
    pub(crate) fn read_buf(&mut self) -> &mut [u8] {
        if self.is_paused() {
            return &mut [];
        }
        self.state
            .origin_mut()
            .map_or(&mut [], |origin| origin.conn.read_buf())
    }

    /// Fills `dst` with what to write to the origin and returns how many slices were filled.
    pub(crate) fn write_slices<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        self.state
            .origin()
            .map_or(0, |origin| origin.out.slices(dst))
    }

    /// Lends the origin's receive buffer to others while nothing is in it.
    pub(crate) fn lend_buffer(&mut self) {
        if let Some(origin) = self.state.origin_mut() {
            origin.conn.lend_buffer();
        }
    }

    // -- how it stands

    /// What is known of its request.
    pub(crate) const fn call(&self) -> &Call {
        &self.shared.call
    }

    /// Whether bytes of the origin are wanted and there is no buffer for them yet.
    pub(crate) fn awaits_first(&self) -> bool {
        let awaits = |origin: &Origin| origin.conn.awaits_first();
        !self.is_paused() && self.state.origin().is_some_and(awaits)
    }

    /// Whether there are bytes for the origin.
    pub(crate) fn has_bytes(&self) -> bool {
        self.state
            .origin()
            .is_some_and(|origin| !origin.out.is_empty())
    }

    /// Whether the origin's connection is its own now, or being made.
    pub(crate) const fn has_connection(&self) -> bool {
        !matches!(self.state, State::Done | State::Waiting(_))
    }

    /// Whether its client has its whole answer.
    pub(crate) const fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining(_))
    }

    /// Whether the body of the origin's answer is being passed on.
    pub(crate) const fn is_forwarding(&self) -> bool {
        matches!(&self.state, State::Relaying(relay) if relay.is_forwarding())
    }

    /// Whether the origin takes no more of what the client sends.
    pub(crate) fn is_full(&self) -> bool {
        self.state.is_full()
    }

    /// Whether a client that ends its stream gives it up: the origin was not asked yet, or answers
    /// with a live stream, which may have no other end.
    pub(crate) fn is_given_up_by_end(&self) -> bool {
        let is_live = self.shared.call.streams && self.is_forwarding();
        is_live || matches!(self.state, State::Waiting(_))
    }

    /// Whether nothing is left of it but its report.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Done) && self.shared.outbox.is_empty()
    }

    /// Whether the origin must wait until the client has taken more.
    fn is_paused(&self) -> bool {
        self.is_streaming() && self.shared.is_client_full()
    }

    /// Whether the origin's content passes through to the client, so that it matters whether that
    /// has room.
    pub(crate) const fn is_streaming(&self) -> bool {
        self.is_forwarding() || self.is_tunnel()
    }

    /// Whether another protocol passes through.
    pub(crate) const fn is_tunnel(&self) -> bool {
        matches!(self.state, State::Tunnel(_))
    }

    /// Whether more of the request's content is due, and wanted.
    pub(crate) fn wants_content(&self) -> bool {
        let is_unwanted = matches!(&self.state, State::Relaying(relay)
            if relay.upload.is_broken());
        !self.shared.call.is_read && !is_unwanted && !self.is_draining()
    }

    /// Bytes that it holds for the client, and for the origin.
    pub(crate) fn held(&self) -> (usize, usize) {
        let origin = self.state.origin().map_or(0, |origin| origin.out.held());
        (self.state.held_back() + self.shared.outbox.held(), origin)
    }

    // -- time

    /// When to call [`handle_timeout`](Self::handle_timeout), and what for; `None` when time
    /// changes nothing.
    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        deadline::next(&self.state, &self.shared)
    }

    /// Whether it waits for content of the request, and then until when it does so at least,
    /// however late the client is.
    pub(crate) fn content_due(&self) -> Option<Instant> {
        deadline::content_due(&self.state, &self.shared)
    }

    /// Lets time pass.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some((_, timer)) = self.poll_timeout().filter(|(due, _)| *due <= now) else {
            return;
        };
        match timer {
            Timer::ClientPause => {
                self.shared.room = Room::Paused;
                if let State::Relaying(relay) = &mut self.state {
                    relay.pause(now);
                }
            }
            Timer::Late => {
                if let State::Relaying(relay) = &mut self.state {
                    relay.download.on_late(now);
                }
                // Something else may be due too.
                self.handle_timeout(now);
            }
            Timer::OriginHead if self.state.waits_on(&self.shared, now) => {}
            Timer::OriginBody if self.is_draining() => self.turn(Turn::Stop, now),
            Timer::OriginBody | Timer::OriginHead => {
                self.turn(Turn::Failed(Failure::Timeout), now);
            }
            Timer::Held if self.poll_room(Waker::noop(), now) => {}
            Timer::Held => self.turn(Turn::Release, now),
            Timer::OriginConnect => {
                self.shared.actions.push(Action::Close);
                self.handle_connect_failed(now);
            }
            // The ticket has its decision now, so nobody needs to be woken.
            Timer::OriginRoom => drop(self.poll_room(Waker::noop(), now)),
            Timer::Slow => self.turn_slow(now),
            Timer::TunnelIdle => self.turn(Turn::Stop, now),
            Timer::Upload => {
                // The client takes its time to send: the origin does not work meanwhile.
                if let State::Relaying(relay) = &mut self.state {
                    relay.download.on_late_content(now);
                }
            }
        }
    }

    /// The response takes longer than it should: the client gets the copy now, if there is one,
    /// and the exchange goes on without it where it can renew that copy.
    fn turn_slow(&mut self, now: Instant) {
        let Some(mut relay) = self.state.take_relay() else {
            debug_assert!(false, "only a response can be slow");
            return;
        };
        let shared = &mut self.shared;
        let Some(Slow { served, goes_on }) = relay.download.on_slow(now) else {
            self.state = State::Relaying(relay);
            return;
        };
        if goes_on {
            relay.download = relay.download.discarding();
            // What goes on reports itself.
            let gateway = Arc::clone(&shared.gateway);
            self.detached = Some(Box::new(Self {
                detached: None,
                shared: Shared::new(gateway, shared.call.clone(), false),
                state: State::Relaying(relay),
            }));
            shared.actions.push(Action::Detach);
            shared.serve(served, None, now);
        } else {
            let report = shared.call.origin_report(None, now);
            shared.actions.push(relay.close());
            shared.serve(served, Some(report), now);
        }
    }

    /// The state's name in LIFECYCLE.md.
    #[cfg(test)]
    pub(crate) const fn stage(&self) -> &'static str {
        self.state.stage()
    }

    // -- the machine

    /// Leaves the state.
    fn turn(&mut self, turn: Turn, now: Instant) {
        let state = mem::take(&mut self.state);
        self.state = state.turned(turn, &mut self.shared, now);
    }

    /// Takes leave of the origin's connection without keeping it.
    fn give_up(&mut self) {
        if let Some(action) = mem::take(&mut self.state).close() {
            self.shared.actions.push(action);
        }
    }
}
