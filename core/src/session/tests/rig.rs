//! A session on a bench: both peers are byte vectors, time is a number.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::breaker::Transition;
use crate::config::Settings;
use crate::event::{Event, Report};
use crate::gateway::Gateway;
use crate::limits::{IOVECS_MAX, RECV_CHUNK};
use crate::report::{CallId, SoftFailure};
use crate::session::{Action, CallTimer, ClientTimer, Input, Session, Side, Timer};
use crate::time::Instant;

/// 2024-02-29T12:00:00Z, as `Date` in the answers made here.
pub(super) const DATE: &str = "Thu, 29 Feb 2024 12:00:00 GMT";

pub(super) struct Rig {
    pub(super) gateway: Arc<Gateway>,
    pub(super) session: Session,
    pub(super) now: Instant,
    /// Everything the client received.
    pub(super) client: Vec<u8>,
    /// Everything the origin received, over all connections.
    pub(super) origin: Vec<u8>,
    pub(super) actions: Vec<Action>,
    /// Sessions that go on without a client.
    pub(super) detached: Vec<Session>,
    pub(super) reports: Vec<Report>,
    /// Bytes fed at a time.
    pub(super) piece: usize,
    /// Whether connections come from the pool.
    pub(super) reused: bool,
    /// Whether a connection that the client has kept is still there when it is to be used.
    pub(super) is_alive: bool,
    /// Whether the origin takes no new connection.
    pub(super) refuses: bool,
    /// Whether the client reads.
    pub(super) client_reads: bool,
    /// Whether the origin does.
    pub(super) origin_reads: bool,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let config = settings.validate().unwrap();
        let gateway = Gateway::new(config, 7, Instant::ZERO);
        gateway
            .site()
            .set_wall_clock(Duration::from_secs(1_709_208_000), Instant::ZERO);
        Self::on(gateway, Instant::ZERO)
    }

    /// As [`new`](Self::new), and the peers of all sessions are proxies that are trusted.
    pub(super) fn behind_proxies() -> Self {
        let mut settings = Settings::default();
        settings.client.trusted_proxies = "192.0.2.0/24".parse().unwrap();
        Self::with(settings)
    }

    /// A new client connection to the same policy.
    pub(super) fn on(gateway: Arc<Gateway>, now: Instant) -> Self {
        let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
        Self {
            session: Session::new(Arc::clone(&gateway), peer, now),
            gateway,
            now,
            client: Vec::new(),
            origin: Vec::new(),
            actions: Vec::new(),
            detached: Vec::new(),
            reports: Vec::new(),
            piece: usize::MAX,
            reused: false,
            is_alive: true,
            refuses: false,
            client_reads: true,
            origin_reads: true,
        }
    }

    /// The next refresh that is due, running without a client.
    pub(super) fn refresh(&self) -> Option<Self> {
        let refresh = self.gateway.site().poll_refresh(self.now)?;
        let mut rig = Self::on(Arc::clone(&self.gateway), self.now);
        rig.session = Session::background(Arc::clone(&self.gateway), refresh, self.now);
        rig.settle();
        Some(rig)
    }

    /// As a server does whenever something is due: connects to an origin that takes no connections,
    /// and renews copies. Returns the renewals, of which the origin has the requests.
    pub(super) fn attend(&self) -> Vec<Self> {
        if let Some(probe) = self.gateway.site().poll_connect(self.now) {
            match self.refuses {
                true => probe.on_failed(self.now),
                false => probe.on_connected(self.now),
            }
        }
        let renewals: Vec<_> = std::iter::from_fn(|| self.refresh()).collect();
        let finds_out = self.refuses && !renewals.is_empty();
        assert!(!finds_out, "a request finds out what connecting would");
        renewals
    }

    /// The session that goes on without a client.
    pub(super) fn detached(&mut self) -> Self {
        let mut rig = self.another();
        rig.session = self.detached.remove(0);
        rig
    }

    pub(super) fn another(&self) -> Self {
        Self::on(Arc::clone(&self.gateway), self.now)
    }

    /// A client of another network.
    pub(super) fn of_network(&self, network: u8) -> Self {
        let mut rig = self.another();
        let peer = SocketAddr::from(([203, 0, network, 1], 4711));
        rig.session = Session::new(Arc::clone(&self.gateway), peer, self.now);
        rig
    }

    /// A client with another address.
    pub(super) fn elsewhere(&self, last: u8) -> Self {
        let mut rig = self.another();
        let peer = SocketAddr::from(([198, 51, 100, last], 4711));
        rig.session = Session::new(Arc::clone(&self.gateway), peer, self.now);
        rig
    }

    /// The client sends `bytes`.
    #[track_caller]
    pub(super) fn send(&mut self, bytes: &str) -> &mut Self {
        self.feed(Side::Client, bytes.as_bytes());
        self
    }

    /// The origin answers with `bytes`.
    #[track_caller]
    pub(super) fn reply(&mut self, bytes: &str) -> &mut Self {
        self.feed(Side::Origin, bytes.as_bytes());
        self
    }

    /// Feeds all of `bytes`, which the session must take unless it has closed that side.
    #[track_caller]
    pub(super) fn feed(&mut self, side: Side, bytes: &[u8]) {
        let left = self.offer_some(side, bytes);
        let closed = self.actions.contains(&Action::Close(side));
        assert!(
            left == 0 || closed,
            "{side:?} is paused with {left} bytes to go"
        );
    }

    /// Feeds as much of `bytes` as the session takes.
    pub(super) fn offer(&mut self, side: Side, bytes: &[u8]) {
        let _ = self.offer_some(side, bytes);
    }

    fn offer_some(&mut self, side: Side, mut bytes: &[u8]) -> usize {
        self.settle();
        while !bytes.is_empty() {
            let room = self.session.read_buf(side);
            let len = bytes.len().min(room.len()).min(self.piece);
            if len == 0 {
                break;
            }
            room[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.session.handle_read(side, len, self.now);
            self.settle();
        }
        bytes.len()
    }

    pub(super) fn end_of(&mut self, side: Side) -> &mut Self {
        self.session.handle_read(side, 0, self.now);
        self.settle();
        self
    }

    pub(super) fn input(&mut self, input: Input) -> &mut Self {
        self.session.handle_input(input, self.now);
        self.settle();
        self
    }

    pub(super) fn wait(&mut self, duration: Duration) -> &mut Self {
        self.now = self.now + duration;
        self.session.handle_timeout(self.now);
        self.settle();
        self
    }

    /// Carries out everything that the session wants.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = false;
            while let Some(action) = self.session.poll_action() {
                self.actions.push(action);
                self.detached.extend(self.session.poll_detached());
                moved = true;
                let reused = match action {
                    Action::Connect { fresh, .. } => self.reused && !fresh,
                    Action::Resume(_) => self.is_alive,
                    Action::Abort(_)
                    | Action::Close(_)
                    | Action::Detach(_)
                    | Action::Park(_)
                    | Action::Shutdown(_) => continue,
                };
                let input = match self.refuses && !reused {
                    true => Input::ConnectFailed,
                    false => Input::Connected { reused },
                };
                self.session.handle_input(input, self.now);
            }
            while let Some(report) = self.session.poll_report() {
                self.reports.push(report);
            }
            moved |= self.session.poll_room(Waker::noop(), self.now);
            for side in [Side::Origin, Side::Client] {
                let got = match side {
                    Side::Client if !self.client_reads => continue,
                    Side::Origin if !self.origin_reads => continue,
                    Side::Client => &mut self.client,
                    Side::Origin => &mut self.origin,
                };
                let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
                let count = self.session.write_slices(side, &mut slices);
                let mut left = self.piece;
                let before = got.len();
                for slice in &slices[..count] {
                    let len = slice.len().min(left);
                    got.extend_from_slice(&slice[..len]);
                    left -= len;
                }
                let written = got.len() - before;
                if written > 0 {
                    self.session.handle_written(side, written, self.now);
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
    }

    /// Takes what the client has received since the last call.
    pub(super) fn received(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.client)).unwrap()
    }

    /// Takes what the origin has received since the last call.
    pub(super) fn asked(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.origin)).unwrap()
    }

    /// Whether the client was told that its connection ends behind its answer.
    /// What the site has told since it was asked last.
    fn events(&self) -> impl Iterator<Item = Event> {
        std::iter::from_fn(|| self.gateway.site().poll_event(self.now))
    }

    /// The circuits that have changed; other events are lost.
    pub(super) fn transitions(&self) -> Vec<Transition> {
        let changes = self.events().filter_map(|event| match event {
            Event::Circuit(transition) => Some(transition),
            Event::Limit { .. }
            | Event::Purged { .. }
            | Event::Refused(_)
            | Event::Renewed(_)
            | Event::Soft(_) => None,
        });
        changes.collect()
    }

    /// The first page that was no good though its status said so; other events are lost.
    pub(super) fn soft_failure(&self) -> Option<SoftFailure> {
        let mut failures = self.events().filter_map(|event| match event {
            Event::Soft(failure) => Some(failure),
            Event::Circuit(_)
            | Event::Limit { .. }
            | Event::Purged { .. }
            | Event::Refused(_)
            | Event::Renewed(_) => None,
        });
        failures.next()
    }

    pub(super) fn is_closing(&self) -> bool {
        let shut = |action: &Action| matches!(action, Action::Shutdown(Side::Client));
        self.actions.iter().any(shut)
    }

    pub(super) fn took(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }
}

