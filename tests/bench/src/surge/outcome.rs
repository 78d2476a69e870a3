//! Owns what came of a run: its figures, and its seconds in the chart.
//! Never measures, and knows no table.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::beside::Others;
use super::load::{Answer, Visit};
use super::restart::Orders;
use super::scenario::Phases;
use crate::percentile;

/// What came of one contender in one scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub contender: String,
    /// Every request in the order of sending.
    pub visits: Vec<Visit>,
    /// When the parts of the run were.
    pub phases: Phases,
    /// Most requests in flight at the application during the event.
    pub peak: u64,
    /// Pages that the application made during the event.
    pub made: u64,
    /// When the event ended, in milliseconds since 1970.
    pub ended: u64,
    /// When the run began, on that clock.
    pub began: u64,
    /// What became of those who came beside the visitors.
    pub others: Option<Others>,
    /// The orders that the application got, each with how often.
    pub orders: BTreeMap<String, u32>,
}

/// The figures of a row: shares in percent, times in milliseconds, an age in seconds.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) contender: String,
    pub(super) sent: usize,
    pub(super) good: f64,
    /// What was good in the second half of the event.
    pub(super) later: f64,
    pub(super) wrong: f64,
    pub(super) error: f64,
    pub(super) late: f64,
    pub(super) broken: f64,
    pub(super) good_per_second: f64,
    pub(super) made_per_second: f64,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) age: f64,
    pub(super) posts: f64,
    pub(super) peak: u64,
    pub(super) after: f64,
    pub(super) recovered: Option<Duration>,
    pub(super) fresh: Option<Duration>,
    pub(super) lag: f64,
    /// Good answers a second to those beside the visitors, and the share of others that they got.
    pub(super) others: (f64, f64),
    pub(super) orders: Orders,
}

const TICK: Duration = Duration::from_millis(500);

impl Outcome {
    pub(super) fn row(&self) -> Row {
        let phases = self.phases;
        let during: Vec<&Visit> = self.between(phases.begin, phases.end).collect();
        let share = |answer| percent(&during, |visit| visit.answer == answer);
        let good: Vec<&&Visit> = during.iter().filter(|v| v.answer == Answer::Good).collect();
        let took: Vec<f64> = good.iter().map(|v| v.took.as_secs_f64() * 1e3).collect();
        let lags: Vec<f64> = during.iter().map(|v| v.lag.as_secs_f64() * 1e3).collect();
        let age = |visit: &&&Visit| {
            self.answered(visit)
                .saturating_sub(Duration::from_millis(visit.version))
                .as_secs_f64()
        };
        let posts: Vec<&Visit> = during.iter().copied().filter(|v| v.is_post).collect();
        let middle = (phases.begin + phases.end) / 2;
        let later: Vec<&Visit> = self.between(middle, phases.end).collect();
        let after: Vec<&Visit> = self.between(phases.end, phases.all).collect();
        let is_good = |visit: &Visit| visit.answer == Answer::Good;
        let seconds = (phases.end - phases.begin).as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "requests of a minute")]
        let [good_per_second, made_per_second] =
            [good.len() as f64, self.made as f64].map(|count| count / seconds);
        Row {
            contender: self.contender.clone(),
            sent: during.len(),
            good: share(Answer::Good),
            later: percent(&later, is_good),
            wrong: share(Answer::Wrong),
            error: share(Answer::Error),
            late: share(Answer::Late),
            broken: share(Answer::Broken),
            good_per_second,
            made_per_second,
            p50: percentile(&took, 0.5),
            p95: percentile(&took, 0.95),
            p99: percentile(&took, 0.99),
            age: percentile(&good.iter().map(age).collect::<Vec<_>>(), 1.0),
            posts: percent(&posts, is_good),
            peak: self.peak,
            after: percent(&after, is_good),
            recovered: self.recovered(),
            fresh: self.fresh(),
            lag: percentile(&lags, 0.99),
            others: self.others.unwrap_or_default().figures(phases),
            orders: self.lost(),
        }
    }

    /// When a visitor had the answer, since 1970.
    fn answered(&self, visit: &Visit) -> Duration {
        Duration::from_millis(self.began) + visit.at + visit.lag + visit.took
    }

    pub(super) fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Visit> {
        self.visits
            .iter()
            .filter(move |visit| (from..to).contains(&visit.at))
    }

    /// After how long, from the end of the event, 99 % of answers were good and stayed so.
    fn recovered(&self) -> Option<Duration> {
        let mut since = self.phases.all;
        while since > self.phases.end {
            let begin = since.saturating_sub(TICK).max(self.phases.end);
            let tick: Vec<&Visit> = self.between(begin, since).collect();
            if percent(&tick, |visit| visit.answer == Answer::Good) < 99.0 {
                break;
            }
            since = begin;
        }
        (since < self.phases.all).then(|| since - self.phases.end)
    }

    /// After how long, from the end of the event, the first page made since then was seen.
    fn fresh(&self) -> Option<Duration> {
        let fresh = self
            .visits
            .iter()
            .filter(|visit| visit.version > self.ended);
        let seen = fresh.map(|visit| self.answered(visit));
        Some(
            seen.min()?
                .saturating_sub(Duration::from_millis(self.ended)),
        )
    }

    /// Good answers to what was sent in each second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "requests of a second")]
    pub fn good_by_second(&self) -> Vec<f64> {
        (0..self.phases.all.as_secs())
            .map(Duration::from_secs)
            .map(|from| {
                let second = self.between(from, from + Duration::from_secs(1));
                second.filter(|visit| visit.answer == Answer::Good).count() as f64
            })
            .collect()
    }

    /// Requests that were sent in each second.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "requests of a second")]
    pub fn sent_by_second(&self) -> Vec<f64> {
        (0..self.phases.all.as_secs())
            .map(Duration::from_secs)
            .map(|from| self.between(from, from + Duration::from_secs(1)).count() as f64)
            .collect()
    }

    /// All figures.
    #[must_use]
    pub fn json(&self) -> Value {
        let row = self.row();
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
        json!({
            "contender": row.contender,
            "sent": row.sent,
            "good_percent": row.good,
            "second_half_percent": row.later,
            "wrong_percent": row.wrong,
            "error_percent": row.error,
            "late_percent": row.late,
            "broken_percent": row.broken,
            "good_per_second": row.good_per_second,
            "made_per_second": row.made_per_second,
            "p50_ms": row.p50,
            "p95_ms": row.p95,
            "p99_ms": row.p99,
            "oldest_page_seconds": row.age,
            "posts_good_percent": row.posts,
            "peak_in_flight": row.peak,
            "good_after_percent": row.after,
            "recovered_seconds": seconds(row.recovered),
            "fresh_seconds": seconds(row.fresh),
            "lag_p99_ms": row.lag,
            "others": self.others.as_ref().map(|others| others.json(self.phases)),
            "orders": row.orders.json(),
            "good_by_second": self.good_by_second(),
            "sent_by_second": self.sent_by_second(),
        })
    }
}

