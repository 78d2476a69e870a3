//! Owns the circuit breaker: states, windows, probes and the two tiers.
//! Never touches copies or messages, reads no clock, waits for nothing: usable alone.

mod closed;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
#[cfg(any(test, fuzzing))]
pub(crate) mod pair;
mod row;
mod terms;
#[cfg(test)]
mod tests;
mod tiers;
mod transition;
mod usual;
mod visitor;
mod voices;
mod window;
mod witnesses;

use std::mem;
use std::time::Duration;

use crate::canary::{Plant, is_planted};
use crate::rng::Rng;
use crate::time::Instant;

use closed::{Closed, Ended};
use witnesses::Witnesses;

pub use terms::{Recovery, SlowTrip, Streak, Trip};
pub use tiers::{Target, TierPermit, TierRejected, Tiers};
pub use transition::{News, Outcome, Reason, State, Tier, Transition};
pub use visitor::{About, Visitor};

/// One circuit, usable alone around any call that can fail.
///
/// The contract:
///
/// 1. Ask [`try_acquire`](Self::try_acquire) before the call, make the call only with a
///    [`Permit`], and give the permit and the call's [`Outcome`] to [`record`](Self::record).
/// 2. Nothing happens between calls. An open circuit becomes half-open in the first
///    `try_acquire` at or after the end of its open time; [`state`](Self::state) tells the same
///    without changing anything.
/// 3. Each change of state begins a new generation. A failure counts only in the generation its
///    permit is from: calls that began before a change decide nothing bad after it. A success is
///    news whenever it comes: while the circuit is open it lets probes go at once. News is believed
///    once: where the probes that it led to do not close the circuit, the next open time is sat out.
/// 4. Only a failure opens a circuit: as the last of a row ([`Trip::streak`]), or when it
///    finds the failure rate of the window reached. So does a slow call, where there are terms
///    for it ([`Trip::slow`]). A call is slow at the moment when it should have been over: record
///    it then, its end says nothing new.
/// 5. Half-open, a permit is a probe and holds a slot; there are as many slots as successes are
///    still missing. Enough successes close the circuit, one failure or slow call opens it again.
/// 6. A slot is a lease. After [`Recovery::probe_lease`] it is free for another probe, so a
///    permit that is dropped or forgotten cannot wedge the circuit. An outcome that comes after
///    its lease but within the generation still counts: an origin slower than the lease could
///    never be found healthy otherwise.
/// 7. [`Outcome::Ignore`] frees the slot and is neutral in every state.
/// 8. The open time is the shortest when the circuit opens, and doubles with each probe that fails.
///    A probe that is slow leaves it as it is, and an open time ends with its outage: no other one
///    inherits it.
/// 9. Each call makes at most one change; [`poll_change`](Self::poll_change) takes it. A change
///    nobody takes gives way to the next.
/// 10. [`Permit::hold`] is advice: where the outcome of that very call opens the circuit, probes go
///     when it says, not before the shortest open time and not later than after 4 s.
/// 11. [`return_now`](Self::return_now) lets probes of an open circuit go at once, and
///     [`stay_open`](Self::stay_open) keeps it open for longer: for callers who know more than calls tell.
/// 12. Callers that can tell visitors apart name them in [`record_about`](Self::record_about). Then one
///     visitor is one voice: as many as [`Trip::witnesses`] have to meet with it, or all where there are fewer, and
///     by their own outcomes, of which a row counts no more of any of them than its share. Those who
///     are well count against them. While fewer have met with it, another one
///     ([`try_acquire_by`](Self::try_acquire_by)) may see for itself: that is a probe. A connect failure
///     is everybody's.
/// 13. A call that is slow while others, of whomever, were answered since it began counts toward no row.
/// 14. Time should not go back; if it does, nothing breaks but what is due comes later.
///
/// ```
/// use std::time::Duration;
///
/// use retter_core::breaker::{Breaker, Outcome, Recovery, State, Streak, Trip};
/// use retter_core::time::Instant;
///
/// let trip = Trip {
///     window: Duration::from_secs(10),
///     failure_rate: 0.66,
///     outcomes_min: 5,
///     paths_min: 1,
///     slow: None,
///     streak: Streak::Failures(2),
///     witnesses: 1,
/// };
/// let recovery = Recovery {
///     open_min: Duration::from_secs(2),
///     open_max: Duration::from_secs(60),
///     jitter: 0.0,
///     probe_lease: Duration::from_secs(15),
///     probes_needed: 1,
/// };
/// let mut now = Instant::ZERO;
/// let mut breaker = Breaker::new(trip, recovery, 42, now);
///
/// for _ in 0..2 {
///     let permit = breaker.try_acquire(now)?;
///     breaker.record(permit, Outcome::Failure, now); // the call failed
/// }
/// let change = breaker.poll_change().ok_or("no change")?;
/// assert_eq!(change.reason.to_string(), "2 failures in a row");
///
/// let refused = breaker.try_acquire(now).err().ok_or("not refused")?;
/// now = refused.retry_at;
/// let probe = breaker.try_acquire(now)?;
/// assert_eq!(breaker.state(now), State::HalfOpen);
/// breaker.record(probe, Outcome::Success, now);
/// assert_eq!(breaker.state(now), State::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
pub struct Breaker {
    trip: Trip,
    recovery: Recovery,
    rng: Rng,
    generation: u64,
    /// Probes that failed since the circuit was last closed: the exponent of the next open time.
    attempt: u32,
    circuit: Circuit,
    change: Option<Change>,
}

