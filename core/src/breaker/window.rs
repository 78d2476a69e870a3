//! Owns the sliding window of outcomes: a ring of buckets, and which paths failed or
//! were slow in it.
//! Never decides whether what it counted is too much.

use std::time::Duration;

use super::Outcome;
use crate::time::Instant;

/// How finely the window slides. Ten is what Hystrix, Polly and linkerd settled on.
const BUCKETS: usize = 10;
const ROUND: u64 = BUCKETS as u64;

/// Different failing paths that are told apart; a display that says 64 means "64 or more".
pub(super) const PATHS_TOLD_APART: u32 = 64;

/// Outcomes of one span of time. The numbers saturate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) failed: u32,
    pub(super) slow: u32,
    pub(super) total: u32,
}

impl Counts {
    /// Those that failed or were slow.
    pub(super) const fn bad(&self) -> u32 {
        self.failed.saturating_add(self.slow)
    }

    /// So many as a share of all. A quotient: 33 of 50 is then exactly the 0.66 of a setting, a product
    /// might not be.
    pub(super) fn share(&self, count: u32) -> f64 {
        f64::from(count) / f64::from(self.total)
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.failed = self.failed.saturating_add(other.failed);
        self.slow = self.slow.saturating_add(other.slow);
        self.total = self.total.saturating_add(other.total);
    }
}

/// A sliding window.
///
/// Time is cut into buckets of a tenth of the window. A bucket counts as a whole or not at all,
/// so an outcome is counted for at least nine tenths of the window and never for longer than it.
/// A clock that jumps far ahead empties the window; one that goes back is read as standing still.
#[derive(Debug)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
pub(super) struct Window {
    buckets: [Counts; BUCKETS],
    /// The number of the newest bucket written, counted from the epoch.
    newest: u64,
    /// Nanoseconds of one bucket.
    width: u64,
    /// Paths that failed.
    failed: Paths,
    /// Paths that failed or were slow.
    bad: Paths,
}

/// Different paths, the last one seen at the end.
#[derive(Debug)]
#[cfg_attr(any(test, fuzzing), derive(Clone))]
struct Paths {
    seen: Vec<SeenPath>,
    /// Length at most, zero when paths are not told apart. Dropping the first when it is full
    /// loses nothing: what is left are the last ones, and as many as will ever be reported.
    seen_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct SeenPath {
    hash: u64,
    /// The bucket in which it was last seen.
    bucket: u64,
}

impl Window {
    /// Makes an empty window. With `by_path`, failing paths are told apart.
    pub(super) fn new(length: Duration, by_path: bool, now: Instant) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let paths = || Paths {
            seen: Vec::new(),
            seen_max: if by_path {
                PATHS_TOLD_APART as usize
            } else {
                0
            },
        };
        let width = nanos.div_ceil(ROUND).max(1);
        Self {
            buckets: [Counts::default(); BUCKETS],
            newest: now.as_nanos() / width,
            width,
            failed: paths(),
            bad: paths(),
        }
    }

    /// Counts one outcome of the path with this hash.
    pub(super) fn record(&mut self, outcome: Outcome, path: u64, now: Instant) {
        let bucket = self.bucket(now);
        if bucket > self.newest {
            // At most one round of the ring, however far the clock went.
            let first = (self.newest + 1).max(bucket.saturating_sub(ROUND - 1));
            for skipped in first..=bucket {
                self.buckets[slot(skipped)] = Counts::default();
            }
        }
        self.newest = bucket;
        let counts = &mut self.buckets[slot(bucket)];
        counts.total = counts.total.saturating_add(1);
        match outcome {
            Outcome::ConnectFailure | Outcome::Failure => {
                counts.failed = counts.failed.saturating_add(1);
                self.failed.see(path, bucket);
                self.bad.see(path, bucket);
            }
            Outcome::Ignore | Outcome::Success => {}
            Outcome::Slow { .. } => {
                counts.slow = counts.slow.saturating_add(1);
                self.bad.see(path, bucket);
            }
        }
    }

    /// Outcomes in the window that ends now.
    pub(super) fn counts(&self, now: Instant) -> Counts {
        let mut sum = Counts::default();
        for bucket in self.oldest(now)..=self.newest {
            sum.add(self.buckets[slot(bucket)]);
        }
        sum
    }

    /// Whether the window that ends now reaches back to `at`.
    pub(super) fn reaches(&self, at: Instant, now: Instant) -> bool {
        at.as_nanos() / self.width >= self.oldest(now)
    }

    /// Different paths that failed in the window that ends now, up to [`PATHS_TOLD_APART`];
    /// zero when they are not told apart.
    pub(super) fn paths_failed(&self, now: Instant) -> u32 {
        self.failed.since(self.oldest(now))
    }

