//! Owns who waits for the origin, for which kind of room, and what each learns in the end.
//! Never counts who is at the origin, never takes a lock, and calls no waker: it hands them out.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use smallvec::SmallVec;

use super::bid::{Bid, Visitor};
use super::flights::{Flights, Landed};
use super::lines::{Lines, Next, Waiter};
use super::shares::Shares;
use super::stay::Stay;
use super::words::{Flown, Shed};
use crate::key::CacheKey;
use crate::limits::WAITING_MAX;
use crate::time::Instant;

/// Who waits. The rules:
///
/// 1. Requests that work at the origin wait in [`Lines`] of their own, apart from those that will
///    only wait there: there may be room for one and not for the other.
/// 2. Nobody waits longer than the time-out, and nobody begins to wait who would have to by the
///    rate at which places become free; but one of each class of a visitor may always wait. Where the
///    newest of a line is first, it is the oldest that has no chance, and gives way. Those who have
///    waited for the origin's return are served in turn: they may wait for longer, and the others by as
///    much as those take who are still there.
/// 3. A write takes the place of a read of its visitor before it is refused. Where too many wait, the
///    visitor with most of them gives way.
/// 4. Of the reads with one key only the first, the leader, stands in a line. The others follow
///    it; its fetch is theirs. They count toward the bound, but not toward anybody's wait.
#[derive(Debug)]
pub(super) struct Queue {
    timeout: Duration,
    /// The next ticket's number: numbers are the order of arrival.
    next: u64,
    /// Those in lines who have waited for the origin's return.
    returning: usize,
    working: Lines,
    parking: Lines,
    flights: Flights,
    /// What became of those who have not asked since.
    settled: BTreeMap<u64, Fate>,
}

/// For which room a request waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lane {
    /// It will wait at the origin.
    Parking,
    Working,
}

/// What a waiting request learns in the end.
#[derive(Debug)]
pub(super) enum Fate {
    /// A slot is its own; with the key of those who follow it.
    Enter(Stay, Option<CacheKey>),
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

/// Wakers to be called without a lock.
pub(super) type Wakers = SmallVec<[Waker; 2]>;

impl Queue {
    pub(super) fn new(seed: u64, timeout: Duration) -> Self {
        Self {
            timeout,
            next: 0,
            returning: 0,
            working: Lines::new(seed),
            parking: Lines::new(seed),
            flights: Flights::new(),
            settled: BTreeMap::new(),
        }
    }

    /// Those who wait already do so for as long as was said when they came.
    pub(super) const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Lets a request wait, until then if that is longer than others may. Returns its number, and how
    /// long it may. With a key it follows, or leads from now on.
    pub(super) fn join(
        &mut self,
        (bid, lane, until): (Bid, Lane, Instant),
        key: Option<&CacheKey>,
        (pace, shares): (Turnover, &Shares),
        now: Instant,
        wakers: &mut Wakers,
    ) -> Result<(u64, Instant), Shed> {
        let usual = now + self.timeout + pace.wait_for(self.returning);
        let has_returned = until > now;
        let until = until.max(usual);
        let waiter = Waiter {
            bid,
            since: now,
            until,
            has_returned,
            waker: None,
            leads: None,
        };
        if let Some(key) = key
            && self.flights.has(key)
        {
            if self.len() + self.flights.len() >= WAITING_MAX {
                return Err(Shed::Full);
            }
            self.next += 1;
            self.flights.follow(self.next, key, waiter);
            return Ok((self.next, until));
        }
        self.make_room(&waiter, lane, (pace, shares), now, wakers)?;
        self.next += 1;
        let leads = key.cloned();
        let waiter = Waiter { leads, ..waiter };
        self.stand(self.next, lane, waiter, shares);
        if let Some(key) = key {
            self.flights.begin(key, &bid);
        }
        Ok((self.next, until))
    }

