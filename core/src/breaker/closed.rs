//! Owns what a closed circuit counts, and whether that opens it.
//! Never opens it: [`Breaker`](super::Breaker) does.

use std::time::Duration;

use super::row::Row;
use super::visitor::{About, Visitor};
use super::voices::{Verdict, Voices};
use super::window::{Counts, Window};
use super::witnesses::Witnesses;
use super::{Outcome, Reason, Streak, Trip};
use crate::time::Instant;

/// Visitors that are told apart: by a circuit that tells pages apart, and by any other.
const VISITORS_MAX: [usize; 2] = [64, 8];

#[derive(Debug)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
pub(super) struct Closed {
    good_at: Option<Instant>,
    row: Row,
    slow: Row,
    voices: Voices,
    window: Window,
}

/// A call that has ended, or is slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) about: About,
    pub(super) began: Instant,
    pub(super) outcome: Outcome,
}

/// Why a circuit has to open, and by whose word.
pub(super) type Trips = (Reason, Witnesses);

impl Closed {
    pub(super) fn new(trip: &Trip, now: Instant) -> Self {
        let by_page = trip.paths_min > 1;
        let [many, few] = VISITORS_MAX;
        let voices_max = if by_page { many } else { few };
        Self {
            good_at: None,
            row: Row::default(),
            slow: Row::default(),
            voices: Voices::new(trip.window, voices_max),
            window: Window::new(trip.window, by_page, now),
        }
    }

    /// Takes note that a visitor was well before.
    pub(super) fn greet(&mut self, visitor: Visitor, at: Instant) {
        self.voices.greet(visitor, at);
    }

    /// Counts one outcome and tells whether, and why, the circuit has to open.
    pub(super) fn count(&mut self, trip: &Trip, ended: Ended, now: Instant) -> Option<Trips> {
        let Ended {
            about,
            began,
            outcome,
        } = ended;
        if outcome == Outcome::Ignore {
            return None;
        }
        self.window.record(outcome, about.page, now);
        if let Some(visitor) = about.visitor {
            self.voices.hear(visitor, outcome, now);
        }
        let in_streak = match trip.streak {
            Streak::ConnectFailures(_) => outcome == Outcome::ConnectFailure,
            Streak::Failures(_) => outcome.is_failure(),
        };
        match in_streak {
            true => self.row.add(about, 0),
            false => self.row.end(),
        }
        match outcome {
            Outcome::Slow { over } => {
                // While others are answered it hangs alone.
                if self.good_at.is_none_or(|good| good <= began) {
                    self.slow.add(about, trip.paths_min());
                }
                self.trips_slow(trip, over, now)
            }
            Outcome::ConnectFailure | Outcome::Failure => {
                self.slow.end();
                self.trips(trip, now)
            }
            Outcome::Ignore => None,
            Outcome::Success => {
                self.good_at = Some(now);
                self.slow.end();
                None
            }
        }
    }

    /// Whether nothing bad was seen lately.
    pub(super) fn is_spotless(&self, now: Instant) -> bool {
        let counts = self.window.counts(now);
        let in_a_row = self.row.length() + self.slow.length();
        in_a_row == 0 && counts.failed == 0 && counts.slow == 0
    }

    /// How many visitors have to say so.
    fn witnesses(&self, trip: &Trip, now: Instant) -> u32 {
        trip.witnesses.min(self.voices.count(now)).max(1)
    }

    fn trips(&self, trip: &Trip, now: Instant) -> Option<Trips> {
        let failed = self.row.length();
        let witnesses = self.witnesses(trip, now);
        let by_network = self.voices.by_network(now);
        match trip.streak {
            Streak::ConnectFailures(max) if failed > 0 && failed >= max => {
                // Whoever asks, nobody listens.
                let reason = Reason::ConnectFailures { failed };
                return Some((reason, Witnesses::certain()));
            }
            Streak::Failures(max) if self.row.is_borne(max.max(1), witnesses, by_network) => {
                let visitors = self.row.voices(by_network);
                let reason = Reason::Consecutive { failed, visitors };
                return Some((reason, Witnesses::of(self.row.networks())));
            }
            Streak::ConnectFailures(_) | Streak::Failures(_) => {}
        }
        let rate = trip.failure_rate;
        let is_bad = move |counts: &Counts| counts.share(counts.failed) >= rate;
        let verdict = self.voices.verdict(is_bad, now);
        let paths = self.window.paths_failed(now).max(1);
        let reached =
            paths >= trip.paths_min() && is_reached(verdict, (rate, trip.outcomes_min, witnesses));
        let counts = self.window.counts(now);
        let reason = Reason::FailureRate {
            failed: counts.failed,
            total: counts.total,
            window: trip.window,
            paths,
            visitors: verdict.bad,
        };
        let witnesses = || Witnesses::of(self.voices.bad_networks(is_bad, now));
        reached.then(|| (reason, witnesses()))
    }

    /// A hanging origin shows as a row: nothing else comes back any more. One that is slow for most
    /// shows as a rate, to which failures count: they are no better.
    fn trips_slow(&self, trip: &Trip, over: Duration, now: Instant) -> Option<Trips> {
        let slow = trip.slow?;
        let witnesses = self.witnesses(trip, now);
        let by_network = self.voices.by_network(now);
        let (row, paths) = (&self.slow, self.slow.pages());
        if row.is_borne(slow.row.max(1), witnesses, by_network) && paths >= trip.paths_min() {
            let reason = Reason::SlowRow {
                slow: row.length(),
                over,
                paths,
                visitors: row.voices(by_network),
            };
            return Some((reason, Witnesses::of(row.networks())));
        }
        let rate = slow.rate;
        let is_bad = move |counts: &Counts| counts.share(counts.bad()) >= rate;
        let verdict = self.voices.verdict(is_bad, now);
        let paths = self.window.paths_bad(now).max(1);
        let reached =
            paths >= trip.paths_min() && is_reached(verdict, (rate, slow.outcomes_min, witnesses));
        let counts = self.window.counts(now);
        let reason = Reason::SlowRate {
            slow: counts.slow,
            failed: counts.failed,
            total: counts.total,
            over,
            window: trip.window,
            paths,
            visitors: verdict.bad,
        };
        let witnesses = || Witnesses::of(self.voices.bad_networks(is_bad, now));
        reached.then(|| (reason, witnesses()))
    }
}

/// Whether as many visitors as are asked for are met badly, by enough outcomes, and few others are not.
fn is_reached(verdict: Verdict, (rate, outcomes_min, witnesses): (f64, u32, u32)) -> bool {
    verdict.bad >= witnesses && verdict.outcomes >= outcomes_min && verdict.reaches(rate)
}
