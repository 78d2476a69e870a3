//! Owns [`WaitingRoom`]: visitors who want a page while the origin is full each get a number, look
//! again by themselves, and are let in, in order. Nobody holds a connection or anything here
//! but a few bytes.
//! Never decides whether the origin is full, and writes no page.
//!
//! A number is worth a try at the gate before the origin, which everybody has while no room is open.
//! There shares by network count as for all others. So a client that forges, shares or draws many
//! numbers gains nothing that would take a place from others.

#[cfg(test)]
mod crowd;
mod flow;
#[cfg(all(test, loom))]
mod interleavings;
mod line;
mod networks;
mod room;
mod seal;
#[cfg(test)]
mod tests;
mod words;

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldhash::quality::FixedState;

use crate::network::Network;
use crate::report::WaitingStats;
use crate::rules::own_cookies::Claim;
use crate::sync::{AtomicBool, Mutex};
use crate::time::Instant;

pub(crate) use flow::Bearing;
use room::Room;
use seal::Seal;
use words::{Guest, Said};

/// The waiting room of a site. Shared by reference.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    hash: FixedState,
    is_open: AtomicBool,
    room: Mutex<Room>,
    seal: Seal,
}

/// A client that wants a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor<'a> {
    /// The number that it shows, as bytes of a cookie.
    pub(crate) claim: Option<Claim>,
    /// Whether the address is its own: behind a proxy that is not declared it is that of all.
    pub(crate) is_own: bool,
    pub(crate) peer: IpAddr,
    /// Its `User-Agent`.
    pub(crate) program: &'a [u8],
    /// The wall clock, in microseconds since 1970.
    pub(crate) micros: u64,
}

/// What to do with a client that wants a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    /// Whatever would be done without a room.
    Goes,
    /// It is refused without being asked of the origin, and may not wait.
    Refused,
    /// It waits.
    Waits(Position),
}

/// A place in the waiting room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Position {
    /// By this it is known again.
    pub(crate) claim: Claim,
    /// Which place it is; the first is 1.
    pub(crate) place: u32,
    /// How many seconds it is likely to take; `None` while that is not known.
    pub(crate) wait_secs: Option<u32>,
    /// After this many seconds the page looks again.
    pub(crate) again_secs: u32,
}

impl WaitingRoom {
    /// An empty one. The same `seed` knows the same numbers.
    pub(crate) fn new(seed: u64, now: Instant) -> Self {
        Self {
            hash: FixedState::with_seed(seed),
            is_open: AtomicBool::new(false),
            room: Mutex::new(Room::new(seed, now)),
            seal: Seal::new(seed),
        }
    }

    /// Whether anybody waits, so that whoever comes has to [ask](Self::ask).
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Somebody wants a page while the room is open.
    pub(crate) fn ask(&self, visitor: &Visitor<'_>, bearing: Bearing, now: Instant) -> Turn {
        let guest = self.guest(visitor);
        self.turn(|room| room.ask(&guest, bearing, now))
    }

    /// The gate before the origin has turned somebody away.
    pub(crate) fn turned_away(
        &self,
        visitor: &Visitor<'_>,
        bearing: Bearing,
        now: Instant,
    ) -> Turn {
        let guest = self.guest(visitor);
        self.turn(|room| room.turned_away(&guest, bearing, now))
    }

    /// Closes the room: everybody who waits is treated like a newcomer.
    pub(crate) fn clear(&self) {
        self.change(Room::clear);
    }

    /// What there is to count.
    pub(crate) fn stats(&self, now: Instant) -> WaitingStats {
        self.change(|room| {
            let (waiting, passes) = room.sizes();
            WaitingStats {
                waiting,
                passes,
                wait: room.wait(now).filter(|_| room.is_open()),
                given: room.count.given,
                let_in: room.count.let_in,
                left: room.count.left,
                refused: room.count.refused,
            }
        })
    }

    fn turn(&self, act: impl FnOnce(&mut Room) -> Said) -> Turn {
        match self.change(act) {
            Said::Goes => Turn::Goes,
            Said::No => Turn::Refused,
            Said::Waits(stay) => Turn::Waits(Position {
                claim: self.seal.claim(stay.number),
                place: u32::try_from(stay.place).unwrap_or(u32::MAX),
                wait_secs: stay.wait.map(seconds),
                again_secs: seconds(stay.again),
            }),
        }
    }

    fn change<T>(&self, act: impl FnOnce(&mut Room) -> T) -> T {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let done = act(&mut room);
        self.is_open.store(room.is_open(), Ordering::Relaxed);
        done
    }

    fn guest(&self, visitor: &Visitor<'_>) -> Guest {
        let mark = || self.hash.hash_one((visitor.peer, visitor.program));
        Guest {
            micros: visitor.micros,
            network: Network::of(visitor.peer),
            number: visitor.claim.and_then(|claim| self.seal.number(claim)),
            visitor: visitor.is_own.then(mark),
        }
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
