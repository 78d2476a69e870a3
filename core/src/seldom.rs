//! Owns how often a trouble is told that comes and goes with each connection: [`Seldom`].
//! Never knows which trouble it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Instant;

/// When something was told last. Shared by all who would tell it.
#[derive(Debug)]
pub struct Seldom {
    rest: Duration,
    /// Nanoseconds, 0 for never.
    told: AtomicU64,
}

impl Seldom {
    /// Something that is told at most once in this time.
    #[must_use]
    pub const fn every(rest: Duration) -> Self {
        Self {
            rest,
            told: AtomicU64::new(0),
        }
    }

    /// Whether to tell it now, for whoever then does: it was not told for that time.
    pub fn is_due(&self, now: Instant) -> bool {
        let due = |last| {
            let rested = now.saturating_since(Instant::from_nanos(last)) >= self.rest;
            (last == 0 || rested).then_some(now.as_nanos().max(1))
        };
        (self.told)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .is_ok()
    }
}

/// Once a minute.
impl Default for Seldom {
    fn default() -> Self {
        Self::every(Duration::from_secs(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_minute_is_enough() {
        let seldom = Seldom::default();
        let told: Vec<_> = (1..200)
            .filter(|&secs| seldom.is_due(Instant::from_epoch(Duration::from_secs(secs))))
            .collect();
        assert_eq!(told, [1, 61, 121, 181]);
    }

    #[test]
    fn another_time_can_be_asked_for() {
        let seldom = Seldom::every(Duration::from_secs(600));
        let told: Vec<_> = (1..1300)
            .filter(|&secs| seldom.is_due(Instant::from_epoch(Duration::from_secs(secs))))
            .collect();
        assert_eq!(told, [1, 601, 1201]);
    }
}