    /// The same of paths that failed or were slow.
    pub(super) fn paths_bad(&self, now: Instant) -> u32 {
        self.bad.since(self.oldest(now))
    }

    fn bucket(&self, now: Instant) -> u64 {
        (now.as_nanos() / self.width).max(self.newest)
    }

    fn oldest(&self, now: Instant) -> u64 {
        self.bucket(now).saturating_sub(ROUND - 1)
    }
}

impl Paths {
    fn see(&mut self, hash: u64, bucket: u64) {
        if self.seen_max == 0 {
            return;
        }
        if let Some(at) = self.seen.iter().position(|path| path.hash == hash) {
            self.seen.remove(at);
        } else if self.seen.len() >= self.seen_max {
            self.seen.remove(0);
        }
        self.seen.push(SeenPath { hash, bucket });
    }

    fn since(&self, bucket: u64) -> u32 {
        let recent = self
            .seen
            .iter()
            .rev()
            .take_while(|path| path.bucket >= bucket);
        u32::try_from(recent.count()).unwrap_or(PATHS_TOLD_APART)
    }
}

const fn slot(bucket: u64) -> usize {
    (bucket % ROUND) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);
    const SLOW: Outcome = Outcome::Slow {
        over: Duration::from_secs(1),
    };

    /// What the window must say: every outcome kept, all of them counted again each time.
    fn recount(log: &[(u64, Outcome, u64)], now: u64) -> (Counts, u32, u32) {
        let width = 1_000_000_000;
        let number = |n: usize| u32::try_from(n).unwrap();
        let inside = |at: u64| at / width + ROUND > now / width;
        let seen: Vec<_> = log.iter().filter(|(at, ..)| inside(*at)).collect();
        let of = |outcomes: &[Outcome]| {
            let seen = seen
                .iter()
                .filter(|(_, outcome, _)| outcomes.contains(outcome));
            let paths: Vec<u64> = seen.map(|(.., path)| *path).collect();
            let different: BTreeSet<_> = paths.iter().collect();
            (
                number(paths.len()),
                number(different.len()).min(PATHS_TOLD_APART),
            )
        };
        let (failed, paths_failed) = of(&[Outcome::Failure]);
        let (slow, _) = of(&[SLOW]);
        let (_, paths_bad) = of(&[Outcome::Failure, SLOW]);
        let total = number(seen.len());
        let counts = Counts {
            failed,
            slow,
            total,
        };
        (counts, paths_failed, paths_bad)
    }

    proptest! {
        #[test]
        fn same_as_a_naive_recount(
            start in prop_oneof![Just(0_u64), any::<u64>().prop_map(|n| n >> 8)],
            steps in prop::collection::vec(
                (
                    prop_oneof![
                        6 => 0..1_500_000_000_u64,
                        2 => 0..12_000_000_000_u64,
                        1 => 0..u64::MAX >> 20,
                    ],
                    prop::sample::select(&[Outcome::Failure, SLOW, Outcome::Success][..]),
                    0..90_u64,
                ),
                1..300,
            ),
        ) {
            let mut now = start;
            let mut window = Window::new(LENGTH, true, Instant::from_nanos(now));
            let mut log = Vec::new();
            for (gap, outcome, path) in steps {
                now += gap;
                let at = Instant::from_nanos(now);
                let told = (window.counts(at), window.paths_failed(at), window.paths_bad(at));
                prop_assert_eq!(told, recount(&log, now));
                window.record(outcome, path, at);
                log.push((now, outcome, path));
                let told = (window.counts(at), window.paths_failed(at), window.paths_bad(at));
                prop_assert_eq!(told, recount(&log, now));
                prop_assert!(window.bad.seen.len() <= PATHS_TOLD_APART as usize);
            }
        }
    }

    #[test]
    fn survives_the_ends_of_time_and_a_clock_that_goes_back() {
        let end = Instant::from_nanos(u64::MAX);
        let mut window = Window::new(Duration::ZERO, true, Instant::ZERO);
        window.record(Outcome::Failure, 1, Instant::ZERO);
        window.record(Outcome::Failure, 1, end);
        window.record(Outcome::Success, 1, Instant::ZERO);
        let expected = Counts {
            failed: 1,
            slow: 0,
            total: 2,
        };
        assert_eq!(window.counts(end), expected);
        assert_eq!(window.counts(Instant::ZERO), expected);
        let mut window = Window::new(Duration::MAX, false, end);
        window.record(SLOW, 1, Instant::ZERO);
        let expected = Counts {
            failed: 0,
            slow: 1,
            total: 1,
        };
        assert_eq!(window.counts(end), expected);
        assert_eq!((window.paths_failed(end), window.paths_bad(end)), (0, 0));
    }
}
