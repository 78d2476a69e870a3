//! Owns [`Parts`]: what all requests of one site share. Each part keeps its own lock; what two of
//! them have to do together is here.
//! Never decides what answers a request.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::address::AddressFields;
use super::asks::{self, Asks};
use super::by_hand::ByHand;
use super::carried::Carried;
use super::chains::Chains;
use super::circuits::{Circuits, Origin};
use super::coverage::Coverage;
use super::errand::Errand;
use super::handed::Handed;
use super::happened::Happened;
use super::preflights::Preflights;
use super::quarantine::Page;
use super::queries::Queries;
use super::reach::Reach;
use super::renewals::{Renewal, Renewals};
use super::rolls::Rolls;
use super::snapshot::Snapshot;
use super::soft::SoftFailures;
use super::successors::Successors;
use super::target::target_of;
use super::visit::Visit;
use super::visitor::Visitors;
use super::voice::Voices;
use super::wall::WallClock;
use super::wants::Schedule;
use crate::admission::Gate;
use crate::breaker::{Outcome, TierPermit, Tiers};
use crate::canary::{Plant, is_planted};
use crate::config::{Config, SiteConfig};
use crate::copies::{
    Copies, Making, Outdated, Records, Restored, Restoring, Rules, StoredResponse, Times,
    Unrestored, Written,
};
use crate::event::Event;
use crate::key::{CacheKey, Keyer, Links, Partition, Spellings};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::report::{AdmissionStats, PublicStats, SessionStats, Stats};
use crate::rng::Rng;
use crate::rules::coding::GzipPool;
use crate::rules::freshness::Lifetimes;
use crate::store::Vary;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Mutex, MutexGuard};
use crate::time::Instant;
use crate::waiting::WaitingRoom;

/// Breaker, admission, copies and settings of one site.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) address_fields: AddressFields,
    asks: Mutex<Asks>,
    pub(super) by_hand: ByHand,
    pub(super) carried: Carried,
    pub(super) chains: Chains,
    pub(super) circuits: Circuits,
    /// Seconds by which the origin's clock seemed to be behind when that was last unbelievable.
    pub(super) clock_behind: AtomicU64,
    pub(super) queries: Queries,
    pub(super) copies: Copies,
    pub(super) coverage: Coverage,
    pub(super) gate: Gate,
    /// The compressors, where clients may get compressed content.
    pub(super) gzip: Option<Arc<GzipPool>>,
    pub(super) handed: Handed,
    pub(super) happened: Happened,
    /// A stranger was sent something that was kept.
    pub(super) has_public: AtomicBool,
    key_seed: u64,
    /// The origin has signed somebody in by connection, or wanted to.
    pub(super) logins: AtomicBool,
    /// What the origin was thought to bear when its circuit was last closed.
    limit_before: AtomicU32,
    /// Answers from copies because the origin was full.
    pub(super) overload_copies: AtomicU64,
    pub(super) preflights: Preflights,
    /// Answers from copies of what a stranger was sent.
    pub(super) public_served: AtomicU64,
    pub(super) reach: Reach,
    pub(super) renewals: Renewals,
    /// The time since when copies are made by the rules of now.
    rules_since: AtomicU64,
    pub(super) rolls: Rolls,
    snapshot: ArcSwap<Snapshot>,
    pub(super) soft: SoftFailures,
    /// The ways in which sites are called of which there may be copies, as bits of `Spellings`.
    spellings: AtomicU64,
    pub(super) successors: Successors,
    /// The settings of the start, by which the tables have their sizes.
    start: SiteConfig,
    pub(super) visitors: Visitors,
    pub(super) voices: Voices,
    pub(super) waiting: WaitingRoom,
    /// Wall-clock nanoseconds at the adapter's epoch.
    pub(super) wall: WallClock,
}

