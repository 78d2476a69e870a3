//! Owns the order in which requests wait for the origin, and which of them share one fetch.
//! Never counts who is at the origin, never takes a lock, and calls no waker: it hands them out.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::key::CacheKey;
use crate::limits::WAITING_MAX;
use crate::time::Instant;

use super::words::{Class, Flown, Shed};

/// Who waits. The order:
///
/// 1. Writes before reads. Within a class the oldest first, until the oldest has waited for a
///    quarter of the time-out: from then on the newest first, because the old ones are likely to
///    be given up by their users, and serving them would make everybody late.
/// 2. Nobody waits longer than the time-out, and nobody begins to wait who would have to by the
///    rate at which places become free; but one of each class may always wait. Where the newest is
///    first, it is the oldest that has no chance, and gives way.
/// 3. A write takes the place of a read before it is refused.
/// 4. Of the reads with one key only the first, the leader, stands in the order. The others follow
///    it; its fetch is theirs. They count toward the bound, but not toward anybody's wait.
#[derive(Debug)]
pub(super) struct Queue {
    timeout: Duration,
    /// The next ticket's number: numbers are the order of arrival.
    next: u64,
    writes: BTreeMap<u64, Waiter>,
    reads: BTreeMap<u64, Waiter>,
    followers: BTreeMap<u64, Follower>,
    flights: HashTable<Flight>,
    /// What became of those who have not asked since.
    settled: BTreeMap<u64, Fate>,
}

/// What a waiting request learns in the end.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// A slot is its own; with the key of those who follow it.
    Enter(Option<CacheKey>),
    /// The fetch that it followed has ended so.
    Flown(Flown),
    /// It waited in vain.
    Shed(Shed),
}

/// How fast places become free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turnover {
    /// Mean time of a request at the origin; zero when unknown.
    pub(super) service: Duration,
    /// How many may be there.
    pub(super) limit: u32,
}

#[derive(Debug)]
struct Waiter {
    since: Instant,
    waker: Option<Waker>,
    /// What it will fetch for others too.
    leads: Option<CacheKey>,
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
    leader: u64,
    /// In order of arrival.
    followers: Vec<u64>,
}

/// Wakers to be called without a lock.
pub(super) type Wakers = SmallVec<[Waker; 2]>;