#[derive(Debug)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
enum Circuit {
    /// Boxed: it holds the window, and is left only when the circuit opens.
    Closed(Box<Closed>),
    HalfOpen(HalfOpen),
    Open {
        since: Instant,
        until: Instant,
        /// The next news is believed.
        believes: bool,
        witnesses: Witnesses,
    },
}

/// The longest time for which advice of when to come back is taken, so that a wrong one does no
/// harm.
const ADVICE_MAX: Duration = Duration::from_secs(4);

#[derive(Debug, Default)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
struct HalfOpen {
    /// News led to it, and no open time that had passed.
    by_news: bool,
    leases: Vec<Lease>,
    /// Probes so far, which is also the next lease's name.
    probes: u64,
    successes: u32,
    /// By whose word the circuit was open.
    witnesses: Witnesses,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    probe: u64,
    ends: Instant,
}

/// The right to make one call, to be given back with its outcome.
#[must_use = "a permit must be given back with `record`"]
#[derive(Debug)]
pub struct Permit {
    /// When it was given.
    began: Instant,
    generation: u64,
    /// The lease, when half-open.
    probe: Option<u64>,
    /// No probe before this, where its outcome opens the circuit.
    not_before: Instant,
}

impl Permit {
    const fn new(generation: u64, probe: Option<u64>, began: Instant) -> Self {
        Self {
            began,
            generation,
            probe,
            not_before: Instant::ZERO,
        }
    }

    /// Notes that what was called asked not to be called before `at`. Where the outcome of this
    /// call opens the circuit, that is taken as advice; on any other call it has nothing to say.
    pub const fn hold(&mut self, at: Instant) {
        self.not_before = at;
    }

    /// Whether it is a probe of a circuit that is half-open.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

/// The circuit refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the circuit is open")]
pub struct Rejected {
    /// When asking again can succeed; a probe that ends sooner may make room before.
    pub retry_at: Instant,
}

/// One change of one circuit, which does not know what it is the circuit of.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When it changed.
    pub at: Instant,
    /// The state before.
    pub from: State,
    /// Why.
    pub reason: Reason,
    /// The state now.
    pub to: State,
}

impl Breaker {
    /// Makes a closed circuit. `seed` is for the jitter.
    #[must_use]
    pub fn new(trip: Trip, recovery: Recovery, seed: u64, now: Instant) -> Self {
        Self::with_generation(0, trip, recovery, seed, now)
    }

