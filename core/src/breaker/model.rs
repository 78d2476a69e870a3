//! Owns the reference model of one circuit: the contract once more, in whole seconds, without
//! jitter and as simple as can be. Never shares code with what it is compared to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Outcome, State, Visitor};

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
    pub(crate) witnesses: usize,
}

/// The numbers for slow calls; zero in a row for never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowTerms {
    pub(crate) rate: f64,
    pub(crate) outcomes_min: u32,
    pub(crate) row: u32,
}

/// A permit of the model: its generation, when it was given, and its slot when it is a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u64, u64, Option<u64>);

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
    /// All outcomes since the circuit closed: when, whose, and what.
    log: Vec<(u64, Visitor, Outcome)>,
    /// Visitors who were well before the first outcome, and when.
    greeted: Vec<(u64, Visitor)>,
    /// Failures have opened it, of which not all pages need have a share.
    pub(crate) is_by_failures: bool,
    /// Whose the outcomes in a row are.
    row: Vec<Visitor>,
    slow_row: Vec<Visitor>,
    /// When the last success was counted.
    good_at: Option<u64>,
    /// The networks by whose word it was opened; `None` where that is everybody's.
    witnesses: Option<BTreeSet<u64>>,
    /// The ends of the leases, by slot.
    leases: BTreeMap<u64, u64>,
    slots: u64,
    successes: usize,
}

#[cfg(test)]
impl Ticket {
    /// Of a call that passes a closed circuit.
    pub(crate) const fn of(generation: u64, now: u64) -> Self {
        Self(generation, now, None)
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0
    }

    pub(crate) const fn is_probe(self) -> bool {
        self.2.is_some()
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
            greeted: Vec::new(),
            is_by_failures: false,
            row: Vec::new(),
            slow_row: Vec::new(),
            good_at: None,
            witnesses: None,
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
        let is_spotless = self
            .seen(now)
            .all(|(_, outcome)| outcome == Outcome::Success);
        let in_a_row = self.row.len() + self.slow_row.len();
        self.is_closed() && is_spotless && in_a_row == 0
    }

    #[cfg(test)]
    pub(crate) fn greet(&mut self, visitor: Visitor, at: u64) {
        self.greeted.push((at, visitor));
    }