/// The value of a field in the first head of `message`.
pub(super) fn field<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let head = message.split("\r\n\r\n").next()?;
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A message without what its request is called, which is another word for each.
pub(super) fn uncalled(message: &str) -> String {
    let lines = message.split_inclusive("\r\n");
    lines
        .filter(|line| !line.starts_with("X-Request-Id: "))
        .collect()
}

/// Everything behind the first head.
pub(super) fn body(message: &str) -> &str {
    message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

/// The status of the first head.
pub(super) fn status(message: &str) -> u16 {
    message
        .get(9..12)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}

/// A request with more content than is held, and of that as much as is held.
pub(super) fn upload() -> String {
    let some = "x".repeat(RECV_CHUNK);
    format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {UPLOAD_LEN}\r\n\r\n{some}")
}

/// What is missing of [`upload`].
pub(super) fn rest_of_upload() -> String {
    "x".repeat(UPLOAD_LEN - RECV_CHUNK)
}

const UPLOAD_LEN: usize = 2 * RECV_CHUNK;

/// What a session wants that has to ask the origin.
pub(super) const CONNECT: Action = Action::Connect {
    call: CallId::FIRST,
    fresh: false,
};

/// The same, where an idle connection will not do.
pub(super) const CONNECT_ANEW: Action = Action::Connect {
    call: CallId::FIRST,
    fresh: true,
};

pub(super) const DETACH: Action = Action::Detach(CallId::FIRST);
pub(super) const PARK: Action = Action::Park(CallId::FIRST);
pub(super) const RESUME: Action = Action::Resume(CallId::FIRST);

/// A page that may be kept.
pub(super) const PAGE: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: \"v1\"\r\nContent-Length: 4\r\n\r\ngood";

pub(super) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

/// A deadline of the exchange.
pub(super) const fn of_call(timer: CallTimer) -> Option<Timer> {
    Some(Timer::Call(CallId::FIRST, timer))
}

/// A deadline of the client.
pub(super) const fn of_client(timer: ClientTimer) -> Option<Timer> {
    Some(Timer::Client(timer))
}
