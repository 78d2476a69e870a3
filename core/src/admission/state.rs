//! Owns all that the gate's lock guards: who may enter, and what is learnt from those who leave.
//! Never takes the lock, and calls no waker: it hands them out.

use std::time::Duration;

use super::bid::Bid;
use super::inside::{Inside, Late, Since};
use super::kinds::{Kinds, LATE};
use super::limit::{Limit, LimitBounds, Sample};
use super::lines::Next;
use super::queue::{Lane, Queue, Turnover, Wakers};
use super::room::{Room, Witness};
use super::shares::Shares;
use super::stay::Stay;
use super::words::Shed;
use crate::breaker::Outcome;
use crate::config::AdmissionSettings;
use crate::key::CacheKey;
use crate::report::{AdmissionStats, ShedCounts};
use crate::time::Instant;

/// Probes of an origin that answers nothing: more of them tell no more, and may do harm.
const PROBES_MAX: u32 = 16;

/// Everything behind the lock.
#[derive(Debug)]
pub(super) struct State {
    background_share: f64,
    pub(super) inside: Inside,
    pub(super) kinds: Kinds,
    pub(super) limit: Limit,
    pub(super) queue: Queue,
    room: Room,
    pub(super) shares: Shares,
    shed: ShedCounts,
    overflows: u64,
    /// When a request that worked was last answered well.
    answered_at: Option<Instant>,
    /// When a place became free.
    left_at: Option<Instant>,
    /// The time of the last call, for a drop.
    pub(super) last: Instant,
}

impl State {
    pub(super) fn new(settings: &AdmissionSettings, seed: u64, now: Instant) -> Self {
        let bounds = LimitBounds {
            start: settings.in_flight_start,
            min: settings.in_flight_min,
            max: settings.in_flight_max,
        };
        Self {
            background_share: settings.background_share,
            inside: Inside::new(now),
            kinds: Kinds::new(),
            limit: Limit::new(bounds, now),
            queue: Queue::new(seed, settings.queue_timeout),
            room: Room::new(settings.parked_max),
            shares: Shares::new(seed),
            shed: ShedCounts::default(),
            overflows: 0,
            answered_at: None,
            left_at: None,
            last: now,
        }
    }

    pub(super) fn reconfigure(&mut self, settings: &AdmissionSettings, now: Instant) {
        self.background_share = settings.background_share;
        self.queue.set_timeout(settings.queue_timeout);
        self.room.set_max(settings.parked_max);
        let (min, max) = (settings.in_flight_min, settings.in_flight_max);
        self.limit.set_bounds(min, max, now);
    }

    pub(super) fn restart(&mut self, from: u32, now: Instant) {
        self.limit.restart(from, now);
        self.room.forget();
    }

    /// Places that are taken. Those who are parked take none, but for those that are too many for
    /// the room: they are felt, and take half of all places at most.
    pub(super) fn busy(&self) -> u32 {
        let excess = self.room.excess(self.inside.parked);
        self.inside.working + excess.min(self.limit.current() / 2)
    }

    /// Takes a place if there is one for this request.
    pub(super) fn try_enter(
        &mut self,
        bid: &Bid,
        now: Instant,
        wakers: &mut Wakers,
    ) -> Option<Stay> {
        if self.queue.len() > 0 {
            // What kept others out may be over.
            self.dispatch(now, wakers);
        }
        let lane = self.lane(bid);
        let may = match lane {
            Lane::Parking => self.has_parking(bid) || self.may_wait_as_work(bid, now),
            Lane::Working => self.has_place() && self.may_work(bid, now),
        };
        if !may {
            return None;
        }
        Some(self.enter(bid, How::in_lane(lane), now))
    }

    pub(super) const fn overflow(&mut self) {
        self.overflows += 1;
    }

    /// Lets a request wait, until then if that is longer than others may. Returns its number, and how
    /// long it may.
    pub(super) fn join(
        &mut self,
        bid: Bid,
        key: Option<&CacheKey>,
        until: Instant,
        now: Instant,
        wakers: &mut Wakers,
    ) -> Result<(u64, Instant), Shed> {
        let lane = self.lane(&bid);
        let order = (self.pace(), &self.shares);
        let joined = self.queue.join((bid, lane, until), key, order, now, wakers);
        if let Err(shed) = joined {
            self.count_shed(shed);
        }
        joined
    }

