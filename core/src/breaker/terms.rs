//! Owns the numbers a circuit works by: when it opens, and how it comes back.
//! Never counts: what happened is in `window` and [`Breaker`](super::Breaker).

use std::time::Duration;

use super::window::PATHS_TOLD_APART;
use crate::config::BreakerSettings;
use crate::rng::Rng;

/// When a circuit opens.
#[derive(Clone, Copy, Debug)]
pub struct Trip {
    /// Length of the sliding window of outcomes.
    pub window: Duration,
    /// Share of failures in the window that opens the circuit, above 0 and up to 1.
    pub failure_rate: f64,
    /// Outcomes in the window before the rate counts.
    pub outcomes_min: u32,
    /// Different failing paths in the window before the rate counts. At most 64 are told apart,
    /// a larger number is read as 64. With 1 (or 0), paths do not matter.
    pub paths_min: u32,
    /// When slow calls open the circuit; `None` for never.
    pub slow: Option<SlowTrip>,
    /// What opens the circuit without regard to the window.
    pub streak: Streak,
    /// Visitors that have to meet with it, or all of them where there are fewer in the window. Zero is
    /// read as 1.
    pub witnesses: u32,
}

/// When slow calls open a circuit. `paths_min` holds for them too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowTrip {
    /// Share of slow and failed calls in the window, above 0 and up to 1.
    pub rate: f64,
    /// Outcomes in the window before the rate counts.
    pub outcomes_min: u32,
    /// So many in a row, however far apart. Zero is read as 1.
    pub row: u32,
}

/// So many bad outcomes in a row, however far apart. Zero is read as 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Streak {
    /// Connect failures; every other outcome that says something ends the row.
    ConnectFailures(u32),
    /// Failures of any kind; a success ends the row.
    Failures(u32),
}

/// How a circuit that opened comes back.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// The first open time.
    pub open_min: Duration,
    /// The longest open time.
    pub open_max: Duration,
    /// Random part of the open time, ± this share, 0 to below 1.
    pub jitter: f64,
    /// How long a probe holds its slot.
    pub probe_lease: Duration,
    /// Successful probes that close the circuit. Zero is read as 1.
    pub probes_needed: u32,
}

impl Trip {
    /// Different paths that are asked for, as far as they are told apart.
    pub(super) fn paths_min(&self) -> u32 {
        self.paths_min.clamp(1, PATHS_TOLD_APART)
    }

    /// When the circuit of the whole origin opens.
    #[must_use]
    pub fn of_origin(settings: &BreakerSettings) -> Self {
        Self {
            window: settings.window,
            failure_rate: settings.failure_rate,
            outcomes_min: settings.origin_outcomes_min,
            paths_min: settings.origin_paths_min,
            slow: SlowTrip::of(settings),
            streak: Streak::ConnectFailures(settings.consecutive_failures),
            witnesses: 3,
        }
    }

    /// When the circuit of one path opens.
    #[must_use]
    pub fn of_path(settings: &BreakerSettings) -> Self {
        Self {
            window: settings.window,
            failure_rate: settings.failure_rate,
            outcomes_min: settings.path_outcomes_min,
            paths_min: 1,
            slow: SlowTrip::of(settings),
            streak: Streak::Failures(settings.consecutive_failures),
            witnesses: 2,
        }
    }
}

impl SlowTrip {
    /// The same for both tiers: few calls, as each of them has taken its time already.
    fn of(settings: &BreakerSettings) -> Option<Self> {
        Some(Self {
            rate: settings.slow_rate?,
            outcomes_min: settings.path_outcomes_min,
            row: settings.consecutive_failures,
        })
    }
}

impl Recovery {
    /// How the circuit of the whole origin comes back: its open time grows to 2 s at most, unless the
    /// shortest is set longer. Everybody waits for it, and what it costs is a probe.
    #[must_use]
    pub fn of_origin(settings: &BreakerSettings) -> Self {
        const OPEN_MAX: Duration = Duration::from_secs(2);
        Self {
            open_max: settings.open_max.min(OPEN_MAX.max(settings.open_min)),
            probes_needed: settings.origin_probes,
            ..Self::of_path(settings)
        }
    }

