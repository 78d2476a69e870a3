//! Owns the world around sessions: clients, origins and a clock that a script moves.
//! Never decides what is right: it writes down what it sees.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::seen::{Asked, Seen, World};
use super::truth;
use crate::config::Settings;
use crate::gateway::Gateway;
use crate::limits::IOVECS_MAX;
use crate::report::CallId;
use crate::session::{Action, Input, Session, Side};
use crate::time::Instant;

/// Some sessions of one policy, of which one is meant by what is done.
pub(super) struct Bench {
    pub(super) connects_fail: bool,
    pub(super) lacks_sockets: bool,
    /// Whether connections were used before, where that is allowed.
    pub(super) reuses: bool,
    connects_hang: bool,
    gateway: Arc<Gateway>,
    now: Instant,
    clients: Vec<Client>,
    chosen: usize,
    has_handed_on: bool,
    /// Bytes that are moved at a time.
    piece: usize,
}

struct Client {
    session: Session,
    reads: bool,
    /// Asked for a connection to the origin that does not stand yet.
    dials: Option<bool>,
    /// Whether the last of `seen.asked` is still connected.
    is_connected: bool,
    seen: Seen,
}

impl Bench {
    pub(super) fn new(settings: Settings, piece: usize) -> Self {
        let config = settings
            .validate()
            .expect("the settings of the target are valid");
        let gateway = Gateway::new(config, 7, Instant::ZERO);
        gateway
            .site()
            .set_wall_clock(Duration::from_secs(1_709_208_000), Instant::ZERO);
        let mut bench = Self {
            connects_fail: false,
            lacks_sockets: false,
            reuses: false,
            connects_hang: false,
            gateway,
            now: Instant::ZERO,
            clients: Vec::new(),
            chosen: 0,
            has_handed_on: false,
            piece,
        };
        bench.choose(0);
        bench
    }

    pub(super) fn choose(&mut self, number: usize) {
        while self.clients.len() <= number {
            let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
            let session = Session::new(Arc::clone(&self.gateway), peer, self.now);
            self.clients.push(Client::new(session));
        }
        self.chosen = number;
    }

    /// The session that began last is meant from here on.
    pub(super) fn choose_newest(&mut self) {
        self.chosen = self.clients.len() - 1;
    }

    /// Begins to renew a copy or to probe a circuit, if that is due, and means that.
    pub(super) fn refresh(&mut self) {
        let Some(refresh) = self.gateway.site().poll_refresh(self.now) else {
            let next = self.gateway.site().poll_refresh_timeout(self.now);
            assert!(
                next.is_none_or(|next| next > self.now),
                "due, but not given"
            );
            return;
        };
        let session = Session::background(Arc::clone(&self.gateway), refresh, self.now);
        self.clients.push(Client::new(session));
        self.choose_newest();
        self.settle();
    }

    /// One side sends `bytes`; what the session does not take any more is lost.
    pub(super) fn send(&mut self, side: Side, mut bytes: &[u8]) {
        let connections = self.client().seen.asked.len();
        while !bytes.is_empty() && self.may_send(side, connections) {
            let (now, piece) = (self.now, self.piece);
            let session = &mut self.client().session;
            let room = session.read_buf(side);
            let len = bytes.len().min(room.len()).min(piece);
            if len == 0 {
                break;
            }
            room[..len].copy_from_slice(&bytes[..len]);
            session.handle_read(side, len, now);
            let seen = &mut self.client().seen;
            match side {
                Side::Client => seen.sent.extend_from_slice(&bytes[..len]),
                Side::Origin => seen.told(&bytes[..len]),
            }
            bytes = &bytes[len..];
            self.settle();
        }
    }

    /// One side ends its stream, if anybody still reads it.
    pub(super) fn end(&mut self, side: Side) {
        let now = self.now;
        let session = &mut self.client().session;
        if !session.read_buf(side).is_empty() {
            session.handle_read(side, 0, now);
            self.settle();
        }
    }

    pub(super) fn tell(&mut self, fact: Input) {
        let is_for_origin = matches!(
            fact,
            Input::ReadFailed(Side::Origin) | Input::WriteFailed(Side::Origin)
        );
        let now = self.now;
        let client = self.client();
        if !client.session.is_done() && (client.is_connected || !is_for_origin) {
            client.session.handle_input(fact, now);
            self.settle();
        }
    }

    pub(super) fn wait(&mut self, milliseconds: u64) {
        self.now = self.now + Duration::from_millis(milliseconds);
        let chosen = self.chosen;
        for number in 0..self.clients.len() {
            self.chosen = number;
            let now = self.now;
            self.client().session.handle_timeout(now);
            self.settle();
        }
        self.chosen = chosen;
    }

    pub(super) fn toggle_reading(&mut self) {
        let client = self.client();
        client.reads = !client.reads;
        self.settle();
    }

    /// Connections that hung stand, or fail, when they hang no more.
    pub(super) fn toggle_hanging(&mut self) {
        self.connects_hang = !self.connects_hang;
        let chosen = self.chosen;
        for number in 0..self.clients.len() {
            self.chosen = number;
            self.settle();
        }
        self.chosen = chosen;
    }

