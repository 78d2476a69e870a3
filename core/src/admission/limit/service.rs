//! Owns how long the origin takes for a request: lately, and when it is at ease.
//! Never decides what follows: `limit` does.

use super::measure::Times;

/// How many times longer requests take where a third of them waits at the origin.
pub(super) const STRAIN_HIGH: f64 = 1.5;

/// What most visitors bear, in seconds.
pub(super) const BORNE: f64 = 1.5;

/// Times at the origin of recent requests, and of those that found it at ease.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Service {
    present: Times,
    at_ease: Times,
}

impl Service {
    /// Takes the time of a request, in seconds.
    pub(super) fn learn(&mut self, took: f64, is_at_ease: bool) {
        self.present.add(took);
        if is_at_ease {
            self.at_ease.add(took);
        }
        // The first ones may have been slow for other reasons.
        if self.present.log < self.at_ease.log && self.present.count >= Times::TOLD {
            self.at_ease = self.present;
        }
    }

    /// Mean time of recent requests, in seconds; zero before the first.
    pub(super) const fn mean(self) -> f64 {
        self.present.mean
    }

    /// Mean time when the origin is at ease, in seconds.
    pub(super) const fn mean_at_ease(self) -> f64 {
        self.at_ease.mean
    }

    /// How many times longer a request takes than when the origin is at ease: at least, and at most,
    /// as single times scatter by a factor of e or so, and a few of them prove little.
    pub(super) fn strain(self) -> (f64, f64) {
        let seen = self.present.log - self.at_ease.log;
        let doubt = 1.0 / self.at_ease.count.max(1.0).sqrt();
        ((seen - doubt).exp(), (seen + doubt).exp())
    }

    /// Whether requests take longer than visitors bear, because they wait at the origin.
    pub(super) fn is_crowded(self) -> bool {
        let (at_least, _) = self.strain();
        self.mean() > BORNE && at_least > STRAIN_HIGH
    }

    /// Recent requests tell nothing any more.
    pub(super) fn forget_present(&mut self) {
        self.present = Times::default();
    }

    /// The origin has changed: the next requests weigh more, and the first one at ease all.
    pub(super) fn doubt(&mut self) {
        /// Recent requests that still count.
        const KEPT: f64 = 8.0;
        self.present.count = self.present.count.min(KEPT);
        self.at_ease.count = self.at_ease.count.min(1.0);
    }

    /// At ease requests take `factor` times as long as lately.
    pub(super) fn ease_is(&mut self, factor: f64) {
        self.at_ease = self.present;
        self.at_ease.stretch(factor);
    }
}
