//! Owns [`Table`]: the circuits of paths that have failed lately, and which of them gives way.
//! Never decides which outcome is told to which circuit: [`Tiers`](super::Tiers) does.
//!
//! A path without a circuit has a generation all the same: the first of the circuit that it gets next.
//! What began before its last circuit was dropped is of an older one, and counts no more. So that this
//! concerns the path alone, the last paths whose circuit was dropped are remembered one by one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::changes::Changes;
use super::names::display_name;
use super::opened::Opened;
use crate::breaker::{
    About, Breaker, Change, News, Outcome, Permit, Reason, Recovery, Rejected, State, Trip, Visitor,
};
use crate::rng::Rng;
use crate::time::Instant;

/// Paths that are remembered as having had a circuit. Of one that is older, and of all paths then,
/// what began before counts no more.
pub(super) const DROPPED_MAX: usize = 64;

/// The circuits of paths, up to a bound; the least recently failing gives way, a closed one first.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) circuits: BTreeMap<u64, Box<PathCircuit>>,
    /// The circuits in the order in which they give way to new ones.
    pub(super) ranks: BTreeMap<Rank, u64>,
    pub(super) max: usize,
    trip: Trip,
    recovery: Recovery,
    /// Paths whose circuit was dropped after it had ever opened, with their generation; the oldest
    /// first.
    dropped: VecDeque<(u64, u64)>,
    /// The generation of all other paths that have no circuit.
    generation: u64,
    /// Failures of paths so far: the order of the last ones.
    failures: u64,
    rng: Rng,
}

#[derive(Debug)]
pub(super) struct PathCircuit {
    pub(super) breaker: Breaker,
    /// The first generation.
    born: u64,
    pub(super) name: Arc<str>,
    opened: Opened,
    path: u64,
    pub(super) rank: Rank,
}

/// A circuit that may not be there.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) id: u64,
    pub(super) name: &'a [u8],
    /// The number of the path of which it is, or is a part.
    pub(super) path: u64,
}

/// Compares as the circuits give way: closed ones first, then the least recently failing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Rank {
    pub(super) not_closed: bool,
    failed: u64,
}

impl Table {
    pub(super) const fn new(max: usize, trip: Trip, recovery: Recovery, rng: Rng) -> Self {
        Self {
            circuits: BTreeMap::new(),
            ranks: BTreeMap::new(),
            max,
            trip,
            recovery,
            dropped: VecDeque::new(),
            generation: 0,
            failures: 0,
            rng,
        }
    }

    /// Goes on by other terms.
    pub(super) fn set_terms(&mut self, trip: Trip, recovery: Recovery, now: Instant) {
        (self.trip, self.recovery) = (trip, recovery);
        for circuit in self.circuits.values_mut() {
            circuit.breaker.set_terms(trip, recovery, now);
        }
    }

    /// The circuit of a path, if it has one.
    pub(super) fn get(&self, hash: u64) -> Option<&Breaker> {
        self.circuits.get(&hash).map(|circuit| &circuit.breaker)
    }

    /// Asks the path's circuit for the right to make a call.
    pub(super) fn try_acquire(
        &mut self,
        hash: u64,
        visitor: Visitor,
        changes: &mut Changes,
        now: Instant,
    ) -> Result<Permit, Rejected> {
        let acquired = match self.circuits.get_mut(&hash) {
            Some(circuit) => circuit.breaker.try_acquire_by(visitor, now),
            None => Ok(Permit::new(self.generation_of(hash), None, now)),
        };
        self.note(hash, changes);
        acquired
    }

    /// Whether a call for this path may begin as it might when the permit was given.
    pub(super) fn lets(&self, hash: u64, permit: &Permit, now: Instant) -> bool {
        match self.circuits.get(&hash) {
            Some(circuit) => circuit.breaker.lets(permit, now),
            None => permit.generation == self.generation_of(hash),
        }
    }

    /// Counts an outcome. Where the path has no circuit, a failure or a slow call makes one; those who
    /// were well lately are known to it.
    pub(super) fn record(
        &mut self,
        permit: Permit,
        named: Named<'_>,
        (about, outcome): (About, Outcome),
        well: impl IntoIterator<Item = (Instant, Visitor)>,
        changes: &mut Changes,
        now: Instant,
    ) {
        let hash = named.id;
        let failed = matches!(outcome, Outcome::Failure | Outcome::Slow { .. });
        if !self.circuits.contains_key(&hash) {
            if !failed || permit.generation != self.generation_of(hash) {
                return;
            }
            self.insert(named, well, changes, now);
        }
        let Some(circuit) = self.circuits.get_mut(&hash) else {
            return;
        };
        circuit.breaker.record_about(permit, about, outcome, now);
        if failed {
            self.failures += 1;
            self.ranks.remove(&circuit.rank);
            circuit.rank.failed = self.failures;
            self.ranks.insert(circuit.rank, hash);
        }
        let is_healthy = circuit.breaker.is_healthy(now);
        self.note(hash, changes);
        if !failed && is_healthy {
            self.remove(hash, changes, now);
        }
    }

