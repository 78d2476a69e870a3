//! Owns the two tiers: one circuit for the origin, one for each path that fails, and which
//! outcome counts toward which. Never decides when a circuit opens: that is [`Breaker`].

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use smallvec::SmallVec;

use crate::config::BreakerSettings;
use crate::rng::Rng;
use crate::time::Instant;

use super::usual::{FACTOR, Usuals};
use super::{
    Breaker, Change, News, Outcome, Permit, Reason, Recovery, Rejected, State, Tier, Transition,
    Trip,
};

/// Transitions that wait to be polled. An origin's failure opens a few dozen circuits at once.
const TRANSITIONS_MAX: usize = 256;

/// Bytes of a path's name in a [`Transition`].
const NAME_BYTES_MAX: usize = 200;

/// The circuits of one origin: one for all of it, one for each path that has failed lately.
///
/// The contract:
///
/// 1. A GET or HEAD asks [`try_acquire`](Self::try_acquire); both circuits must let it pass.
///    Everything else calls [`pass`](Self::pass) and goes in any case. Both give their
///    [`TierPermit`] with an outcome to [`record`](Self::record).
/// 2. A path is what comes before the `?`. Paths are told apart by a seeded 64-bit hash; two
///    that collide share a circuit.
/// 3. A healthy path costs nothing: its circuit is made at its first failure or slow call, and
///    dropped at its first outcome that finds it closed, or closes it, without such in the window.
/// 4. There are at most `paths_max` path circuits. A new one takes the place of the one that
///    failed least recently, of a closed one if there is any. Dropping one that is not closed
///    is a transition too, with [`Reason::Forgotten`].
/// 5. A connect failure says nothing about a path, so it counts toward the origin alone. An
///    outcome of a `pass` counts toward the origin alone, and only while that is closed, but for a
///    success, which is news to it; it says nothing of when to come back.
///    The failure of a probe of both circuits counts toward the path alone: the page was broken
///    before, and would keep the origin's circuit open for as long as it is.
/// 6. Failures of an older generation do not count. When a circuit that has ever been open is
///    dropped, this ends the generation of all paths that have no circuit.
/// 7. Every change of state is one [`Transition`]; the oldest give way when nobody polls.
/// 8. A request that is not over [`TierPermit::slow_after`] its sending is slow: tell it with
///    [`record_slow`](Self::record_slow) then, at once. It counts toward the origin, and toward
///    its path only where the path's own time is known: a page that was never seen before may be
///    slow by nature. What was counted as slow is not counted again at its end, which is news all
///    the same if it is a success: what hung goes on.
/// 9. [`took`](Self::took) teaches what is usual, by kinds of paths: one kind for all that differ
///    in digits only. Writes are kinds of their own.
/// 10. Who hears of the origin in other ways tells: [`connected`](Self::connected) when it takes
///     connections after it did not, [`unreached`](Self::unreached) as long as it does not. With
///     that, and when the origin's circuit closes, paths that are open may be probed at once: what
///     they have seen was of the outage.
#[derive(Debug)]
pub struct Tiers {
    origin: Breaker,
    paths: BTreeMap<u64, Box<PathCircuit>>,
    /// The circuits in the order in which they give way to new ones.
    ranks: BTreeMap<Rank, u64>,
    paths_max: usize,
    trip: Trip,
    recovery: Recovery,
    usuals: Usuals,
    /// What is not longer is never slow; `None` when nothing is.
    slow_min: Option<Duration>,
    /// Calls that were slow so far.
    slow_calls: u64,
    /// The generation of paths that have no circuit.
    generation: u64,
    /// Failures of paths so far: the order of the last ones.
    failures: u64,
    hash_seed: u64,
    shared_seed: SharedSeed,
    rng: Rng,
    /// Transitions so far.
    changes: u64,
    transitions: VecDeque<Transition>,
}

#[derive(Debug)]
struct PathCircuit {
    breaker: Breaker,
    /// The first generation.
    born: u64,
    name: Arc<str>,
    rank: Rank,
}

/// Compares as the circuits give way: closed ones first, then the least recently failing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Rank {
    not_closed: bool,
    failed: u64,
}

