//! Owns what happened when: counts in slices of time, and when the circuits were open.
//! Never holds more than a bounded number of slices: they grow with the log.

use retter_core::breaker::{State, Tier, Transition};

use super::tally::{Counts, Got};
use super::when::NANOS_PER_SEC;

/// As many as a picture has room for, twice.
const SLICES_MAX: usize = 1024;
/// State changes of the application's circuit that are kept.
const CHANGES_MAX: usize = 1000;
/// State changes of pages that are kept.
const PATH_CHANGES_MAX: usize = 100;

/// Counts over time, in nanoseconds since the start of the log.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Changes of the application's circuit.
    pub(super) changes: Vec<Transition>,
    /// The first changes of circuits of pages.
    pub(super) path_changes: Vec<Transition>,
    /// How often each kind of circuit opened: the application's, a page's.
    pub(super) opened: [u64; 2],
    /// The time for which the application's circuit was not closed.
    open_nanos: u64,
    open_since: Option<u64>,
    pub(super) slice: u64,
    pub(super) slices: Vec<Counts>,
    /// Changes that were not kept.
    pub(super) untold: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Timeline {
    pub(super) fn new() -> Self {
        Self {
            changes: Vec::new(),
            path_changes: Vec::new(),
            opened: [0; 2],
            open_nanos: 0,
            open_since: None,
            slice: NANOS_PER_SEC,
            slices: Vec::new(),
            untold: 0,
        }
    }

    /// Counts what a request got that came at `at`.
    pub(super) fn add(&mut self, at: u64, got: Got) {
        while at / self.slice >= SLICES_MAX as u64 {
            self.double();
        }
        let index = usize::try_from(at / self.slice).unwrap_or(SLICES_MAX - 1);
        if self.slices.len() <= index {
            self.slices.resize(index + 1, Counts::default());
        }
        self.slices[index].add(got);
    }

    fn double(&mut self) {
        self.slice *= 2;
        let pairs = self.slices.chunks(2).map(|pair| {
            let mut sum = pair[0];
            if let Some(second) = pair.get(1) {
                sum.merge(second);
            }
            sum
        });
        self.slices = pairs.collect();
    }

    pub(super) fn change(&mut self, change: Transition) {
        let opens = change.from != State::Open && change.to == State::Open;
        let (opened, kept, max) = match change.tier {
            Tier::Origin => (&mut self.opened[0], &mut self.changes, CHANGES_MAX),
            Tier::Path => (
                &mut self.opened[1],
                &mut self.path_changes,
                PATH_CHANGES_MAX,
            ),
        };
        // A probe that failed opens it again, which is the same time of trouble.
        *opened += u64::from(opens && change.from == State::Closed);
        if change.tier == Tier::Origin {
            let at = change.at.as_nanos();
            match (self.open_since, change.to) {
                (None, State::Open | State::HalfOpen) => self.open_since = Some(at),
                (Some(since), State::Closed) => {
                    self.open_nanos += at.saturating_sub(since);
                    self.open_since = None;
                }
                (Some(_), State::Open | State::HalfOpen) | (None, State::Closed) => {}
            }
        }
        if kept.len() < max {
            kept.push(change);
        } else {
            self.untold += 1;
        }
    }

    /// The time for which the application's circuit was not closed, until `end`.
    pub(super) fn open_nanos(&self, end: u64) -> u64 {
        let running = self.open_since.map_or(0, |since| end.saturating_sub(since));
        self.open_nanos + running
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use retter_core::breaker::Reason;
    use retter_core::time::Instant;

    use super::*;

    #[test]
    fn slices_grow_with_the_log_and_lose_nothing() {
        let mut timeline = Timeline::new();
        let year = 365 * 24 * 3600;
        for second in [0, 1, 2, 1023, 1024, year, 5] {
            timeline.add(second * NANOS_PER_SEC, Got::Answer);
        }
        assert!(timeline.slices.len() <= SLICES_MAX);
        let total: u64 = timeline.slices.iter().map(Counts::total).sum();
        assert_eq!(total, 7);
        assert_eq!(timeline.slices[0].total(), 6);
    }

    #[test]
    fn open_times_add_up() {
        let mut timeline = Timeline::new();
        let mut change = |secs, from, to| {
            timeline.change(Transition {
                at: Instant::from_epoch(Duration::from_secs(secs)),
                from,
                path: None,
                reason: Reason::Consecutive {
                    failed: 5,
                    visitors: 1,
                },
                tier: Tier::Origin,
                to,
            });
        };
        change(1, State::Closed, State::Open);
        change(3, State::Open, State::HalfOpen);
        change(4, State::HalfOpen, State::Open);
        change(5, State::Open, State::HalfOpen);
        change(6, State::HalfOpen, State::Closed);
        change(10, State::Closed, State::Open);
        assert_eq!(timeline.open_nanos(12 * NANOS_PER_SEC), 7 * NANOS_PER_SEC);
        assert_eq!(timeline.opened, [2, 0]);
    }
}