    /// Takes note that a call for this path ended well that counts no more.
    pub(super) fn hear_news(&mut self, hash: u64, changes: &mut Changes, now: Instant) {
        if let Some(circuit) = self.circuits.get_mut(&hash) {
            circuit.breaker.hear_news(now);
            self.note(hash, changes);
        }
    }

    /// From when on a page must have succeeded to pass the circuit that refuses it; `None` where none
    /// does.
    pub(super) fn passes_from(&self, hash: u64) -> Option<Instant> {
        let circuit = self.circuits.get(&hash)?;
        circuit.opened.good_from()
    }

    /// The permit of one that passes.
    pub(super) fn pass(&self, hash: u64, now: Instant) -> Option<Permit> {
        let circuit = self.circuits.get(&hash)?;
        Some(circuit.breaker.onlooker(now))
    }

    /// One that has passed has failed.
    pub(super) fn passed_failed(&mut self, hash: u64) {
        if let Some(circuit) = self.circuits.get_mut(&hash) {
            circuit.opened.failed();
        }
    }

    /// Drops the circuits of a path, and of its parts.
    pub(super) fn forget(&mut self, path: u64, changes: &mut Changes, now: Instant) {
        let all = self.circuits.iter();
        let of_path = all.filter(|(_, circuit)| circuit.path == path);
        let ids: Vec<u64> = of_path.map(|(id, _)| *id).collect();
        for id in ids {
            self.remove(id, changes, now);
        }
    }

    /// Paths that are open may be probed at once.
    pub(super) fn return_now(&mut self, news: News, changes: &mut Changes, now: Instant) {
        let open: Vec<u64> = self.not_closed().collect();
        for hash in open {
            if let Some(circuit) = self.circuits.get_mut(&hash) {
                circuit.breaker.return_now(news, now);
                self.note(hash, changes);
            }
        }
    }

    /// The paths whose circuit is not closed.
    pub(super) fn not_closed(&self) -> impl Iterator<Item = u64> {
        let first = Rank {
            not_closed: true,
            failed: 0,
        };
        self.ranks.range(first..).map(|(_, hash)| *hash)
    }

    /// The generation of a path that has no circuit.
    pub(super) fn generation_of(&self, hash: u64) -> u64 {
        let mut dropped = self.dropped.iter();
        let own = dropped.rfind(|(path, _)| *path == hash);
        own.map_or(self.generation, |(_, generation)| {
            self.generation.max(*generation)
        })
    }

    fn insert(
        &mut self,
        Named { id, name, path }: Named<'_>,
        well: impl IntoIterator<Item = (Instant, Visitor)>,
        changes: &mut Changes,
        now: Instant,
    ) {
        while self.circuits.len() >= self.max {
            let Some((_, &victim)) = self.ranks.first_key_value() else {
                break;
            };
            self.remove(victim, changes, now);
        }
        let seed = self.rng.next();
        let born = self.generation_of(id);
        let mut breaker = Breaker::with_generation(born, self.trip, self.recovery, seed, now);
        for (at, visitor) in well {
            breaker.greet(visitor, at);
        }
        self.failures += 1;
        let rank = Rank {
            not_closed: false,
            failed: self.failures,
        };
        let circuit = PathCircuit {
            breaker,
            born,
            name: display_name(name),
            opened: Opened::default(),
            path,
            rank,
        };
        self.ranks.insert(rank, id);
        self.circuits.insert(id, Box::new(circuit));
        debug_assert_eq!(self.circuits.len(), self.ranks.len());
    }

    fn remove(&mut self, hash: u64, changes: &mut Changes, now: Instant) {
        let Some(circuit) = self.circuits.remove(&hash) else {
            return;
        };
        self.ranks.remove(&circuit.rank);
        debug_assert_eq!(self.circuits.len(), self.ranks.len());
        let generation = circuit.breaker.generation;
        if generation != circuit.born {
            // No permit of its time may count in a circuit that this path gets later.
            self.remember(hash, generation + 1);
        }
        let from = circuit.breaker.circuit.state();
        match from {
            State::Closed => {}
            State::HalfOpen | State::Open => {
                let change = Change {
                    at: now,
                    from,
                    reason: Reason::Forgotten,
                    to: State::Closed,
                };
                changes.push(Some(circuit.name), change);
            }
        }
    }

    fn remember(&mut self, hash: u64, generation: u64) {
        self.dropped.retain(|(path, _)| *path != hash);
        if self.dropped.len() >= DROPPED_MAX
            && let Some((_, oldest)) = self.dropped.pop_front()
        {
            self.generation = self.generation.max(oldest);
        }
        self.dropped.push_back((hash, generation));
    }

    /// Files the change that the last call to a circuit has made, if it has.
    fn note(&mut self, hash: u64, changes: &mut Changes) {
        let Some(circuit) = self.circuits.get_mut(&hash) else {
            return;
        };
        let Some(change) = circuit.breaker.poll_change() else {
            return;
        };
        self.ranks.remove(&circuit.rank);
        circuit.rank.not_closed = change.to != State::Closed;
        circuit.opened.note(&change, self.trip.window);
        self.ranks.insert(circuit.rank, hash);
        changes.push(Some(Arc::clone(&circuit.name)), change);
    }
}
