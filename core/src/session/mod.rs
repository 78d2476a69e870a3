//! Owns [`Session`]: a client's connection joined to its exchange, from bytes to bytes.
//! Never opens a socket, reads a clock or decides what may be served: the adapter does the first
//! two, `site` the last. Never writes a byte of any protocol: `client` and `exchange` do.

mod bound;
mod held;
mod join;
mod refusal;
mod reports;
mod signal;
#[cfg(test)]
mod tests;
mod timer;
mod work;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;

use crate::canary::{Plant, is_planted};
use crate::client::Stream;
use crate::client::h1::{Client, Last, Life, Next, Read, Received};
use crate::event::Report;
use crate::exchange::{self, Call, Exchange};
use crate::gateway::Gateway;
use crate::h1::ClientConn;
use crate::message::RequestHead;
use crate::report::CallId;
use crate::rules::forwarded::View;
use crate::rules::own_cookies::OwnCookies;
use crate::site::Refresh;
use crate::time::Instant;

use bound::Bound;
use held::Held;
use join::Passed;
use refusal::Unparsed;
use reports::Reports;
use work::Work;

pub use crate::client::h1::Timer as ClientTimer;
pub use crate::exchange::Timer as CallTimer;
pub use signal::{Action, Input, Side, Standing};
pub use timer::Timer;

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
    gateway: Arc<Gateway>,
    peer: SocketAddr,
    actions: VecDeque<Action>,
    /// The origin's connection between exchanges, where this client has one of its own.
    bound: Bound,
    client: Client,
    /// Goes on without this session's client.
    detached: Option<Box<Self>>,
    held: Held,
    reports: Reports,
    work: Work,
}