    /// Makes a closed circuit whose permits cannot be mistaken for those of an earlier one.
    fn with_generation(
        generation: u64,
        trip: Trip,
        recovery: Recovery,
        seed: u64,
        now: Instant,
    ) -> Self {
        Self {
            trip,
            recovery,
            rng: Rng::new(seed),
            generation,
            attempt: 0,
            circuit: Circuit::Closed(Box::new(Closed::new(&trip, now))),
            change: None,
        }
    }

    /// Goes on by other terms. A window of another length begins empty; how long the circuit is
    /// open now stays as it was said.
    pub fn set_terms(&mut self, trip: Trip, recovery: Recovery, now: Instant) {
        if let Circuit::Closed(closed) = &mut self.circuit
            && (trip.window, trip.paths_min > 1) != (self.trip.window, self.trip.paths_min > 1)
        {
            **closed = Closed::new(&trip, now);
        }
        (self.trip, self.recovery) = (trip, recovery);
    }

    /// Asks for the right to make one call.
    ///
    /// # Errors
    /// Open, or half-open with all probes out.
    pub fn try_acquire(&mut self, now: Instant) -> Result<Permit, Rejected> {
        self.try_acquire_by(Visitor::default(), now)
    }

    /// The same for a visitor who is known: where too few have met with what opened the circuit, and
    /// this one has not, it may see for itself.
    ///
    /// # Errors
    /// Open, or half-open with all probes out.
    pub fn try_acquire_by(&mut self, visitor: Visitor, now: Instant) -> Result<Permit, Rejected> {
        if let Circuit::Open {
            since,
            until,
            witnesses,
            ..
        } = &self.circuit
        {
            if now >= *until {
                let open = now.saturating_since(*since);
                let probing = Circuit::HalfOpen(HalfOpen {
                    witnesses: witnesses.clone(),
                    ..HalfOpen::default()
                });
                self.change_to(probing, Reason::OpenTimeElapsed { open }, now);
            } else if witnesses.lack(visitor.network, self.trip.witnesses) {
                self.probe_early(News::Visitor, now);
            }
        }
        let probe = match &mut self.circuit {
            Circuit::Closed(_) => None,
            Circuit::HalfOpen(half_open) => Some(half_open.lease(&self.recovery, now)?),
            Circuit::Open { .. } if is_planted(Plant::OpenLetsPass) => None,
            Circuit::Open { until, .. } => return Err(Rejected { retry_at: *until }),
        };
        Ok(Permit::new(self.generation, probe, now))
    }

    /// Gives a permit back with the outcome of its call.
    pub fn record(&mut self, permit: Permit, outcome: Outcome, now: Instant) {
        self.record_about(permit, About::default(), outcome, now);
    }

    /// Gives a permit back with the outcome of its call, and tells whose call it was and for what.
    pub fn record_about(&mut self, permit: Permit, about: About, outcome: Outcome, now: Instant) {
        let Permit {
            began,
            generation,
            probe,
            not_before,
        } = permit;
        if outcome == Outcome::Success {
            self.hear_news(now);
        }
        if generation != self.generation {
            return;
        }
        match &mut self.circuit {
            Circuit::Closed(closed) => {
                let ended = Ended {
                    about,
                    began,
                    outcome,
                };
                if let Some((reason, witnesses)) = closed.count(&self.trip, ended, now) {
                    self.attempt = 0;
                    self.open(|_| reason, not_before, (true, witnesses), now);
                }
            }
            Circuit::HalfOpen(half_open) => {
                // No probe: an onlooker, who decides nothing here.
                let Some(probe) = probe else { return };
                let is_lost = is_planted(Plant::LostProbe) && outcome == Outcome::Ignore;
                if !is_lost {
                    half_open.leases.retain(|lease| lease.probe != probe);
                }
                let believes = !half_open.by_news;
                let mut witnesses = half_open.witnesses.clone();
                match outcome {
                    Outcome::ConnectFailure => witnesses.be_certain(),
                    Outcome::Failure | Outcome::Slow { .. } => {
                        let visitor = about.visitor.unwrap_or_default();
                        witnesses.add(visitor.network);
                    }
                    Outcome::Ignore | Outcome::Success => {}
                }
                match outcome {
                    Outcome::Ignore => {}
                    Outcome::Success => self.succeed(now),
                    Outcome::ConnectFailure | Outcome::Failure => {
                        self.attempt = self.attempt.saturating_add(1);
                        let reason = |open| Reason::ProbeFailed { open };
                        self.open(reason, not_before, (believes, witnesses), now);
                    }
                    Outcome::Slow { over } => {
                        let reason = |open| Reason::ProbeSlow { open, over };
                        self.open(reason, not_before, (believes, witnesses), now);
                    }
                }
            }
            Circuit::Open { .. } => {}
        }
    }