#[allow(clippy::cast_precision_loss, reason = "requests of a minute")]
fn percent(visits: &[&Visit], counts: impl Fn(&Visit) -> bool) -> f64 {
    let count = visits.iter().filter(|visit| counts(visit)).count();
    100.0 * count as f64 / visits.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of ten requests a second in which what was sent in `bad` tenths was late.
    fn outcome(bad: std::ops::Range<u64>) -> Outcome {
        let phases = Phases::new(8, 5.0);
        let visit = |tenth| Visit {
            at: Duration::from_millis(100 * tenth),
            lag: Duration::from_millis(1),
            number: 0,
            is_post: tenth % 10 == 0,
            answer: if bad.contains(&tenth) {
                Answer::Late
            } else {
                Answer::Good
            },
            took: Duration::from_millis(20),
            version: if bad.contains(&tenth) {
                0
            } else {
                1_000_000 + 100 * tenth
            },
        };
        Outcome {
            contender: "one".to_owned(),
            visits: (0..200).map(visit).collect(),
            phases,
            peak: 8,
            made: 1_200,
            began: 1_000_000,
            ended: 1_012_000,
            others: None,
            orders: BTreeMap::new(),
        }
    }

    #[test]
    fn recovery_is_counted_from_the_end_of_the_event() {
        let seconds = |bad| outcome(bad).recovered().map(|time| time.as_secs_f64());
        assert_eq!(seconds(0..0), Some(0.0));
        assert_eq!(seconds(40..120), Some(0.0));
        assert_eq!(seconds(40..131), Some(1.5));
        assert_eq!(seconds(40..200), None);
    }

    #[test]
    fn the_first_fresh_page_is_one_that_was_made_after_the_event() {
        let run = outcome(40..150);
        assert_eq!(run.fresh(), Some(Duration::from_millis(3021)));
        assert_eq!(outcome(40..200).fresh(), None);
    }

    #[test]
    fn a_row_counts_what_was_sent_during_the_event() {
        let row = outcome(40..60).row();
        assert_eq!((row.sent, row.good, row.late), (80, 75.0, 25.0));
        assert_eq!((row.posts, row.after), (75.0, 100.0));
        assert_eq!((row.p50, row.p99), (20.0, 20.0));
        assert_eq!((row.good_per_second, row.age, row.lag), (7.5, 0.021, 1.0));
    }
}
