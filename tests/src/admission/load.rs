//! Owns the shapes of load: which visitors come when, and what they want.
//! Never looks at what is answered: arrivals go on whatever happens, as those of a crowd do.

use std::time::Duration;

use retter_core::rng::Rng;
use retter_core::time::Instant;

/// How load changes over a run, and what is asked for. Rates are in parts of what the origin can
/// do.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What it is called in tables.
    pub name: &'static str,
    /// The course of the rate.
    pub course: Course,
    /// Part of the requests that are writes.
    pub writes: f64,
    /// What the others ask for.
    pub pages: Pages,
}

/// The course of a rate over a run.
#[derive(Clone, Copy, Debug)]
pub enum Course {
    /// The same all the time.
    Steady(f64),
    /// From half to this within the run.
    Ramp(f64),
    /// This in the second quarter, half otherwise.
    Spike(f64),
    /// This on average, in bursts of this many on average.
    Bursts(f64, f64),
    /// Around one, by half of it, twice in a run.
    Sine,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Pages {
    /// The same page, which may be kept.
    One,
    /// Each page once, never kept.
    Unique,
}

impl Shape {
    /// The time from now to the next arrival.
    pub fn gap(&self, capacity: f64, now: Instant, length: Duration, rng: &mut Rng) -> Duration {
        let at = now.saturating_since(Instant::ZERO).as_secs_f64() / length.as_secs_f64();
        let rate = match self.course {
            Course::Bursts(_, size) if rng.unit() * size > 1.0 => return Duration::from_nanos(100),
            Course::Bursts(rate, size) => rate / size,
            Course::Steady(rate) => rate,
            Course::Ramp(to) => 0.5 + (to - 0.5) * at,
            Course::Spike(rate) if (0.25..0.5).contains(&at) => rate,
            Course::Spike(_) => 0.5,
            Course::Sine => 1.0 + 0.5 * (at * 4.0 * std::f64::consts::PI).sin(),
        };
        let mean = 1.0 / (rate * capacity);
        Duration::from_secs_f64((-(1.0 - rng.unit()).ln() * mean).clamp(1e-7, 60.0))
    }
}
