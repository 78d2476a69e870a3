//! Owns which requests wait for another's fetch of the same page, instead of asking themselves.
//! Never knows the order in which the others wait, and calls no waker.

use std::collections::BTreeMap;

use hashbrown::HashTable;

use super::bid::{Bid, Visitor};
use super::lines::Waiter;
use super::words::Flown;
use crate::key::CacheKey;

/// Fetches that are shared, and those who wait for them.
#[derive(Debug)]
pub(super) struct Flights {
    followers: BTreeMap<u64, Follower>,
    flights: HashTable<Flight>,
}

#[derive(Debug)]
struct Follower {
    waiter: Waiter,
    key: CacheKey,
}

/// A fetch that others wait for, from when its leader began to wait until it has ended.
#[derive(Debug)]
struct Flight {
    key: CacheKey,
    leader: Visitor,
    /// In order of arrival.
    followers: Vec<u64>,
    /// The origin has failed on a leader before.
    has_failed: bool,
}

/// What becomes of those who followed a fetch that has ended, with their numbers.
#[derive(Debug)]
pub(super) enum Landed {
    /// The next one asks, for the rest too.
    Leads(u64, Waiter),
    /// Each asks for itself.
    Alone(Vec<(u64, Waiter)>),
    /// They are told.
    Told(Vec<(u64, Waiter)>),
}

impl Flights {
    pub(super) const fn new() -> Self {
        Self {
            followers: BTreeMap::new(),
            flights: HashTable::new(),
        }
    }

    /// Those who wait for another's fetch.
    pub(super) fn len(&self) -> usize {
        self.followers.len()
    }

    /// Whether there is a fetch for this key to wait for.
    pub(super) fn has(&self, key: &CacheKey) -> bool {
        self.flights
            .find(key.hash(), |flight| flight.key == *key)
            .is_some()
    }

    /// A fetch begins that others may follow.
    pub(super) fn begin(&mut self, key: &CacheKey, bid: &Bid) {
        let flight = Flight {
            key: key.clone(),
            leader: bid.visitor,
            followers: Vec::new(),
            has_failed: false,
        };
        self.insert(flight);
    }

    /// A request follows the fetch for this key.
    pub(super) fn follow(&mut self, id: u64, key: &CacheKey, waiter: Waiter) {
        let flight = self
            .flights
            .find_mut(key.hash(), |flight| flight.key == *key);
        if let Some(flight) = flight {
            flight.followers.push(id);
        }
        let key = key.clone();
        self.followers.insert(id, Follower { waiter, key });
    }

    /// A follower waits no longer.
    pub(super) fn remove(&mut self, id: u64) -> Option<Waiter> {
        let Follower { waiter, key } = self.followers.remove(&id)?;
        let flight = self
            .flights
            .find_mut(key.hash(), |flight| flight.key == key);
        if let Some(flight) = flight {
            flight.followers.retain(|other| *other != id);
        }
        Some(waiter)
    }

    pub(super) fn waiter_mut(&mut self, id: u64) -> Option<&mut Waiter> {
        self.followers
            .get_mut(&id)
            .map(|follower| &mut follower.waiter)
    }

    /// The fetch for `key` has ended.
    pub(super) fn land(&mut self, key: &CacheKey, flown: Flown) -> Option<Landed> {
        let found = self
            .flights
            .find_entry(key.hash(), |flight| flight.key == *key);
        let (mut flight, _) = found.ok()?.remove();
        match flown {
            // One leader may have asked in a way that the origin fails on. Another visitor finds out.
            Flown::Failed(_) if !flight.has_failed => {
                flight.has_failed = true;
                self.lead(flight)
            }
            Flown::Failed(_) | Flown::Kept => Some(Landed::Told(self.all_of(flight))),
            // Nothing is known of the origin's answer.
            Flown::Abandoned => self.lead(flight),
            // What the origin answers is for nobody else.
            Flown::Unfit => Some(Landed::Alone(self.all_of(flight))),
        }
    }

    /// The first who follows asks, or the first of another visitor where the origin has failed.
    fn lead(&mut self, mut flight: Flight) -> Option<Landed> {
        let differs = |id: &u64| {
            let follower = self.followers.get(id);
            follower.is_some_and(|follower| follower.waiter.bid.visitor != flight.leader)
        };
        let index = match flight.has_failed {
            true => flight.followers.iter().position(differs).unwrap_or(0),
            false => 0,
        };
        if flight.followers.is_empty() {
            return None;
        }
        let id = flight.followers.remove(index);
        let Follower { mut waiter, key } = self.followers.remove(&id)?;
        flight.leader = waiter.bid.visitor;
        waiter.leads = Some(key);
        self.insert(flight);
        Some(Landed::Leads(id, waiter))
    }

    fn all_of(&mut self, flight: Flight) -> Vec<(u64, Waiter)> {
        let ids = flight.followers.into_iter();
        let of = |id| Some((id, self.followers.remove(&id)?.waiter));
        ids.filter_map(of).collect()
    }

    fn insert(&mut self, flight: Flight) {
        self.flights
            .insert_unique(flight.key.hash(), flight, |flight| flight.key.hash());
    }
}
