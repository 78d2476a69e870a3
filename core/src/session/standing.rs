//! Owns whether a session may give its place to another client, and how it does.
//! Never decides that it must: `connections` does.

use super::exchange::Exchange;
use super::{Last, Life, Session};
use crate::canary::{Plant, is_planted};
use crate::report::End;
use crate::time::Instant;

/// Whether a session could give its place to another client without harm, and since when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// A request runs, or its answer is on its way.
    Busy,
    /// Nothing has come since then.
    Idle(Instant),
    /// A request has been coming since then, and nothing has been done about it yet.
    Reading(Instant),
}

impl Session {
    /// Whether it could give its place to another client.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.life != Life::Open || !self.client.out.is_empty() {
            return Standing::Busy;
        }
        match (&self.exchange, self.client.head_since) {
            (Exchange::None, None) => Standing::Idle(self.client.read_at),
            (Exchange::None, Some(since)) => Standing::Reading(since),
            (Exchange::Receiving(call), _) => Standing::Reading(call.started),
            (
                Exchange::Connecting(_)
                | Exchange::Draining(_)
                | Exchange::Relaying(_)
                | Exchange::Tunnel(_)
                | Exchange::Waiting(_),
                _,
            ) => Standing::Busy,
        }
    }

    /// Closes unless a request runs, else behind its answer.
    pub(super) fn give_way(&mut self, now: Instant) {
        self.draining = true;
        if self.standing() != Standing::Busy || is_planted(Plant::BusyGivesWay) {
            self.give_up_exchange(End::ClientLeft, now);
            self.life = Life::Closing(Last::Close);
        }
    }
}
