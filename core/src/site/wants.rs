//! Owns which copies should be renewed in the background: how often each was wanted, on whose
//! behalf, and which of them are being renewed.
//! Never asks the origin, and never looks at a copy or a circuit.
//!
//! The next renewal is for the network that has had the fewest of late, so one visitor who asks for
//! many pages, or for one again and again, waits behind all others. Where too many are wanted, one of
//! a network with more than a share gives way first.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use super::errand::Errand;
use super::had::Had;
use super::target::target_of;
use crate::breaker::Target;
use crate::key::{CacheKey, Partition};
use crate::limits::{RECENT_MAX, WANTS_MAX};
use crate::network::Network;
use crate::report::RefreshStats;
use crate::time::Instant;

/// How soon to look again when something is due and there is no room for it: well below the time
/// of a page, and next to nothing of a processor.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a copy that could not be renewed is left alone, at least.
const REST: Duration = Duration::from_secs(2);

/// How long circuits are left to others than a page that stays broken, at most.
const REST_MAX: Duration = Duration::from_secs(16);

/// How long no circuit is probed with a page that could not be asked for: what was wanting here is
/// not there at once.
const GIVEN_UP: Duration = Duration::from_millis(500);

/// A network with more than one in this many wants has more than a share of them.
const SHARE: usize = 8;

/// After this many failures in a row a page may itself be what is broken.
const FAILURES_MAX: u32 = 2;

/// Copies that somebody wants renewed. Bounded: the least wanted gives way.
#[derive(Debug, Default)]
pub(super) struct Wants {
    /// By the keyed hash of the key; of two keys that collide the first stays.
    table: BTreeMap<u64, Want>,
    /// The renewals that each network has had.
    had: Had,
    /// The last copies that were made, to probe with where no copy was wanted yet.
    recent: VecDeque<Errand>,
    starts: u64,
    paused_until: Instant,
    /// When whoever renews copies looks again by itself; `None` for never.
    looks_at: Option<Instant>,
    /// The origin's circuit is not closed: nothing is renewed but by probes.
    only_probes: bool,
    waker: Option<Waker>,
    pub(super) stats: RefreshStats,
}

#[derive(Debug)]
struct Want {
    errand: Errand,
    /// Of those who wanted it since it was renewed, the one that had had the fewest renewals.
    network: Network,
    /// How often a copy answered since it was renewed. Without any it is only good to probe with.
    count: u32,
    due: Instant,
    /// Renewals in a row that failed, though the origin was reached.
    failures: u32,
    /// Circuits are probed with other pages, or by visitors, until then.
    probes_from: Instant,
    /// It is not renewed before, however often it is wanted.
    rests_until: Instant,
    running: Option<Running>,
    wanted_at: Instant,
}

/// What a circuit could be probed with.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) errand: Errand,
    /// When that may be.
    pub(super) from: Instant,
}

/// The renewal that runs.
#[derive(Clone, Copy, Debug)]
struct Running {
    /// It takes longer than it should: a probe need not wait for its end.
    is_slow: bool,
    number: u64,
}

/// How a renewal ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// It was given up, or says nothing.
    Dropped,
    /// The origin failed.
    Failed,
    /// No connection to the origin came about, which says nothing of the page.
    NotReached,
    /// The answer may not be kept.
    Passed,
    /// There is a new copy.
    Renewed,
}

/// When a renewal ends, the next one may begin, and circuits can be probed again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) now: Instant,
    pub(super) due: Instant,
    pub(super) retry_at: Instant,
}

impl Want {
    /// When it is to be renewed.
    fn due(&self) -> Instant {
        self.due.max(self.rests_until)
    }

    /// It can be had again.
    const fn recover(&mut self) {
        self.failures = 0;
        (self.probes_from, self.rests_until) = (Instant::ZERO, Instant::ZERO);
    }

    /// The origin failed, or is slow. A page that stays broken is asked for less and less, and
    /// leaves circuits to others for as long again as they are open, within bounds.
    fn failed(&mut self, now: Instant, retry_at: Instant) {
        self.rests_until = now + REST * 2_u32.pow(self.failures.min(5));
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES_MAX {
            let open = retry_at.saturating_since(now);
            self.probes_from = retry_at + open.clamp(REST, REST_MAX);
        }
    }
}

