//! Owns the sliding window of outcomes: a ring of buckets, and which paths failed in it.
//! Never decides whether what it counted is too much.

use std::time::Duration;

use crate::time::Instant;

/// How finely the window slides. Ten is what Hystrix, Polly and linkerd settled on.
const BUCKETS: usize = 10;
const ROUND: u64 = BUCKETS as u64;

/// Different failing paths that are told apart; a display that says 64 means "64 or more".
pub(super) const PATHS_TOLD_APART: u32 = 64;

/// Outcomes of one span of time. Both numbers saturate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) failed: u32,
    pub(super) total: u32,
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
    /// Paths that failed, the last to fail at the end. Empty unless told apart.
    paths: Vec<FailedPath>,
    /// Length of `paths` at most. Dropping the first when it is full loses nothing: what is left
    /// are the last ones to fail, and as many as will ever be reported.
    paths_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct FailedPath {
    hash: u64,
    /// The bucket of its last failure.
    bucket: u64,
}

impl Window {
    /// Makes an empty window. With `by_path`, failing paths are told apart.
    pub(super) fn new(length: Duration, by_path: bool, now: Instant) -> Self {
        let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let width = nanos.div_ceil(ROUND).max(1);
        Self {
            buckets: [Counts::default(); BUCKETS],
            newest: now.as_nanos() / width,
            width,
            paths: Vec::new(),
            paths_max: if by_path {
                PATHS_TOLD_APART as usize
            } else {
                0
            },
        }
    }

    /// Counts one outcome of the path with this hash.
    pub(super) fn record(&mut self, failed: bool, path: u64, now: Instant) {
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
        if failed {
            counts.failed = counts.failed.saturating_add(1);
            self.record_path(path, bucket);
        }
    }

    /// Outcomes in the window that ends now.
    pub(super) fn counts(&self, now: Instant) -> Counts {
        let mut sum = Counts::default();
        for bucket in self.oldest(now)..=self.newest {
            let counts = self.buckets[slot(bucket)];
            sum.failed = sum.failed.saturating_add(counts.failed);
            sum.total = sum.total.saturating_add(counts.total);
        }
        sum
    }

    /// Different paths that failed in the window that ends now, up to [`PATHS_TOLD_APART`];
    /// zero when they are not told apart.
    pub(super) fn paths(&self, now: Instant) -> u32 {
        let oldest = self.oldest(now);
        let recent = self.paths.iter().rev().take_while(|p| p.bucket >= oldest);
        u32::try_from(recent.count()).unwrap_or(PATHS_TOLD_APART)
    }

    fn record_path(&mut self, hash: u64, bucket: u64) {
        if self.paths_max == 0 {
            return;
        }
        if let Some(at) = self.paths.iter().position(|path| path.hash == hash) {
            self.paths.remove(at);
        } else if self.paths.len() >= self.paths_max {
            self.paths.remove(0);
        }
        self.paths.push(FailedPath { hash, bucket });
    }

    fn bucket(&self, now: Instant) -> u64 {
        (now.as_nanos() / self.width).max(self.newest)
    }

    fn oldest(&self, now: Instant) -> u64 {
        self.bucket(now).saturating_sub(ROUND - 1)
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

    /// What the window must say: every outcome kept, all of them counted again each time.
    fn recount(log: &[(u64, bool, u64)], now: u64) -> (Counts, u32) {
        let width = 1_000_000_000;
        let number = |n: usize| u32::try_from(n).unwrap();
        let inside = |at: u64| at / width + ROUND > now / width;
        let seen: Vec<_> = log.iter().filter(|(at, ..)| inside(*at)).collect();
        let failed: Vec<_> = seen.iter().filter(|(_, failed, _)| *failed).collect();
        let paths: BTreeSet<u64> = failed.iter().map(|(.., path)| *path).collect();
        let counts = Counts {
            failed: number(failed.len()),
            total: number(seen.len()),
        };
        (counts, number(paths.len()).min(PATHS_TOLD_APART))
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
                    any::<bool>(),
                    0..90_u64,
                ),
                1..300,
            ),
        ) {
            let mut now = start;
            let mut window = Window::new(LENGTH, true, Instant::from_nanos(now));
            let mut log = Vec::new();
            for (gap, failed, path) in steps {
                now += gap;
                let at = Instant::from_nanos(now);
                let (counts, paths) = recount(&log, now);
                prop_assert_eq!(window.counts(at), counts);
                prop_assert_eq!(window.paths(at), paths);
                window.record(failed, path, at);
                log.push((now, failed, path));
                let (counts, paths) = recount(&log, now);
                prop_assert_eq!(window.counts(at), counts);
                prop_assert_eq!(window.paths(at), paths);
                prop_assert!(window.paths.len() <= PATHS_TOLD_APART as usize);
            }
        }
    }

    #[test]
    fn survives_the_ends_of_time_and_a_clock_that_goes_back() {
        let end = Instant::from_nanos(u64::MAX);
        let mut window = Window::new(Duration::ZERO, true, Instant::ZERO);
        window.record(true, 1, Instant::ZERO);
        window.record(true, 1, end);
        window.record(false, 1, Instant::ZERO);
        let expected = Counts {
            failed: 1,
            total: 2,
        };
        assert_eq!(window.counts(end), expected);
        assert_eq!(window.counts(Instant::ZERO), expected);
        let mut window = Window::new(Duration::MAX, false, end);
        window.record(true, 1, Instant::ZERO);
        assert_eq!(
            window.counts(end),
            Counts {
                failed: 1,
                total: 1
            }
        );
        assert_eq!(window.paths(end), 0);
    }
}