impl Parts {
    pub(super) fn new(config: &Config, seed: u64, now: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let key_seed = rng.next();
        let site = config.site();
        let tiers = Tiers::new(&site.breaker, rng.next(), now);
        Self {
            address_fields: AddressFields::default(),
            asks: Mutex::new(Asks::new()),
            by_hand: ByHand::default(),
            carried: Carried::new(),
            chains: Chains::new(),
            circuits: Circuits::new(tiers),
            clock_behind: AtomicU64::new(0),
            queries: Queries::new(),
            copies: Copies::new(&site.cache, rng.next()),
            coverage: Coverage::new(),
            gate: Gate::new(&site.admission, rng.next(), now),
            gzip: config.client().gzip.then(Arc::default),
            handed: Handed::new(),
            happened: Happened::default(),
            has_public: AtomicBool::new(false),
            key_seed,
            logins: AtomicBool::new(false),
            limit_before: AtomicU32::new(0),
            overload_copies: AtomicU64::new(0),
            preflights: Preflights::default(),
            public_served: AtomicU64::new(0),
            reach: Reach::default(),
            renewals: Renewals::default(),
            rules_since: AtomicU64::new(0),
            rolls: Rolls::new(rng.next()),
            snapshot: ArcSwap::from_pointee(Snapshot::new(site.clone(), key_seed)),
            soft: SoftFailures::default(),
            spellings: AtomicU64::new(0),
            successors: Successors::new(),
            start: site.clone(),
            visitors: Visitors::new(rng.next()),
            voices: Voices::new(rng.next()),
            waiting: WaitingRoom::new(seed, now),
            wall: WallClock::new(),
        }
    }