    /// Nobody does anything any more: time alone ends everything, and gives everything back.
    pub(super) fn finish(mut self) -> World {
        const DEADLINES_MAX: usize = 50;
        self.connects_hang = true;
        // Some may begin only now, as the rest of others that end.
        let mut number = 0;
        while number < self.clients.len() {
            self.chosen = number;
            number += 1;
            self.client().reads = false;
            for _ in 0..DEADLINES_MAX {
                let Some(deadline) = self.client().session.poll_timeout() else {
                    break;
                };
                self.now = self.now.max(deadline);
                let now = self.now;
                self.client().session.handle_timeout(now);
                self.settle();
            }
            let client = self.client();
            assert!(
                client.session.is_done(),
                "time does not end {:?}",
                client.session
            );
        }
        let stats = self.gateway.site().stats(self.now);
        let gate = &stats.admission;
        let held = (gate.in_flight, gate.waiting, gate.following);
        assert_eq!(held, (0, 0, 0), "everything is given back");
        for client in &self.clients {
            client.seen.check();
        }
        let world = World {
            stats,
            clients: self.clients.into_iter().map(|client| client.seen).collect(),
            has_handed_on: self.has_handed_on,
        };
        truth::check(&world);
        world
    }

    fn client(&mut self) -> &mut Client {
        &mut self.clients[self.chosen]
    }

    /// What an origin sends reaches only the connection on which it began to send.
    fn may_send(&mut self, side: Side, connections: usize) -> bool {
        let client = self.client();
        match side {
            Side::Client => true,
            Side::Origin => client.is_connected && client.seen.asked.len() == connections,
        }
    }

    /// Carries out everything that sessions want after something happened to the chosen one.
    fn settle(&mut self) {
        self.settle_chosen();
        let chosen = self.chosen;
        // What one gives back, others may wait for.
        while let Some(number) = self.with_room() {
            self.has_handed_on = true;
            self.chosen = number;
            self.settle_chosen();
        }
        self.chosen = chosen;
    }

    /// The first session whose wait for room is over.
    fn with_room(&mut self) -> Option<usize> {
        let now = self.now;
        let mut clients = self.clients.iter_mut();
        clients.position(|client| client.session.poll_room(Waker::noop(), now))
    }

    fn settle_chosen(&mut self) {
        loop {
            let acted = self.act();
            let client = &mut self.clients[self.chosen];
            let moved = client.write(self.piece, self.now);
            if !acted && !moved {
                break;
            }
        }
        let (now, piece) = (self.now, self.piece);
        let client = self.client();
        while let Some(report) = client.session.poll_report() {
            client.seen.reports.push(report);
        }
        let deadline = client.session.poll_timeout();
        let waits = client.session.is_done() || deadline.is_some();
        assert!(waits, "no deadline in {:?} (piece {piece})", client.session);
        // Spurious calls do nothing.
        if deadline.is_none_or(|deadline| deadline > now) {
            client.session.handle_timeout(now);
            assert_eq!(client.session.poll_timeout(), deadline);
            assert_eq!(client.session.poll_action(), None);
        }
    }

    fn act(&mut self) -> bool {
        let (fails, hangs, reuses) = (self.connects_fail, self.connects_hang, self.reuses);
        let lacks = self.lacks_sockets;
        let now = self.now;
        let client = self.client();
        let (mut acted, mut detached) = (false, Vec::new());
        while let Some(action) = client.session.poll_action() {
            acted = true;
            match action {
                Action::Connect { fresh, .. } => {
                    assert!(client.dials.is_none() && !client.is_connected);
                    client.dials = Some(fresh);
                }
                Action::Abort(Side::Client) => client.seen.is_aborted = true,
                Action::Close(Side::Client) | Action::Shutdown(Side::Client) => {}
                Action::Detach(_) => {
                    assert!(client.is_connected);
                    let rest = client.session.poll_detached().expect("it goes on");
                    let mut rest = Client::new(rest);
                    client.is_connected = false;
                    rest.is_connected = true;
                    rest.seen.asked.extend(client.seen.asked.pop());
                    detached.push(rest);
                }
                Action::Abort(Side::Origin) | Action::Close(Side::Origin) | Action::Park(_) => {
                    assert!(client.dials.is_some() || client.is_connected);
                    if action == Action::Park(CallId::FIRST) {
                        client.seen.check_parked();
                    }
                    client.dials = None;
                    client.is_connected = false;
                }
                // It has always ended meanwhile, so that each connection carries one request.
                Action::Resume(_) => {
                    assert!(client.dials.is_none() && client.is_connected);
                    client.is_connected = false;
                    client.dials = Some(true);
                }
                Action::Shutdown(Side::Origin) => assert!(client.is_connected),
            }
        }
        if !hangs && let Some(fresh) = client.dials.take() {
            acted = true;
            let reused = reuses && !fresh;
            let fact = if lacks && !reused {
                Input::NoSocket
            } else if fails {
                Input::ConnectFailed
            } else {
                client.seen.asked.push(Asked::new(fresh));
                client.is_connected = true;
                Input::Connected { reused }
            };
            client.session.handle_input(fact, now);
        }
        self.clients.append(&mut detached);
        acted
    }
}

impl Client {
    fn new(session: Session) -> Self {
        Self {
            session,
            reads: true,
            dials: None,
            is_connected: false,
            seen: Seen::default(),
        }
    }

    /// Takes what the session has for both sides.
    fn write(&mut self, piece: usize, now: Instant) -> bool {
        let mut moved = false;
        for side in [Side::Origin, Side::Client] {
            let taken = match side {
                Side::Client if !self.reads => continue,
                Side::Client => &mut self.seen.received,
                Side::Origin => match self.seen.asked.last_mut() {
                    Some(asked) if self.is_connected => &mut asked.bytes,
                    Some(_) | None => continue,
                },
            };
            let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
            let count = self.session.write_slices(side, &mut slices);
            let before = taken.len();
            for slice in &slices[..count] {
                let left = piece.saturating_sub(taken.len() - before);
                taken.extend_from_slice(&slice[..slice.len().min(left)]);
            }
            let written = taken.len() - before;
            if written > 0 {
                self.session.handle_written(side, written, now);
                moved = true;
            }
        }
        moved
    }
}
