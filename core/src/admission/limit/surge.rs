//! Owns whether more comes than the origin can do, for longer than a burst lasts, and the limit that
//! held before.
//! Never changes a limit: `limit` does.

use std::time::Duration;

use crate::time::Instant;

/// A burst is over by then: who waits longer is turned away from the queue.
const BURST_MAX: Duration = Duration::from_secs(1);

/// Tells a surge from a burst: in a surge the limit holds requests back all the time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Surge {
    /// Since when every request that left made place for one that waited, if the last did.
    full_since: Option<Instant>,
    /// The limit when the surge began, while it lasts.
    limit_before: Option<u32>,
}

impl Surge {
    /// Whether there is one.
    pub(super) const fn is_on(self) -> bool {
        self.limit_before.is_some()
    }

    /// A request has left the origin, at `limit`. Returns the limit of before the surge with its end:
    /// what gives a surge the most answers may hold back the few visitors after it.
    pub(super) fn record(&mut self, has_room: bool, limit: u32, now: Instant) -> Option<u32> {
        if has_room {
            self.full_since = None;
            return self.limit_before.take();
        }
        let since = *self.full_since.get_or_insert(now);
        if now.saturating_since(since) > BURST_MAX {
            self.limit_before.get_or_insert(limit);
        }
        None
    }

    /// The origin has failed at a higher limit than this.
    pub(super) fn lower(&mut self, limit: u32) {
        self.limit_before = self.limit_before.map(|before| before.min(limit));
    }
}