    /// As many of the places as renewals may have, and one where there is room.
    pub(super) fn try_enter_background(&mut self, bid: &Bid, now: Instant) -> Option<Stay> {
        let share = f64::from(self.limit.settled()) * self.background_share;
        let has_share = f64::from(self.inside.background) + 1.0 <= share;
        let is_alone = self.inside.background == 0 && self.has_place() && self.queue.len() == 0;
        if !has_share && !is_alone {
            return None;
        }
        let mut stay = self.enter(bid, How::Working, now);
        stay.background = true;
        self.inside.background += 1;
        Some(stay)
    }

    /// A probe of a circuit, beyond the limit where nobody has been let in for a while: those that are there
    /// may never be answered.
    pub(super) fn try_enter_beyond(&mut self, bid: &Bid, now: Instant) -> Option<Stay> {
        let may = self.inside.stands_from() <= now && self.inside.probes < PROBES_MAX;
        may.then(|| self.enter(bid, How::Probe, now))
    }

    /// A request has been at the origin for [`LATE`].
    pub(super) fn note_late(&mut self, stay: &Stay, since: Instant, page: Box<str>, now: Instant) {
        let Bid { kind, visitor, .. } = stay.bid;
        let late = Late {
            kind,
            visitor,
            page,
        };
        let since = (since, stay.number);
        if self.inside.note_late(since, late, stay.is_parked) {
            self.shares.park(visitor);
            self.kinds.park(kind);
        }
        let is_quick = |kind| self.kinds.is_quick(kind);
        if self.inside.are_two_overdue(is_quick) {
            self.room.shrink(self.inside.parked, now);
        }
    }

    /// Whether a request that is not answered yet only waits at the origin, which is known to be well.
    pub(super) fn may_wait_on(&self, stay: &Stay, since: Instant, now: Instant) -> bool {
        let is_parked = stay.is_parked || self.inside.is_resting((since, stay.number));
        is_parked || self.is_well(now) && self.kinds.was_never_quick(stay.bid.kind)
    }

    /// Whether a request turned out to wait of whose kind nobody knows how long it takes.
    pub(super) fn is_patient(&self, stay: &Stay, since: Instant) -> bool {
        let is_resting = self.inside.is_resting((since, stay.number));
        is_resting && self.kinds.usual(stay.bid.kind).is_none()
    }

    /// Whether the origin has answered anything lately.
    fn is_well(&self, now: Instant) -> bool {
        /// How long an answer says so.
        const WELL: Duration = Duration::from_secs(15);
        self.answered_at
            .is_some_and(|at| now.saturating_since(at) < WELL)
    }

    /// A request has left; what is learnt from it where its outcome is known.
    pub(super) fn leave(
        &mut self,
        stay: &Stay,
        (since, is_late): (Instant, bool),
        outcome: Option<(Outcome, Instant)>,
    ) {
        let busy = self.busy();
        let since_all: Since = (since, stay.number);
        let working = self.inside.working.max(stay.working);
        let is_parked = self.inside.leave(since_all, is_late, stay.is_parked);
        self.inside.background -= u32::from(stay.background);
        if stay.is_probe {
            let is_news = outcome
                .is_some_and(|(outcome, now)| outcome == Outcome::Success && self.is_stuck(now));
            self.inside.end_probe(is_news);
        }
        self.kinds.leave(stay.bid.kind, is_parked);
        let visitor = stay.bid.visitor;
        let took = outcome.map(|(_, now)| now.saturating_since(since));
        let cost = took.filter(|_| !is_parked);
        self.shares.leave(visitor, stay.charge, cost, is_parked);
        if cost.is_some() && self.queue.len() > 0 {
            let (_, done) = self.shares.clock(visitor);
            self.queue.charged(visitor, done, None);
        }
        if let Some((outcome, now)) = outcome {
            self.last = self.last.max(now);
            self.left_at = Some(now);
            let left = Left {
                busy,
                is_parked,
                outcome,
                since,
                working,
            };
            self.learn(stay, left, now);
        }
    }

