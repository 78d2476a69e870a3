//! Owns whether a session may give its place to another client, and how it does.
//! Never decides that it must: `connections` does.

use super::exchange::Exchange;
use super::{Last, Life, Session};
use crate::time::Instant;

/// Whether a session could give its place to another client without harm, and since when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// A request runs, or its answer is on its way.
    Busy,
    /// Nothing has come since then.
    Idle(Instant),
    /// A request head has been coming since then.
    Reading(Instant),
}

impl Session {
    /// Whether it could give its place to another client.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let waits = self.life == Life::Open
            && matches!(self.exchange, Exchange::None)
            && self.client.out.is_empty();
        match (waits, self.client.head_since) {
            (false, _) => Standing::Busy,
            (true, None) => Standing::Idle(self.client.read_at),
            (true, Some(since)) => Standing::Reading(since),
        }
    }

    /// Closes unless a request runs, else behind its answer.
    pub(super) fn give_way(&mut self) {
        self.draining = true;
        if self.standing() != Standing::Busy {
            self.life = Life::Closing(Last::Close);
        }
    }
}