impl Wants {
    /// Notes that a copy answered where the origin should have, and may be renewed from `due` on.
    /// Returns whether whoever renews copies should be woken for it.
    pub(super) fn want(&mut self, errand: &Errand, due: Instant, now: Instant) -> bool {
        let hash = errand.key.hash();
        if let Some(want) = self.table.get_mut(&hash) {
            if want.errand.key != errand.key || want.running.is_some() {
                return false;
            }
            let network = Network::of(errand.peer);
            if want.count == 0 || self.had.count(network) < self.had.count(want.network) {
                want.network = network;
            }
            want.errand.request = Arc::clone(&errand.request);
            want.errand.peer = errand.peer;
            want.due = if want.count == 0 {
                due
            } else {
                want.due.min(due)
            };
            want.count = want.count.saturating_add(1);
            want.wanted_at = now;
            if self.only_probes {
                return false;
            }
            let due = want.due().max(self.paused_until).max(now);
            return self.looks_at.is_none_or(|at| due + LOOK_AGAIN < at);
        }
        self.insert(errand.clone(), 1, due, now);
        let due = due.max(self.paused_until).max(now);
        self.only_probes || self.looks_at.is_none_or(|at| due + LOOK_AGAIN < at)
    }

    /// Remembers the request of a copy that was just made.
    pub(super) fn remember(&mut self, errand: Errand) {
        if let Some(want) = self.table.get_mut(&errand.key.hash())
            && want.errand.key == errand.key
        {
            want.recover();
        }
        self.recent.retain(|known| known.key != errand.key);
        if self.recent.len() >= RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(errand);
    }

    /// Of the copies that are due, one for the network that has had the fewest renewals: the one that is
    /// wanted most, and of two the one due for longer.
    pub(super) fn most_wanted(&self, now: Instant) -> Option<Errand> {
        if now < self.paused_until {
            return None;
        }
        let due = self.waiting().filter(|want| want.due() <= now);
        let most = due.max_by_key(|want| {
            let had = self.had.count(want.network);
            (Reverse(had), want.count, Reverse(want.due()))
        });
        most.map(|want| want.errand.clone())
    }

    /// Everything that a circuit could be probed with, the best first: pages that did not fail
    /// before those that did, of those pages of everybody before those of one user, a plain path
    /// before a query, and then what is wanted most.
    pub(super) fn to_probe_with(&self) -> Vec<Candidate> {
        let is_free = |want: &&Want| want.running.is_none_or(|running| running.is_slow);
        let mut wanted: Vec<_> = self.table.values().filter(is_free).collect();
        wanted.sort_by_key(|want| {
            let Errand { key, request, .. } = &want.errand;
            let is_shared = key.partition() == Partition::Shared;
            let is_plain = request.query().is_none();
            let is_better = Reverse((is_shared, is_plain, want.count, Reverse(want.due)));
            (want.failures, is_better)
        });
        let failing = wanted.partition_point(|want| want.failures == 0);
        let failing = wanted.split_off(failing);
        let of_want = |want: &Want| Candidate {
            errand: want.errand.clone(),
            from: want.probes_from,
        };
        let of_recent = |errand: &Errand| Candidate {
            errand: errand.clone(),
            from: Instant::ZERO,
        };
        let well = wanted.into_iter().map(of_want);
        let recent = self.only_recent().rev().map(of_recent);
        let failing = failing.into_iter().map(of_want);
        well.chain(recent).chain(failing).collect()
    }