    pub(crate) fn acquire(&mut self, visitor: Visitor, now: u64) -> Result<Ticket, u64> {
        if self.state(now) != self.mode {
            self.by_news = false;
            self.enter(State::HalfOpen, now);
        } else if self.mode == State::Open && self.may_see(visitor) {
            self.by_news = true;
            self.enter(State::HalfOpen, now);
        }
        match self.mode {
            State::Closed => Ok(Ticket(self.generation, now, None)),
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
                Ok(Ticket(self.generation, now, Some(self.slots)))
            }
        }
    }

    /// Too few have met with what opened it, and this one has not.
    fn may_see(&self, visitor: Visitor) -> bool {
        let Some(witnesses) = &self.witnesses else {
            return false;
        };
        let is_known = visitor.network == 0 || witnesses.contains(&visitor.network);
        !is_known && witnesses.len() < self.terms.witnesses
    }

    pub(crate) fn record(&mut self, ticket: Ticket, visitor: Visitor, outcome: Outcome, now: u64) {
        let Ticket(generation, began, slot) = ticket;
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
            State::Closed => self.count((began, visitor), outcome, bad, now),
            State::HalfOpen if outcome != Outcome::Success => {
                self.attempt += u32::from(bad);
                self.is_by_failures &= bad;
                match (outcome, &mut self.witnesses) {
                    (Outcome::ConnectFailure, witnesses) => *witnesses = None,
                    (_, Some(witnesses)) => {
                        witnesses.insert(visitor.network);
                    }
                    (_, None) => {}
                }
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

    fn count(&mut self, (began, visitor): (u64, Visitor), outcome: Outcome, bad: bool, now: u64) {
        self.log.push((now, visitor, outcome));
        let is_slow = |outcome: Outcome| matches!(outcome, Outcome::Slow { .. });
        let rowed = bad && (!self.terms.row_of_connect_failures || outcome != Outcome::Failure);
        match rowed {
            true => self.row.push(visitor),
            false => self.row.clear(),
        }
        let slow = is_slow(outcome);
        if !slow {
            self.slow_row.clear();
        } else if self.good_at.is_none_or(|good| good <= began) {
            self.slow_row.push(visitor);
        }
        if outcome == Outcome::Success {
            self.good_at = Some(now);
        }
        let terms = self.terms;
        let is_everybodys = terms.row_of_connect_failures && self.row.len() >= terms.row as usize;
        let too_many = |is_bad: &dyn Fn(Outcome) -> bool, rate, least| {
            let (voices, outcomes) = self.bad_voices(is_bad, rate, now);
            (outcomes >= least).then_some(voices)?
        };
        let is_failure = |outcome| matches!(outcome, Outcome::ConnectFailure | Outcome::Failure);
        let is_bad = |outcome| is_slow(outcome) || is_failure(outcome);
        let networks = |visitors: &[Visitor]| visitors.iter().map(|who| who.network).collect();
        let by: Option<Option<BTreeSet<u64>>> = if bad && is_everybodys {
            Some(None)
        } else if bad && !terms.row_of_connect_failures && self.is_borne(&self.row, terms.row, now)
        {
            Some(Some(networks(&self.row)))
        } else if bad {
            too_many(&is_failure, terms.rate, terms.outcomes_min).map(Some)
        } else if slow && terms.slow.row > 0 {
            match self.is_borne(&self.slow_row, terms.slow.row, now) {
                true => Some(Some(networks(&self.slow_row))),
                false => too_many(&is_bad, terms.slow.rate, terms.slow.outcomes_min).map(Some),
            }
        } else {
            None
        };
        if let Some(by) = by {
            (self.attempt, self.by_news) = (0, false);
            self.is_by_failures = bad && by.is_some();
            self.witnesses = by;
            self.enter(State::Open, now);
        }
    }

    /// Each visitor by its own word: networks, or sessions where there is one network only.
    fn voice(&self, visitor: Visitor, now: u64) -> Visitor {
        let networks: BTreeSet<u64> = self.there(now).map(|who| who.network).collect();
        visitor.voice(networks.len() > 1)
    }

    /// The visitors who are there.
    fn there(&self, now: u64) -> impl Iterator<Item = Visitor> {
        let greeted = self.greeted.iter();
        let greeted = greeted.filter(move |(at, _)| self.is_in_window(*at, now));
        let seen = self.seen(now).map(|(who, _)| who);
        seen.chain(greeted.map(|(_, who)| *who))
    }

    fn witnesses_needed(&self, now: u64) -> usize {
        let voices: BTreeSet<Visitor> = self.there(now).map(|who| self.voice(who, now)).collect();
        self.terms.witnesses.min(voices.len())
    }

    /// Whether enough visitors are in a row that is so long with no more of any than its share.
    fn is_borne(&self, row: &[Visitor], length: u32, now: u64) -> bool {
        let mut shares: BTreeMap<Visitor, usize> = BTreeMap::new();
        for who in row {
            *shares.entry(self.voice(*who, now)).or_default() += 1;
        }
        let (length, needed) = (length as usize, self.witnesses_needed(now));
        let share_max = length.div_ceil(needed.max(1));
        let borne: usize = shares.values().map(|own| share_max.min(*own)).sum();
        shares.len() >= needed && borne >= length
    }

    /// The networks of those whose own outcomes are so bad, where they are enough and few others are
    /// not; and how many outcomes they have.
    fn bad_voices(
        &self,
        is_bad: &dyn Fn(Outcome) -> bool,
        rate: f64,
        now: u64,
    ) -> (Option<BTreeSet<u64>>, u32) {
        let mut voices: BTreeMap<Visitor, (u32, u32)> = BTreeMap::new();
        for (who, outcome) in self.seen(now) {
            let counts = voices.entry(self.voice(who, now)).or_default();
            counts.0 += u32::from(is_bad(outcome));
            counts.1 += 1;
        }
        let is_met_badly = |counts: &(u32, u32)| f64::from(counts.0) / f64::from(counts.1) >= rate;
        let bad: Vec<_> = voices
            .iter()
            .filter(|(_, counts)| is_met_badly(counts))
            .collect();
        let outcomes = bad.iter().map(|(_, counts)| counts.1).sum();
        let share = f64::from(number(bad.len())) / f64::from(number(voices.len()));
        let is_enough = bad.len() >= self.witnesses_needed(now) && share >= rate;
        let networks = bad.iter().map(|(who, _)| who.network).collect();
        (is_enough.then_some(networks), outcomes)
    }

    /// The outcomes in the window.
    fn seen(&self, now: u64) -> impl Iterator<Item = (Visitor, Outcome)> {
        self.log
            .iter()
            .filter(move |(at, ..)| self.is_in_window(*at, now))
            .map(|(_, who, outcome)| (*who, *outcome))
    }

    const fn is_in_window(&self, at: u64, now: u64) -> bool {
        // With a window of ten buckets and whole seconds, a bucket is `window / 10` seconds.
        let bucket = self.terms.window;
        now * 10 / bucket - at * 10 / bucket < 10
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
        self.greeted.clear();
        self.leases.clear();
        self.row.clear();
        self.slow_row.clear();
        self.good_at = None;
        self.successes = 0;
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("as many outcomes as a test has steps")
}
