//! Owns the counts of one replay: what users got, how old it was, and whether it was right.
//! Never decides what a request gets.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::line::Answer;

/// What a user got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Got {
    /// The application's answer, that was no failure.
    Answer,
    /// An error of the application, or 502 or 504 for it.
    Error,
    /// A copy that was fresh.
    Fresh,
    /// Nothing: the user left first.
    Left,
    /// 503, as the circuit was open.
    RefusedOpen,
    /// 503, as the application was full.
    RefusedFull,
    /// A copy, as the application failed when it was asked.
    RescuedFailed,
    /// A copy, as the circuit was open.
    RescuedOpen,
    /// A copy, as the application was full.
    RescuedFull,
    /// A copy, as the answer took too long.
    RescuedSlow,
}

/// How many got what.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Counts {
    pub(super) answered: u64,
    pub(super) errors: u64,
    pub(super) fresh: u64,
    pub(super) left: u64,
    pub(super) refused_circuit_open: u64,
    pub(super) refused_full: u64,
    pub(super) rescued_failed: u64,
    pub(super) rescued_circuit_open: u64,
    pub(super) rescued_full: u64,
    pub(super) rescued_slow: u64,
}

impl Counts {
    pub(super) fn add(&mut self, got: Got) {
        let count = match got {
            Got::Answer => &mut self.answered,
            Got::Error => &mut self.errors,
            Got::Fresh => &mut self.fresh,
            Got::Left => &mut self.left,
            Got::RefusedFull => &mut self.refused_full,
            Got::RefusedOpen => &mut self.refused_circuit_open,
            Got::RescuedFailed => &mut self.rescued_failed,
            Got::RescuedFull => &mut self.rescued_full,
            Got::RescuedOpen => &mut self.rescued_circuit_open,
            Got::RescuedSlow => &mut self.rescued_slow,
        };
        *count += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.answered += other.answered;
        self.errors += other.errors;
        self.fresh += other.fresh;
        self.left += other.left;
        self.refused_circuit_open += other.refused_circuit_open;
        self.refused_full += other.refused_full;
        self.rescued_failed += other.rescued_failed;
        self.rescued_circuit_open += other.rescued_circuit_open;
        self.rescued_full += other.rescued_full;
        self.rescued_slow += other.rescued_slow;
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused_circuit_open + self.refused_full
    }

    /// Errors and refusals together.
    pub(super) fn failed(&self) -> u64 {
        self.errors + self.refused()
    }

    pub(super) fn rescued(&self) -> u64 {
        self.rescued_failed + self.rescued_circuit_open + self.rescued_full + self.rescued_slow
    }

    /// Requests for which the application was not asked.
    pub(super) fn spared(&self) -> u64 {
        self.fresh + self.refused() + self.rescued_circuit_open + self.rescued_full
    }

    pub(super) fn total(&self) -> u64 {
        self.answered + self.errors + self.fresh + self.left + self.refused() + self.rescued()
    }
}

/// Whether copies were right, where the application answered at that time by the log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Verdicts {
    /// The copy was the page that the application sent.
    pub(super) same: u64,
    /// The log does not tell which page the application sent.
    pub(super) unknown: u64,
    /// The application sent another page, or another status than 200.
    pub(super) wrong: u64,
}

impl Verdicts {
    /// Counts a copy of this version, where the application sent `answer`.
    pub(super) fn add(&mut self, copy: Option<u64>, answer: &Answer) {
        let count = match (answer.status.as_u16(), copy, answer.version) {
            (200 | 304, Some(copy), Some(version)) if copy == version => &mut self.same,
            (200 | 304, Some(_), Some(_)) => &mut self.wrong,
            (200 | 206 | 304 | 416, ..) => &mut self.unknown,
            _ => &mut self.wrong,
        };
        *count += 1;
    }
}

/// Everything that is counted in one replay.
pub(super) struct Tally {
    /// Ages of the copies that rescued, in milliseconds.
    ages: Histogram<u64>,
    pub(super) counts: Counts,
    /// Of copies that answered as they were fresh.
    pub(super) fresh: Verdicts,
    /// Requests that no user sent, to renew copies and to probe circuits.
    pub(super) renewals: u64,
    /// Refused, although the application answered by the log.
    pub(super) refused_needlessly: u64,
    /// Of copies that rescued.
    pub(super) rescued: Verdicts,
}

/// How old the copies were.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Ages {
    pub(super) p50_s: f64,
    pub(super) p90_s: f64,
    pub(super) p99_s: f64,
    pub(super) max_s: f64,
    /// Shares of them that were younger, by age.
    pub(super) younger: [(&'static str, f64); 4],
}

/// Older ones are counted as so old; no copy rescues for longer than a year.
const AGE_MS_MAX: u64 = 366 * 24 * 3600 * 1000;

impl Tally {
    pub(super) fn new() -> Self {
        let ages = Histogram::new_with_bounds(1, AGE_MS_MAX, 3);
        Self {
            ages: ages.expect("the bounds are in order and three digits are possible"),
            counts: Counts::default(),
            fresh: Verdicts::default(),
            renewals: 0,
            refused_needlessly: 0,
            rescued: Verdicts::default(),
        }
    }

    pub(super) fn age(&mut self, age: Duration) {
        let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        self.ages.saturating_record(millis);
    }

    /// `None` when no copy rescued.
    pub(super) fn ages(&self) -> Option<Ages> {
        let seconds = |millis: u64| Duration::from_millis(millis).as_secs_f64();
        let at = |quantile| seconds(self.ages.value_at_quantile(quantile));
        let younger = |name, secs: u64| (name, self.ages.percentile_below(secs * 1000) / 100.0);
        (!self.ages.is_empty()).then(|| Ages {
            p50_s: at(0.5),
            p90_s: at(0.9),
            p99_s: at(0.99),
            max_s: seconds(self.ages.max()),
            younger: [
                younger("10 s", 10),
                younger("1 min", 60),
                younger("10 min", 600),
                younger("1 h", 3600),
            ],
        })
    }
}
