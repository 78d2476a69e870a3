//! Owns the reference model of one circuit: the contract once more, in whole seconds, without
//! jitter and as simple as can be. Never shares code with what it is compared to.

use std::collections::BTreeMap;

use super::super::{Outcome, State};

/// The numbers of one model, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) window: u64,
    pub(super) rate: f64,
    pub(super) outcomes_min: u32,
    pub(super) row: u32,
    pub(super) row_of_connect_failures: bool,
    pub(super) open_min: u64,
    pub(super) open_max: u64,
    pub(super) lease: u64,
    pub(super) needed: usize,
    pub(super) slow: SlowTerms,
}

/// The numbers for slow calls; zero in a row for never.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlowTerms {
    pub(super) rate: f64,
    pub(super) outcomes_min: u32,
    pub(super) row: u32,
}

/// A permit of the model: its generation, and its slot when it is a probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64, Option<u64>);

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) generation: u64,
    terms: Terms,
    mode: State,
    mode_since: u64,
    open_time: u64,
    attempt: u32,
    /// All outcomes since the circuit closed: when, and what.
    log: Vec<(u64, Outcome)>,
    row: u32,
    slow_row: u32,
    /// The ends of the leases, by slot.
    leases: BTreeMap<u64, u64>,
    slots: u64,
    successes: usize,
}

impl Model {
    pub(super) const fn new(terms: Terms) -> Self {
        Self {
            generation: 0,
            terms,
            mode: State::Closed,
            mode_since: 0,
            open_time: 0,
            attempt: 0,
            log: Vec::new(),
            row: 0,
            slow_row: 0,
            leases: BTreeMap::new(),
            slots: 0,
            successes: 0,
        }
    }

    pub(super) fn state(&self, now: u64) -> State {
        if self.mode == State::Open && now >= self.mode_since + self.open_time {
            State::HalfOpen
        } else {
            self.mode
        }
    }

    pub(super) fn acquire(&mut self, now: u64) -> Result<Ticket, u64> {
        if self.state(now) != self.mode {
            self.enter(State::HalfOpen, now);
        }
        match self.mode {
            State::Closed => Ok(Ticket(self.generation, None)),
            State::Open => Err(self.mode_since + self.open_time),
            State::HalfOpen => {
                let live: Vec<u64> = self
                    .leases
                    .values()
                    .copied()
                    .filter(|end| *end > now)
                    .collect();
                if live.len() + self.successes >= self.terms.needed && !live.is_empty() {
                    return Err(*live.iter().min().unwrap());
                }
                self.slots += 1;
                self.leases.insert(self.slots, now + self.terms.lease);
                Ok(Ticket(self.generation, Some(self.slots)))
            }
        }
    }

    pub(super) fn record(&mut self, ticket: Ticket, outcome: Outcome, now: u64) {
        let Ticket(generation, slot) = ticket;
        if generation != self.generation {
            return;
        }
        if let Some(slot) = slot {
            self.leases.remove(&slot);
        }
        let bad = matches!(outcome, Outcome::Failure | Outcome::ConnectFailure);
        if outcome == Outcome::Ignore {
            return;
        }
        match self.mode {
            State::Closed => self.count(outcome, bad, now),
            State::HalfOpen if outcome != Outcome::Success => {
                self.attempt += 1;
                self.enter(State::Open, now);
            }
            State::HalfOpen => {
                self.successes += 1;
                if self.successes >= self.terms.needed {
                    self.enter(State::Closed, now);
                }
            }
            State::Open => panic!("an open circuit gives no tickets"),
        }
    }

    fn count(&mut self, outcome: Outcome, bad: bool, now: u64) {
        self.log.push((now, outcome));
        let is_slow = |outcome: Outcome| matches!(outcome, Outcome::Slow { .. });
        let rowed = bad && (!self.terms.row_of_connect_failures || outcome != Outcome::Failure);
        self.row = if rowed { self.row + 1 } else { 0 };
        let slow = is_slow(outcome);
        self.slow_row = if slow { self.slow_row + 1 } else { 0 };
        // With a window of ten buckets and whole seconds, a bucket is `window / 10` seconds.
        let bucket = |at: u64| at * 10 / self.terms.window;
        let seen = self
            .log
            .iter()
            .filter(|(at, _)| bucket(now) - bucket(*at) < 10);
        let total = u32::try_from(seen.clone().count()).unwrap();
        let slow_seen = u32::try_from(seen.clone().filter(|(_, o)| is_slow(*o)).count()).unwrap();
        let good = u32::try_from(seen.filter(|(_, o)| *o == Outcome::Success).count()).unwrap();
        let rate = f64::from(total - good - slow_seen) / f64::from(total);
        let too_many = total >= self.terms.outcomes_min && rate >= self.terms.rate;
        let failed = bad && (self.row >= self.terms.row || too_many);
        let terms = self.terms.slow;
        let rate = f64::from(total - good) / f64::from(total);
        let too_many = total >= terms.outcomes_min && rate >= terms.rate;
        let dragged = slow && terms.row > 0 && (self.slow_row >= terms.row || too_many);
        if failed || dragged {
            let stable = now - self.mode_since >= self.open_time;
            self.attempt = if stable { 0 } else { self.attempt + 1 };
            self.enter(State::Open, now);
        }
    }

    fn enter(&mut self, mode: State, now: u64) {
        if mode == State::Open {
            let doubled = self.terms.open_min * 2_u64.pow(self.attempt);
            self.open_time = doubled.min(self.terms.open_max);
        }
        self.mode = mode;
        self.mode_since = now;
        self.generation += 1;
        self.log.clear();
        self.leases.clear();
        self.row = 0;
        self.slow_row = 0;
        self.successes = 0;
    }
}