    /// How the circuit of one path comes back: at the first successful probe.
    #[must_use]
    pub const fn of_path(settings: &BreakerSettings) -> Self {
        Self {
            open_min: settings.open_min,
            open_max: settings.open_max,
            jitter: settings.jitter,
            probe_lease: settings.probe_lease,
            probes_needed: 1,
        }
    }

    /// The open time after a number of failed recoveries: `open_min` doubled each time up to
    /// `open_max`, then jittered.
    ///
    /// Never above `open_max`: the part of the jitter that would be is mirrored below it, so the
    /// longest open times are still spread and not all the same.
    pub(super) fn open_time(&self, attempt: u32, rng: &mut Rng) -> Duration {
        let doubled = self.open_min.saturating_mul(1 << attempt.min(31));
        let base = doubled.min(self.open_max).as_secs_f64();
        let max = self.open_max.as_secs_f64();
        let spread = self.jitter.mul_add(rng.unit().mul_add(2.0, -1.0), 1.0);
        let jittered = base * spread;
        let mirrored = if jittered > max {
            2.0_f64.mul_add(max, -jittered)
        } else {
            jittered
        };
        // Only settings that were never validated (a jitter of NaN) reach the fallback.
        Duration::try_from_secs_f64(mirrored).unwrap_or(self.open_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attempt: u32, jitter: f64, seconds: std::ops::RangeInclusive<f64>) {
        let recovery = Recovery {
            jitter,
            ..Recovery::of_path(&BreakerSettings::default())
        };
        let mut rng = Rng::new(7);
        let times: Vec<f64> = (0..1_000)
            .map(|_| recovery.open_time(attempt, &mut rng).as_secs_f64())
            .collect();
        assert!(times.iter().all(|time| seconds.contains(time)), "{times:?}");
        let width = seconds.end() - seconds.start();
        let least = times.iter().copied().fold(f64::MAX, f64::min);
        let most = times.iter().copied().fold(0.0, f64::max);
        assert!(
            most - least >= width * 0.9,
            "{least} to {most} is not spread"
        );
        let longest = times.iter().filter(|time| **time >= most).count();
        assert!(longest == 1 || jitter == 0.0, "{longest} are the same");
    }

    #[test]
    fn open_times_double_up_to_the_longest_and_are_spread() {
        check(0, 0.0, 1.0..=1.0);
        check(1, 0.0, 2.0..=2.0);
        check(3, 0.0, 8.0..=8.0);
        check(4, 0.0, 10.0..=10.0);
        check(u32::MAX, 0.0, 10.0..=10.0);
        check(0, 0.2, 0.8..=1.2);
        check(4, 0.2, 8.0..=10.0);
    }

    #[test]
    fn the_whole_origin_is_left_alone_for_two_seconds_at_most_unless_all_times_are_longer() {
        #[track_caller]
        fn check(open_min: u64, open_max: u64, expected: u64) {
            let settings = BreakerSettings {
                open_min: Duration::from_secs(open_min),
                open_max: Duration::from_secs(open_max),
                ..BreakerSettings::default()
            };
            let longest = Recovery::of_origin(&settings).open_max;
            assert_eq!(longest, Duration::from_secs(expected));
        }
        check(1, 60, 2);
        check(1, 1, 1);
        check(7, 60, 7);
    }

    #[test]
    fn unvalidated_numbers_do_not_panic() {
        for jitter in [f64::NAN, f64::INFINITY, -3.0, 9.0] {
            let recovery = Recovery {
                open_min: Duration::MAX,
                open_max: Duration::MAX,
                jitter,
                probe_lease: Duration::ZERO,
                probes_needed: 0,
            };
            let _ = recovery.open_time(3, &mut Rng::new(1));
        }
    }
}
