//! Owns the counting of exchanges: totals since start and the times of the last minutes.
//! Never locks and never reads a clock: one thread's share is a plain value.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use retter_core::event::Report;
use retter_core::report::{End, Failure, Source};
use retter_core::time::Instant;

use super::undeclared::Votes;

/// Upper bounds in seconds of the origin's times in the metrics; one more is unbounded.
pub(crate) const LATENCY_BUCKETS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The same of the ages of copies that rescued: from seconds to a day.
pub(crate) const AGE_BUCKETS: [f64; 9] = [
    1.0, 5.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0, 21_600.0, 86_400.0,
];

/// Counts of exchanges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// By source word and status; status 0 when the client left before one was sent.
    pub(crate) answers: BTreeMap<(&'static str, u16), u64>,
    /// Times of whole exchanges, recent.
    pub(crate) answer_times: Times,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) clients_left: u64,
    /// Copies that answered in the application's place by their age: per bucket, not added up.
    pub(crate) copy_ages: [u64; AGE_BUCKETS.len() + 1],
    /// All of them together.
    pub(crate) copy_age_sum: Duration,
    /// Failures below HTTP, by word.
    pub(crate) failures: BTreeMap<&'static str, u64>,
    /// Exchanges with the origin by time: per bucket, not added up; the last is unbounded.
    pub(crate) latencies: [u64; LATENCY_BUCKETS.len() + 1],
    /// All of them together.
    pub(crate) latency_sum: Duration,
    /// Times of the origin, recent.
    pub(crate) origin_times: Times,
    /// Copies that answered where the application should have, by the word for why.
    pub(crate) rescued: BTreeMap<&'static str, u64>,
    /// Answers cut because the origin broke off inside them.
    pub(crate) truncated: u64,
    pub(crate) votes: Votes,
}

impl Totals {
    /// Counts one exchange.
    pub(crate) fn count(&mut self, report: &Report) {
        // Nobody was answered by a refresh; the policy counts them.
        if report.source != Source::Refresh {
            self.count_answer(report);
        }
        if let Some(origin) = &report.origin {
            if let Some(failure) = origin.failure {
                *self.failures.entry(failure.as_str()).or_default() += 1;
            }
            let seconds = origin.time.as_secs_f64();
            self.latencies[LATENCY_BUCKETS.partition_point(|&bound| bound < seconds)] += 1;
            self.latency_sum = self.latency_sum.saturating_add(origin.time);
            self.origin_times.record(origin.time, report.ended);
        }
    }

    fn count_answer(&mut self, report: &Report) {
        self.votes.count(report);
        let status = report.status.map_or(0, |status| status.as_u16());
        let answers = self.answers.entry((report.source.as_str(), status));
        *answers.or_default() += 1;
        if let Some(reason) = report.handling.and_then(|handling| handling.rescue()) {
            *self.rescued.entry(reason).or_default() += 1;
            let age = report.copy_age.unwrap_or_default();
            let seconds = age.as_secs_f64();
            self.copy_ages[AGE_BUCKETS.partition_point(|&bound| bound < seconds)] += 1;
            self.copy_age_sum = self.copy_age_sum.saturating_add(age);
        }
        self.bytes_received = self.bytes_received.saturating_add(report.bytes_received);
        self.bytes_sent = self.bytes_sent.saturating_add(report.bytes_sent);
        match report.end {
            End::ClientLeft => self.clients_left += 1,
            End::Truncated => self.truncated += 1,
            End::Complete | End::Tunnel => {}
        }
        // How long a tunnel or a stream of events lived says nothing about how fast answers are.
        let is_stream = report
            .origin
            .as_ref()
            .is_some_and(|origin| origin.is_stream);
        if report.end != End::Tunnel && !is_stream {
            let time = report.ended.saturating_since(report.started);
            self.answer_times.record(time, report.ended);
        }
    }

