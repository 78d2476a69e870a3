//! Owns the adaptive limit: how many requests the origin works on best at one time, learnt from
//! how it completed those that it had.
//! Never counts who is inside or makes anybody wait: the gate does. Never reads a clock.

mod growth;
mod measure;
mod quiet;
mod service;
mod surge;
mod way;

use std::time::Duration;

use crate::breaker::Outcome;
use crate::time::Instant;
use growth::{Bar, Finding, Growth, NOISES};
use measure::{Arm, Visit};
use quiet::{Quiet, scaled};
use service::{BORNE, STRAIN_HIGH, Service};
use surge::Surge;
use way::{STRAIN_MIN, Way};

/// Where a [`Limit`] starts and how far it may go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LimitBounds {
    /// The first value, and the one that it falls back to when nothing is known any more.
    pub start: u32,
    /// The lowest value, at least 1.
    pub min: u32,
    /// The highest value. Equal to `min`, it fixes the limit.
    pub max: u32,
}

/// One request that has left the origin.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When the origin had it.
    pub started: Instant,
    /// When the origin was done with it. Samples come in this order.
    pub ended: Instant,
    /// Requests at the origin when it came, itself among them.
    pub found: u32,
    /// Requests at the origin just before it left, itself among them.
    pub in_flight: u32,
    /// Whether nothing is left at the origin, nor waits for it.
    pub leaves_idle: bool,
    /// How it ended; an ignored one is a place that became free, and nothing else.
    pub outcome: Outcome,
}

/// A limit that finds the knee of the origin's throughput and stays there.
///
/// It asks one question again and again: do more requests at a time give more good answers a
/// second? It measures the rate of good answers at the present limit (the base), then for a while
/// at one a step higher or lower (a trial), and compares:
///
/// - A higher limit is taken when the rate rises by at least 0.4 of the step (in logarithms): it
///   pays. A lower one when the rate falls by less than a quarter of the step: nothing is lost.
///   Between the two the limit stays where it is.
/// - Where requests are so quick that nobody minds, it is the other way about, up to the start and
///   in bursts of visitors: a higher limit is taken unless it loses, a lower one only when it pays.
///   What a surge teaches holds while it lasts.
/// - Rates are compared within seconds, so it does not matter what a request costs, how dear and
///   cheap ones are mixed, or what the origin could do an hour ago. A trial is a step of a quarter
///   once the limit has settled: nothing is ever pinned to measure.
/// - A trial is repeated until the difference exceeds what visits have been seen to scatter, or so
///   often that the sign must do. Steps grow while they pay in the same direction, and shrink when
///   they do not. Where the base differs from itself twice, the origin has changed, and all
///   begins anew.
/// - How much longer requests take than when the origin is at ease (the strain) says which way to
///   try: down only with some, up only without much, and then a higher limit has to pay more. It is
///   a hint, which may be wrong: a trial that contradicts it corrects it.
/// - Only a limit that holds requests back is measured. When load is low it stays; after long it
///   sinks toward what load has needed since.
/// - When half of the answers are failures it shrinks at once.
#[derive(Debug)]
pub struct Limit {
    bounds: LimitBounds,
    /// The limit outside of trials.
    base: u32,
    at_base: Arm,
    /// The limit above that is tried, and the one below.
    trials: [Trial; 2],
    phase: Phase,
    visit: Visit,
    /// Completions until the phase ends.
    left: u32,
    /// No completion counts before: those that come were begun under another limit.
    settled: Instant,
    /// The factor of a step.
    ratio: f64,
    /// The direction of the last step that was taken.
    last_step: Option<Way>,
    /// Visits to the base in a row that differ from those before.
    surprises: u32,
    /// Visits to the base since a lower limit was tried.
    unquestioned: u32,
    /// The ways that were found not to be worth a step of this size.
    refused: [bool; 2],
    service: Service,
    /// See [`Arm::scatter`].
    scatter: f64,
    last: Instant,
    /// Whether the origin has had nothing to do since the last sample.
    is_idle: bool,
    surge: Surge,
    /// Whether the phase's clock runs: from a completion to a completion, so that those that come
    /// in batches are counted with their time.
    is_timed: bool,
    round: Round,
    quiet: Quiet,
}