    /// What became of a request; `None` while it waits, with its waker kept. The one before, which
    /// may be of the same task, is not to be called: it goes to `replaced`.
    pub(super) fn poll(
        &mut self,
        (id, bid): (u64, &Bid),
        waker: &Waker,
        shares: &Shares,
        now: Instant,
        (wakers, replaced): (&mut Wakers, &mut Option<Waker>),
    ) -> Option<Fate> {
        if let Some(fate) = self.settled.remove(&id) {
            return Some(fate);
        }
        let Some(waiter) = self.waiter_mut(id, bid) else {
            debug_assert!(false, "a ticket is not asked again once it has its fate");
            return Some(Fate::Shed(Shed::Deadline));
        };
        if waiter.until <= now {
            self.leave(id, bid, shares, wakers);
            return Some(Fate::Shed(Shed::Deadline));
        }
        match &mut waiter.waker {
            Some(known) if known.will_wake(waker) => {}
            slot => *replaced = slot.replace(waker.clone()),
        }
        None
    }

    /// The request is given up, or has its fate. Returns the slot that was its own unseen.
    pub(super) fn leave(
        &mut self,
        id: u64,
        bid: &Bid,
        shares: &Shares,
        wakers: &mut Wakers,
    ) -> Option<Stay> {
        match self.settled.remove(&id) {
            Some(Fate::Enter(slot, key)) => {
                if let Some(key) = key {
                    self.land(&key, Flown::Abandoned, shares, wakers);
                }
                return Some(slot);
            }
            Some(Fate::Flown(_) | Fate::Shed(_)) => return None,
            None => {}
        }
        if let Some(waiter) = self.flights.remove(id) {
            wakers.extend(waiter.waker);
        } else if let Some(waiter) = self.take_out(id, bid) {
            self.take_leave(waiter, shares, wakers);
        }
        None
    }

    /// Who is next in a lane, of those that may.
    pub(super) fn next(
        &self,
        lane: Lane,
        now: Instant,
        may: impl Fn(&Bid) -> bool,
    ) -> Option<Next> {
        self.lines(lane).next(now, may)
    }

    /// Takes who is next out of its line, to be [`given`](Self::give) its slot; `None` where it has
    /// waited too long.
    pub(super) fn take(
        &mut self,
        lane: Lane,
        next: Next,
        shares: &Shares,
        now: Instant,
        wakers: &mut Wakers,
    ) -> Option<Waiter> {
        let waiter = self.lines_mut(lane).take(next)?;
        self.returning -= usize::from(waiter.has_returned);
        if waiter.until <= now {
            let fate = Fate::Shed(Shed::Deadline);
            self.settle(next.id, waiter, fate, shares, wakers);
            return None;
        }
        Some(waiter)
    }

    /// A slot is somebody's own.
    pub(super) fn give(&mut self, id: u64, waiter: Waiter, slot: Stay, wakers: &mut Wakers) {
        let Waiter { waker, leads, .. } = waiter;
        self.settled.insert(id, Fate::Enter(slot, leads));
        wakers.extend(waker);
    }

    /// A visitor's last request is done at another time now; `time` where that is because one was let
    /// in.
    pub(super) fn charged(&mut self, visitor: Visitor, done: u64, time: Option<u64>) {
        self.working.charged(visitor, done, time);
        self.parking.charged(visitor, done, time);
    }

    /// The fetch for `key` has ended: those who followed it go their ways.
    pub(super) fn land(
        &mut self,
        key: &CacheKey,
        flown: Flown,
        shares: &Shares,
        wakers: &mut Wakers,
    ) {
        match self.flights.land(key, flown) {
            None => {}
            Some(Landed::Leads(id, waiter)) => self.stand(id, Lane::Working, waiter, shares),
            Some(Landed::Alone(waiters)) => {
                for (id, waiter) in waiters {
                    self.stand(id, Lane::Working, waiter, shares);
                }
            }
            Some(Landed::Told(waiters)) => {
                for (id, waiter) in waiters {
                    self.settled.insert(id, Fate::Flown(flown));
                    wakers.extend(waiter.waker);
                }
            }
        }
    }

    /// Requests that stand in a line.
    pub(super) const fn len(&self) -> usize {
        self.working.len() + self.parking.len()
    }

    /// Requests that wait for another's fetch.
    pub(super) fn following(&self) -> usize {
        self.flights.len()
    }

