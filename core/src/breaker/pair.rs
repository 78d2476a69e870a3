//! Owns the comparison of a circuit with its model, step by step, for tests and fuzzers.
//! Never decides what happens: whoever drives it does.

use std::time::Duration;

use super::model::{Model, Terms, Ticket};
use super::{About, Breaker, Outcome, Permit, Recovery, SlowTrip, State, Streak, Trip, Visitor};
use crate::time::Instant;

/// One step of both.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Acquire(Visitor),
    EndNewest(Outcome),
    EndOldest(Outcome),
    Wait(u64),
}

/// The circuit and its model, side by side.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) breaker: Breaker,
    model: Model,
    begun: Vec<(Permit, Ticket, Visitor)>,
    pub(crate) now: u64,
    terms: Terms,
}

impl Clone for Pair {
    fn clone(&self) -> Self {
        let twin = |(permit, ticket, visitor): &(Permit, Ticket, Visitor)| {
            let Permit {
                began,
                generation,
                probe,
                ..
            } = *permit;
            (Permit::new(generation, probe, began), *ticket, *visitor)
        };
        Self {
            breaker: self.breaker.clone(),
            model: self.model.clone(),
            begun: self.begun.iter().map(twin).collect(),
            now: self.now,
            terms: self.terms,
        }
    }
}

impl Pair {
    pub(crate) fn new(terms: &Terms) -> Self {
        Self {
            breaker: breaker(terms, 0.0, 0),
            model: Model::new(*terms),
            begun: Vec::new(),
            now: 0,
            terms: *terms,
        }
    }

    /// Calls that have not ended.
    pub(crate) fn begun(&self) -> usize {
        self.begun.len()
    }

    /// Whether the event does anything here; if not, a shorter sequence has tested the same.
    pub(crate) fn has_effect(&self, event: Event) -> bool {
        match event {
            Event::Acquire(_) | Event::Wait(_) => true,
            Event::EndNewest(_) => self.begun.len() > 1,
            Event::EndOldest(_) => !self.begun.is_empty(),
        }
    }

    pub(crate) fn apply(&mut self, event: Event) {
        match event {
            Event::Acquire(visitor) => self.acquire(visitor),
            Event::EndNewest(outcome) => self.end(self.begun.len() - 1, outcome),
            Event::EndOldest(outcome) => self.end(0, outcome),
            Event::Wait(seconds) => self.now += seconds,
        }
        let changed = self.breaker.poll_change();
        assert_eq!(self.breaker.generation, self.model.generation);
        assert_eq!(self.breaker.state(at(self.now)), self.model.state(self.now));
        if let Some(change) = changed {
            assert_eq!(change.at, at(self.now));
            assert_ne!(change.from, change.to);
        }
    }

    fn acquire(&mut self, visitor: Visitor) {
        let model = self.model.acquire(visitor, self.now);
        let acquired = self.breaker.try_acquire_by(visitor, at(self.now));
        match (acquired, model) {
            (Ok(permit), Ok(ticket)) => self.begun.push((permit, ticket, visitor)),
            (Err(rejected), Err(retry_at)) => {
                assert_eq!(rejected.retry_at, at(retry_at));
                self.check_refusal(retry_at);
            }
            (ours, model) => panic!("{ours:?} but the model says {model:?}"),
        }
    }

    /// A refusal ends: at the time it names, whatever is lost until then, and soon.
    fn check_refusal(&self, retry_at: u64) {
        assert!(retry_at > self.now);
        let longest = match self.breaker.state(at(self.now)) {
            State::Closed => panic!("closed, but refuses"),
            State::HalfOpen => self.terms.lease,
            State::Open => self.terms.open_max,
        };
        assert!(retry_at <= self.now + longest);
        assert!(self.breaker.clone().try_acquire(at(retry_at)).is_ok());
    }

    fn end(&mut self, index: usize, outcome: Outcome) {
        let (permit, ticket, visitor) = self.begun.remove(index);
        let about = About {
            page: 0,
            visitor: Some(visitor),
        };
        self.breaker
            .record_about(permit, about, outcome, at(self.now));
        self.model.record(ticket, visitor, outcome, self.now);
    }

    /// Never wedged: from here, time and successful calls alone close the circuit.
    pub(crate) fn check_recovers(&self) {
        let mut breaker = self.breaker.clone();
        let later = at(self.now + self.terms.open_max.max(self.terms.lease));
        for _ in 0..self.terms.needed {
            let permit = breaker.try_acquire(later).expect("time alone makes room");
            breaker.record(permit, Outcome::Success, later);
        }
        assert_eq!(breaker.state(later), State::Closed);
    }
}

/// A circuit on these terms.
pub(crate) fn breaker(terms: &Terms, jitter: f64, seed: u64) -> Breaker {
    let trip = Trip {
        window: Duration::from_secs(terms.window),
        failure_rate: terms.rate,
        outcomes_min: terms.outcomes_min,
        paths_min: 1,
        slow: (terms.slow.row > 0).then_some(SlowTrip {
            rate: terms.slow.rate,
            outcomes_min: terms.slow.outcomes_min,
            row: terms.slow.row,
        }),
        streak: match terms.row_of_connect_failures {
            true => Streak::ConnectFailures(terms.row),
            false => Streak::Failures(terms.row),
        },
        witnesses: u32::try_from(terms.witnesses).expect("a small number"),
    };
    let recovery = Recovery {
        open_min: Duration::from_secs(terms.open_min),
        open_max: Duration::from_secs(terms.open_max),
        jitter,
        probe_lease: Duration::from_secs(terms.lease),
        probes_needed: u32::try_from(terms.needed).expect("a small number"),
    };
    Breaker::new(trip, recovery, seed, Instant::ZERO)
}

pub(crate) fn at(seconds: u64) -> Instant {
    Instant::from_epoch(Duration::from_secs(seconds))
}