#[derive(Clone, Copy, Debug, Default)]
struct Trial {
    arm: Arm,
    /// Base phases to pass before this is tried again, and how many they become next.
    rest: u32,
    rest_next: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Base,
    Trial(Way),
}

/// Outcomes since the last look at the share of failures.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    ended: u32,
    failed: u32,
}

/// Growth of the rate, as a share of the step, from which a higher limit pays. At the knee of a
/// pool of equal workers a step has 0.5; below it 1, above it 0.
const GAIN_MIN: f64 = 0.4;

/// Loss of the rate, as a share of the step, up to which a lower limit costs nothing. Below
/// [`GAIN_MIN`], so that a limit cannot please and displease at once.
const LOSS_MAX: f64 = 0.25;

/// The smallest factor of a step: what it changes can be told from noise in a few hundred answers.
const RATIO_MIN: f64 = 1.25;

/// The largest factor of a step, and the first.
const RATIO_MAX: f64 = 2.0;

/// Visits to the base that are remembered, beside as many as a trial has had.
const BASE_VISITS_MAX: f64 = 16.0;

/// Completions of a visit, at least.
const VISIT_MIN: u32 = 8;

/// How often each place is used in a visit: an origin that works in step ends many at once.
const TURNS: u32 = 2;

/// Seconds after which a visit may end with fewer completions.
const VISIT_TIME: f64 = 0.5;

/// How many times longer they may take for a higher limit to be tried.
const STRAIN_MAX: f64 = 2.0;

/// What nobody minds, in seconds, as in the queue: the origin may have requests for so long
/// although fewer at a time would give as many answers.
const UNMINDED: f64 = 0.25;

/// Growth of the rate, as a share of the step, from which fewer pay where more do no harm.
const RELIEF_MIN: f64 = 0.25;

/// Loss of the rate, as a share of the step, that more may cost where they do no harm. Below
/// [`RELIEF_MIN`], as [`LOSS_MAX`] is below [`GAIN_MIN`].
const HARM_MAX: f64 = 0.1;

/// Loss of the rate, as a share of the step, that fewer may seem to cost where visitors do not bear
/// the time, and the visits that must have seen it.
const CROWDED_LOSS_MAX: f64 = 0.5;
const CROWDED_VISITS_MIN: f64 = 3.0;

/// Visits to the base after which a lower limit is tried even though requests seem to take no
/// longer than when the origin is at ease: what is known of its ease may be wrong.
const UNQUESTIONED_MAX: u32 = 32;

/// Share of good answers below which a lower limit is tried in any case.
const GOOD_MIN: f64 = 0.95;

/// Gaps between completions longer than so many usual ones are a stall, which tells nothing of
/// concurrency. By chance alone three in ten thousand are.
const GAPS_MAX: f64 = 8.0;

impl Limit {
    /// Makes a limit at its start.
    #[must_use]
    pub fn new(bounds: LimitBounds, now: Instant) -> Self {
        let min = bounds.min.max(1);
        let max = bounds.max.max(min);
        let start = bounds.start.clamp(min, max);
        Self {
            bounds: LimitBounds { start, min, max },
            base: start,
            at_base: Arm::default(),
            trials: [Trial::default(); 2],
            phase: Phase::Base,
            visit: Visit::default(),
            left: VISIT_MIN.max(start.saturating_mul(TURNS)),
            settled: now,
            ratio: RATIO_MAX,
            last_step: None,
            surprises: 0,
            unquestioned: UNQUESTIONED_MAX / 2,
            refused: [false; 2],
            service: Service::default(),
            scatter: 1.0,
            last: now,
            is_idle: true,
            surge: Surge::default(),
            is_timed: false,
            round: Round::default(),
            quiet: Quiet::new(now),
        }
    }

    /// How many requests may be at the origin now.
    #[must_use]
    pub fn current(&self) -> u32 {
        match self.phase {
            Phase::Base => self.base,
            Phase::Trial(way) => self.target(way),
        }
    }

    /// The limit without the trial that may run: what the origin is thought to bear.
    #[must_use]
    pub const fn settled(&self) -> u32 {
        self.base
    }

    /// Mean time of recent requests at the origin; zero before the first.
    #[must_use]
    pub fn service_time(&self) -> Duration {
        Duration::from_secs_f64(self.service.mean().clamp(0.0, 1e6))
    }