/// The right to send one request, to be given back with its outcome.
#[must_use = "a permit must be given back with `record`"]
#[derive(Debug)]
pub struct TierPermit {
    /// `None` once it was told to be slow.
    origin: Option<Permit>,
    /// `None` for a request that goes in any case, and once it was told to be slow.
    path: Option<Permit>,
    hash: u64,
    /// It asked both circuits.
    is_read: bool,
    kind: u64,
    slow: Option<SlowAfter>,
    /// The path's first bytes; most paths fit without an allocation.
    name: SmallVec<[u8; 64]>,
}

/// When a request is slow.
#[derive(Clone, Copy, Debug)]
struct SlowAfter {
    is_known: bool,
    over: Duration,
}

/// A circuit refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the circuit of the {tier} is open")]
pub struct TierRejected {
    /// When asking again can succeed; a probe that ends sooner may make room before.
    pub retry_at: Instant,
    /// Which circuit.
    pub tier: Tier,
}

impl Tiers {
    /// Makes closed circuits. `seed` is for hashes and jitter.
    #[must_use]
    pub fn new(settings: &BreakerSettings, seed: u64, now: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let trip = Trip::of_origin(settings);
        let recovery = Recovery::of_origin(settings);
        Self {
            origin: Breaker::new(trip, recovery, rng.next(), now),
            paths: BTreeMap::new(),
            ranks: BTreeMap::new(),
            paths_max: settings.paths_max.max(1),
            trip: Trip::of_path(settings),
            recovery: Recovery::of_path(settings),
            usuals: Usuals::new(settings.slow_min / FACTOR),
            slow_min: settings.slow_rate.map(|_| settings.slow_min),
            slow_calls: 0,
            generation: 0,
            failures: 0,
            hash_seed: rng.next(),
            shared_seed: SharedSeed::from_u64(rng.next()),
            rng,
            changes: 0,
            transitions: VecDeque::new(),
        }
    }

    /// Goes on by other settings. How many paths have a circuit of their own stays as it was.
    pub fn reconfigure(&mut self, settings: &BreakerSettings, now: Instant) {
        (self.trip, self.recovery) = (Trip::of_path(settings), Recovery::of_path(settings));
        self.slow_min = settings.slow_rate.map(|_| settings.slow_min);
        self.usuals.set_floor(settings.slow_min / FACTOR);
        let (trip, recovery) = (Trip::of_origin(settings), Recovery::of_origin(settings));
        self.origin.set_terms(trip, recovery, now);
        for circuit in self.paths.values_mut() {
            circuit.breaker.set_terms(self.trip, self.recovery, now);
        }
    }

    /// Asks for the right to send a GET or HEAD request.
    ///
    /// # Errors
    /// The origin's circuit or the path's refuses.
    pub fn try_acquire(&mut self, path: &[u8], now: Instant) -> Result<TierPermit, TierRejected> {
        let path = without_query(path);
        let hash = self.hash(path);
        let acquired = self.origin.try_acquire(now);
        self.note_origin();
        let origin = acquired.map_err(|rejected| TierRejected::by(Tier::Origin, rejected))?;
        let acquired = match self.paths.get_mut(&hash) {
            Some(circuit) => circuit.breaker.try_acquire(now),
            None => Ok(Permit::new(self.generation, None)),
        };
        self.note_path(hash);
        match acquired {
            Ok(permit) => Ok(self.permit(origin, Some(permit), hash, path)),
            Err(rejected) => {
                // The request does not go, so it must not hold a slot of the origin.
                self.origin.record(origin, Outcome::Ignore, now);
                Err(TierRejected::by(Tier::Path, rejected))
            }
        }
    }

    /// Makes the permit of a request that goes in any case: a write, an upgrade.
    pub fn pass(&self, path: &[u8]) -> TierPermit {
        let path = without_query(path);
        self.permit(self.origin.onlooker(), None, self.hash(path), path)
    }

    fn permit(&self, origin: Permit, path: Option<Permit>, hash: u64, name: &[u8]) -> TierPermit {
        let kind = self.kind(path.is_none(), name);
        let own = self.usuals.of(kind);
        let slow = self.slow_min.map(|min| {
            let usual = own.or_else(|| self.usuals.middle()).unwrap_or_default();
            SlowAfter {
                is_known: own.is_some(),
                over: min.max(usual.saturating_mul(FACTOR)),
            }
        });
        // One byte more than is shown, so that it shows that something was cut.
        let length = name.len().min(NAME_BYTES_MAX + 1);
        TierPermit {
            origin: Some(origin),
            is_read: path.is_some(),
            path,
            hash,
            kind,
            slow,
            name: SmallVec::from_slice(&name[..length]),
        }
    }

