//! Owns a session of the core without sockets: both peers are byte vectors, and an input is cut
//! into reads in any way.
//! Never sleeps and never has a thread.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use retter_core::Gateway;
use retter_core::config::Settings;
use retter_core::limits::IOVECS_MAX;
use retter_core::time::Instant;
use retter_core::{Action, Input, Session, Side};

/// How an input is cut into reads.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// One byte each.
    Bytewise,
    /// By this seed.
    Random(u64),
    /// As much as is taken.
    Whole,
}

impl Cut {
    /// All ways in which the corpus is run.
    pub const ALL: [Self; 4] = [
        Self::Whole,
        Self::Bytewise,
        Self::Random(1),
        Self::Random(2),
    ];

    fn next_len(&mut self, left: usize) -> usize {
        match self {
            Self::Bytewise => 1,
            Self::Random(state) => {
                *state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let bound = if *state >> 63 == 0 { 8 } else { 400 };
                let len = 1 + (*state >> 33) % bound;
                usize::try_from(len).unwrap_or(left).min(left)
            }
            Self::Whole => left,
        }
    }
}

/// A session and all that its peers got.
#[derive(Debug)]
pub struct Bench {
    session: Session,
    /// What the client got.
    pub client: Vec<u8>,
    /// Whether its connection was ended, by a reset or not.
    pub client_ended: bool,
    /// What the origin got, by connection.
    pub origins: Vec<Vec<u8>>,
    /// Whether the origin's last connection is open.
    pub origin_open: bool,
    /// Whether the last connection was kept for later.
    pub parked: bool,
}

impl Bench {
    /// A new connection of a new program.
    ///
    /// # Panics
    /// If the defaults are not valid.
    #[must_use]
    pub fn new(peer: SocketAddr) -> Self {
        let config = Settings::default().validate().expect("defaults are valid");
        let gateway = Gateway::new(config, 7, Instant::ZERO);
        Self::on(&gateway, peer)
    }

    /// A new connection of this program.
    #[must_use]
    pub fn on(gateway: &Arc<Gateway>, peer: SocketAddr) -> Self {
        Self {
            session: Session::new(Arc::clone(gateway), peer, Instant::ZERO),
            client: Vec::new(),
            client_ended: false,
            origins: Vec::new(),
            origin_open: false,
            parked: false,
        }
    }

    /// Feeds `bytes` from `side`, calling `after` after each read; what nobody took is returned.
    pub fn feed<'a>(
        &mut self,
        side: Side,
        mut bytes: &'a [u8],
        mut cut: Cut,
        mut after: impl FnMut(&mut Self),
    ) -> &'a [u8] {
        self.settle();
        while !bytes.is_empty() && (side == Side::Client || self.origin_open) {
            let wanted = cut.next_len(bytes.len());
            let room = self.session.read_buf(side);
            let len = room.len().min(wanted);
            if len == 0 {
                break;
            }
            room[..len].copy_from_slice(&bytes[..len]);
            bytes = &bytes[len..];
            self.session.handle_read(side, len, Instant::ZERO);
            self.settle();
            after(self);
        }
        bytes
    }

    /// Ends the stream of `side`.
    pub fn end_of(&mut self, side: Side) {
        self.session.handle_read(side, 0, Instant::ZERO);
        self.settle();
    }

    /// Takes a fact.
    pub fn input(&mut self, input: Input) {
        self.session.handle_input(input, Instant::ZERO);
        self.settle();
    }

    fn settle(&mut self) {
        let mut moved = true;
        while moved {
            moved = false;
            while let Some(action) = self.session.poll_action() {
                moved = true;
                self.act(action);
            }
            while self.session.poll_report().is_some() {}
            for side in [Side::Origin, Side::Client] {
                let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
                let count = self.session.write_slices(side, &mut slices);
                let bytes: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                if bytes.is_empty() {
                    continue;
                }
                match side {
                    Side::Client => self.client.extend_from_slice(&bytes),
                    Side::Origin => self
                        .origins
                        .last_mut()
                        .expect("bytes go to a connection")
                        .extend_from_slice(&bytes),
                }
                self.session
                    .handle_written(side, bytes.len(), Instant::ZERO);
                moved = true;
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect { .. } => {
                self.origins.push(Vec::new());
                (self.origin_open, self.parked) = (true, false);
                let input = Input::Connected { reused: false };
                self.session.handle_input(input, Instant::ZERO);
            }
            Action::Resume(_) => {
                let input = Input::Connected { reused: true };
                self.session.handle_input(input, Instant::ZERO);
            }
            Action::Park(_) => (self.origin_open, self.parked) = (false, true),
            // What is renewed beside the client is no part of what a bench shows.
            Action::Abort(Side::Origin) | Action::Close(Side::Origin) | Action::Detach(_) => {
                self.origin_open = false;
            }
            Action::Abort(Side::Client)
            | Action::Close(Side::Client)
            | Action::Shutdown(Side::Client) => self.client_ended = true,
            Action::Shutdown(Side::Origin) => {}
        }
    }
}