    fn learn(&mut self, stay: &Stay, left: Left, now: Instant) {
        let Left {
            busy,
            is_parked,
            outcome,
            since,
            working,
        } = left;
        let took = now.saturating_since(since).as_secs_f64();
        let kind = stay.bid.kind;
        let parked = self.inside.parked;
        let is_good = matches!(outcome, Outcome::Slow { .. } | Outcome::Success);
        // Times that are a wait's say nothing of what the origin bears, unless that is all it does;
        // nor do failures that too many who wait may have made.
        let says_nothing = match is_good {
            true => is_parked && self.kinds.has_working(now),
            false => outcome == Outcome::Failure && parked > self.room.size().max(self.spare()),
        };
        if !says_nothing {
            let held_back = self.queue.len() > 0;
            let limit = self.limit.current();
            self.limit.record(Sample {
                started: since,
                ended: now,
                found: stay.found,
                // Where somebody is kept out to be fair, the limit is what keeps others out.
                in_flight: if held_back { busy.max(limit) } else { busy },
                leaves_idle: busy <= 1 && !held_back,
                outcome,
            });
        }
        if is_good {
            if !is_parked {
                self.answered_at = Some(now);
                self.bear_witness(stay, (took, working), since, now);
            }
            self.kinds.learn(kind, took, is_parked);
        } else if outcome == Outcome::Failure && !is_parked {
            self.room.hear_failure(parked, now);
        }
    }

    fn bear_witness(
        &mut self,
        stay: &Stay,
        (took, working): (f64, u32),
        since: Instant,
        now: Instant,
    ) {
        /// How much longer than usual is still as usual.
        const USUAL: f64 = 2.0;
        const LEAST: f64 = 0.005;
        if took > LATE.as_secs_f64() {
            return;
        }
        let kind = stay.bid.kind;
        let witness = Witness {
            strain: self.kinds.strain(kind, took),
            working,
            found_full: stay.found_full,
        };
        let usual = self.kinds.usual(kind).unwrap_or(took);
        let is_usual = Room::is_good(witness) || took <= USUAL * usual + LEAST;
        if is_usual && self.room.is_open() {
            self.note_usual(since);
        }
        self.room.hear(witness, self.inside.parked, now);
    }

    /// A request that began then was answered as usual: those that began before it and are still there
    /// only wait.
    fn note_usual(&mut self, since: Instant) {
        for (visitor, kind) in self.inside.note_usual(since) {
            self.shares.park(visitor);
            self.kinds.park(kind);
        }
    }

    /// Lets in who is next, as long as there is room.
    pub(super) fn dispatch(&mut self, now: Instant, wakers: &mut Wakers) {
        while self.queue.len() > 0 {
            let Some((lane, next, how)) = self.next(now) else {
                return;
            };
            let Some(waiter) = self.queue.take(lane, next, &self.shares, now, wakers) else {
                continue;
            };
            let stay = self.enter(&next.bid, how, now);
            self.queue.give(next.id, waiter, stay, wakers);
        }
    }

    fn next(&self, now: Instant) -> Option<(Lane, Next, How)> {
        let queue = &self.queue;
        let parking = queue.next(Lane::Parking, now, |bid| self.has_parking(bid));
        if let Some(next) = parking {
            return Some((Lane::Parking, next, How::Parked));
        }
        if self.has_place() {
            let next = queue.next(Lane::Working, now, |bid| self.may_work(bid, now));
            if let Some(next) = next {
                return Some((Lane::Working, next, How::Working));
            }
            let next = queue.next(Lane::Parking, now, |bid| self.may_wait_as_work(bid, now));
            return next.map(|next| (Lane::Parking, next, How::Parked));
        }
        if self.inside.stands_from() > now || !self.room.is_open() {
            return None;
        }
        // All have been there for long: one of another kind finds out whether they only wait. Where nothing
        // has been answered for long, any may find out whether anything is.
        let is_stuck = self.is_stuck(now);
        let probes_max = if is_stuck { PROBES_MAX } else { 1 };
        if self.inside.probes >= probes_max {
            return None;
        }
        let is_apt = |bid: &Bid| is_stuck || self.kinds.inside(bid.kind) == 0;
        let next = queue.next(Lane::Working, now, is_apt);
        next.map(|next| (Lane::Working, next, How::Probe))
    }

    /// Whether nothing has left for long.
    fn is_stuck(&self, now: Instant) -> bool {
        const LONG: Duration = Duration::from_secs(4);
        self.left_at.is_some_and(|at| at + LONG <= now)
    }

    /// Time until such a request would be let in if it came now, as far as can be told.
    pub(super) fn wait(&self, bid: &Bid) -> Duration {
        self.queue.wait(bid, self.pace())
    }

    /// Whether a place is expected within this time: by the rate at which they become free, unless
    /// none has for so long.
    pub(super) fn is_expected(&self, bid: &Bid, within: Duration, now: Instant) -> bool {
        let moves = self
            .left_at
            .is_some_and(|at| now.saturating_since(at) < within);
        moves && self.wait(bid) <= within
    }

    pub(super) fn count_shed(&mut self, shed: Shed) {
        *match shed {
            Shed::Deadline => &mut self.shed.deadline,
            Shed::Early => &mut self.shed.early,
            Shed::Full => &mut self.shed.full,
        } += 1;
    }

