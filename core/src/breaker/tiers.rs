//! Owns the two tiers: one circuit for the origin, one for each path that fails, and which
//! outcome counts toward which. Never decides when a circuit opens: that is [`Breaker`].

mod changes;
mod crowd;
mod fronts;
mod lately;
#[cfg(test)]
mod model;
mod names;
mod opened;
mod permit;
mod table;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::usual::{FACTOR, Usuals};
use super::{
    Breaker, News, Outcome, Permit, Recovery, Rejected, State, Tier, Transition, Trip, Visitor,
};
use crate::config::BreakerSettings;
use crate::rng::Rng;
use crate::time::Instant;

use changes::Changes;
use crowd::Crowd;
use fronts::{Fronts, is_asset};
use lately::Lately;
use opened::Opened;
use permit::SlowAfter;
pub use permit::{TierPermit, TierRejected};
use table::{Named, Table};
pub use target::Target;
use target::{Ids, Numbers};

/// The circuits of one origin: one for all of it, one for each path that has failed lately.
///
/// The contract:
///
/// 1. A GET or HEAD asks [`try_acquire`](Self::try_acquire); both circuits must let it pass.
///    Everything else calls [`pass`](Self::pass) and goes in any case. Both give their
///    [`TierPermit`] with an outcome to [`record`](Self::record).
/// 2. What has a circuit of its own is the path of a [`Target`], in whatever way it is written; its
///    HEAD apart, which is refused where its GET is, but not the other way about; and each query of it
///    where one path is the whole site: half of all good answers but those of assets, for eight queries
///    at least. They are told apart by seeded 64-bit hashes; two that collide share a circuit.
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
/// 10. What is heard of the origin in other ways is told: [`connected`](Self::connected) when it takes
///     connections after it did not, [`unreached`](Self::unreached) as long as it does not. With
///     that, and when the origin's circuit closes, paths that are open may be probed at once: what
///     they have seen was of the outage.
/// 11. Visitors are witnesses as in [`Breaker`], two for a path and three for the origin. Those of whom a
///     page was answered well lately are there, too, when its circuit is made. What nobody asks for,
///     as a renewal, is nobody's word.
/// 12. Where failures have opened a circuit, a page that had succeeded in the window before, and has not
///     failed since, passes it, until three of those that pass have failed;
///     [`try_acquire_in_turn`](Self::try_acquire_in_turn) is for requests that need not.
/// 13. A failure of one of [many](TierPermit::note_crowd) at a time, while a quarter of what other pages
///     were answered has failed too, says nothing of a circuit, but where it is a probe's.
#[derive(Debug)]
pub struct Tiers {
    origin: Breaker,
    paths: Table,
    usuals: Usuals,
    /// What is not longer is never slow; `None` when nothing is.
    slow_min: Option<Duration>,
    /// Calls that were slow so far.
    slow_calls: u64,
    /// The last outcomes.
    crowd: Crowd,
    fronts: Fronts,
    /// The path whose pages are told apart by their query.
    front: Option<u64>,
    lately: Lately,
    numbers: Numbers,
    opened: Opened,
    window: Duration,
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
            crowd: Crowd::default(),
            fronts: Fronts::default(),
            front: None,
            lately: Lately::new(),
            numbers: Numbers::new(rng.next(), rng.next()),
            opened: Opened::default(),
            window: settings.window,
            paths: Table::new(settings.paths_max.max(1), of_path, back, rng),
            changes: Changes::default(),
        }
    }

    /// Goes on by other settings. How many paths have a circuit of their own stays as it was.
    pub fn reconfigure(&mut self, settings: &BreakerSettings, now: Instant) {
        self.slow_min = settings.slow_rate.map(|_| settings.slow_min);
        self.window = settings.window;
        self.usuals.set_floor(settings.slow_min / FACTOR);
        let (trip, recovery) = (Trip::of_origin(settings), Recovery::of_origin(settings));
        self.origin.set_terms(trip, recovery, now);
        let (trip, recovery) = (Trip::of_path(settings), Recovery::of_path(settings));
        self.paths.set_terms(trip, recovery, now);
    }

    /// Asks for the right to send a GET or HEAD request, for a visitor, or for nobody as to renew a copy.
    ///
    /// # Errors
    /// The origin's circuit or the path's refuses.
    pub fn try_acquire(
        &mut self,
        target: Target<'_>,
        visitor: Option<Visitor>,
        now: Instant,
    ) -> Result<TierPermit, TierRejected> {
        self.acquire(target, visitor, false, now)
    }

    /// The same for a request that something else can answer: it passes no circuit that is open,
    /// whatever has succeeded lately and whoever asks.
    ///
    /// # Errors
    /// The origin's circuit or the path's refuses.
    pub fn try_acquire_in_turn(
        &mut self,
        target: Target<'_>,
        visitor: Option<Visitor>,
        now: Instant,
    ) -> Result<TierPermit, TierRejected> {
        self.acquire(target, visitor, true, now)
    }

    fn acquire(
        &mut self,
        target: Target<'_>,
        visitor: Option<Visitor>,
        in_turn: bool,
        now: Instant,
    ) -> Result<TierPermit, TierRejected> {
        let ids = self.ids(&target);
        let who = visitor.filter(|_| !in_turn).unwrap_or_default();
        let acquired = self.origin.try_acquire_by(who, now);
        self.note_origin();
        let (origin, past) = match acquired {
            Ok(permit) => (permit, None),
            Err(_) if !in_turn && self.may_pass_origin(&ids) => {
                (self.origin.onlooker(now), Some(Tier::Origin))
            }
            Err(rejected) => return Err(TierRejected::by(Tier::Origin, rejected)),
        };
        let acquired = match self.bars_head(&target, &ids, now) {
            Some(retry_at) => Err(Rejected { retry_at }),
            None => {
                let changes = &mut self.changes;
                self.paths.try_acquire(ids.circuit, who, changes, now)
            }
        };
        let (path, past) = match acquired {
            Ok(permit) => (permit, past),
            Err(rejected) => match self.past_path(&ids, now).filter(|_| !in_turn) {
                Some(permit) => (permit, Some(past.unwrap_or(Tier::Path))),
                None => {
                    // The request does not go, so it must not hold a slot of the origin.
                    self.origin.record(origin, Outcome::Ignore, now);
                    return Err(TierRejected::by(Tier::Path, rejected));
                }
            },
        };
        let mut permit = self.permit(origin, Some(path), ids, &target);
        (permit.past, permit.visitor) = (past, visitor);
        Ok(permit)
    }

    /// Makes the permit of a request that goes in any case: a write, an upgrade.
    pub fn pass(&self, target: Target<'_>, visitor: Option<Visitor>, now: Instant) -> TierPermit {
        let onlooker = self.origin.onlooker(now);
        let mut permit = self.permit(onlooker, None, self.ids(&target), &target);
        permit.visitor = visitor;
        permit
    }

    fn ids(&self, target: &Target<'_>) -> Ids {
        self.numbers.of(target, |path| Some(path) == self.front)
    }

    /// Whether the origin's circuit does not refuse this page, as it has succeeded lately.
    fn may_pass_origin(&self, ids: &Ids) -> bool {
        let from = self.opened.good_from();
        from.is_some_and(|from| self.lately.is_good(ids.page, from))
    }

    /// Until when a head is refused because its page is.
    fn bars_head(&self, target: &Target<'_>, ids: &Ids, now: Instant) -> Option<Instant> {
        let page = self.paths.get(ids.part).filter(|_| target.is_head)?;
        let is_open = page.state(now) == State::Open;
        page.retry_at(now).filter(|_| is_open)
    }

    /// The path's circuit refuses, but not a page of it that has succeeded lately.
    fn past_path(&self, ids: &Ids, now: Instant) -> Option<Permit> {
        let is_part = ids.page != ids.circuit;
        let from = self.paths.passes_from(ids.circuit).filter(|_| is_part)?;
        let is_good = self.lately.is_good(ids.page, from);
        is_good.then(|| self.paths.pass(ids.circuit, now))?
    }

    fn permit(
        &self,
        origin: Permit,
        path: Option<Permit>,
        ids: Ids,
        target: &Target<'_>,
    ) -> TierPermit {
        let kind = self.numbers.kind(path.is_none(), target.path);
        let own = self.usuals.of(kind);
        let slow = self.slow_min.map(|min| {
            let usual = own.or_else(|| self.usuals.middle()).unwrap_or_default();
            SlowAfter {
                is_known: own.is_some(),
                over: min.max(usual.saturating_mul(FACTOR)),
            }
        });
        TierPermit {
            origin: Some(origin),
            is_crowded: false,
            is_head: target.is_head,
            is_page: !is_asset(target.path),
            is_read: path.is_some(),
            path,
            past: None,
            ids,
            kind,
            slow,
            name: target.name(Some(ids.path) == self.front),
            visitor: None,
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
        self.note_past(permit);
        if permit.is_read {
            self.lately.failed(permit.ids.page);
        }
        if let Some(origin) = permit.origin.take() {
            self.origin
                .record_about(origin, permit.about(), outcome, now);
            self.note_origin();
        }
        if is_known && let Some(path) = permit.path.take() {
            self.record_path(path, permit, outcome, now);
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
        let mut permit = permit;
        let outcome = self.weigh(&permit, outcome);
        let was_closed = self.origin.is_closed();
        let (origin, path) = (permit.origin.take(), permit.path.take());
        if let Some(origin) = origin {
            // A page that is known to be broken is so again: no news of the origin. Nor is one that
            // only fails on being asked for its head.
            let is_known = origin.is_probe() && path.as_ref().is_some_and(Permit::is_probe);
            let says_nothing = outcome == Outcome::Failure && (is_known || permit.is_head);
            let told = if says_nothing {
                Outcome::Ignore
            } else {
                outcome
            };
            self.origin.record_about(origin, permit.about(), told, now);
            self.note_origin();
        } else if outcome == Outcome::Success {
            self.origin.hear_news(now);
            self.note_origin();
        }
        if path.is_none() && permit.is_read && outcome == Outcome::Success {
            let id = permit.ids.circuit;
            self.paths.hear_news(id, &mut self.changes, now);
        }
        if !was_closed && self.origin.is_closed() {
            self.paths
                .return_now(News::Returned, &mut self.changes, now);
        }
        if let Some(path) = path {
            let outcome = match outcome {
                Outcome::ConnectFailure | Outcome::Ignore => Outcome::Ignore,
                Outcome::Failure | Outcome::Slow { .. } | Outcome::Success => outcome,
            };
            self.record_path(path, &permit, outcome, now);
        }
        if outcome == Outcome::Success && permit.is_read {
            self.note_good(&permit, now);
        }
    }

    /// What an outcome says of the circuits: nothing, where it may go away with fewer requests.
    fn weigh(&mut self, permit: &TierPermit, outcome: Outcome) -> Outcome {
        let part = permit.ids.part;
        let is_crowds = outcome == Outcome::Failure
            && permit.is_crowded
            && !permit.is_probe()
            && self.crowd.may_be_blamed(part);
        match outcome {
            Outcome::Failure => {
                self.crowd.add(part, true);
                self.note_past(permit);
                if permit.is_read {
                    self.lately.failed(permit.ids.page);
                }
            }
            Outcome::Success => self.crowd.add(part, false),
            Outcome::ConnectFailure | Outcome::Ignore | Outcome::Slow { .. } => {}
        }
        if is_crowds { Outcome::Ignore } else { outcome }
    }

    /// One that has passed an open circuit has failed, or is slow.
    fn note_past(&mut self, permit: &TierPermit) {
        match permit.past {
            None => {}
            Some(Tier::Origin) => self.opened.failed(),
            Some(Tier::Path) => self.paths.passed_failed(permit.ids.circuit),
        }
    }

    /// A page has succeeded.
    fn note_good(&mut self, permit: &TierPermit, now: Instant) {
        let (ids, visitor) = (permit.ids, permit.visitor);
        self.lately.good(ids.page, visitor, now);
        if ids.circuit != ids.page {
            self.lately.good_of_circuit(ids.circuit, visitor, now);
        }
        if !permit.is_page {
            return;
        }
        self.fronts.add(ids.path, ids.query);
        let front = self.fronts.front(self.front);
        if front != self.front {
            // Their circuits are of other parts of the path than from now on.
            for path in [front, self.front].into_iter().flatten() {
                self.paths.forget(path, &mut self.changes, now);
            }
            self.front = front;
        }
    }

    fn record_path(&mut self, path: Permit, of: &TierPermit, outcome: Outcome, now: Instant) {
        let id = of.ids.circuit;
        let named = Named {
            id,
            name: &of.name,
            path: of.ids.path,
        };
        let from = now.saturating_since(Instant::ZERO);
        let from = Instant::from_epoch(from.saturating_sub(self.window));
        let well = self.lately.visitors(id, from);
        let said = (of.about(), outcome);
        self.paths
            .record(path, named, said, well, &mut self.changes, now);
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
        let of_path = self.paths.lets(permit.ids.circuit, path, now);
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
    pub fn state(&self, target: Target<'_>, now: Instant) -> State {
        self.path_state(target, now).max(self.origin.state(now))
    }

    /// The state of the path's own circuit.
    #[must_use]
    pub fn path_state(&self, target: Target<'_>, now: Instant) -> State {
        let ids = self.ids(&target);
        let circuit = self.paths.get(ids.circuit);
        match self.bars_head(&target, &ids, now) {
            Some(_) => State::Open,
            None => circuit.map_or(State::Closed, |circuit| circuit.state(now)),
        }
    }

    /// Whether what is asked of the path's circuit for one of these is asked of the same for the other.
    #[must_use]
    pub fn share_circuit(&self, one: Target<'_>, other: Target<'_>) -> bool {
        self.ids(&one).circuit == self.ids(&other).circuit
    }

    /// When [`try_acquire`](Self::try_acquire) for this path can succeed, if it would not now.
    #[must_use]
    pub fn retry_at(&self, target: Target<'_>, now: Instant) -> Option<Instant> {
        let ids = self.ids(&target);
        let circuit = self.paths.get(ids.circuit);
        let of_path = circuit.and_then(|circuit| circuit.retry_at(now));
        let of_page = self.bars_head(&target, &ids, now);
        of_path.max(of_page).max(self.origin.retry_at(now))
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

    /// Whether many requests fail at this time, of whatever page.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.crowd.is_failing()
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
            self.opened.note(&change, self.window);
            self.changes.push(None, change);
        }
    }
}
