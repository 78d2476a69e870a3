//! Owns the adaptive limit: how many requests the origin works on best at one time, learnt from
//! how it completed those that it had.
//! Never counts who is inside or makes anybody wait: the gate does. Never reads a clock.

use std::time::Duration;

use crate::breaker::Outcome;
use crate::time::Instant;

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
    /// Requests at the origin just before it left, itself among them.
    pub in_flight: u32,
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
/// - Rates are compared within seconds, so it does not matter what a request costs, how dear and
///   cheap ones are mixed, or what the origin could do an hour ago: there is no baseline that could
///   be wrong. A trial is a step of a quarter: nothing is ever pinned to measure.
/// - How many answers a decision takes follows from the noise of counting: a trial is repeated
///   until the difference is larger than chance would make it. Steps grow while they pay in the
///   same direction, and shrink when they do not.
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
    /// Mean time at the origin, in seconds; recent ones weigh most.
    service: f64,
    last: Instant,
    /// Requests that stayed at the origin after the last sample.
    stayed: u32,
    round: Round,
    quiet: Quiet,
}

/// What was measured at one limit, over all visits to it.
#[derive(Clone, Copy, Debug, Default)]
struct Arm {
    sum: Visit,
    /// Visits, and the sums over them from which the scatter of their rates follows.
    visits: f64,
    good_good: f64,
    good_time: f64,
    time_time: f64,
}

/// What was measured in one phase.
#[derive(Clone, Copy, Debug, Default)]
struct Visit {
    /// Requests that left.
    ended: f64,
    /// Good answers.
    good: f64,
    /// Seconds.
    time: f64,
    /// Seconds, each times the requests at the origin in it.
    busy: f64,
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

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Finding {
    No,
    Unsure,
    Yes,
}

/// Outcomes since the last look at the share of failures.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    ended: u32,
    failed: u32,
}

/// How much load needed lately.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    since: Instant,
    peak: u32,
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

/// Part of the limit that must be in use for the limit to be what holds load back.
const BUSY_MIN: f64 = 0.85;

/// Visits after which the sign of a difference decides, however small it is.
const VISITS_MAX: f64 = 32.0;

/// Completions of a visit, at least.
const VISIT_MIN: u32 = 8;

/// Visits to the base for each trial once the limit has settled: trials are the exception.
const REST_MAX: u32 = 4;

/// Gaps between completions longer than so many usual ones are a stall, which tells nothing of
/// concurrency. By chance alone three in ten thousand are.
const GAPS_MAX: f64 = 8.0;