    /// Adds another thread's share.
    pub(crate) fn add(&mut self, other: &Self, now: Instant) {
        for (&key, &count) in &other.answers {
            *self.answers.entry(key).or_default() += count;
        }
        for (&key, &count) in &other.failures {
            *self.failures.entry(key).or_default() += count;
        }
        for (&key, &count) in &other.rescued {
            *self.rescued.entry(key).or_default() += count;
        }
        for (sum, count) in self.latencies.iter_mut().zip(other.latencies) {
            *sum += count;
        }
        for (sum, count) in self.copy_ages.iter_mut().zip(other.copy_ages) {
            *sum += count;
        }
        self.copy_age_sum = self.copy_age_sum.saturating_add(other.copy_age_sum);
        self.answer_times.add(&other.answer_times, now);
        self.bytes_received = self.bytes_received.saturating_add(other.bytes_received);
        self.bytes_sent = self.bytes_sent.saturating_add(other.bytes_sent);
        self.clients_left += other.clients_left;
        self.latency_sum = self.latency_sum.saturating_add(other.latency_sum);
        self.origin_times.add(&other.origin_times, now);
        self.truncated += other.truncated;
        self.votes.add(&other.votes);
    }

    /// Answers from `source`, whatever their status.
    pub(crate) fn answers_from(&self, source: Source) -> u64 {
        let of_source = self
            .answers
            .iter()
            .filter(|((word, _), _)| *word == source.as_str());
        of_source.map(|(_, count)| count).sum()
    }

    /// Answers by status class: `2xx`, and `none` when the client left before a status was sent.
    pub(crate) fn by_class(&self) -> BTreeMap<&'static str, u64> {
        let mut classes = BTreeMap::new();
        for (&(_, status), &count) in &self.answers {
            let class = match status / 100 {
                1 => "1xx",
                2 => "2xx",
                3 => "3xx",
                4 => "4xx",
                5 => "5xx",
                _ => "none",
            };
            *classes.entry(class).or_default() += count;
        }
        classes
    }

    /// The failure words, for a metric that has them all from the start.
    pub(crate) const FAILURES: [Failure; 5] = [
        Failure::Connect,
        Failure::Protocol,
        Failure::Reset,
        Failure::Timeout,
        Failure::Truncated,
    ];
}

/// Times of the last one to two minutes, as percentiles: what was long ago hides what is now.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    current: Histogram<u32>,
    /// Which minute `current` is of.
    minute: u64,
    previous: Histogram<u32>,
}

impl Default for Times {
    fn default() -> Self {
        // Microseconds up to an hour, two digits: 13 KiB each.
        let histogram = Histogram::new_with_bounds(1, 3_600_000_000, 2)
            .expect("the bounds are those the library accepts");
        Self {
            current: histogram.clone(),
            minute: 0,
            previous: histogram,
        }
    }
}

impl Times {
    /// The percentile `share` (0 to 1); `None` while there is nothing.
    pub(crate) fn percentile(&self, share: f64) -> Option<Duration> {
        let known = !self.current.is_empty();
        known.then(|| Duration::from_micros(self.current.value_at_quantile(share)))
    }

    fn record(&mut self, time: Duration, at: Instant) {
        self.turn(minute(at));
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.current.saturating_record(micros);
    }

    /// Adds both minutes of `other` that are still recent at `now` to our current one.
    fn add(&mut self, other: &Self, now: Instant) {
        let expected = "all have the same bounds";
        let age = minute(now).saturating_sub(other.minute);
        if age <= 1 {
            self.current.add(&other.current).expect(expected);
        }
        if age == 0 {
            self.current.add(&other.previous).expect(expected);
        }
    }

    fn turn(&mut self, minute: u64) {
        match minute.saturating_sub(self.minute) {
            0 => return,
            1 => std::mem::swap(&mut self.current, &mut self.previous),
            _ => self.previous.reset(),
        }
        self.current.reset();
        self.minute = minute;
    }
}

fn minute(at: Instant) -> u64 {
    at.as_nanos() / 60_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_forget_what_is_older_than_two_minutes() {
        let at = |seconds| Instant::from_epoch(Duration::from_secs(seconds));
        let mut times = Times::default();
        times.record(Duration::from_secs(9), at(10));
        times.record(Duration::from_millis(10), at(61));
        #[track_caller]
        fn check(times: &Times, now: Instant, share: f64, expected_ms: Option<u128>) {
            let mut sum = Times::default();
            sum.add(times, now);
            let found = sum.percentile(share).map(|time| time.as_millis());
            assert_eq!(found, expected_ms);
        }
        check(&times, at(62), 0.5, Some(10));
        check(&times, at(62), 0.99, Some(9043));
        check(&times, at(125), 0.99, Some(10));
        check(&times, at(185), 0.99, None);
        times.record(Duration::from_millis(20), at(1000));
        check(&times, at(1000), 0.5, Some(20));
    }
}