    /// Goes on by other settings; names those that count from the next start only.
    pub(super) fn reconfigure(&self, config: &SiteConfig, now: Instant) -> Vec<&'static str> {
        let before = self.snapshot();
        let before = before.config();
        let snapshot = Snapshot::new(config.clone(), self.key_seed);
        if snapshot.rules() != self.snapshot.load().rules() {
            self.rules_since.store(now.as_nanos(), Ordering::Relaxed);
        }
        self.snapshot.store(Arc::new(snapshot));
        self.gate.reconfigure(&config.admission, now);
        if !config.admission.waiting_room {
            self.waiting.clear();
        }
        self.change_circuits(now, |tiers| tiers.reconfigure(&config.breaker, now));
        if !before.cache.same_keys(&config.cache) {
            self.outdate(Outdated::Chosen(&|_| true));
            self.preflights.clear();
            self.chains.clear();
        }
        let (cache, was) = (&config.cache, &self.start.cache);
        [
            (
                "breaker.paths_max",
                config.breaker.paths_max != self.start.breaker.paths_max,
            ),
            ("cache.bytes_max", cache.bytes_max != was.bytes_max),
            ("cache.entries_max", cache.entries_max != was.entries_max),
            (
                "cache.object_bytes_max",
                cache.object_bytes_max != was.object_bytes_max,
            ),
        ]
        .into_iter()
        .filter_map(|(setting, differs)| differs.then_some(setting))
        .collect()
    }

    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Whether a visitor has written since an own copy was asked for. Only where the origin fails is it
    /// better than to wait.
    pub(super) fn is_before_own_write(
        &self,
        keyer: &Keyer,
        (copy, key): (&StoredResponse, &CacheKey),
        request: &Fields,
        now: Instant,
    ) -> bool {
        let asked = copy.times().asked;
        key.partition() != Partition::Shared
            && self.visitors.has_written_since(keyer, request, asked, now)
    }

    /// An answer without content and of its own, as a copy.
    pub(super) fn answer_of(
        &self,
        head: &ResponseHead,
        now: Instant,
    ) -> Option<Arc<StoredResponse>> {
        let times = Times {
            asked: now,
            received: now,
            before: 0,
        };
        let collector = self.copies.collect(Making {
            head,
            lifetimes: Lifetimes::NEVER,
            others: 0,
            owner: 0,
            times,
            unix: self.wall.at(now),
            vary: Vary::default(),
        });
        collector.map(|collector| Arc::new(collector.finish()))
    }

    /// The next thing that happened and that nobody has taken yet.
    pub(super) fn poll_event(&self, now: Instant) -> Option<Event> {
        if let Some(transition) = self.circuits.read().poll_transition() {
            return Some(Event::Circuit(transition));
        }
        if let Some(failure) = self.soft.poll() {
            return Some(Event::Soft(failure));
        }
        let renewals = self.renewals.wants().stats;
        self.happened.take(self.gate.limit(), &renewals, now)
    }

    pub(super) fn stats(&self, now: Instant) -> Stats {
        let (circuit, paths_open, slow_calls, usual) = {
            let tiers = self.circuits.read();
            (
                tiers.origin_state(now),
                tiers.paths_open(),
                tiers.slow_calls(),
                tiers.usual(),
            )
        };
        let copies = self.copies.stats();
        let behind = self.clock_behind.load(Ordering::Relaxed);
        Stats {
            circuit,
            clock_behind: (behind > 0).then(|| Duration::from_secs(behind)),
            paths_open,
            slow_calls,
            usual,
            copies: copies.len,
            copies_bytes: copies.bytes,
            collecting_bytes: copies.collecting_bytes,
            leaving_bytes: copies.leaving_bytes,
            evictions: copies.evictions,
            insertions: copies.insertions,
            admission: self.admission(now),
            coverage: self.coverage.stats(now),
            public: self.public(),
            refresh: self.renewals.stats(),
            sessions: SessionStats {
                followed: self.chains.len(),
                rolling: self.rolls.rolling(now),
            },
            soft: self.soft.stats(),
            waiting: self.waiting.stats(now),
        }
    }

    fn admission(&self, now: Instant) -> AdmissionStats {
        let mut stats = self.gate.stats(now);
        stats.waiting += self.reach.waiting();
        stats.shed.copy = self.overload_copies.load(Ordering::Relaxed);
        stats
    }

    fn public(&self) -> PublicStats {
        let asks = self.asks();
        PublicStats {
            wanted: asks.wanted(),
            served: self.public_served.load(Ordering::Relaxed),
            ..asks.stats
        }
    }

    /// What is to be asked as a stranger, behind its lock.
    pub(super) fn asks(&self) -> MutexGuard<'_, Asks> {
        self.asks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A visitor got a page, or was told that there is news of it: a stranger should ask for it.
    pub(super) fn ask_for(&self, note: impl FnOnce(&mut Asks) -> bool) {
        let wakes = note(&mut self.asks());
        if wakes {
            self.renewals.wake();
        }
    }

    /// An asking as a stranger has ended.
    pub(super) fn visit_ended(&self, mut visit: Visit, since: Instant, now: Instant) {
        if visit.is_trial() {
            let found = self.asks().tried(visit.tried(), now);
            for (name, rolls) in found {
                self.rolls.note(visit.key.authority(), name, rolls, now);
            }
        } else if let Some(cookies) = visit.take_trial() {
            self.asks().try_cookies(&visit.key, cookies, now);
        }
        let Visit { ended, number, .. } = visit;
        self.end_visit(number, ended, since, now);
    }

    /// An asking as a stranger takes longer than it should: what comes of it may still be kept, but
    /// others need not wait for its end.
    pub(super) fn visit_is_slow(&self, number: u64, since: Instant, now: Instant) {
        self.end_visit(number, asks::Ended::Failed, since, now);
    }

    fn end_visit(&self, number: u64, ended: asks::Ended, since: Instant, now: Instant) {
        let took = now.saturating_since(since);
        let share = self.snapshot.load().config().cache.public_share;
        self.asks().end(number, ended, (took, share), now);
        self.renewals.wake();
    }

    /// Tells the breaker how a request went.
    pub(super) fn record(&self, permit: TierPermit, outcome: Outcome, now: Instant) {
        self.change_circuits(now, |tiers| tiers.record(permit, outcome, now));
        // A probe's slot may be free.
        self.reach.wake();
    }

    /// Changes the circuits, and tells those who have to know. Whoever renews copies is woken where
    /// that changes a state: what is due may be something else now.
    pub(super) fn change_circuits<T>(
        &self,
        now: Instant,
        change: impl FnOnce(&mut Tiers) -> T,
    ) -> T {
        let (changed, changes) = self.circuits.change(change);
        // The limit falls with failures; what it was before is what the origin bears.
        if changes.begins_to_fail || !changes.was_failing && changes.origin == Origin::Left {
            let limit = self.gate.settled_limit();
            self.limit_before.store(limit, Ordering::Relaxed);
        }
        match changes.origin {
            Origin::Left | Origin::Same => {}
            Origin::Returning => self.reach.returning(now),
            Origin::Relapsed => self.reach.returned(),
            Origin::Returned => {
                let before = self.limit_before.load(Ordering::Relaxed);
                self.gate.restart(before.min(RESTART_LIMIT_MAX), now);
                self.reach.returned();
            }
        }
        if changes.any {
            self.renewals.wake();
        }
        changed
    }

    /// A connection to the origin came about.
    pub(super) fn connected(&self, now: Instant) {
        if !self.reach.is_on() {
            return;
        }
        let is_returning = self.change_circuits(now, |tiers| {
            tiers.connected(now);
            tiers.is_origin_returning()
        });
        self.reach.connected(is_returning, now);
    }

    /// No connection to the origin came about.
    pub(super) fn refused(&self, now: Instant) {
        if self.reach.refused(now) {
            self.renewals.wake();
        }
    }

    /// Somebody wants to know at once whether the origin is back.
    pub(super) fn probe_now(&self, now: Instant) {
        if self.reach.is_refused() {
            self.reach.hurry(now);
        } else {
            self.change_circuits(now, |tiers| tiers.probe_now(now));
        }
        self.renewals.wake();
    }

    /// When the circuits of this request can be probed again.
    pub(super) fn retry_at(&self, request: &RequestHead, now: Instant) -> Instant {
        let retry_at = self.circuits.read().retry_at(target_of(request), now);
        retry_at.unwrap_or(now)
    }

    /// Takes note that there is a copy of a site that is called so.
    pub(super) fn note_spelling(&self, authority: &[u8]) {
        let spelling = Spellings::of(authority);
        if !spelling.is_plain() {
            let bits = u64::from(spelling.0);
            self.spellings.fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// The ways in which sites are called of which there may be copies.
    pub(super) fn spellings(&self) -> Spellings {
        let bits = self.spellings.load(Ordering::Relaxed);
        Spellings(u8::try_from(bits).unwrap_or(u8::MAX))
    }

    /// The page of a key, as verdicts on it are remembered.
    pub(super) fn page(&self, key: &CacheKey) -> Page {
        Page {
            key: key.hash(),
            resource: self.copies.resource(key),
        }
    }

    /// What there is under a key to be written down, with that mark of the rules.
    pub(super) fn records(&self, key: &CacheKey, mark: u64) -> Records {
        let rules = Rules {
            mark,
            since: Instant::from_nanos(self.rules_since.load(Ordering::Relaxed)),
        };
        let epoch = self.wall.epoch();
        self.copies.records(key, rules, epoch)
    }

    /// Takes a copy over that was written down.
    pub(super) fn restore(
        &self,
        record: &[u8],
        (from, rules): (Written<'_>, u64),
        now: Instant,
    ) -> Result<Restored, Unrestored> {
        let snapshot = self.snapshot();
        let (key, restored) = self.copies.restore(&Restoring {
            record,
            age_max: snapshot.config().cache.rescue_age_max,
            epoch: self.wall.epoch(),
            from,
            keyer: snapshot.keyer(),
            now,
            rules,
        })?;
        self.note_spelling(key.authority());
        if key.partition() == Partition::Public {
            self.has_public.store(true, Ordering::Relaxed);
        }
        Ok(restored)
    }

    /// Drops copies, and the wish to renew them. Returns how many there were.
    pub(super) fn outdate(&self, outdated: Outdated<'_>) -> usize {
        let dropped = self.copies.drop_outdated(outdated);
        let has = |key: &_| outdated.has(key);
        self.renewals.wants().forget_where(&has);
        if let Outdated::Chosen(_) = outdated {
            self.asks().forget_where(&has);
        }
        dropped
    }

    /// The partition of a request with these fields.
    pub(super) fn partition(&self, keyer: &Keyer, request: &Fields, now: Instant) -> Partition {
        let link = |mark| self.chains.look(mark, now);
        let links: Links<'_> = match self.chains.is_empty() {
            true => None,
            false => Some(&link),
        };
        keyer.partition_by(request, links)
    }

    /// The key of the same thing for the same request, now that its chains have others numbers.
    pub(super) fn key_now(
        &self,
        keyer: &Keyer,
        key: &CacheKey,
        request: &Fields,
        now: Instant,
    ) -> CacheKey {
        let link = |mark| self.chains.look(mark, now);
        let again = || keyer.key_after(key, (request, &Fields::default()), Some(&link));
        let again = key.line().and_then(|_| again());
        again.unwrap_or_else(|| key.clone())
    }

    /// The session of a request with these fields ends, if it has one: all of its copies go. What all
    /// who send `theme=dark` see is no session's.
    pub(super) fn end_session(&self, keyer: &Keyer, request: &Fields, now: Instant) {
        if keyer.names_visitor(request) && !is_planted(Plant::UnendedSession) {
            self.drop_session(self.partition(keyer, request, now));
            self.end_chains(keyer, request, now);
        }
    }

    /// The client of a request with these fields signs out: beside its session those end that it was
    /// given a moment ago in the place of this one or beside it, and may not know yet.
    pub(super) fn sign_out(&self, keyer: &Keyer, request: &Fields, now: Instant) {
        self.end_session(keyer, request, now);
        if self.chains.is_empty() || is_planted(Plant::UnendedSession) {
            return;
        }
        for (mark, _) in keyer.tokens(request) {
            let family = self.successors.family(mark, now);
            for other in family.into_iter().filter(|other| *other != mark) {
                let in_place = |known| if known == mark { other } else { known };
                let link = |known| self.chains.look(in_place(known), now);
                self.drop_session(keyer.partition_by(request, Some(&link)));
                self.chains.end(other, now);
            }
        }
    }

    /// The chains of a request with these fields end; what is on its way for them is found no more.
    pub(super) fn end_chains(&self, keyer: &Keyer, request: &Fields, now: Instant) {
        if self.chains.is_empty() {
            return;
        }
        for (mark, _) in keyer.tokens(request) {
            self.chains.end(mark, now);
        }
    }

    /// Drops all copies of a partition; what everybody sees is no session's. Returns how many.
    pub(super) fn drop_session(&self, partition: Partition) -> usize {
        match partition {
            Partition::Public | Partition::Shared => 0,
            Partition::Marked(_) | Partition::Session(_) => {
                self.outdate(Outdated::Partition(partition))
            }
        }
    }

    /// Slots that renewals may have: the share of what there are, at least one; 0 where none is
    /// wanted.
    pub(super) fn background_max(&self) -> u32 {
        let share = self.snapshot.load().config().admission.background_share;
        if share <= 0.0 {
            return 0;
        }
        let slots = f64::from(self.gate.limit()) * share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a u32, rounded down"
        )]
        let slots = slots as u32;
        slots.max(1)
    }

    /// Lets a fetch for which nobody waits any more go on to renew its copy.
    pub(super) fn adopt(&self, errand: &Errand, now: Instant) -> Option<Renewal> {
        let retry_at = self.retry_at(&errand.request, now);
        self.renewals
            .adopt(errand, self.background_max(), retry_at, now)
    }

    /// Remembers the request of a copy that was just made, to probe with.
    pub(super) fn remember(&self, errand: Errand) {
        if !self.renewals.may_renew(&errand.request.fields) {
            return;
        }
        self.renewals.wants().remember(errand);
        if !self.circuits.is_calm() {
            // From now on visitors leave the probing to it.
            self.renewals.wake();
        }
    }

    /// A renewal has ended.
    pub(super) fn renewal_ended(&self, renewal: Renewal, request: &RequestHead, now: Instant) {
        let schedule = Schedule {
            now,
            due: now + self.snapshot.load().config().cache.ttl,
            retry_at: self.retry_at(request, now),
        };
        self.renewals.ended(renewal, schedule);
    }
}

/// With how many requests at a time an origin begins that is back. It is cold, and its visitors come
/// all at once: one request at a time wastes it, and as many as it bore before may be its end.
const RESTART_LIMIT_MAX: u32 = 8;