/// How long a limit that holds nothing back stays before it sinks a little.
const QUIET_MAX: Duration = Duration::from_secs(30);

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
            left: VISIT_MIN.max(start),
            settled: now,
            ratio: RATIO_MAX,
            last_step: None,
            service: 0.0,
            last: now,
            stayed: 0,
            round: Round::default(),
            quiet: Quiet {
                since: now,
                peak: 0,
            },
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
        Duration::from_secs_f64(self.service.clamp(0.0, 1e6))
    }

    /// Starts again at `from`, within the bounds, as when the origin comes back.
    pub fn restart(&mut self, from: u32, now: Instant) {
        self.base = from.clamp(self.bounds.min, self.bounds.max);
        self.ratio = RATIO_MAX;
        self.last_step = None;
        self.quiet = Quiet {
            since: now,
            peak: 0,
        };
        self.forget();
        self.enter(Phase::Base, now);
    }

    /// Takes note of a request that has left the origin.
    pub fn record(&mut self, sample: Sample) {
        let now = sample.ended.max(self.last);
        let gap = now.saturating_since(self.last).as_secs_f64();
        // While nothing was there, no time passed for the origin.
        let gap = if self.stayed == 0 { 0.0 } else { gap };
        self.last = now;
        self.stayed = sample.in_flight.saturating_sub(1);
        self.quiet.peak = self.quiet.peak.max(sample.in_flight);
        self.learn_service(sample);
        if self.bounds.min == self.bounds.max || self.shrink_on_failures(sample, now) {
            return;
        }
        if now < self.settled || sample.in_flight > self.current() {
            return;
        }
        let usual = self.visit.time / self.visit.ended.max(1.0);
        let gap_max = if self.visit.ended < f64::from(VISIT_MIN) {
            f64::MAX
        } else {
            GAPS_MAX * usual + 2.0 * self.service
        };
        self.visit.add(sample, gap.min(gap_max));
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            let visit = self.visit;
            self.arm_mut().add(visit);
            self.end_phase(now);
        }
    }

    fn learn_service(&mut self, sample: Sample) {
        const WEIGHT: f64 = 1.0 / 16.0;
        if sample.outcome == Outcome::Ignore {
            return;
        }
        let took = sample.ended.saturating_since(sample.started).as_secs_f64();
        if self.service > 0.0 {
            self.service += (took - self.service) * WEIGHT;
        } else {
            self.service = took;
        }
    }

    /// Half of a round failing is a collapse, whatever the rate says.
    fn shrink_on_failures(&mut self, sample: Sample, now: Instant) -> bool {
        const ROUND_MIN: u32 = 4;
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
        self.last_step = Some(Way::Down);
        self.forget();
        self.enter(Phase::Base, now);
        true
    }

    fn end_phase(&mut self, now: Instant) {
        match self.phase {
            Phase::Base if !self.at_base.is_full(self.base) => {
                self.forget();
                self.sink(now);
                self.enter(Phase::Base, now);
            }
            Phase::Base => {
                self.quiet.since = now;
                self.quiet.peak = 0;
                match self.choose() {
                    Some(way) => self.enter(Phase::Trial(way), now),
                    None => self.enter(Phase::Base, now),
                }
            }
            Phase::Trial(way) => self.judge(way, now),
        }
    }

    /// Which trial is due: the one that rests least; upward first, as more is risked below.
    fn choose(&mut self) -> Option<Way> {
        let mut chosen = None;
        for way in [Way::Down, Way::Up] {
            let possible = self.target(way) != self.base;
            let trial = &mut self.trials[way.index()];
            trial.rest = trial.rest.saturating_sub(1);
            if possible && trial.rest == 0 {
                chosen = Some(way);
            }
        }
        chosen
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
        match compare(way, self.at_base, trial.arm) {
            Finding::Yes => {
                let again = self.last_step == Some(way);
                if again {
                    self.ratio = (self.ratio * self.ratio).min(RATIO_MAX);
                }
                self.last_step = Some(way);
                self.base = target;
                self.forget();
                self.at_base = trial.arm;
                // The way back leads to what was just left.
                self.trials[way.back().index()].rest = REST_MAX;
                self.enter(Phase::Base, now);
            }
            Finding::No => {
                let trial = &mut self.trials[way.index()];
                trial.arm = Arm::default();
                trial.rest_next = (trial.rest_next * 2).clamp(2, REST_MAX);
                trial.rest = trial.rest_next;
                if self.last_step != Some(way) {
                    self.ratio = self.ratio.sqrt().max(RATIO_MIN);
                }
                self.last_step = None;
                self.enter(Phase::Base, now);
            }
            Finding::Unsure => {
                let trial = &mut self.trials[way.index()];
                trial.rest = 1;
                self.enter(Phase::Base, now);
            }
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        let before = self.current();
        self.phase = phase;
        let after = self.current();
        if before != after {
            self.settled = now + self.service_time();
        }
        self.visit = Visit::default();
        self.left = VISIT_MIN.max(after);
    }

    fn forget(&mut self) {
        self.at_base = Arm::default();
        self.trials = [Trial::default(); 2];
    }

    /// Load has not needed the limit: after long it sinks toward what was needed.
    fn sink(&mut self, now: Instant) {
        const FACTOR: f64 = 0.8;
        let mut quiet = now.saturating_since(self.quiet.since);
        if quiet < QUIET_MAX {
            return;
        }
        let floor = self.base.min(self.bounds.start.max(self.quiet.peak));
        while quiet >= QUIET_MAX && self.base > floor {
            self.base = scaled(self.base, FACTOR).max(floor);
            quiet -= QUIET_MAX;
        }
        self.quiet = Quiet {
            since: now,
            peak: 0,
        };
    }

    fn target(&self, way: Way) -> u32 {
        let LimitBounds { min, max, .. } = self.bounds;
        match way {
            Way::Up => scaled(self.base, self.ratio).max(self.base.saturating_add(1)),
            Way::Down => scaled(self.base, 1.0 / self.ratio).min(self.base.saturating_sub(1)),
        }
        .clamp(min, max)
    }

    fn arm_mut(&mut self) -> &mut Arm {
        match self.phase {
            Phase::Base => &mut self.at_base,
            Phase::Trial(way) => &mut self.trials[way.index()].arm,
        }
    }
}

