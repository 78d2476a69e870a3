//! Owns the reference model of one circuit: the contract once more, in whole seconds, without
//! jitter and as simple as can be. Never shares code with what it is compared to.

use std::collections::BTreeMap;

use super::{Outcome, State};

/// The numbers of one model, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) window: u64,
    pub(crate) rate: f64,
    pub(crate) outcomes_min: u32,
    pub(crate) row: u32,
    pub(crate) row_of_connect_failures: bool,
    pub(crate) open_min: u64,
    pub(crate) open_max: u64,
    pub(crate) lease: u64,
    pub(crate) needed: usize,
    pub(crate) slow: SlowTerms,
}

/// The numbers for slow calls; zero in a row for never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowTerms {
    pub(crate) rate: f64,
    pub(crate) outcomes_min: u32,
    pub(crate) row: u32,
}

/// A permit of the model: its generation, and its slot when it is a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u64, Option<u64>);

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) generation: u64,
    terms: Terms,
    mode: State,
    mode_since: u64,
    open_time: u64,
    attempt: u32,
    /// News led to the probes that run, or to those that failed last.
    by_news: bool,
    /// All outcomes since the circuit closed: when, and what.
    log: Vec<(u64, Outcome)>,
    row: u32,
    slow_row: u32,
    /// The ends of the leases, by slot.
    leases: BTreeMap<u64, u64>,
    slots: u64,
    successes: usize,
}

#[cfg(test)]
impl Ticket {
    /// Of a call that passes a closed circuit.
    pub(crate) const fn of(generation: u64) -> Self {
        Self(generation, None)
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_probe(self) -> bool {
        self.1.is_some()
    }
}

impl Model {
    pub(crate) const fn new(terms: Terms) -> Self {
        Self::with_generation(terms, 0)
    }

    pub(crate) const fn with_generation(terms: Terms, generation: u64) -> Self {
        Self {
            generation,
            terms,
            mode: State::Closed,
            mode_since: 0,
            open_time: 0,
            attempt: 0,
            by_news: false,
            log: Vec::new(),
            row: 0,
            slow_row: 0,
            leases: BTreeMap::new(),
            slots: 0,
            successes: 0,
        }
    }

    pub(crate) fn state(&self, now: u64) -> State {
        if self.mode == State::Open && now >= self.mode_since + self.open_time {
            State::HalfOpen
        } else {
            self.mode
        }
    }

    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.mode == State::Closed
    }

    /// Closed, with nothing bad in the window.
    #[cfg(test)]
    pub(crate) fn is_healthy(&self, now: u64) -> bool {
        let is_spotless = self.seen(now).all(|outcome| outcome == Outcome::Success);
        let in_a_row = self.row + self.slow_row;
        self.is_closed() && is_spotless && in_a_row == 0
    }

    pub(crate) fn acquire(&mut self, now: u64) -> Result<Ticket, u64> {
        if self.state(now) != self.mode {
            self.by_news = false;
            self.enter(State::HalfOpen, now);
        }
        match self.mode {
            State::Closed => Ok(Ticket(self.generation, None)),
            State::Open => Err(self.mode_since + self.open_time),
            State::HalfOpen => {
                let mut live: Vec<u64> = self.leases.values().copied().collect();
                live.retain(|end| *end > now);
                live.sort_unstable();
                let slots = self.terms.needed.saturating_sub(self.successes).max(1);
                if live.len() >= slots {
                    // So that fewer are left than there are slots.
                    return Err(live[live.len() - slots]);
                }
                self.slots += 1;
                self.leases.insert(self.slots, now + self.terms.lease);
                Ok(Ticket(self.generation, Some(self.slots)))
            }
        }
    }

    pub(crate) fn record(&mut self, ticket: Ticket, outcome: Outcome, now: u64) {
        let Ticket(generation, slot) = ticket;
        if outcome == Outcome::Success {
            self.hear_news(now);
        }
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
                self.attempt += u32::from(bad);
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

    /// It is believed once.
    pub(crate) fn hear_news(&mut self, now: u64) {
        if self.mode == State::Open && !self.by_news {
            self.by_news = true;
            self.enter(State::HalfOpen, now);
        }
    }

    /// The origin's circuit has closed.
    #[cfg(test)]
    pub(crate) fn return_now(&mut self, now: u64) {
        self.by_news |= self.mode != State::Closed;
        if self.mode == State::Open {
            self.enter(State::HalfOpen, now);
        }
    }

    fn count(&mut self, outcome: Outcome, bad: bool, now: u64) {
        self.log.push((now, outcome));
        let is_slow = |outcome: Outcome| matches!(outcome, Outcome::Slow { .. });
        let rowed = bad && (!self.terms.row_of_connect_failures || outcome != Outcome::Failure);
        self.row = if rowed { self.row + 1 } else { 0 };
        let slow = is_slow(outcome);
        self.slow_row = if slow { self.slow_row + 1 } else { 0 };
        let total = number(self.seen(now).count());
        let slow_seen = number(self.seen(now).filter(|outcome| is_slow(*outcome)).count());
        let is_good = |outcome: &Outcome| *outcome == Outcome::Success;
        let good = number(self.seen(now).filter(is_good).count());
        let rate = f64::from(total - good - slow_seen) / f64::from(total);
        let too_many = total >= self.terms.outcomes_min && rate >= self.terms.rate;
        let failed = bad && (self.row >= self.terms.row || too_many);
        let terms = self.terms.slow;
        let rate = f64::from(total - good) / f64::from(total);
        let too_many = total >= terms.outcomes_min && rate >= terms.rate;
        let dragged = slow && terms.row > 0 && (self.slow_row >= terms.row || too_many);
        if failed || dragged {
            (self.attempt, self.by_news) = (0, false);
            self.enter(State::Open, now);
        }
    }

    /// The outcomes in the window.
    fn seen(&self, now: u64) -> impl Iterator<Item = Outcome> {
        // With a window of ten buckets and whole seconds, a bucket is `window / 10` seconds.
        let bucket = move |at: u64| at * 10 / self.terms.window;
        let in_window = move |(at, _): &&(u64, Outcome)| bucket(now) - bucket(*at) < 10;
        self.log
            .iter()
            .filter(in_window)
            .map(|(_, outcome)| *outcome)
    }

    fn enter(&mut self, mode: State, now: u64) {
        if mode == State::Open {
            let doubled = self
                .terms
                .open_min
                .saturating_mul(2_u64.saturating_pow(self.attempt));
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

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("as many outcomes as a test has steps")
}
