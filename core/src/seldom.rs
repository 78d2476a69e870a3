//! Owns how often a trouble is told that comes and goes with each connection: [`Seldom`].
//! Never knows which trouble it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Instant;

/// One line a minute tells it.
const REST: Duration = Duration::from_secs(60);

/// When something was told last. Shared by all who would tell it.
#[derive(Debug, Default)]
pub struct Seldom(
    /// Nanoseconds, 0 for never.
    AtomicU64,
);

impl Seldom {
    /// Whether to tell it now: it was not told for a minute.
    pub fn is_due(&self, now: Instant) -> bool {
        let due = |last| {
            let rested = now.saturating_since(Instant::from_nanos(last)) >= REST;
            (last == 0 || rested).then_some(now.as_nanos().max(1))
        };
        let told = &self.0;
        told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .is_ok()
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
}