impl Session {
    /// Starts a session for a client connection that was just accepted from `peer`.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, peer: SocketAddr, now: Instant) -> Self {
        let client = Client::new(gateway.client(), now);
        Self::join(gateway, peer, client, Work::None)
    }

    /// Starts a session for which no client waits, to renew a copy or to probe a circuit. Nothing
    /// is read from or written to [`Side::Client`]. It ends with its exchange, and at once when
    /// told to drain.
    #[must_use]
    pub fn background(gateway: Arc<Gateway>, refresh: Refresh, now: Instant) -> Self {
        let exchange = Exchange::renewal(&gateway, refresh, now);
        let mut session = Self::alone(gateway, exchange, now);
        session.collect(now);
        session
    }

    /// A session of an exchange that nobody waits for.
    fn alone(gateway: Arc<Gateway>, exchange: Box<Exchange>, now: Instant) -> Self {
        let client = Client::absent(gateway.client(), now);
        Self::join(
            gateway,
            exchange.call().peer,
            client,
            Work::Running(exchange),
        )
    }

    fn join(gateway: Arc<Gateway>, peer: SocketAddr, client: Client, work: Work) -> Self {
        Self {
            gateway,
            peer,
            actions: VecDeque::new(),
            bound: Bound::Never,
            client,
            detached: None,
            held: Held::default(),
            reports: Reports::default(),
            work,
        }
    }

    // -- inputs

    /// Where to put the next bytes from `side`; empty when it must not be read now.
    #[inline]
    pub fn read_buf(&mut self, side: Side) -> &mut [u8] {
        match side {
            Side::Client if self.work.is_full() => &mut [],
            Side::Client => self.client.read_buf(),
            Side::Origin => match self.work.connected_mut() {
                Some(exchange) => exchange.read_buf(),
                None => (self.bound.idle_mut()).map_or(&mut [], ClientConn::read_buf),
            },
        }
    }

    /// Whether bytes of `side` are wanted and there is no buffer for them yet. A socket that can
    /// tell whether some have come is asked before [`read_buf`](Self::read_buf), so that a silent
    /// peer costs no memory.
    #[must_use]
    #[inline]
    pub fn awaits_first(&self, side: Side) -> bool {
        match (side, self.work.connected()) {
            (Side::Client, _) => !self.work.is_full() && self.client.awaits_first(),
            (Side::Origin, Some(exchange)) => exchange.awaits_first(),
            (Side::Origin, None) => self.bound.idle().is_some_and(ClientConn::awaits_first),
        }
    }

    /// Takes `len` bytes that were read into [`read_buf`](Self::read_buf); 0 is the end of the
    /// stream.
    #[inline]
    pub fn handle_read(&mut self, side: Side, len: usize, now: Instant) {
        match (side, self.work.connected_mut()) {
            (Side::Client, _) => self.client_read(len, now),
            (Side::Origin, Some(exchange)) => exchange.handle_read(len, now),
            // Nothing was asked on it.
            (Side::Origin, None) => self.unbind(),
        }
        self.pump(now);
    }

    /// Takes note that `len` bytes of [`write_slices`](Self::write_slices) were written.
    pub fn handle_written(&mut self, side: Side, len: usize, now: Instant) {
        match (side, self.work.exchange_mut()) {
            (Side::Client, exchange) => {
                (self.client).handle_written(len, self.gateway.client(), now);
                if let Some(exchange) = exchange {
                    exchange.handle_moved(now);
                } else if self.work.is_none() && self.client.queued() == 0 {
                    // It is idle from the end of its last answer on.
                    self.client.rest(now);
                }
                self.reports.release_sent(self.client.sent(), now);
            }
            (Side::Origin, Some(exchange)) => exchange.handle_written(len, now),
            (Side::Origin, None) => {}
        }
        self.pump(now);
    }

    /// Takes a fact.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        match input {
            Input::ConnectFailed | Input::Connected { .. } | Input::NoSocket => {
                self.handle_dialled(input, now);
            }
            Input::Drain => {
                self.client.handle_drain();
                if let Some(exchange) = self.work.exchange_mut() {
                    exchange.handle_drain(now);
                }
            }
            Input::GiveWay => self.give_way(now),
            Input::ReadFailed(Side::Client) | Input::WriteFailed(Side::Client) => {
                self.client_left(now);
            }
            Input::ReadFailed(Side::Origin) | Input::WriteFailed(Side::Origin) => {
                match (self.work.connected_mut(), input) {
                    (Some(exchange), Input::ReadFailed(_)) => exchange.handle_reset(now),
                    (Some(exchange), _) => exchange.handle_deaf(now),
                    // The client's own is gone, if it has one.
                    (None, _) => self.unbind(),
                }
            }
        }
        self.pump(now);
    }

    /// Takes note of what came of a wish for a connection.
    fn handle_dialled(&mut self, input: Input, now: Instant) {
        let conn = self.bound.take_resumed();
        let Some(exchange) = self.work.exchange_mut() else {
            return;
        };
        if let Input::Connected { reused } = input {
            exchange.handle_connected(reused, conn, now);
            let settings = self.gateway.client();
            self.client.expect_content(settings, now);
        } else if input == Input::NoSocket {
            exchange.handle_no_socket(now);
        } else {
            exchange.handle_connect_failed(now);
        }
    }

    /// Asks whether the origin has room now, if that is what this session waits for; `waker` is
    /// called when asking again can help. Says whether the wait is over.
    pub fn poll_room(&mut self, waker: &Waker, now: Instant) -> bool {
        let exchange = self.work.exchange_mut();
        let is_over = exchange.is_some_and(|exchange| exchange.poll_room(waker, now));
        if is_over {
            self.pump(now);
        }
        is_over
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        /// Each firing ends a wait, an exchange or the session, so a few are enough.
        const FIRINGS_MAX: usize = 8;
        for _ in 0..FIRINGS_MAX {
            match self.next_deadline() {
                Some((deadline, timer)) if deadline <= now => self.fire(timer, now),
                _ => break,
            }
        }
        self.pump(now);
        debug_assert!(
            self.poll_timeout().is_none_or(|deadline| deadline > now),
            "a fired deadline must move"
        );
    }

    // -- outputs

    /// The next thing to do with a socket.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Fills `dst` with what to write to `side` and returns how many slices were filled.
    #[inline]
    pub fn write_slices<'a>(&'a self, side: Side, dst: &mut [IoSlice<'a>]) -> usize {
        match (side, self.work.exchange()) {
            (Side::Client, _) => self.client.write_slices(dst),
            (Side::Origin, exchange) => exchange.map_or(0, |exchange| exchange.write_slices(dst)),
        }
    }

    /// Whether [`write_slices`](Self::write_slices) has something to give.
    #[must_use]
    #[inline]
    pub fn has_bytes_for(&self, side: Side) -> bool {
        match side {
            Side::Client => self.client.has_bytes(),
            Side::Origin => self.work.exchange().is_some_and(Exchange::has_bytes),
        }
    }

    /// The session without a client of [`Action::Detach`].
    pub fn poll_detached(&mut self) -> Option<Self> {
        self.detached.take().map(|session| *session)
    }

    /// The next finished exchange.
    pub fn poll_report(&mut self) -> Option<Report> {
        self.reports.poll()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout); `None` when time changes nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline().map(|(deadline, _)| deadline)
    }

    /// Which wait the next deadline ends.
    #[must_use]
    pub fn poll_timer(&self) -> Option<Timer> {
        self.next_deadline().map(|(_, timer)| timer)
    }

    /// Whether nothing is left to do; actions and reports are drained then.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let is_closed = self.client.life() == Life::Closed;
        is_closed && self.actions.is_empty() && self.reports.is_drained()
    }

    /// Whether an answer is on its way. Who drops the session then must reset the client's
    /// connection: its regular end would make a body complete that ends with it (RFC 9112 §8).
    #[must_use]
    pub fn is_answering(&self) -> bool {
        self.work.is_forwarding() || self.client.queued() > 0
    }

    /// Whether a request runs, or its answer is on its way.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        let rests = self.work.exchange().is_some_and(Exchange::is_draining);
        !rests && !self.work.is_none() || self.is_answering()
    }

    /// Whether it could give its place to another client.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.work.standing(&self.client)
    }

    // -- the machine

    /// Moves everything that can move, until nothing does.
    fn pump(&mut self, now: Instant) {
        while match &self.work {
            Work::None => self.client.is_open() && self.next_request(now),
            Work::Receiving(_) => self.receive(now),
            Work::Running(_) => self.run(now),
        } {}
        self.client.lend_buffer();
        if let Some(exchange) = self.work.exchange_mut() {
            exchange.lend_buffer();
        }
        self.pump_life(now);
        self.held
            .note(self.gateway.reserve(), self.work.held(&self.client));
        self.check_invariants();
    }

    /// Reads the next request head, if there is one.
    fn next_request(&mut self, now: Instant) -> bool {
        let has_room = self.gateway.reserve().admits(self.client.held());
        match self.client.poll_head(has_room, now) {
            Next::BrokenOff => self.client_broke_off(now),
            Next::Head(head) => {
                self.begin(head, now);
                return true;
            }
            Next::Malformed(error) => self.refuse_unparsed(Unparsed::Malformed(error), now),
            Next::Nothing => {}
        }
        false
    }

    fn begin(&mut self, mut head: RequestHead, now: Instant) {
        if self.client.sent() > 0 && is_planted(Plant::SilentEnd) {
            return self.client_left(now);
        }
        let trusted = &self.gateway.client().trusted_proxies;
        let view = View::receive(&mut head, self.peer.ip(), trusted);
        let own_cookies = OwnCookies::take(&mut head);
        let request_id = (self.gateway).receive_id(&mut head.fields, view.is_trusted());
        let (framing, is_read) = self.client.accept(&head);
        let request = Arc::new(head);
        let started = self.client.take_head_since().unwrap_or(now);
        let mut call = Call::new(CallId::FIRST, request, framing, view, self.peer, started);
        call.is_read = is_read;
        call.own_cookies = own_cookies;
        call.request_id = request_id;
        let has_logins = self.gateway.site().has_logins_by_connection();
        call.owner = (self.bound).owner_for(&call.request.fields, &call.view, has_logins);
        if call.view.is_relayed() {
            self.unbind();
            self.bound = Bound::Never;
        }
        self.work = Work::on(&self.gateway, call, now);
        if let Work::Receiving(_) = self.work {
            let settings = self.gateway.client();
            self.client.expect_content(settings, now);
        }
    }

    /// Sends the request on its way once enough of its content is here: a client that is slow to
    /// send it must not keep the origin from its work.
    fn receive(&mut self, now: Instant) -> bool {
        match self.client.poll_received() {
            Received::BrokenOff => self.client_broke_off(now),
            Received::Enough => {
                self.work = mem::take(&mut self.work).received(&self.gateway, now);
                return true;
            }
            Received::Partly => {}
        }
        false
    }

    /// Moves one piece of the request and one of its answer.
    fn run(&mut self, now: Instant) -> bool {
        let Some(exchange) = self.work.exchange_mut() else {
            return false;
        };
        let client = &mut self.client;
        let settings = self.gateway.client();
        let passed = join::pass_content(client, exchange, settings, now);
        if passed == Passed::BrokenOff {
            self.client_broke_off(now);
            return false;
        }
        let mut progress = passed == Passed::Some;
        let takes_turns = passed != Passed::Shut;
        progress |= join::pass_replies(client, exchange, takes_turns, &self.gateway, now);
        let is_over = exchange.is_over();
        let has_actions = exchange.has_actions();
        if exchange.has_report()
            && let Some(report) = exchange.poll_report()
        {
            self.reports.file(&self.client, report, now);
            progress = true;
        }
        if has_actions {
            self.collect(now);
        }
        if let Work::Running(exchange) = &mut self.work
            && join::pass_shut(&mut self.client, exchange)
        {
            self.actions.push_back(Action::Shutdown(Side::Client));
            progress = true;
        }
        if is_over {
            self.retire(now);
        }
        progress || is_over
    }

    /// Takes up what the exchange wants done with the origin's connection.
    fn collect(&mut self, now: Instant) {
        let Some(exchange) = self.work.exchange_mut() else {
            return;
        };
        let call = exchange.call().id;
        while let Some(action) = exchange.poll_action() {
            if let exchange::Action::Detach = action {
                let rest = exchange.take_detached();
                let gateway = Arc::clone(&self.gateway);
                self.detached = rest.map(|rest| Box::new(Self::alone(gateway, rest, now)));
            }
            let keeps = self.client.is_open();
            self.actions.extend(self.bound.action(action, call, keeps));
        }
    }

    /// Puts an exchange away that is over.
    fn retire(&mut self, now: Instant) {
        let Work::Running(mut exchange) = mem::take(&mut self.work) else {
            return;
        };
        debug_assert!(exchange.is_over(), "it has nothing more to say or do");
        // A connection that was to be used again has gone with it.
        drop(self.bound.take_resumed());
        if exchange.call().owner == exchange::Owner::Client {
            self.bound.sign_in();
        }
        if let Some(report) = exchange.poll_report() {
            self.reports.file(&self.client, report, now);
        }
        self.client.end_tunnel();
    }

    /// Carries out the end of the client's connection as far as it can go now.
    fn pump_life(&mut self, now: Instant) {
        if self.work.is_none() {
            if self.client.life() == Life::Absent {
                self.client.end();
            }
            self.client.end_if_idle();
        }
        if !self.client.is_open() {
            self.unbind();
        }
        match self.client.poll_last(now) {
            Some(Last::Abort) => self.end(Action::Abort(Side::Client), now),
            Some(Last::Close) => self.end(Action::Close(Side::Client), now),
            Some(Last::Linger) => self.actions.push_back(Action::Shutdown(Side::Client)),
            None => {}
        }
    }

    fn client_read(&mut self, len: usize, now: Instant) {
        let settings = self.gateway.client();
        match self.client.handle_read(len, settings, now) {
            Read::Bytes => {
                if let Some(exchange) = self.work.exchange_mut() {
                    exchange.handle_moved(now);
                }
            }
            Read::End if self.work.owes_content(&self.client) => self.client_broke_off(now),
            Read::End if self.work.waits_half_closed(&self.client) => {}
            Read::End => self.client_left(now),
            Read::Over => self.end(Action::Close(Side::Client), now),
        }
    }

    /// The client ended its stream inside a request: it asked for nothing with that, but what it
    /// asked for before is still answered.
    fn client_broke_off(&mut self, now: Instant) {
        self.client.cut(Last::Close);
        self.give_up(now);
    }

    /// The client is gone: whatever runs for it stops.
    fn client_left(&mut self, now: Instant) {
        self.leave_client(Action::Close(Side::Client), now);
    }

    /// Whatever runs for the client stops, with this last action on its socket.
    fn leave_client(&mut self, action: Action, now: Instant) {
        self.client.discard();
        self.give_up(now);
        self.reports.release_unsent(now);
        self.end(action, now);
    }

    /// Closes unless a request runs, else behind its answer; but not behind one that a slow client
    /// keeps from its end.
    fn give_way(&mut self, now: Instant) {
        self.client.handle_drain();
        match self.standing() {
            // As where it takes nothing at all in its time.
            Standing::Owing(since) if since <= now => {
                self.leave_client(Action::Abort(Side::Client), now);
            }
            Standing::Busy | Standing::Owing(_) if !is_planted(Plant::BusyGivesWay) => {}
            Standing::Busy | Standing::Idle(_) | Standing::Owing(_) | Standing::Reading(_) => {
                self.give_up(now);
                self.client.close(Last::Close);
            }
        }
    }

    /// Stops what runs, because of the client.
    fn give_up(&mut self, now: Instant) {
        if let Some(exchange) = self.work.exchange_mut() {
            exchange.handle_left(now);
            self.collect(now);
            self.retire(now);
        } else if let Work::Receiving(call) = mem::take(&mut self.work) {
            let report = call.abandoned(self.gateway.site().circuit(now), now);
            self.reports.file(&self.client, report, now);
        }
        debug_assert!(self.work.is_none(), "nothing is left of it");
    }

    /// Ends the session with this last action on the client's socket.
    fn end(&mut self, action: Action, now: Instant) {
        if self.client.life() == Life::Closed {
            return;
        }
        self.give_up(now);
        self.unbind();
        self.client.end();
        self.actions.push_back(action);
    }

    /// Closes the client's own connection to the origin: it has ended or spoken without being
    /// asked, or the client is gone.
    fn unbind(&mut self) {
        if self.bound.close() {
            self.actions.push_back(Action::Close(Side::Origin));
        }
    }

    /// The client did not send the rest of its request in time.
    fn request_timed_out(&mut self, now: Instant) {
        if self.work.is_none() {
            return self.refuse_unparsed(Unparsed::Late, now);
        }
        let (status, text) = refusal::LATE;
        self.work = mem::take(&mut self.work).cut(&self.gateway, status, text, now);
    }

    /// Refuses what is no request.
    fn refuse_unparsed(&mut self, why: Unparsed, now: Instant) {
        let started = self.client.take_head_since().unwrap_or(now);
        let (replies, report) = refusal::unparsed(&self.gateway, self.peer, why, started, now);
        let settings = self.gateway.client();
        (replies.into_iter()).for_each(|reply| self.client.handle_reply(reply, settings, now));
        self.reports.file(&self.client, report, now);
    }

    fn fire(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::Call(_, _) => {
                if let Some(exchange) = self.work.exchange_mut() {
                    exchange.handle_timeout(now);
                }
            }
            Timer::Client(ClientTimer::Head) | Timer::Content => self.request_timed_out(now),
            Timer::Client(ClientTimer::Idle) => self.client.close(Last::Close),
            Timer::Client(ClientTimer::Linger) => self.client_left(now),
            // A plain close would leave what the kernel holds of the answer there until it is
            // taken, which is never.
            Timer::Client(ClientTimer::Write) => {
                self.leave_client(Action::Abort(Side::Client), now);
            }
        }
        self.pump(now);
    }

    fn next_deadline(&self) -> Option<(Instant, Timer)> {
        (self.work).next_deadline(&self.client, self.gateway.client())
    }

    fn check_invariants(&self) {
        debug_assert!(
            self.client.life() != Life::Closed
                || self.work.is_none() && self.reports.owes_nothing(),
            "a closed session runs no exchange and owes no report"
        );
        let has_connection = self.work.connected().is_some();
        debug_assert!(
            self.bound.idle().is_none() || self.client.is_open() && !has_connection,
            "one connection to the origin, and only for a client that may ask again"
        );
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.held.note(self.gateway.reserve(), [0, 0]);
    }
}
