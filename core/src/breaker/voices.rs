//! Owns [`Voices`]: what each visitor has met with in the window.
//! Never decides whether that is enough to open a circuit.

use std::time::Duration;

use smallvec::SmallVec;

use super::Outcome;
use super::visitor::Visitor;
use super::window::{Counts, Window};
use crate::time::Instant;

/// Visitors of whom the last outcomes are known, in the order in which they were first heard. Where
/// there are too many, the one that was heard least recently gives way, of its own network where that
/// has many.
#[derive(Debug)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
pub(super) struct Voices {
    /// Apart from what they say, so that the one that speaks is found soon.
    visitors: Vec<Visitor>,
    heard: Vec<Heard>,
    length: Duration,
    max: usize,
}

#[derive(Debug)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
struct Heard {
    at: Instant,
    window: Window,
}

/// What the visitors in the window say together.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Verdict {
    /// Those who are met badly.
    pub(super) bad: u32,
    /// Outcomes of theirs.
    pub(super) outcomes: u32,
    /// Those who are not.
    pub(super) good: u32,
}

/// The part of the places that one network may have before its own give way.
const SHARE: usize = 4;

impl Voices {
    pub(super) const fn new(length: Duration, max: usize) -> Self {
        Self {
            visitors: Vec::new(),
            heard: Vec::new(),
            length,
            max,
        }
    }

    /// Counts an outcome.
    pub(super) fn hear(&mut self, visitor: Visitor, outcome: Outcome, now: Instant) {
        let index = self.place(visitor, now);
        let heard = &mut self.heard[index];
        heard.at = heard.at.max(now);
        heard.window.record(outcome, 0, now);
    }

    /// Notes a visitor who has met with nothing bad before.
    pub(super) fn greet(&mut self, visitor: Visitor, at: Instant) {
        let index = self.place(visitor, at);
        let heard = &mut self.heard[index];
        heard.at = heard.at.max(at);
    }

    /// Whether more than one network is heard, so that each of them is one visitor.
    pub(super) fn by_network(&self, now: Instant) -> bool {
        let mut networks = self.recent(now).map(|(visitor, _)| visitor.network);
        let first = networks.next();
        networks.any(|network| Some(network) != first)
    }

    /// How many visitors are heard.
    pub(super) fn count(&self, now: Instant) -> u32 {
        let by_network = self.by_network(now);
        let mut seen = SmallVec::<[Visitor; 8]>::new();
        for (visitor, _) in self.recent(now) {
            let voice = visitor.voice(by_network);
            if !seen.contains(&voice) {
                seen.push(voice);
            }
        }
        u32::try_from(seen.len()).unwrap_or(u32::MAX)
    }

    /// What they say, where `is_bad` tells that of one from its own outcomes.
    pub(super) fn verdict(&self, is_bad: impl Fn(&Counts) -> bool, now: Instant) -> Verdict {
        let mut verdict = Verdict::default();
        for (_, counts) in self.sums(now) {
            if counts.total == 0 {
                continue;
            }
            if is_bad(&counts) {
                verdict.bad += 1;
                verdict.outcomes = verdict.outcomes.saturating_add(counts.total);
            } else {
                verdict.good += 1;
            }
        }
        verdict
    }

    /// The networks that are met badly.
    pub(super) fn bad_networks(
        &self,
        is_bad: impl Fn(&Counts) -> bool,
        now: Instant,
    ) -> impl Iterator<Item = u64> {
        let sums = self.sums(now).into_iter();
        let bad = sums.filter(move |(_, counts)| counts.total > 0 && is_bad(counts));
        bad.map(|(visitor, _)| visitor.network)
    }

    fn sums(&self, now: Instant) -> SmallVec<[(Visitor, Counts); 8]> {
        let by_network = self.by_network(now);
        let mut sums = SmallVec::<[(Visitor, Counts); 8]>::new();
        for (visitor, heard) in self.recent(now) {
            let voice = visitor.voice(by_network);
            let counts = heard.window.counts(now);
            match sums.iter_mut().find(|(who, _)| *who == voice) {
                Some((_, sum)) => sum.add(counts),
                None => sums.push((voice, counts)),
            }
        }
        sums
    }

    fn recent(&self, now: Instant) -> impl Iterator<Item = (Visitor, &Heard)> {
        let heard = self.visitors.iter().copied().zip(&self.heard);
        heard.filter(move |(_, heard)| heard.window.reaches(heard.at, now))
    }

    /// Where what this visitor says is noted.
    fn place(&mut self, visitor: Visitor, now: Instant) -> usize {
        if let Some(index) = self.visitors.iter().position(|who| *who == visitor) {
            return index;
        }
        let heard = Heard {
            at: now,
            window: Window::new(self.length, false, now),
        };
        if self.visitors.len() < self.max {
            self.visitors.push(visitor);
            self.heard.push(heard);
            return self.visitors.len() - 1;
        }
        let index = self.victim(visitor.network);
        self.visitors[index] = visitor;
        self.heard[index] = heard;
        index
    }

    fn victim(&self, network: u64) -> usize {
        let is_own = |visitor: &Visitor| visitor.network == network;
        let own = self.visitors.iter().filter(|visitor| is_own(visitor));
        let is_crowded = own.count() * SHARE >= self.max;
        let may_go = |index: &usize| !is_crowded || is_own(&self.visitors[*index]);
        let places = (0..self.visitors.len()).filter(may_go);
        let oldest = places.min_by_key(|index| self.heard[*index].at);
        oldest.unwrap_or_default()
    }
}

impl Verdict {
    /// Whether the share of those who are met badly is reached.
    pub(super) fn reaches(&self, share: f64) -> bool {
        let all = self.bad.saturating_add(self.good);
        all > 0 && f64::from(self.bad) / f64::from(all) >= share
    }
}