    /// Whether there is anything that a circuit could be probed with, now or `later`, on one of the
    /// paths that `lets` says.
    pub(super) fn can_probe(
        &self,
        lets: impl Fn(Target<'_>) -> bool,
        later: bool,
        now: Instant,
    ) -> bool {
        let rested = |want: &&Want| later || want.probes_from <= now;
        let wanted = self.table.values().filter(rested).map(|want| &want.errand);
        let mut all = wanted.chain(self.only_recent());
        all.any(|errand| lets(target_of(&errand.request)))
    }

    /// Copies that were made and are not wanted yet.
    fn only_recent(&self) -> impl DoubleEndedIterator<Item = &Errand> {
        let is_wanted = |errand: &&Errand| self.table.contains_key(&errand.key.hash());
        self.recent.iter().filter(move |errand| !is_wanted(errand))
    }

    /// When something is due to be renewed; `None` when nothing is wanted.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let first = self.waiting().map(Want::due).min();
        first.map(|due| due.max(self.paused_until))
    }

    /// Begins a renewal and returns its number; `None` when one runs already. The answer of one
    /// that is slow will not count any more.
    pub(super) fn start(&mut self, errand: &Errand, now: Instant) -> Option<u64> {
        let hash = errand.key.hash();
        if !self.table.contains_key(&hash) {
            self.insert(errand.clone(), 0, now, now);
        }
        let want = self.table.get_mut(&hash)?;
        let runs = want.running.is_some_and(|running| !running.is_slow);
        if want.errand.key != errand.key || runs {
            return None;
        }
        self.starts += 1;
        let number = self.starts;
        let is_slow = false;
        want.running = Some(Running { is_slow, number });
        self.had.one(want.network);
        self.stats.started += 1;
        self.stats.running += 1;
        Some(number)
    }

    /// Notes that a renewal takes longer than it should; circuits can be probed again at
    /// `retry_at`.
    pub(super) fn is_slow(&mut self, key: &CacheKey, number: u64, now: Instant, retry_at: Instant) {
        if self.is_current(key, number)
            && let Some(want) = self.table.get_mut(&key.hash())
        {
            want.running = Some(Running {
                is_slow: true,
                number,
            });
            want.failed(now, retry_at);
        }
    }

    /// Whether a renewal of this copy runs.
    pub(super) fn runs(&self, key: &CacheKey) -> bool {
        let want = self.table.get(&key.hash());
        want.is_some_and(|want| want.running.is_some())
    }

    /// Whether nothing has happened that makes the answer of this renewal wrong.
    pub(super) fn is_current(&self, key: &CacheKey, number: u64) -> bool {
        let want = self.table.get(&key.hash());
        want.is_some_and(|want| {
            let running = want.running.map(|running| running.number);
            want.errand.key == *key && running == Some(number)
        })
    }

    /// Leaves a copy alone for a while.
    pub(super) fn postpone(&mut self, key: &CacheKey, now: Instant) {
        if let Some(want) = self.table.get_mut(&key.hash()) {
            want.rests_until = want.rests_until.max(now + REST);
        }
    }

    /// Ends a renewal.
    pub(super) fn end(&mut self, key: &CacheKey, number: u64, ended: Ended, schedule: Schedule) {
        let stats = &mut self.stats;
        stats.running = stats.running.saturating_sub(1);
        *match ended {
            Ended::Dropped => &mut stats.dropped,
            Ended::Failed | Ended::NotReached => &mut stats.failed,
            Ended::Passed => &mut stats.passed,
            Ended::Renewed => &mut stats.renewed,
        } += 1;
        if !self.is_current(key, number) {
            return;
        }
        let Some(want) = self.table.get_mut(&key.hash()) else {
            return;
        };
        let was_slow = want.running.take().is_some_and(|running| running.is_slow);
        let Schedule { now, due, retry_at } = schedule;
        match ended {
            Ended::Passed => self.forget(key),
            Ended::Dropped => {
                want.rests_until = want.rests_until.max(now + REST);
                want.probes_from = want.probes_from.max(retry_at + GIVEN_UP);
            }
            Ended::NotReached => want.rests_until = want.rests_until.max(now + REST),
            Ended::Failed => {
                if !was_slow {
                    want.failed(now, retry_at);
                }
            }
            Ended::Renewed => {
                (want.count, want.due) = (0, due);
                want.recover();
            }
        }
    }

