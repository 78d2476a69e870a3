//! Owns what a closed circuit counts, and whether that opens it.
//! Never opens it: [`Breaker`](super::Breaker) does.

use std::time::Duration;

use super::window::{PATHS_TOLD_APART, Window};
use super::{Outcome, Reason, Streak, Trip};
use crate::time::Instant;

#[derive(Debug)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
pub(super) struct Closed {
    streak: u32,
    slow: SlowRow,
    window: Window,
}

/// Slow calls in a row.
#[derive(Debug, Default)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
struct SlowRow {
    length: u32,
    /// Different paths of them, as many as are asked for.
    paths: Vec<u64>,
}

impl Closed {
    pub(super) fn new(trip: &Trip, now: Instant) -> Self {
        Self {
            streak: 0,
            slow: SlowRow::default(),
            window: Window::new(trip.window, trip.paths_min > 1, now),
        }
    }

    /// Counts one outcome and tells whether, and why, the circuit has to open.
    pub(super) fn count(
        &mut self,
        trip: &Trip,
        path: u64,
        outcome: Outcome,
        now: Instant,
    ) -> Option<Reason> {
        if outcome == Outcome::Ignore {
            return None;
        }
        self.window.record(outcome, path, now);
        let in_streak = match trip.streak {
            Streak::ConnectFailures(_) => outcome == Outcome::ConnectFailure,
            Streak::Failures(_) => outcome.is_failure(),
        };
        self.streak = if in_streak {
            self.streak.saturating_add(1)
        } else {
            0
        };
        match outcome {
            Outcome::Slow { over } => {
                self.slow.add(path, trip.paths_min());
                self.trips_slow(trip, over, now)
            }
            Outcome::ConnectFailure | Outcome::Failure => {
                self.slow = SlowRow::default();
                self.trips(trip, now)
            }
            Outcome::Ignore | Outcome::Success => {
                self.slow = SlowRow::default();
                None
            }
        }
    }

    /// Whether nothing bad was seen lately.
    pub(super) fn is_spotless(&self, now: Instant) -> bool {
        let counts = self.window.counts(now);
        self.streak == 0 && self.slow.length == 0 && counts.failed == 0 && counts.slow == 0
    }

    fn trips(&self, trip: &Trip, now: Instant) -> Option<Reason> {
        let failed = self.streak;
        match trip.streak {
            Streak::ConnectFailures(max) if failed > 0 && failed >= max => {
                return Some(Reason::ConnectFailures { failed });
            }
            Streak::Failures(max) if failed >= max => {
                return Some(Reason::Consecutive { failed });
            }
            Streak::ConnectFailures(_) | Streak::Failures(_) => {}
        }
        let counts = self.window.counts(now);
        let paths = self.window.paths_failed(now).max(1);
        // A quotient: 33 of 50 is then exactly the 0.66 of a setting, a product might not be.
        let rate = f64::from(counts.failed) / f64::from(counts.total);
        let reached = counts.total >= trip.outcomes_min
            && paths >= trip.paths_min()
            && rate >= trip.failure_rate;
        reached.then_some(Reason::FailureRate {
            failed: counts.failed,
            total: counts.total,
            window: trip.window,
            paths,
        })
    }

    /// A hanging origin shows as a row: nothing else comes back any more. One that is slow for most
    /// shows as a rate, to which failures count: they are no better.
    fn trips_slow(&self, trip: &Trip, over: Duration, now: Instant) -> Option<Reason> {
        let slow = trip.slow?;
        let length = self.slow.length;
        let paths = u32::try_from(self.slow.paths.len()).unwrap_or(PATHS_TOLD_APART);
        if length >= slow.row && paths >= trip.paths_min() {
            return Some(Reason::SlowRow {
                slow: length,
                over,
                paths,
            });
        }
        let counts = self.window.counts(now);
        let paths = self.window.paths_bad(now).max(1);
        let rate = f64::from(counts.bad()) / f64::from(counts.total);
        let reached =
            counts.total >= slow.outcomes_min && paths >= trip.paths_min() && rate >= slow.rate;
        reached.then_some(Reason::SlowRate {
            slow: counts.slow,
            failed: counts.failed,
            total: counts.total,
            over,
            window: trip.window,
            paths,
        })
    }
}

impl SlowRow {
    fn add(&mut self, path: u64, paths_min: u32) {
        self.length = self.length.saturating_add(1);
        let is_enough = self.paths.len() >= paths_min as usize;
        if !is_enough && !self.paths.contains(&path) {
            self.paths.push(path);
        }
    }
}