    /// Counts a request as slow that is not over yet; its end will be counted only where this is
    /// not.
    pub fn record_slow(&mut self, permit: &mut TierPermit, now: Instant) {
        let Some(SlowAfter { is_known, over }) = permit.slow.take() else {
            return;
        };
        let outcome = Outcome::Slow { over };
        self.slow_calls += 1;
        if let Some(origin) = permit.origin.take() {
            self.origin.record_on(origin, permit.hash, outcome, now);
            self.note_origin();
        }
        if is_known && let Some(path) = permit.path.take() {
            self.record_path(path, permit.hash, &permit.name, outcome, now);
        }
    }

    /// Notes how long a request of this [kind](TierPermit::kind) took that ended well.
    pub fn took(&mut self, kind: u64, took: Duration, now: Instant) {
        self.usuals.add(kind, took, now);
    }

    /// How long requests usually take; `None` before any was seen.
    #[must_use]
    pub fn usual(&self) -> Option<Duration> {
        self.usuals.middle()
    }

    /// Calls that were slow so far.
    #[must_use]
    pub const fn slow_calls(&self) -> u64 {
        self.slow_calls
    }

    /// Gives a permit back with the outcome of its request.
    pub fn record(&mut self, permit: TierPermit, outcome: Outcome, now: Instant) {
        let TierPermit {
            origin,
            path,
            hash,
            is_read,
            name,
            ..
        } = permit;
        let was_closed = self.origin.is_closed();
        if let Some(origin) = origin {
            // A page that is known to be broken is so again: no news of the origin.
            let is_known = origin.is_probe() && path.as_ref().is_some_and(Permit::is_probe);
            let is_news = !is_known || outcome != Outcome::Failure;
            let told = if is_news { outcome } else { Outcome::Ignore };
            self.origin.record_on(origin, hash, told, now);
            self.note_origin();
        } else if outcome == Outcome::Success {
            self.origin.hear_news(now);
            self.note_origin();
        }
        if path.is_none()
            && is_read
            && outcome == Outcome::Success
            && let Some(circuit) = self.paths.get_mut(&hash)
        {
            circuit.breaker.hear_news(now);
            self.note_path(hash);
        }
        if !was_closed && self.origin.is_closed() {
            self.return_paths(News::Returned, now);
        }
        if let Some(mut permit) = path {
            let outcome = match outcome {
                Outcome::ConnectFailure | Outcome::Ignore => Outcome::Ignore,
                Outcome::Failure | Outcome::Slow { .. } | Outcome::Success => outcome,
            };
            if outcome == Outcome::Failure
                && permit.generation == self.generation
                && !self.paths.contains_key(&hash)
            {
                let not_before = permit.not_before;
                permit = self.insert(hash, &name, now);
                permit.hold(not_before);
            }
            self.record_path(permit, hash, &name, outcome, now);
        }
    }

    /// Whether the request of this permit may be sent again as it might when the permit was given:
    /// neither circuit has changed, and it was not told to be slow. What goes in any case may.
    #[must_use]
    pub fn lets(&self, permit: &TierPermit, now: Instant) -> bool {
        if !permit.is_read {
            return true;
        }
        let (Some(origin), Some(path)) = (&permit.origin, &permit.path) else {
            return false;
        };
        let of_path = match self.paths.get(&permit.hash) {
            Some(circuit) => circuit.breaker.lets(path, now),
            None => path.generation == self.generation,
        };
        of_path && self.origin.lets(origin, now)
    }

    /// A connection to the origin came about, after some that did not.
    pub fn connected(&mut self, now: Instant) {
        self.origin.return_now(News::Connected, now);
        self.note_origin();
        self.return_paths(News::Returned, now);
    }

    /// Somebody wants to know at once whether what is open has to be: all of it may be probed.
    pub fn probe_now(&mut self, now: Instant) {
        self.origin.return_now(News::Asked, now);
        self.note_origin();
        self.return_paths(News::Asked, now);
    }

    /// The origin takes no connection, and somebody goes on trying: its circuit stays open until
    /// `at` at least if it is open, so that no request is the one that finds out.
    pub fn unreached(&mut self, at: Instant) {
        self.origin.stay_open(at);
    }