    /// Forgets a copy that is gone, and the renewal of it that may run.
    pub(super) fn forget(&mut self, key: &CacheKey) {
        let hash = key.hash();
        if self
            .table
            .get(&hash)
            .is_some_and(|want| want.errand.key == *key)
        {
            self.table.remove(&hash);
        }
        self.recent.retain(|errand| errand.key != *key);
    }

    /// Forgets the copies whose keys are chosen.
    pub(super) fn forget_where(&mut self, chosen: &dyn Fn(&CacheKey) -> bool) {
        self.table.retain(|_, want| !chosen(&want.errand.key));
        self.recent.retain(|errand| !chosen(&errand.key));
    }

    /// The origin asked to be left alone until then.
    pub(super) fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(until);
    }

    /// Notes when whoever renews copies looks again by itself, and whether only for probes.
    pub(super) const fn looks_at(&mut self, at: Option<Instant>, only_probes: bool) {
        (self.looks_at, self.only_probes) = (at, only_probes);
    }

    /// Notes whom to wake; returns whom it replaces.
    pub(super) fn set_waker(&mut self, waker: Waker) -> Option<Waker> {
        self.waker.replace(waker)
    }

    /// Takes whom to wake, once the lock is open again.
    pub(super) const fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// Copies that are wanted and not being renewed.
    fn waiting(&self) -> impl Iterator<Item = &Want> {
        let waits = |want: &&Want| want.count > 0 && want.running.is_none();
        self.table.values().filter(waits)
    }

    /// How many copies are wanted.
    pub(super) fn len(&self) -> usize {
        self.waiting().count()
    }

    /// What gives way to one more want of this network: of those of the network with the most, where
    /// that is more than a share; its own where it is one of them.
    fn least_wanted(&self, newest: Network) -> Option<u64> {
        let mut by_network: BTreeMap<Network, usize> = BTreeMap::new();
        for want in self.table.values() {
            *by_network.entry(want.network).or_default() += 1;
        }
        let count = |network: &Network| by_network.get(network).copied().unwrap_or_default();
        let most = by_network.keys().max_by_key(|network| count(network));
        let heaviest = [Some(&newest), most].into_iter().flatten();
        let mut heaviest = heaviest.filter(|network| count(network) > WANTS_MAX / SHARE);
        let gives = heaviest.next();
        let least = |of: Option<&Network>| {
            let idle = self.table.iter().filter(|(_, want)| want.running.is_none());
            let chosen = idle.filter(|(_, want)| of.is_none_or(|of| want.network == *of));
            let least = chosen.min_by_key(|(_, want)| (want.count, want.wanted_at));
            least.map(|(hash, _)| *hash)
        };
        gives.and_then(|of| least(Some(of))).or_else(|| least(None))
    }

    fn insert(&mut self, errand: Errand, count: u32, due: Instant, now: Instant) {
        let network = Network::of(errand.peer);
        if self.table.len() >= WANTS_MAX {
            let Some(hash) = self.least_wanted(network) else {
                return;
            };
            self.table.remove(&hash);
        }
        let want = Want {
            network,
            count,
            due,
            failures: 0,
            probes_from: Instant::ZERO,
            rests_until: Instant::ZERO,
            running: None,
            wanted_at: now,
            errand,
        };
        self.table.insert(want.errand.key.hash(), want);
        debug_assert!(self.table.len() <= WANTS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::Method;

    use super::*;
    use crate::config::CacheSettings;
    use crate::key::Keyer;
    use crate::message::{Fields, RequestHead};

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn errand(keyer: &Keyer, number: usize) -> Errand {
        let target = format!("/{number}");
        let request = RequestHead::new(Method::GET, &target, Fields::default());
        Errand {
            key: keyer.key(&request).unwrap(),
            peer: IpAddr::from([192, 0, 2, 1]),
            request: Arc::new(request),
        }
    }

    #[test]
    fn where_too_many_are_wanted_the_least_wanted_gives_way() {
        let keyer = Keyer::new(&CacheSettings::default(), 1);
        let mut wants = Wants::default();
        // The first runs; the second is wanted twice; of the others the third came first.
        for number in 0..WANTS_MAX {
            wants.want(&errand(&keyer, number), at(0), at(number as u64));
        }
        let running = wants.start(&errand(&keyer, 0), at(300)).unwrap();
        wants.want(&errand(&keyer, 1), at(0), at(300));
        for (new, gone) in [(1_000, 2), (1_001, 3)] {
            wants.want(&errand(&keyer, new), at(0), at(301));
            assert_eq!(wants.table.len(), WANTS_MAX);
            let is_there = |number| {
                let hash = errand(&keyer, number).key.hash();
                wants.table.contains_key(&hash)
            };
            assert!(is_there(new) && !is_there(gone));
            assert!([0, 1, gone + 1].into_iter().all(is_there));
        }
        assert!(wants.is_current(&errand(&keyer, 0).key, running));
    }

    /// What somebody of this network wants.
    fn of_network(keyer: &Keyer, network: u8, number: usize) -> Errand {
        Errand {
            peer: IpAddr::from([203, 0, network, 1]),
            ..errand(keyer, number)
        }
    }

    const RENEWED: Schedule = Schedule {
        now: Instant::ZERO,
        due: Instant::ZERO,
        retry_at: Instant::ZERO,
    };

    /// Renews the next one; its number.
    fn renew(wants: &mut Wants) -> Option<usize> {
        let errand = wants.most_wanted(at(0))?;
        let number = wants.start(&errand, at(0)).unwrap();
        wants.end(&errand.key, number, Ended::Renewed, RENEWED);
        let path = errand.request.path().strip_prefix(b"/")?;
        std::str::from_utf8(path).ok()?.parse().ok()
    }

    #[test]
    fn whoever_wants_many_or_one_often_takes_no_turn_of_others() {
        let keyer = Keyer::new(&CacheSettings::default(), 1);
        let mut wants = Wants::default();
        // 100 pages, each ten times; one of them others want too.
        for number in (0..100).cycle().take(1_000) {
            wants.want(&of_network(&keyer, 1, number), at(0), at(0));
        }
        // Twenty visitors want one page each, once, after all of that.
        for network in 2..22 {
            let page = 1_000 + usize::from(network);
            wants.want(&of_network(&keyer, network, page), at(0), at(0));
        }
        wants.want(&of_network(&keyer, 22, 7), at(0), at(0));
        let first: Vec<_> = (0..22).filter_map(|_| renew(&mut wants)).collect();
        let honest = first.iter().filter(|number| **number >= 1_000).count();
        assert_eq!(honest, 20, "{first:?}");
        assert!(first.contains(&7), "{first:?}");
        // It had one of these. Nobody else wants anything: the rest is its.
        assert_eq!(std::iter::from_fn(|| renew(&mut wants)).count(), 98);
    }

    #[test]
    fn whoever_wants_too_many_drives_out_its_own() {
        let keyer = Keyer::new(&CacheSettings::default(), 1);
        let mut wants = Wants::default();
        for network in 0..200 {
            let page = 10_000 + usize::from(network);
            wants.want(&of_network(&keyer, network, page), at(0), at(1));
        }
        for number in 0..1_000 {
            wants.want(&of_network(&keyer, 255, number), at(0), at(2));
            wants.want(&of_network(&keyer, 255, number), at(0), at(2));
        }
        let honest = |number| {
            let hash = errand(&keyer, 10_000 + number).key.hash();
            wants.table.contains_key(&hash)
        };
        assert!((0..200_usize).all(honest));
        assert_eq!(wants.table.len(), WANTS_MAX);
    }

    #[test]
    fn an_origin_that_wants_to_be_left_alone_is() {
        let keyer = Keyer::new(&CacheSettings::default(), 1);
        let mut wants = Wants::default();
        wants.want(&errand(&keyer, 0), at(1), at(0));
        wants.pause(at(10));
        wants.pause(at(5));
        assert_eq!(wants.due_at(), Some(at(10)));
        assert!(wants.most_wanted(at(9)).is_none());
        assert!(wants.most_wanted(at(10)).is_some());
    }
}