    /// Starts again at `from`, within the bounds, as when the origin comes back.
    pub fn restart(&mut self, from: u32, now: Instant) {
        self.base = from.clamp(self.bounds.min, self.bounds.max);
        self.surge = Surge::default();
        self.ratio = RATIO_MAX;
        self.last_step = None;
        self.refused = [false; 2];
        // Those that hung, most likely.
        self.service.forget_present();
        self.quiet = Quiet::new(now);
        self.forget();
        self.enter(Phase::Base, now);
    }

    /// Goes on within other bounds.
    pub fn set_bounds(&mut self, min: u32, max: u32, now: Instant) {
        let min = min.max(1);
        let max = max.max(min);
        let LimitBounds { start, .. } = self.bounds;
        self.bounds = LimitBounds {
            start: start.clamp(min, max),
            min,
            max,
        };
        if !(min..=max).contains(&self.base) {
            self.restart(self.base, now);
        }
    }

    /// Takes note of a request that has left the origin.
    pub fn record(&mut self, sample: Sample) {
        let now = sample.ended.max(self.last);
        let gap = now.saturating_since(self.last).as_secs_f64();
        let gap = if self.is_idle { 0.0 } else { gap };
        self.last = now;
        self.learn_surge(sample, now);
        self.is_idle = sample.leaves_idle;
        self.quiet.note(sample.in_flight);
        self.learn_service(sample);
        if self.bounds.min == self.bounds.max || self.shrink_on_failures(sample, now) {
            return;
        }
        if now < self.settled || sample.in_flight > self.current() {
            return;
        }
        if !std::mem::replace(&mut self.is_timed, true) {
            return;
        }
        let usual = self.visit.time / self.visit.ended.max(1.0);
        let gap_max = if self.visit.ended < f64::from(VISIT_MIN) {
            f64::MAX
        } else {
            GAPS_MAX * usual + 2.0 * self.service.mean()
        };
        let is_good = matches!(sample.outcome, Outcome::Slow { .. } | Outcome::Success);
        self.visit.add(is_good, sample.in_flight, gap.min(gap_max));
        self.left = self.left.saturating_sub(1);
        // A slow origin is judged by fewer: each of its places once.
        let enough = self.visit.ended >= f64::from(self.current()) && self.visit.time >= VISIT_TIME;
        if self.left == 0 || enough {
            self.take_visit();
            self.end_phase(now);
        }
    }

    fn take_visit(&mut self) {
        /// Visits in a row that nothing before explains, to say that the origin has changed.
        const SURPRISES_MAX: u32 = 2;
        let visit = self.visit;
        match self.phase {
            Phase::Trial(way) => self.trials[way.index()].arm.add(visit),
            Phase::Base => {
                let surprises = self.at_base.is_surprised(visit, self.scatter);
                self.surprises = if surprises { self.surprises + 1 } else { 0 };
                if self.surprises >= SURPRISES_MAX {
                    // What was measured before is of another origin.
                    self.forget();
                    self.surprises = 0;
                    self.service.doubt();
                    self.ratio = self.ratio.max(RATIO_MIN * RATIO_MIN);
                    self.refused = [false; 2];
                }
                self.at_base.add(visit);
                let [up, down] = self.trials.map(|trial| trial.arm.visits);
                self.at_base.fade(BASE_VISITS_MAX + up.max(down));
            }
        }
    }

    fn learn_surge(&mut self, sample: Sample, now: Instant) {
        let has_room = sample.leaves_idle || sample.in_flight < self.base.min(self.current());
        if let Some(before) = self.surge.record(has_room, self.base, now)
            && before > self.base
            && self.is_quick(before)
        {
            self.base = before;
            self.forget();
            self.enter(Phase::Base, now);
        }
    }

    fn learn_service(&mut self, sample: Sample) {
        if sample.outcome == Outcome::Ignore {
            return;
        }
        let took = sample.ended.saturating_since(sample.started).as_secs_f64();
        let is_at_ease = sample.found <= (self.base / 4).max(1);
        self.service.learn(took, is_at_ease);
    }

    /// Keeps how much visits scatter: that is the pages' nature and stays when the limit moves.
    fn learn_scatter(&mut self, arm: Arm) {
        const VISITS_MIN: f64 = 4.0;
        const SHARE: f64 = 0.1;
        if arm.visits >= VISITS_MIN {
            let seen = arm.scatter().clamp(0.1, 20.0);
            self.scatter += (seen - self.scatter) * SHARE;
        }
    }