    /// Whether the call of this permit may begin now as it might when the permit was given: the
    /// circuit has not changed, and a probe has its slot.
    #[must_use]
    pub fn lets(&self, permit: &Permit, now: Instant) -> bool {
        if permit.generation != self.generation {
            return false;
        }
        match (&self.circuit, permit.probe) {
            (Circuit::Closed(_), _) => true,
            (Circuit::HalfOpen(half_open), Some(probe)) => {
                let mut leases = half_open.leases.iter();
                leases.any(|lease| lease.probe == probe && lease.ends > now)
            }
            (Circuit::HalfOpen(_), None) | (Circuit::Open { .. }, _) => false,
        }
    }

    /// Takes the change that the last call made, if it made one.
    #[must_use]
    pub const fn poll_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// The state; changes nothing.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        match &self.circuit {
            Circuit::Closed(_) => State::Closed,
            Circuit::HalfOpen(_) => State::HalfOpen,
            Circuit::Open { until, .. } if now >= *until => State::HalfOpen,
            Circuit::Open { .. } => State::Open,
        }
    }

    /// When [`try_acquire`](Self::try_acquire) can succeed, if it would not now.
    #[must_use]
    pub fn retry_at(&self, now: Instant) -> Option<Instant> {
        match &self.circuit {
            Circuit::Closed(_) => None,
            Circuit::HalfOpen(half_open) => half_open.retry_at(&self.recovery, now),
            Circuit::Open { until, .. } => (now < *until).then_some(*until),
        }
    }

    /// Takes note of a success, of whatever call: where the circuit is open, probes may go at once,
    /// unless news has deceived it since the open time last passed.
    pub fn hear_news(&mut self, now: Instant) {
        if let Circuit::Open { believes: true, .. } = self.circuit {
            self.probe_early(News::Answered, now);
        }
    }

    /// Lets probes of an open circuit go at once, because of something that is no call's outcome.
    pub fn return_now(&mut self, news: News, now: Instant) {
        match &mut self.circuit {
            Circuit::Closed(_) => {}
            Circuit::HalfOpen(half_open) => half_open.by_news = true,
            Circuit::Open { .. } => self.probe_early(news, now),
        }
    }

    /// Keeps an open circuit open until `at` at least, unless something is heard of it before.
    pub fn stay_open(&mut self, at: Instant) {
        if let Circuit::Open { until, .. } = &mut self.circuit {
            *until = at.max(*until);
        }
    }

    /// Whether it is half-open because of news, and no open time that had passed.
    #[must_use]
    pub fn is_returning(&self) -> bool {
        matches!(&self.circuit, Circuit::HalfOpen(half_open) if half_open.by_news)
    }

    fn probe_early(&mut self, news: News, now: Instant) {
        let Circuit::Open {
            since, witnesses, ..
        } = &self.circuit
        else {
            return;
        };
        let open = now.saturating_since(*since);
        let probing = Circuit::HalfOpen(HalfOpen {
            by_news: true,
            witnesses: witnesses.clone(),
            ..HalfOpen::default()
        });
        self.change_to(probing, Reason::News { news, open }, now);
    }

    /// A permit that holds no slot: its outcome counts if the circuit is closed now and stays so.
    const fn onlooker(&self, now: Instant) -> Permit {
        Permit::new(self.generation, None, now)
    }

    /// Takes note that a visitor was well at `at`, before the first outcome was counted.
    fn greet(&mut self, visitor: Visitor, at: Instant) {
        if let Circuit::Closed(closed) = &mut self.circuit {
            closed.greet(visitor, at);
        }
    }

    /// Whether forgetting this circuit forgets nothing: closed, and not failing.
    fn is_healthy(&self, now: Instant) -> bool {
        match &self.circuit {
            Circuit::Closed(closed) => closed.is_spotless(now),
            Circuit::HalfOpen(_) | Circuit::Open { .. } => false,
        }
    }

    fn succeed(&mut self, now: Instant) {
        let Circuit::HalfOpen(half_open) = &mut self.circuit else {
            return;
        };
        half_open.successes = half_open.successes.saturating_add(1);
        let probes = half_open.successes;
        if probes >= self.recovery.probes_needed {
            let closed = Circuit::Closed(Box::new(Closed::new(&self.trip, now)));
            self.change_to(closed, Reason::ProbesSucceeded { probes }, now);
        }
    }

    fn open(
        &mut self,
        reason: impl FnOnce(Duration) -> Reason,
        not_before: Instant,
        (believes, witnesses): (bool, Witnesses),
        now: Instant,
    ) {
        // Who says when to come back is not left alone for longer each time.
        let attempt = if not_before > now { 0 } else { self.attempt };
        let open_time = self.recovery.open_time(attempt, &mut self.rng);
        let advice_max = ADVICE_MAX.min(self.recovery.open_max);
        let until = not_before.min(now + advice_max).max(now + open_time);
        let open = Circuit::Open {
            since: now,
            until,
            believes,
            witnesses,
        };
        self.change_to(open, reason(until.saturating_since(now)), now);
    }

    /// Whether it counts outcomes, rather than refusing or probing.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.circuit, Circuit::Closed(_))
    }

    fn change_to(&mut self, circuit: Circuit, reason: Reason, now: Instant) {
        let from = mem::replace(&mut self.circuit, circuit).state();
        let to = self.circuit.state();
        debug_assert!(from != to, "a change changes something");
        // 2^64 changes take longer than any process lives.
        self.generation = self.generation.wrapping_add(1);
        self.change = Some(Change {
            at: now,
            from,
            reason,
            to,
        });
    }
}

