//! Owns how the rate grew from one limit to another, and whether that is worth the step.
//! Never says what a step has to show, nor takes it: `limit` does.

use super::measure::Arm;

/// Standard deviations that a difference must have to be believed.
pub(super) const NOISES: f64 = 1.2;

/// What a trial has to show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bar {
    /// Growth of the rate, as a share of the step, above which the step is worth it.
    pub(super) worth: f64,
    /// Standard deviations above that, to be believed.
    pub(super) proof: f64,
    /// Visits after which the sign decides.
    pub(super) visits_max: f64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Finding {
    No,
    /// It looks like no, but may be chance.
    Doubtful,
    /// It looks like yes, but may be chance.
    Promising,
    Yes,
}

/// What changed from the base to a trial, in logarithms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Of the rate of good answers.
    gain: f64,
    /// Of the requests at the origin.
    step: f64,
    /// The standard deviation of the gain.
    noise: f64,
    /// Visits to the trial.
    visits: f64,
}

impl Growth {
    pub(super) fn between(base: Arm, trial: Arm, scatter: f64) -> Self {
        Self {
            gain: (trial.rate() / base.rate()).ln(),
            step: (trial.load() / base.load()).max(1e-9).ln(),
            noise: (trial.noise(scatter) + base.noise(scatter)).sqrt(),
            visits: trial.visits,
        }
    }

    /// Whether the rate grew by more than this share of the step, as far as it seems.
    pub(super) fn exceeds(self, share: f64) -> bool {
        self.gain > share * self.step
    }

    /// Whether the rate grew as the terms demand.
    pub(super) fn finding(self, terms: Bar) -> Finding {
        let margin = self.gain - terms.worth * self.step;
        let is_proven = margin >= terms.proof * self.noise || -margin >= NOISES * self.noise;
        let is_sure = is_proven || self.visits >= terms.visits_max;
        match (is_sure, margin > 0.0) {
            (true, true) => Finding::Yes,
            (true, false) => Finding::No,
            (false, true) => Finding::Promising,
            (false, false) => Finding::Doubtful,
        }
    }
}