    /// Whether nobody minds so many requests at the origin, though they gain nothing: no more than at
    /// the start, so quick that they may wait for one another there, and soon all answered. A site
    /// whose visitors come in bursts would else have its pages held back, or answered from copies,
    /// without need.
    fn is_harmless(&self, limit: u32) -> bool {
        self.is_quick(limit) && !self.surge.is_on()
    }

    fn is_quick(&self, limit: u32) -> bool {
        let longer = f64::from(limit) / f64::from(self.base);
        limit <= self.bounds.start && self.service.mean() * longer <= UNMINDED
    }

    /// What a trial has to show.
    fn terms(&self, way: Way) -> Bar {
        let (at_least, at_most) = self.service.strain();
        let (worth, proof) = match way {
            Way::Up if self.is_harmless(self.target(way)) => (-HARM_MAX, NOISES),
            Way::Up => (GAIN_MIN * at_least.clamp(1.0, STRAIN_MAX), NOISES),
            // Chance alone must not bring it down step by step.
            Way::Down if self.is_harmless(self.base) => (-RELIEF_MIN, 2.0 * NOISES),
            Way::Down if self.is_quick(self.base) => (HARM_MAX, 1.5 * NOISES),
            Way::Down => (LOSS_MAX, NOISES),
        };
        Bar {
            worth,
            proof,
            visits_max: way.visits_max(at_most),
        }
    }

    /// Half of a round failing is a collapse, whatever the rate says.
    fn shrink_on_failures(&mut self, sample: Sample, now: Instant) -> bool {
        /// Of so many, half fail by chance once in a thousand rounds where a fifth does: a page that
        /// is broken is no collapse.
        const ROUND_MIN: u32 = 24;
        const FACTOR: f64 = 0.7;
        match sample.outcome {
            Outcome::Ignore => return false,
            Outcome::Slow { .. } | Outcome::Success => {}
            Outcome::ConnectFailure | Outcome::Failure => self.round.failed += 1,
        }
        self.round.ended += 1;
        if self.round.ended < self.current().max(ROUND_MIN) {
            return false;
        }
        let Round { ended, failed } = std::mem::take(&mut self.round);
        if failed * 2 < ended || self.base == self.bounds.min {
            return false;
        }
        self.base = scaled(self.base, FACTOR).max(self.bounds.min);
        self.surge.lower(self.base);
        self.last_step = Some(Way::Down);
        self.forget();
        self.enter(Phase::Base, now);
        true
    }

    fn end_phase(&mut self, now: Instant) {
        match self.phase {
            Phase::Base if !self.at_base.is_full(self.base) => {
                self.forget();
                self.base = self.quiet.sink(self.base, self.bounds.start, now);
                self.enter(Phase::Base, now);
            }
            Phase::Base => {
                self.quiet = Quiet::new(now);
                match self.choose() {
                    Some(way) => self.enter(Phase::Trial(way), now),
                    None => self.enter(Phase::Base, now),
                }
            }
            Phase::Trial(way) => self.judge(way, now),
        }
    }

    /// Which trial is due. Where requests take as long as when the origin is at ease, less of them
    /// gain nothing; where they take much longer, more of them hardly do.
    fn choose(&mut self) -> Option<Way> {
        let (strain, at_most) = self.service.strain();
        // Where a higher limit that brings nothing would drive visitors away, none is tried before
        // a lower one has shown that requests do not wait at the origin.
        let is_safe = at_most < STRAIN_HIGH || self.service.mean() * self.ratio < BORNE;
        let is_harmless = self.is_harmless(self.target(Way::Up));
        let may_rise = is_harmless || is_safe && strain < STRAIN_MAX;
        let fails = self.at_base.sum.good < self.at_base.sum.ended * GOOD_MIN;
        let mut due = [false; 2];
        // Time is short in a surge: what has begun to be looked at is.
        let is_begun = self.is_quick(self.base) && self.trials[Way::Down.index()].arm.visits > 0.0;
        for way in [Way::Up, Way::Down] {
            let possible = self.target(way) != self.base;
            let trial = &mut self.trials[way.index()];
            trial.rest = trial.rest.saturating_sub(1);
            due[way.index()] = possible && trial.rest == 0;
        }
        self.unquestioned += 1;
        due[Way::Down.index()] &= is_begun
            || strain > STRAIN_MIN
            || fails
            || !may_rise
            || self.unquestioned > UNQUESTIONED_MAX;
        match due {
            [true, _] if may_rise => Some(Way::Up),
            [_, true] => {
                self.unquestioned = 0;
                Some(Way::Down)
            }
            [_, false] => None,
        }
    }