    /// Paths that are open may be probed at once.
    fn return_paths(&mut self, news: News, now: Instant) {
        let first = Rank {
            not_closed: true,
            failed: 0,
        };
        let open: Vec<u64> = self.ranks.range(first..).map(|(_, hash)| *hash).collect();
        for hash in open {
            if let Some(circuit) = self.paths.get_mut(&hash) {
                circuit.breaker.return_now(news, now);
                self.note_path(hash);
            }
        }
    }

    /// Takes the oldest change of state that was not taken yet.
    #[must_use]
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.transitions.pop_front()
    }

    /// The state for this path: the one of both circuits that refuses more.
    #[must_use]
    pub fn state(&self, path: &[u8], now: Instant) -> State {
        self.path_state(path, now).max(self.origin.state(now))
    }

    /// The state of the path's own circuit.
    #[must_use]
    pub fn path_state(&self, path: &[u8], now: Instant) -> State {
        let circuit = self.paths.get(&self.hash(without_query(path)));
        circuit.map_or(State::Closed, |circuit| circuit.breaker.state(now))
    }

    /// When [`try_acquire`](Self::try_acquire) for this path can succeed, if it would not now.
    #[must_use]
    pub fn retry_at(&self, path: &[u8], now: Instant) -> Option<Instant> {
        let circuit = self.paths.get(&self.hash(without_query(path)));
        let of_path = circuit.and_then(|circuit| circuit.breaker.retry_at(now));
        of_path.max(self.origin.retry_at(now))
    }

    /// When the origin's circuit may let a request pass, if it would not now.
    #[must_use]
    pub fn origin_retry_at(&self, now: Instant) -> Option<Instant> {
        self.origin.retry_at(now)
    }

    /// Whether the origin's circuit counts, rather than refusing or probing.
    #[must_use]
    pub fn is_origin_closed(&self) -> bool {
        self.origin.is_closed()
    }

    /// Whether the origin's circuit is half-open because something good was heard of it.
    #[must_use]
    pub fn is_origin_returning(&self) -> bool {
        self.origin.is_returning()
    }

    /// How many changes of state there were.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// The state of the origin's circuit.
    #[must_use]
    pub fn origin_state(&self, now: Instant) -> State {
        self.origin.state(now)
    }

    /// Paths whose own circuit is not closed.
    #[must_use]
    pub fn paths_open(&self) -> usize {
        self.not_closed().count()
    }

    /// Whether every circuit is closed, so that no answer depends on its path.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.origin.is_closed() && self.not_closed().next().is_none()
    }

    fn not_closed(&self) -> impl Iterator<Item = ()> {
        let first = Rank {
            not_closed: true,
            failed: 0,
        };
        self.ranks.range(first..).map(|_| ())
    }

    fn record_path(
        &mut self,
        mut permit: Permit,
        hash: u64,
        name: &[u8],
        outcome: Outcome,
        now: Instant,
    ) {
        let failed = matches!(outcome, Outcome::Failure | Outcome::Slow { .. });
        if !self.paths.contains_key(&hash) {
            if !failed || permit.generation != self.generation {
                return;
            }
            permit = self.insert(hash, name, now);
        }
        let Some(circuit) = self.paths.get_mut(&hash) else {
            return;
        };
        circuit.breaker.record(permit, outcome, now);
        if failed {
            self.failures += 1;
            self.ranks.remove(&circuit.rank);
            circuit.rank.failed = self.failures;
            self.ranks.insert(circuit.rank, hash);
        }
        let is_healthy = circuit.breaker.is_healthy(now);
        self.note_path(hash);
        if !failed && is_healthy {
            self.remove(hash, now);
        }
    }

    /// Makes the circuit of a path and returns a permit of it.
    fn insert(&mut self, hash: u64, name: &[u8], now: Instant) -> Permit {
        while self.paths.len() >= self.paths_max {
            let Some((_, &victim)) = self.ranks.first_key_value() else {
                break;
            };
            self.remove(victim, now);
        }
        let seed = self.rng.next();
        let born = self.generation;
        let breaker = Breaker::with_generation(born, self.trip, self.recovery, seed, now);
        let permit = breaker.onlooker();
        self.failures += 1;
        let rank = Rank {
            not_closed: false,
            failed: self.failures,
        };
        let circuit = PathCircuit {
            breaker,
            born,
            name: display_name(name),
            rank,
        };
        self.ranks.insert(rank, hash);
        self.paths.insert(hash, Box::new(circuit));
        debug_assert_eq!(self.paths.len(), self.ranks.len());
        permit
    }

    fn remove(&mut self, hash: u64, now: Instant) {
        let Some(circuit) = self.paths.remove(&hash) else {
            return;
        };
        self.ranks.remove(&circuit.rank);
        debug_assert_eq!(self.paths.len(), self.ranks.len());
        let generation = circuit.breaker.generation;
        if generation != circuit.born {
            // No permit of its time may count in a circuit that this path gets later.
            self.generation = self.generation.max(generation + 1);
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
                self.push(Tier::Path, Some(circuit.name), change);
            }
        }
    }

    fn note_origin(&mut self) {
        if let Some(change) = self.origin.poll_change() {
            self.push(Tier::Origin, None, change);
        }
    }

    fn note_path(&mut self, hash: u64) {
        let Some(circuit) = self.paths.get_mut(&hash) else {
            return;
        };
        let Some(change) = circuit.breaker.poll_change() else {
            return;
        };
        self.ranks.remove(&circuit.rank);
        circuit.rank.not_closed = change.to != State::Closed;
        self.ranks.insert(circuit.rank, hash);
        let name = Some(Arc::clone(&circuit.name));
        self.push(Tier::Path, name, change);
    }

    fn push(&mut self, tier: Tier, path: Option<Arc<str>>, change: Change) {
        if self.transitions.len() >= TRANSITIONS_MAX {
            self.transitions.pop_front();
        }
        self.changes += 1;
        let Change {
            at,
            from,
            reason,
            to,
        } = change;
        self.transitions.push_back(Transition {
            at,
            from,
            path,
            reason,
            tier,
            to,
        });
    }

    /// Paths that differ in digits only are one kind: `/item/17`, `/2024/05`.
    fn kind(&self, is_write: bool, path: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.hash_seed, &self.shared_seed);
        hasher.write_u8(is_write.into());
        let parts = path.split(u8::is_ascii_digit);
        for part in parts.filter(|part| !part.is_empty()) {
            hasher.write(part);
            hasher.write_u8(b'0');
        }
        hasher.finish()
    }

    fn hash(&self, path: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.hash_seed, &self.shared_seed);
        hasher.write(path);
        hasher.finish()
    }
}

