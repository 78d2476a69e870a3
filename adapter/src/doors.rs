//! Owns the way in: who gets a seat, and the waking of those who give theirs up.
//! Never decides who that is: [`Connections`] does.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use retter_core::config::TrustedProxies;
use retter_core::connections::{Connections, Full, Seat, Seats};
use retter_core::seldom::Seldom;
use retter_core::time::Instant;

use crate::tasks::Bell;

/// The door of a server, for all its workers.
#[derive(Debug)]
pub(crate) struct Doors {
    connections: Mutex<Connections<Bell>>,
    /// That every seat is taken.
    pub(crate) full: Seldom,
    /// That connections cannot be accepted.
    pub(crate) trouble: Seldom,
}

impl Doors {
    pub(crate) fn new(seats: Seats, trusted: TrustedProxies) -> Arc<Self> {
        Arc::new(Self {
            connections: Mutex::new(Connections::new(seats, trusted)),
            full: Seldom::default(),
            trouble: Seldom::default(),
        })
    }

    /// Lets a client in whose session's task hears `bell`.
    pub(crate) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        bell: Bell,
        now: Instant,
    ) -> Result<Pass, Full> {
        let mut leaving = Vec::new();
        let entered = self.lock().enter(address, bell, &mut leaving, now);
        ring(&leaving);
        entered.map(|(key, seat)| Pass {
            doors: Arc::clone(self),
            key,
            seat,
        })
    }

    /// Lets some go: there are no more sockets.
    pub(crate) fn make_room(&self, now: Instant) {
        let mut leaving = Vec::new();
        self.lock().make_room(&mut leaving, now);
        ring(&leaving);
    }

    fn lock(&self) -> MutexGuard<'_, Connections<Bell>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn ring(bells: &[Bell]) {
    for bell in bells {
        bell.ring();
    }
}

/// The right to have a connection; given back on drop.
#[derive(Debug)]
pub(crate) struct Pass {
    doors: Arc<Doors>,
    key: usize,
    seat: Arc<Seat>,
}

impl Pass {
    pub(crate) fn seat(&self) -> &Seat {
        &self.seat
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let bell = self.doors.lock().leave(self.key);
        drop(bell);
    }
}