impl Circuit {
    const fn state(&self) -> State {
        match self {
            Self::Closed(_) => State::Closed,
            Self::HalfOpen(_) => State::HalfOpen,
            Self::Open { .. } => State::Open,
        }
    }
}

impl HalfOpen {
    /// When a slot is free, if none is now.
    fn retry_at(&self, recovery: &Recovery, now: Instant) -> Option<Instant> {
        let slots = recovery.probes_needed.saturating_sub(self.successes).max(1);
        let is_held = |lease: &&Lease| lease.ends > now;
        let mut held = self.leases.iter().filter(is_held);
        // A success that came after its lease may leave more leases than slots: the surplus has
        // to end. They are in the order of their ends.
        let surplus = held.clone().count().checked_sub(slots as usize)?;
        held.nth(surplus).map(|lease| lease.ends)
    }

    /// Takes a slot for one probe.
    fn lease(&mut self, recovery: &Recovery, now: Instant) -> Result<u64, Rejected> {
        self.leases.retain(|lease| lease.ends > now);
        if let Some(retry_at) = self.retry_at(recovery, now)
            && !is_planted(Plant::EveryoneProbes)
        {
            return Err(Rejected { retry_at });
        }
        let probe = self.probes;
        self.probes += 1;
        let ends = now + recovery.probe_lease;
        self.leases.push(Lease { probe, ends });
        Ok(probe)
    }
}
