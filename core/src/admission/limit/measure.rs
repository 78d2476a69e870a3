//! Owns what the limit measures: rates of good answers, how much they scatter, and times.
//! Never decides anything from them: `limit` does.

/// What was measured at one limit, over all visits to it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arm {
    pub(super) sum: Visit,
    /// Visits, and the sums over them from which the scatter of their rates follows.
    pub(super) visits: f64,
    good_good: f64,
    good_time: f64,
    time_time: f64,
}

/// What was measured in one phase.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Visit {
    /// Requests that left.
    pub(super) ended: f64,
    /// Good answers.
    pub(super) good: f64,
    /// Seconds.
    pub(super) time: f64,
    /// Seconds, each times the requests at the origin in it.
    pub(super) busy: f64,
}

/// Times at the origin; recent ones weigh most.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// Mean, in seconds.
    pub(super) mean: f64,
    /// Mean of the logarithms: what dear pages among cheap ones disturb less.
    pub(super) log: f64,
    /// How many, up to where the weight of a new one stays the same.
    pub(super) count: f64,
}

impl Arm {
    /// Takes what one phase has measured.
    pub(super) fn add(&mut self, visit: Visit) {
        self.sum.ended += visit.ended;
        self.sum.good += visit.good;
        self.sum.time += visit.time;
        self.sum.busy += visit.busy;
        self.visits += 1.0;
        self.good_good += visit.good * visit.good;
        self.good_time += visit.good * visit.time;
        self.time_time += visit.time * visit.time;
    }

    /// Older measurements fade, so that both sides of a comparison are of one time.
    pub(super) fn fade(&mut self, visits_max: f64) {
        if self.visits <= visits_max {
            return;
        }
        let factor = visits_max / self.visits;
        *self = Self {
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
        };
    }

    /// Whether a visit differs from those before by more than they scatter.
    pub(super) fn is_surprised(&self, visit: Visit, scatter: f64) -> bool {
        const VISITS_MIN: f64 = 4.0;
        const NOISES: f64 = 4.0;
        let mut seen = Self::default();
        seen.add(visit);
        let noise = (seen.noise(scatter) + self.noise(scatter)).sqrt();
        let difference = (seen.rate() / self.rate()).ln().abs();
        self.visits >= VISITS_MIN && difference > NOISES * noise
    }

    /// Whether this limit was what held load back.
    pub(super) fn is_full(&self, limit: u32) -> bool {
        /// Part of the limit that must be in use.
        const BUSY_MIN: f64 = 0.85;
        self.sum.busy >= self.sum.time * f64::from(limit) * BUSY_MIN
    }

    /// Good answers a second; half an answer more keeps its logarithm finite.
    pub(super) fn rate(&self) -> f64 {
        (self.sum.good + 0.5) / self.sum.time.max(1e-9)
    }

    /// Mean requests at the origin.
    pub(super) fn load(&self) -> f64 {
        self.sum.busy / self.sum.time.max(1e-9)
    }

    /// Mean time of a request (Little's law).
    pub(super) fn time_each(&self) -> f64 {
        self.load() / self.rate()
    }

    /// Relative variance of the rate: what the visits scatter, and, as long as there are few, what
    /// visits have scattered before.
    pub(super) fn noise(&self, scatter: f64) -> f64 {
        /// Visits that the experience is worth.
        const PRIOR: f64 = 2.0;
        let good = (self.sum.good + 0.5) / self.visits.max(1.0);
        let freedom = (self.visits - 1.0).max(0.0) + PRIOR;
        let variance = (self.deviations() + PRIOR * good * scatter) / freedom;
        variance / (self.visits.max(1.0) * good * good)
    }

    /// How much more, or less, the good answers of a visit vary than those of a Poisson process.
    pub(super) fn scatter(&self) -> f64 {
        let good = (self.sum.good + 0.5) / self.visits.max(1.0);
        self.deviations() / ((self.visits - 1.0).max(1.0) * good)
    }

    /// Squares of the differences from what each visit's time would give, summed.
    fn deviations(&self) -> f64 {
        let rate = self.sum.good / self.sum.time.max(1e-9);
        let sum = self.good_good - 2.0 * rate * self.good_time + rate * rate * self.time_time;
        sum.max(0.0)
    }
}

impl Visit {
    /// Takes a request that has left after a `gap`, during which so many were there.
    pub(super) fn add(&mut self, is_good: bool, in_flight: u32, gap: f64) {
        self.ended += 1.0;
        self.good += f64::from(u8::from(is_good));
        self.time += gap;
        self.busy += gap * f64::from(in_flight);
    }
}

impl Times {
    /// Times whose mean can be relied on.
    pub(super) const TOLD: f64 = 32.0;

    /// Takes the time of a request, in seconds.
    pub(super) fn add(&mut self, took: f64) {
        /// Times whose sum weighs as much as all before.
        const MEMORY: f64 = 64.0;
        self.count = (self.count + 1.0).min(MEMORY);
        let share = 1.0 / self.count;
        self.mean += (took - self.mean) * share;
        self.log += (took.max(1e-6).ln() - self.log) * share;
    }

    /// Makes all times longer by this factor.
    pub(super) fn stretch(&mut self, factor: f64) {
        let factor = factor.clamp(0.1, 10.0);
        self.mean *= factor;
        self.log += factor.ln();
    }
}