    /// Compares the trial with the base, and goes there, stays, or measures on.
    fn judge(&mut self, way: Way, now: Instant) {
        let target = self.target(way);
        let trial = self.trials[way.index()];
        if !trial.arm.is_full(self.base.min(target)) {
            // Load has fallen: nothing can be compared.
            self.forget();
            return self.enter(Phase::Base, now);
        }
        self.learn_scatter(trial.arm);
        self.learn_scatter(self.at_base);
        let terms = self.terms(way);
        let growth = Growth::between(self.at_base, trial.arm, self.scatter);
        let found = growth.finding(terms);
        let may_be_chance = matches!(found, Finding::Doubtful | Finding::Promising);
        // Visitors leave before a slow origin can prove anything: what may be chance must do, unless
        // the rate looks as if it fell with the limit, as where requests do not wait for one another.
        let looks_good = growth.exceeds(CROWDED_LOSS_MAX) && trial.arm.visits >= CROWDED_VISITS_MIN;
        let finding =
            if may_be_chance && way == Way::Down && self.service.is_crowded() && looks_good {
                Finding::Yes
            } else {
                found
            };
        match finding {
            Finding::Yes => {
                let again = self.last_step == Some(way);
                if again {
                    self.ratio = (self.ratio * self.ratio).min(RATIO_MAX);
                }
                self.last_step = Some(way);
                self.refused[way.index()] = false;
                // The way back leads to what was just left.
                self.refused[way.back().index()] = true;
                self.base = target;
                self.forget();
                self.at_base = trial.arm;
                self.trials[way.back().index()].rest = way.back().rest_max();
                self.enter(Phase::Base, now);
            }
            Finding::No => {
                if way == Way::Down && !growth.exceeds(LOSS_MAX) {
                    // With fewer it takes so long: it is not at ease above that.
                    self.service
                        .ease_is(trial.arm.time_each() / self.at_base.time_each());
                }
                let trial = &mut self.trials[way.index()];
                trial.arm = Arm::default();
                trial.rest_next = (trial.rest_next.max(1) * 2).min(way.rest_max());
                trial.rest = trial.rest_next;
                self.refused[way.index()] = true;
                let stuck = self.target(way.back()) == self.base;
                if self.refused[way.back().index()] || stuck {
                    self.ratio = self.ratio.sqrt().max(RATIO_MIN);
                    self.refused = [false; 2];
                }
                self.last_step = None;
                self.enter(Phase::Base, now);
            }
            Finding::Doubtful => {
                let trial = &mut self.trials[way.index()];
                trial.rest = trial.rest_next;
                self.enter(Phase::Base, now);
            }
            Finding::Promising => {
                self.trials[way.index()].rest = 1;
                self.enter(Phase::Base, now);
            }
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        let before = self.current();
        self.phase = phase;
        let after = self.current();
        if before != after {
            self.is_timed = false;
            // Those that a higher limit lets in end after their time; a lower one is felt as soon
            // as the surplus has left.
            let eased = Duration::from_secs_f64((self.service.mean_at_ease() * 1.5).min(1e6));
            self.settled = if after > before {
                now + self.service_time().min(eased)
            } else {
                now
            };
        }
        self.visit = Visit::default();
        self.left = VISIT_MIN.max(after.saturating_mul(TURNS));
    }

    fn forget(&mut self) {
        self.at_base = Arm::default();
        self.trials = [Trial::default(); 2];
    }

    fn target(&self, way: Way) -> u32 {
        let LimitBounds { min, max, .. } = self.bounds;
        match way {
            Way::Up => scaled(self.base, self.ratio).max(self.base.saturating_add(1)),
            Way::Down => scaled(self.base, 1.0 / self.ratio).min(self.base.saturating_sub(1)),
        }
        .clamp(min, max)
    }
}
