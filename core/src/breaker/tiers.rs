//! Owns the two tiers: one circuit for the origin, one for each path that fails, and which
//! outcome counts toward which. Never decides when a circuit opens: that is [`Breaker`].

mod changes;
#[cfg(test)]
mod model;
mod names;
mod permit;
mod table;
#[cfg(test)]
mod tests;

use std::hash::Hasher;
use std::time::Duration;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;
use smallvec::SmallVec;

use super::usual::{FACTOR, Usuals};
use super::{Breaker, News, Outcome, Permit, Recovery, State, Tier, Transition, Trip};
use crate::config::BreakerSettings;
use crate::rng::Rng;
use crate::time::Instant;

use changes::Changes;
use names::{NAME_BYTES_MAX, without_query};
use permit::SlowAfter;
pub use permit::{TierPermit, TierRejected};
use table::Table;

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
///    is a transition too, with [`Reason::Forgotten`](super::Reason::Forgotten).
/// 5. A connect failure says nothing about a path, so it counts toward the origin alone. An
///    outcome of a `pass` counts toward the origin alone, and only while that is closed, but for a
///    success, which is news to it; it says nothing of when to come back.
///    The failure of a probe of both circuits counts toward the path alone: the page was broken
///    before, and would keep the origin's circuit open for as long as it is.
/// 6. Failures of an older generation do not count. When a path's circuit that has ever been open is
///    dropped, this ends the generation of that path; of others only where 64 were dropped since.
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
    paths: Table,
    usuals: Usuals,
    /// What is not longer is never slow; `None` when nothing is.
    slow_min: Option<Duration>,
    /// Calls that were slow so far.
    slow_calls: u64,
    hash_seed: u64,
    shared_seed: SharedSeed,
    changes: Changes,
}

impl Tiers {
    /// Makes closed circuits. `seed` is for hashes and jitter.
    #[must_use]
    pub fn new(settings: &BreakerSettings, seed: u64, now: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let trip = Trip::of_origin(settings);
        let recovery = Recovery::of_origin(settings);
        let (of_path, back) = (Trip::of_path(settings), Recovery::of_path(settings));
        Self {
            origin: Breaker::new(trip, recovery, rng.next(), now),
            usuals: Usuals::new(settings.slow_min / FACTOR),
            slow_min: settings.slow_rate.map(|_| settings.slow_min),
            slow_calls: 0,
            hash_seed: rng.next(),
            shared_seed: SharedSeed::from_u64(rng.next()),
            paths: Table::new(settings.paths_max.max(1), of_path, back, rng),
            changes: Changes::default(),
        }
    }

    /// Goes on by other settings. How many paths have a circuit of their own stays as it was.
    pub fn reconfigure(&mut self, settings: &BreakerSettings, now: Instant) {
        self.slow_min = settings.slow_rate.map(|_| settings.slow_min);
        self.usuals.set_floor(settings.slow_min / FACTOR);
        let (trip, recovery) = (Trip::of_origin(settings), Recovery::of_origin(settings));
        self.origin.set_terms(trip, recovery, now);
        let (trip, recovery) = (Trip::of_path(settings), Recovery::of_path(settings));
        self.paths.set_terms(trip, recovery, now);
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
        match self.paths.try_acquire(hash, &mut self.changes, now) {
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
            let named = (permit.hash, &permit.name[..]);
            self.paths
                .record(path, named, outcome, &mut self.changes, now);
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
        if path.is_none() && is_read && outcome == Outcome::Success {
            self.paths.hear_news(hash, &mut self.changes, now);
        }
        if !was_closed && self.origin.is_closed() {
            self.paths
                .return_now(News::Returned, &mut self.changes, now);
        }
        if let Some(permit) = path {
            let outcome = match outcome {
                Outcome::ConnectFailure | Outcome::Ignore => Outcome::Ignore,
                Outcome::Failure | Outcome::Slow { .. } | Outcome::Success => outcome,
            };
            self.paths
                .record(permit, (hash, &name), outcome, &mut self.changes, now);
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
        let of_path = self.paths.lets(permit.hash, path, now);
        of_path && self.origin.lets(origin, now)
    }

    /// A connection to the origin came about, after some that did not.
    pub fn connected(&mut self, now: Instant) {
        self.origin.return_now(News::Connected, now);
        self.note_origin();
        self.paths
            .return_now(News::Returned, &mut self.changes, now);
    }

    /// Somebody wants to know at once whether what is open has to be: all of it may be probed.
    pub fn probe_now(&mut self, now: Instant) {
        self.origin.return_now(News::Asked, now);
        self.note_origin();
        self.paths.return_now(News::Asked, &mut self.changes, now);
    }

    /// The origin takes no connection, and somebody goes on trying: its circuit stays open until
    /// `at` at least if it is open, so that no request is the one that finds out.
    pub fn unreached(&mut self, at: Instant) {
        self.origin.stay_open(at);
    }

    /// Takes the oldest change of state that was not taken yet.
    #[must_use]
    pub fn poll_transition(&mut self) -> Option<Transition> {
        self.changes.poll()
    }

    /// The state for this path: the one of both circuits that refuses more.
    #[must_use]
    pub fn state(&self, path: &[u8], now: Instant) -> State {
        self.path_state(path, now).max(self.origin.state(now))
    }

    /// The state of the path's own circuit.
    #[must_use]
    pub fn path_state(&self, path: &[u8], now: Instant) -> State {
        let circuit = self.paths.get(self.hash(without_query(path)));
        circuit.map_or(State::Closed, |circuit| circuit.state(now))
    }

    /// When [`try_acquire`](Self::try_acquire) for this path can succeed, if it would not now.
    #[must_use]
    pub fn retry_at(&self, path: &[u8], now: Instant) -> Option<Instant> {
        let circuit = self.paths.get(self.hash(without_query(path)));
        let of_path = circuit.and_then(|circuit| circuit.retry_at(now));
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
        self.changes.count()
    }

    /// The state of the origin's circuit.
    #[must_use]
    pub fn origin_state(&self, now: Instant) -> State {
        self.origin.state(now)
    }

    /// Paths whose own circuit is not closed.
    #[must_use]
    pub fn paths_open(&self) -> usize {
        self.paths.not_closed().count()
    }

    /// Whether every circuit is closed, so that no answer depends on its path.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        self.origin.is_closed() && self.paths.not_closed().next().is_none()
    }

    fn note_origin(&mut self) {
        if let Some(change) = self.origin.poll_change() {
            self.changes.push(None, change);
        }
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
