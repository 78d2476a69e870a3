//! Owns how much waits in the queues of a session, and what that means for the side it came from.
//! Never holds more than a peer's own part and what the reserve for slow peers has left.

use super::exchange::{Download, Exchange};
use super::{Session, Side};
use crate::limits::QUEUE_BYTES_FREE;
use crate::time::Instant;

impl Session {
    /// Whether the client's queue takes more. What others hold counts too, so the answer is kept
    /// for whoever asks which side is waited for.
    pub(super) fn client_has_room(&mut self, now: Instant) -> bool {
        let has_room = self.retter.reserve().admits(self.client.out.held());
        let was_full = std::mem::replace(&mut self.client.is_full, !has_room);
        if was_full
            && has_room
            && let Some(origin) = self.exchange.origin_mut()
        {
            // Nobody read from the origin meanwhile.
            origin.expect_bytes(&self.retter.config().origin, now);
        }
        has_room
    }

    /// As [`client_has_room`](Self::client_has_room), for the origin's queue.
    pub(super) fn origin_has_room(&mut self, now: Instant) -> bool {
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
            (Side::Origin, Exchange::Relaying(_)) => self.client.is_full && self.is_forwarding(),
            (Side::Origin, Exchange::Tunnel(_)) => self.client.is_full,
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

    /// Whether the body of an answer is being passed on.
    pub(super) fn is_forwarding(&self) -> bool {
        matches!(&self.exchange, Exchange::Relaying(relay)
            if matches!(relay.download, Download::Forwarding(_)))
    }

    /// Tells the reserve what is held now.
    pub(super) fn note_held(&mut self) {
        let beyond = |held: usize| held.saturating_sub(QUEUE_BYTES_FREE);
        let origin = self.exchange.origin();
        let origin = origin.map_or(0, |origin| beyond(origin.out.held()));
        let held = beyond(self.client.out.held()) + origin;
        self.retter.reserve().note(self.held, held);
        self.held = held;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.retter.reserve().note(self.held, 0);
    }
}