impl TierPermit {
    /// Whether it is a probe, of either circuit.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        let permits = [&self.origin, &self.path];
        permits.into_iter().flatten().any(Permit::is_probe)
    }

    /// The state of both circuits in which [`Tiers::try_acquire`] gave it: neither gives one while
    /// it is open.
    #[must_use]
    pub fn circuit(&self) -> State {
        if self.is_probe() {
            State::HalfOpen
        } else {
            State::Closed
        }
    }

    /// How long after its sending the request is slow, when its answer has not begun; `None` when
    /// it was told already, or never.
    #[must_use]
    pub fn slow_after(&self) -> Option<Duration> {
        self.slow.map(|slow| slow.over)
    }

    /// Notes that the origin asked not to be called before `at`; see [`Permit::hold`]. It holds the
    /// circuit that the outcome opens, and no other.
    pub const fn hold(&mut self, at: Instant) {
        // What goes in any case says nothing of it.
        let (Some(path), Some(origin)) = (&mut self.path, &mut self.origin) else {
            return;
        };
        path.hold(at);
        origin.hold(at);
    }

    /// For [`Tiers::took`].
    #[must_use]
    pub const fn kind(&self) -> u64 {
        self.kind
    }
}

impl TierRejected {
    const fn by(tier: Tier, rejected: Rejected) -> Self {
        let Rejected { retry_at } = rejected;
        Self { retry_at, tier }
    }
}

fn without_query(target: &[u8]) -> &[u8] {
    target.split(|byte| *byte == b'?').next().unwrap_or(target)
}

/// Writes a path so that it can go into a log: what does not print is escaped, what is too long
/// ends in `…`.
fn display_name(path: &[u8]) -> Arc<str> {
    const CUT: &str = "…";
    let mut name = String::with_capacity(path.len());
    let mut cut = 0;
    for char in String::from_utf8_lossy(path).chars() {
        if char == ' ' || char.is_ascii_graphic() {
            name.push(char);
        } else {
            name.extend(char.escape_debug());
        }
        if name.len() > NAME_BYTES_MAX {
            name.truncate(cut);
            name.push_str(CUT);
            break;
        }
        if name.len() <= NAME_BYTES_MAX - CUT.len() {
            cut = name.len();
        }
    }
    name.into()
}
