//! Owns [`History`]: what became of visitors in the last hour, in steps of half a minute.
//! Never counts an exchange: it takes the differences of counters.

use std::collections::VecDeque;
use std::time::Duration;

use retter_core::report::Source;
use retter_core::time::Instant;
use serde::Serialize;

use super::Totals;

const STEP: Duration = Duration::from_secs(30);
const STEPS: usize = 120;

/// Answers by what they were.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Answers {
    /// The application's own, or from a copy that needed none.
    pub(crate) fresh: u64,
    /// From a copy in the application's place.
    pub(crate) rescued: u64,
    /// Errors of this program's own.
    pub(crate) refused: u64,
    /// Errors of the application.
    pub(crate) failed: u64,
}

impl Answers {
    /// What these counters have so far.
    pub(super) fn add(&mut self, totals: &Totals) {
        let rescued: u64 = totals.rescued.values().sum();
        let mut good = 0;
        for (&(source, status), count) in &totals.answers {
            match status {
                0 => {}
                500.. if source == Source::NoCache.as_str() => self.refused += count,
                500.. => self.failed += count,
                _ => good += count,
            }
        }
        self.rescued += rescued;
        self.fresh += good.saturating_sub(rescued);
    }

    const fn since(self, before: Self) -> Self {
        Self {
            fresh: self.fresh.saturating_sub(before.fresh),
            rescued: self.rescued.saturating_sub(before.rescued),
            refused: self.refused.saturating_sub(before.refused),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    pub(crate) const fn plus(self, more: Self) -> Self {
        Self {
            fresh: self.fresh + more.fresh,
            rescued: self.rescued + more.rescued,
            refused: self.refused + more.refused,
            failed: self.failed + more.failed,
        }
    }

    pub(crate) const fn all(self) -> u64 {
        self.fresh + self.rescued + self.refused + self.failed
    }
}

/// The last hour.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The counters when that was last looked at.
    last: Answers,
    /// Number of the newest step since the epoch.
    step: u64,
    /// The newest last.
    steps: VecDeque<Answers>,
}

impl History {
    /// Notes what the counters have now.
    pub(super) fn note(&mut self, counters: Answers, now: Instant) {
        let step = step(now);
        let missing = step.saturating_sub(self.step);
        if self.steps.is_empty() {
            self.steps.push_back(Answers::default());
        } else {
            for _ in 0..missing.min(STEPS as u64) {
                self.steps.push_back(Answers::default());
            }
        }
        self.step = step;
        while self.steps.len() > STEPS {
            self.steps.pop_front();
        }
        if let Some(newest) = self.steps.back_mut() {
            *newest = newest.plus(counters.since(self.last));
        }
        self.last = counters;
    }

    /// The steps, the newest last.
    pub(super) fn steps(&self) -> Vec<Answers> {
        self.steps.iter().copied().collect()
    }
}

fn step(now: Instant) -> u64 {
    now.saturating_since(Instant::ZERO).as_secs() / STEP.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_in_steps_with_gaps_where_nothing_was() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let counters = |fresh, rescued| Answers {
            fresh,
            rescued,
            ..Answers::default()
        };
        let mut history = History::default();
        history.note(counters(3, 0), at(29));
        history.note(counters(5, 0), at(30));
        history.note(counters(5, 4), at(59));
        history.note(counters(6, 4), at(121));
        let steps = history.steps();
        let told: Vec<_> = steps
            .iter()
            .map(|step| (step.fresh, step.rescued))
            .collect();
        assert_eq!(told, [(3, 0), (2, 4), (0, 0), (0, 0), (1, 0)]);
        history.note(counters(6, 4), at(1_000_000));
        assert_eq!(history.steps().len(), STEPS);
        assert!(history.steps().iter().all(|step| step.all() == 0));
    }
}