impl Visit {
    fn add(&mut self, sample: Sample, gap: f64) {
        self.ended += 1.0;
        self.good += f64::from(u8::from(sample.outcome == Outcome::Success));
        self.time += gap;
        self.busy += gap * f64::from(sample.in_flight);
    }
}

impl Arm {
    fn add(&mut self, visit: Visit) {
        if self.visits >= VISITS_MAX {
            // Older measurements fade, so that both sides of a comparison are of one time.
            *self = self.scaled(0.5);
        }
        self.sum.ended += visit.ended;
        self.sum.good += visit.good;
        self.sum.time += visit.time;
        self.sum.busy += visit.busy;
        self.visits += 1.0;
        self.good_good += visit.good * visit.good;
        self.good_time += visit.good * visit.time;
        self.time_time += visit.time * visit.time;
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            sum: Visit {
                ended: self.sum.ended * factor,
                good: self.sum.good * factor,
                time: self.sum.time * factor,
                busy: self.sum.busy * factor,
            },
            visits: self.visits * factor,
            good_good: self.good_good * factor,
            good_time: self.good_time * factor,
            time_time: self.time_time * factor,
        }
    }

    /// Whether this limit was what held load back.
    fn is_full(&self, limit: u32) -> bool {
        self.sum.busy >= self.sum.time * f64::from(limit) * BUSY_MIN
    }

    /// Good answers a second; half an answer more keeps its logarithm finite.
    fn rate(&self) -> f64 {
        (self.sum.good + 0.5) / self.sum.time.max(1e-9)
    }

    /// Mean requests at the origin.
    fn load(&self) -> f64 {
        self.sum.busy / self.sum.time.max(1e-9)
    }

    /// Relative variance of the rate: what the visits scatter, and, as long as there are few, what
    /// counting alone makes them scatter.
    fn noise(&self) -> f64 {
        /// Visits that the assumption of a Poisson process is worth.
        const PRIOR: f64 = 2.0;
        let rate = self.sum.good / self.sum.time.max(1e-9);
        let good = (self.sum.good + 0.5) / self.visits.max(1.0);
        let scatter = self.good_good - 2.0 * rate * self.good_time + rate * rate * self.time_time;
        let freedom = (self.visits - 1.0).max(0.0) + PRIOR;
        let variance = (scatter.max(0.0) + PRIOR * good) / freedom;
        variance / (self.visits.max(1.0) * good * good)
    }
}

/// Whether the step from `base` to `trial` is worth it.
fn compare(way: Way, base: Arm, trial: Arm) -> Finding {
    let gain = (trial.rate() / base.rate()).ln();
    let step = (trial.load() / base.load()).max(1e-9).ln();
    let noise = (trial.noise() + base.noise()).sqrt();
    let margin = match way {
        Way::Up => gain - GAIN_MIN * step,
        Way::Down => gain - LOSS_MAX * step,
    };
    if margin.abs() < noise && trial.visits < VISITS_MAX {
        Finding::Unsure
    } else if margin > 0.0 {
        Finding::Yes
    } else {
        Finding::No
    }
}

impl Way {
    const fn index(self) -> usize {
        match self {
            Self::Up => 0,
            Self::Down => 1,
        }
    }

    const fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// `limit` times `factor`, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from a float saturates"
)]
fn scaled(limit: u32, factor: f64) -> u32 {
    (f64::from(limit) * factor).round() as u32
}
