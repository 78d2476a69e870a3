//! Owns how much load needed lately, where the limit held nothing back, and how far the limit sinks
//! toward that.
//! Never changes the limit: `limit` does.

use std::time::Duration;

use crate::time::Instant;

/// How long a limit that holds nothing back stays before it sinks a little.
const QUIET_MAX: Duration = Duration::from_secs(30);

/// How much load needed since the limit was last needed, or last sank.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    since: Instant,
    peak: u32,
}

impl Quiet {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            peak: 0,
        }
    }

    /// So many were at the origin.
    pub(super) fn note(&mut self, in_flight: u32) {
        self.peak = self.peak.max(in_flight);
    }

    /// Where `limit`, which load has not needed, is now: after long it sinks toward what was
    /// needed, never below `start`.
    pub(super) fn sink(&mut self, mut limit: u32, start: u32, now: Instant) -> u32 {
        const FACTOR: f64 = 0.8;
        let mut quiet = now.saturating_since(self.since);
        if quiet < QUIET_MAX {
            return limit;
        }
        let floor = limit.min(start.max(self.peak));
        while quiet >= QUIET_MAX && limit > floor {
            limit = scaled(limit, FACTOR).max(floor);
            quiet -= QUIET_MAX;
        }
        *self = Self::new(now);
        limit
    }
}

/// `limit` times `factor`, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates"
)]
pub(super) fn scaled(limit: u32, factor: f64) -> u32 {
    (f64::from(limit) * factor).round() as u32
}
