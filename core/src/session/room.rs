//! Owns how much waits in the queues of a session, and what that means for the side it came from.
//! Never decides how much that may be: the reserve for slow peers does.

use bytes::Bytes;

use super::exchange::{Download, Exchange};
use super::{Session, Side};
use crate::limits::QUEUE_BYTES_FREE;
use crate::time::Instant;

/// Whether the client's queue takes more. What others hold counts too, so it is kept here for
/// whoever asks which side is waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    Free,
    /// It is full since then.
    Full(Instant),
    /// It is full because the client does not take what is in it.
    Paused,
}

impl Session {
    /// Finds out whether the client's queue takes more now.
    pub(super) fn check_client_room(&mut self, now: Instant) -> bool {
        let has_room = self.retter.reserve().admits(self.client.out.held());
        match (self.client.room, has_room) {
            (Room::Free, false) => self.client.room = Room::Full(now),
            (Room::Full(_) | Room::Paused, true) => {
                self.client.room = Room::Free;
                if let Some(origin) = self.exchange.origin_mut() {
                    // Nobody read from the origin meanwhile.
                    origin.expect_bytes(&self.retter.config().site().origin, now);
                }
            }
            (Room::Free, true) | (Room::Full(_) | Room::Paused, false) => {}
        }
        has_room
    }

    /// As [`check_client_room`](Self::check_client_room), for the origin's queue.
    pub(super) fn check_origin_room(&mut self, now: Instant) -> bool {
        let Some(origin) = self.exchange.origin_mut() else {
            return false;
        };
        let has_room = self.retter.reserve().admits(origin.out.held());
        let was_full = std::mem::replace(&mut origin.is_full, !has_room);
        if was_full && has_room {
            // Nobody read from the client meanwhile.
            self.client.read_at = now;
            self.expect_body(now);
        }
        has_room
    }

    /// Whether what `side` sends has to wait until the other side has taken more.
    pub(super) fn is_paused(&self, side: Side) -> bool {
        match (side, &self.exchange) {
            (Side::Client, Exchange::Relaying(relay)) => relay.origin.is_full,
            (Side::Client, Exchange::Tunnel(tunnel)) => tunnel.origin.is_full,
            (Side::Origin, Exchange::Relaying(_)) => self.is_client_full() && self.is_forwarding(),
            (Side::Origin, Exchange::Tunnel(_)) => self.is_client_full(),
            (
                _,
                Exchange::Connecting(_)
                | Exchange::Draining(_)
                | Exchange::None
                | Exchange::Receiving(_)
                | Exchange::Waiting(_),
            ) => false,
        }
    }

    pub(super) fn is_client_full(&self) -> bool {
        self.client.room != Room::Free
    }

    /// Whether the body of an answer is being passed on.
    pub(super) fn is_forwarding(&self) -> bool {
        self.exchange.forwarding().is_some()
    }

    /// Bytes of an answer that is held back until it is here as a whole.
    fn held_back(&self) -> usize {
        match &self.exchange {
            Exchange::Relaying(relay) => match &relay.download {
                Download::Holding(held) => held.pieces.iter().map(Bytes::len).sum(),
                Download::Awaiting | Download::Discarding | Download::Forwarding(_) => 0,
            },
            Exchange::Connecting(_)
            | Exchange::Draining(_)
            | Exchange::None
            | Exchange::Receiving(_)
            | Exchange::Tunnel(_)
            | Exchange::Waiting(_) => 0,
        }
    }

    /// Tells the reserve what is held now.
    pub(super) fn note_held(&mut self) {
        let beyond = |held: usize| held.saturating_sub(QUEUE_BYTES_FREE);
        let origin = self.exchange.origin();
        let origin = origin.map_or(0, |origin| beyond(origin.out.held()));
        let queued = self.client.out.held() + self.held_back();
        let held = beyond(queued) + origin;
        self.retter.reserve().note(self.held, held);
        self.held = held;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.retter.reserve().note(self.held, 0);
    }
}
