//! Owns [`ConnectProbe`]: connecting to an origin that takes no connections, to find out when it
//! does; and what follows from it.
//! Never connects, and never sends a request.

use std::sync::Arc;
use std::time::Duration;

use super::parts::Parts;
use crate::canary::{Plant, is_planted};
use crate::time::Instant;

/// Beyond the time for a connection: how long a probe may be late before another one begins.
const LATE: Duration = Duration::from_secs(2);

/// The wish to connect to the origin and to close the connection again, without a request.
///
/// Say how it went: dropped without a word, it is tried again a second later.
#[derive(Debug)]
#[must_use = "say how it went with on_connected or on_failed"]
pub struct ConnectProbe {
    name: u64,
    parts: Arc<Parts>,
    /// When it began, until it has ended.
    last: Instant,
}

/// The next attempt to connect, where one is due.
pub(super) fn next(parts: &Arc<Parts>, now: Instant) -> Option<ConnectProbe> {
    if parts.by_hand.rests_fully(now).is_some() {
        return None;
    }
    let connect = parts.snapshot().config().origin.connect_timeout;
    let lost_at = now + connect + LATE;
    let name = parts.reach.start_trial(lost_at, now)?;
    // No request is the one that finds out.
    parts.change_circuits(now, |tiers| tiers.unreached(lost_at));
    Some(ConnectProbe {
        name,
        parts: Arc::clone(parts),
        last: now,
    })
}

/// When to ask for the next one; `None` when only the waker tells.
pub(super) fn due_at(parts: &Parts, now: Instant) -> Option<Instant> {
    let due = parts.reach.due_at()?;
    match parts.by_hand.rests_fully(now) {
        Some(until) => until.map(|until| until.max(due)),
        None => Some(due),
    }
}

impl ConnectProbe {
    /// The connection stands: the origin's circuit may be probed with requests.
    pub fn on_connected(mut self, now: Instant) {
        self.last = now;
        if is_planted(Plant::DeafToConnections) {
            return;
        }
        self.parts.connected(now);
    }

    /// No connection came about, or there was nothing here to connect with.
    pub fn on_failed(mut self, now: Instant) {
        self.last = now;
        let stays_until = now + LATE;
        self.parts
            .change_circuits(now, |tiers| tiers.unreached(stays_until));
    }
}

impl Drop for ConnectProbe {
    fn drop(&mut self) {
        self.parts.reach.end_trial(self.name, self.last);
        // The next one has its time now.
        self.parts.renewals.wake();
    }
}