impl Queue {
    /// Those who wait already do so for as long as was said when they came.
    pub(super) const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            next: 0,
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            followers: BTreeMap::new(),
            flights: HashTable::new(),
            settled: BTreeMap::new(),
        }
    }

    /// Lets a request wait and returns its number. With a key it follows, or leads from now on.
    pub(super) fn join(
        &mut self,
        class: Class,
        key: Option<&CacheKey>,
        pace: Turnover,
        now: Instant,
        wakers: &mut Wakers,
    ) -> Result<u64, Shed> {
        let waiter = Waiter {
            since: now,
            waker: None,
            leads: None,
        };
        if let Some(key) = key
            && let Some(flight) = find(&mut self.flights, key)
        {
            if self.writes.len() + self.reads.len() + self.followers.len() >= WAITING_MAX {
                return Err(Shed::Full);
            }
            self.next += 1;
            flight.followers.push(self.next);
            let key = key.clone();
            self.followers.insert(self.next, Follower { waiter, key });
            return Ok(self.next);
        }
        self.make_room(class, pace, now, wakers)?;
        self.next += 1;
        let id = self.next;
        self.stand(
            id,
            class,
            Waiter {
                leads: key.cloned(),
                ..waiter
            },
        );
        if let Some(key) = key {
            let flight = Flight {
                key: key.clone(),
                leader: id,
                followers: Vec::new(),
            };
            self.flights
                .insert_unique(key.hash(), flight, |flight| flight.key.hash());
        }
        Ok(id)
    }

    /// What became of a request; `None` while it waits, with its waker kept. The one before, which
    /// may be of the same task, is not to be called: it goes to `replaced`.
    pub(super) fn poll(
        &mut self,
        id: u64,
        waker: &Waker,
        now: Instant,
        wakers: &mut Wakers,
        replaced: &mut Option<Waker>,
    ) -> Option<Fate> {
        if let Some(fate) = self.settled.remove(&id) {
            return Some(fate);
        }
        let timeout = self.timeout;
        let Some(waiter) = self.waiter_mut(id) else {
            debug_assert!(false, "a ticket is not asked again once it has its fate");
            return Some(Fate::Shed(Shed::Deadline));
        };
        if waiter.since + timeout <= now {
            self.leave(id, wakers);
            return Some(Fate::Shed(Shed::Deadline));
        }
        match &mut waiter.waker {
            Some(known) if known.will_wake(waker) => {}
            slot => *replaced = slot.replace(waker.clone()),
        }
        None
    }

    /// The request is given up, or has its fate. Says whether a slot was its own unseen.
    pub(super) fn leave(&mut self, id: u64, wakers: &mut Wakers) -> bool {
        if let Some(fate) = self.settled.remove(&id) {
            return match fate {
                Fate::Enter(key) => {
                    if let Some(key) = key {
                        self.land(&key, Flown::Abandoned, wakers);
                    }
                    true
                }
                Fate::Flown(_) | Fate::Shed(_) => false,
            };
        }
        if let Some(follower) = self.followers.remove(&id) {
            if let Some(flight) = find(&mut self.flights, &follower.key) {
                flight.followers.retain(|other| *other != id);
            }
            wakers.extend(follower.waiter.waker);
        } else if let Some(waiter) = self.writes.remove(&id).or_else(|| self.reads.remove(&id)) {
            self.take_leave(waiter, wakers);
        }
        false
    }

    /// Gives a slot to who is next; `false` when nobody is.
    pub(super) fn admit(&mut self, now: Instant, wakers: &mut Wakers) -> bool {
        for class in [Class::Write, Class::Read] {
            while let Some((id, waiter)) = self.pop(class, now) {
                if waiter.since + self.timeout <= now {
                    self.settle(id, waiter, Fate::Shed(Shed::Deadline), wakers);
                    continue;
                }
                let Waiter { waker, leads, .. } = waiter;
                self.settled.insert(id, Fate::Enter(leads));
                wakers.extend(waker);
                return true;
            }
        }
        false
    }

    /// The fetch for `key` has ended: those who followed it go their ways.
    pub(super) fn land(&mut self, key: &CacheKey, flown: Flown, wakers: &mut Wakers) {
        let found = self
            .flights
            .find_entry(key.hash(), |flight| flight.key == *key);
        let Ok(entry) = found else { return };
        let (mut flight, _) = entry.remove();
        match flown {
            Flown::Failed(_) | Flown::Kept => {
                for id in flight.followers {
                    if let Some(Follower { waiter, .. }) = self.followers.remove(&id) {
                        self.settled.insert(id, Fate::Flown(flown));
                        wakers.extend(waiter.waker);
                    }
                }
            }
            // Nothing is known of the origin's answer: the next one asks, for the rest too.
            Flown::Abandoned => {
                if flight.followers.is_empty() {
                    return;
                }
                let leader = flight.followers.remove(0);
                if let Some(Follower { waiter, key }) = self.followers.remove(&leader) {
                    let leads = Some(key);
                    self.stand(leader, Class::Read, Waiter { leads, ..waiter });
                    flight.leader = leader;
                    self.flights
                        .insert_unique(flight.key.hash(), flight, |flight| flight.key.hash());
                }
            }
            // What the origin answers is for nobody else: each asks for itself.
            Flown::Unfit => {
                for id in flight.followers {
                    if let Some(Follower { waiter, .. }) = self.followers.remove(&id) {
                        self.stand(id, Class::Read, waiter);
                    }
                }
            }
        }
    }

    /// Requests that stand in the order.
    pub(super) fn len(&self) -> usize {
        self.writes.len() + self.reads.len()
    }

    /// Requests that wait for another's fetch.
    pub(super) fn following(&self) -> usize {
        self.followers.len()
    }

    /// Time until a request that comes now would be let in.
    pub(super) fn wait(&self, class: Class, pace: Turnover) -> Duration {
        let ahead = match class {
            Class::Read => self.len(),
            Class::Write => self.writes.len(),
        };
        pace.wait(ahead)
    }

    /// Makes sure that one more of `class` may stand in the order.
    fn make_room(
        &mut self,
        class: Class,
        pace: Turnover,
        now: Instant,
        wakers: &mut Wakers,
    ) -> Result<(), Shed> {
        let shed = if self.len() + self.followers.len() >= WAITING_MAX {
            Shed::Full
        } else if self.wait(class, pace) > self.timeout && !self.of(class).is_empty() {
            Shed::Early
        } else {
            return Ok(());
        };
        // Who gives way: a read before a write, else the newcomer unless it would go first.
        let victims = match class {
            Class::Write if !self.reads.is_empty() => Class::Read,
            Class::Read | Class::Write => class,
        };
        let newest_first = self.is_late(victims, now);
        if victims == class && !newest_first {
            return Err(shed);
        }
        let waiting = self.of_mut(victims);
        let last = if newest_first {
            waiting.pop_first()
        } else {
            waiting.pop_last()
        };
        let Some((id, waiter)) = last else {
            return Err(shed);
        };
        self.settle(id, waiter, Fate::Shed(shed), wakers);
        Ok(())
    }

    fn settle(&mut self, id: u64, waiter: Waiter, fate: Fate, wakers: &mut Wakers) {
        self.settled.insert(id, fate);
        self.take_leave(waiter, wakers);
    }

    /// Somebody no longer stands in the order without having been let in.
    fn take_leave(&mut self, waiter: Waiter, wakers: &mut Wakers) {
        wakers.extend(waiter.waker);
        if let Some(key) = waiter.leads {
            self.land(&key, Flown::Abandoned, wakers);
        }
    }

    fn stand(&mut self, id: u64, class: Class, waiter: Waiter) {
        self.of_mut(class).insert(id, waiter);
    }

    fn pop(&mut self, class: Class, now: Instant) -> Option<(u64, Waiter)> {
        if self.is_late(class, now) {
            self.of_mut(class).pop_last()
        } else {
            self.of_mut(class).pop_first()
        }
    }

    /// Whether the oldest of a class has waited too long.
    fn is_late(&self, class: Class, now: Instant) -> bool {
        /// Parts of the time-out: a quarter of a second of one is what nobody minds.
        const PARTS: u32 = 4;
        let oldest = self.of(class).first_key_value();
        oldest.is_some_and(|(_, oldest)| oldest.since + self.timeout / PARTS <= now)
    }

    const fn of(&self, class: Class) -> &BTreeMap<u64, Waiter> {
        match class {
            Class::Read => &self.reads,
            Class::Write => &self.writes,
        }
    }

    const fn of_mut(&mut self, class: Class) -> &mut BTreeMap<u64, Waiter> {
        match class {
            Class::Read => &mut self.reads,
            Class::Write => &mut self.writes,
        }
    }

    fn waiter_mut(&mut self, id: u64) -> Option<&mut Waiter> {
        if let Some(waiter) = self.writes.get_mut(&id) {
            return Some(waiter);
        }
        if let Some(waiter) = self.reads.get_mut(&id) {
            return Some(waiter);
        }
        self.followers
            .get_mut(&id)
            .map(|follower| &mut follower.waiter)
    }
}

impl Turnover {
    /// Time until the one behind `ahead` others is let in.
    fn wait(self, ahead: usize) -> Duration {
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX).saturating_add(1);
        self.service.saturating_mul(ahead) / self.limit.max(1)
    }
}

fn find<'a>(flights: &'a mut HashTable<Flight>, key: &CacheKey) -> Option<&'a mut Flight> {
    flights.find_mut(key.hash(), |flight| flight.key == *key)
}