    pub(super) fn stats(&self) -> AdmissionStats {
        AdmissionStats {
            limit: self.limit.settled(),
            in_flight: self.busy(),
            parked: self.inside.parked,
            waiting: self.queue.len() + self.queue.following(),
            following: self.queue.following(),
            service_time: self.limit.service_time(),
            overflows: self.overflows,
            shed: self.shed,
        }
    }

    /// A visitor asks for something.
    pub(super) fn come(&mut self, bid: &Bid, now: Instant) -> Bid {
        self.kinds.ask(bid.kind, now);
        let visitor = self.shares.come(bid.visitor, now);
        Bid { visitor, ..*bid }
    }

    fn enter(&mut self, bid: &Bid, how: How, now: Instant) -> Stay {
        let is_parked = how == How::Parked;
        let is_probe = how == How::Probe;
        let found_full = self.inside.parked >= self.room.size();
        let number = self.inside.enter(is_parked, is_probe, now);
        self.kinds.enter(bid.kind, is_parked, now);
        let usual = self.kinds.usual(bid.kind);
        let cost = usual.map_or_else(|| self.limit.service_time(), Duration::from_secs_f64);
        let charge = self.shares.enter(bid.visitor, cost, is_parked);
        if self.queue.len() > 0 {
            let (time, done) = self.shares.clock(bid.visitor);
            self.queue.charged(bid.visitor, done, Some(time));
        }
        Stay {
            bid: *bid,
            background: false,
            charge,
            found: self.busy(),
            working: self.inside.working,
            found_full,
            is_parked,
            is_probe,
            number,
        }
    }

    fn lane(&self, bid: &Bid) -> Lane {
        match self.room.is_open() && self.kinds.parks(bid.kind) {
            true => Lane::Parking,
            false => Lane::Working,
        }
    }

    pub(super) fn has_place(&self) -> bool {
        self.busy() < self.limit.current()
    }

    /// Whether it may have one of the places that are free. A visitor leaves some to others, and so does
    /// a kind of which nobody knows how long it takes.
    fn may_work(&self, bid: &Bid, now: Instant) -> bool {
        let limit = self.limit.current();
        let is_kind_new = !self.kinds.is_quick(bid.kind);
        if is_kind_new
            && self.kinds.working(bid.kind) >= limit - limit / 4
            && self.kinds.has_rival(bid.kind, now)
        {
            return false;
        }
        let (working, parked) = self.shares.inside(bid.visitor);
        // Its requests that wait count where others suffer.
        let has = if self.room.is_calm() || self.shares.others() == 0 {
            working
        } else {
            working + parked
        };
        has < self.shares.most(bid.visitor, limit)
    }

    /// Whether there is room for one more who waits at the origin.
    fn has_parking(&self, bid: &Bid) -> bool {
        let room = self.room.size();
        let (_, parked) = self.shares.inside(bid.visitor);
        self.inside.parked < room && parked < self.shares.most(bid.visitor, room)
    }

    /// Whether one that waits at the origin may have a place as if it worked: a few may always, so
    /// that the room can be learnt, and all where nobody else comes.
    fn may_wait_as_work(&self, bid: &Bid, now: Instant) -> bool {
        let Inside {
            working, parked, ..
        } = self.inside;
        let has_place = working + self.room.excess(parked) < self.limit.current();
        has_place
            && (parked < self.spare()
                || !self.kinds.has_working(now)
                || self.kinds.is_untried(bid.kind, now))
            && self.may_work(bid, now)
    }

    /// How many may wait at the origin whatever they do to others.
    fn spare(&self) -> u32 {
        /// Of more places, no more are risked.
        const PLACES: u32 = 8;
        (self.limit.current().min(PLACES) / 4).max(1)
    }

    fn pace(&self) -> Turnover {
        Turnover {
            service: self.limit.service_time(),
            limit: self.limit.current(),
        }
    }
}

/// As what a request is let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum How {
    /// It waits at the origin.
    Parked,
    /// It works there, beyond the limit.
    Probe,
    Working,
}

impl How {
    const fn in_lane(lane: Lane) -> Self {
        match lane {
            Lane::Parking => Self::Parked,
            Lane::Working => Self::Working,
        }
    }
}

/// A request that has left.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// Places that were taken just before.
    busy: u32,
    is_parked: bool,
    outcome: Outcome,
    since: Instant,
    /// Most requests that worked there with it.
    working: u32,
}