    /// Time until a request that comes now would be let in.
    pub(super) fn wait(&self, bid: &Bid, pace: Turnover) -> Duration {
        pace.wait(self.working.ahead(bid))
    }

    /// Makes sure that one more may stand in its line.
    fn make_room(
        &mut self,
        waiter: &Waiter,
        lane: Lane,
        (pace, shares): (Turnover, &Shares),
        now: Instant,
        wakers: &mut Wakers,
    ) -> Result<(), Shed> {
        let bid = &waiter.bid;
        let is_full = self.len() + self.flights.len() >= WAITING_MAX;
        // How long the others take that wait at the origin says nothing of this one.
        let is_vain = lane == Lane::Working
            && now + self.wait(bid, pace) > waiter.until
            && !self.working.is_first(bid);
        let (shed, lines) = match (is_full, is_vain) {
            (false, false) => return Ok(()),
            (true, _) => (Shed::Full, [lane, lane.other()]),
            (false, true) => (Shed::Early, [lane; 2]),
        };
        let victim = lines.into_iter().find_map(|lane| {
            let lines = self.lines(lane);
            let longest = is_full.then(|| lines.of_longest(bid.visitor)).flatten();
            let victim = longest.or_else(|| lines.gives_way(bid, now));
            victim.map(|victim| (lane, victim))
        });
        let (lane, victim) = victim.ok_or(shed)?;
        let waiter = self.lines_mut(lane).remove(&victim.bid, victim.id);
        let waiter = waiter.ok_or(shed)?;
        self.returning -= usize::from(waiter.has_returned);
        self.settle(victim.id, waiter, Fate::Shed(shed), shares, wakers);
        Ok(())
    }

    fn settle(
        &mut self,
        id: u64,
        waiter: Waiter,
        fate: Fate,
        shares: &Shares,
        wakers: &mut Wakers,
    ) {
        self.settled.insert(id, fate);
        self.take_leave(waiter, shares, wakers);
    }

    /// Somebody no longer stands in a line without having been let in.
    fn take_leave(&mut self, waiter: Waiter, shares: &Shares, wakers: &mut Wakers) {
        wakers.extend(waiter.waker);
        if let Some(key) = waiter.leads {
            self.land(&key, Flown::Abandoned, shares, wakers);
        }
    }

    fn stand(&mut self, id: u64, lane: Lane, waiter: Waiter, shares: &Shares) {
        let times = shares.clock(waiter.bid.visitor);
        self.returning += usize::from(waiter.has_returned);
        self.lines_mut(lane).push(id, waiter, times);
    }

    fn take_out(&mut self, id: u64, bid: &Bid) -> Option<Waiter> {
        let waiter = self.working.remove(bid, id);
        let waiter = waiter.or_else(|| self.parking.remove(bid, id))?;
        self.returning -= usize::from(waiter.has_returned);
        Some(waiter)
    }

    fn waiter_mut(&mut self, id: u64, bid: &Bid) -> Option<&mut Waiter> {
        if let Some(waiter) = self.working.waiter_mut(bid, id) {
            return Some(waiter);
        }
        if let Some(waiter) = self.parking.waiter_mut(bid, id) {
            return Some(waiter);
        }
        self.flights.waiter_mut(id)
    }

    const fn lines(&self, lane: Lane) -> &Lines {
        match lane {
            Lane::Parking => &self.parking,
            Lane::Working => &self.working,
        }
    }

    const fn lines_mut(&mut self, lane: Lane) -> &mut Lines {
        match lane {
            Lane::Parking => &mut self.parking,
            Lane::Working => &mut self.working,
        }
    }
}

impl Lane {
    const fn other(self) -> Self {
        match self {
            Self::Parking => Self::Working,
            Self::Working => Self::Parking,
        }
    }
}

impl Turnover {
    /// Time until the one behind `ahead` others is let in.
    fn wait(self, ahead: usize) -> Duration {
        self.wait_for(ahead.saturating_add(1))
    }

    /// Time in which so many are let in.
    fn wait_for(self, count: usize) -> Duration {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.service.saturating_mul(count) / self.limit.max(1)
    }
}
