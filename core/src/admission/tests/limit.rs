//! Where the limit goes, for an origin whose knee is known.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::*;
use crate::rng::Rng;

/// An origin with some workers and an endless queue before it, and more load than it bears, all the
/// time or in bursts.
struct Origin {
    limit: Limit,
    now: Instant,
    workers: usize,
    service: Duration,
    /// Ends of those that are worked on, and begin of the work before.
    busy: BinaryHeap<Reverse<(Instant, Instant, u32)>>,
    /// Begins of those that wait there.
    queued: std::collections::VecDeque<(Instant, u32)>,
    outcome: Outcome,
    /// Part of the requests that fail whatever the load is.
    broken: f64,
    /// At most so many want something at one time.
    load: u32,
    /// Visitors that come at once, and none before all of them are answered.
    burst: Option<u32>,
    /// Those of the burst that have not been let in.
    waiting: u32,
    /// Some pages take many times as long as others.
    scatters: bool,
    rng: Rng,
}

impl Origin {
    fn new(workers: usize, service_ms: u64) -> Self {
        let bounds = LimitBounds {
            start: 8,
            min: 1,
            max: 256,
        };
        Self {
            limit: Limit::new(bounds, Instant::ZERO),
            now: Instant::ZERO,
            workers,
            service: Duration::from_millis(service_ms),
            busy: BinaryHeap::new(),
            queued: std::collections::VecDeque::new(),
            outcome: Outcome::Success,
            broken: 0.0,
            load: u32::MAX,
            burst: None,
            waiting: 0,
            scatters: false,
            rng: Rng::new(7),
        }
    }

    fn in_flight(&self) -> u32 {
        u32::try_from(self.busy.len() + self.queued.len()).unwrap()
    }

    /// Lets some seconds pass; returns the lowest and the highest limit after the first half.
    fn run(&mut self, seconds: u64) -> (u32, u32) {
        let began = self.now;
        let end = began + Duration::from_secs(seconds);
        let half = began + Duration::from_secs(seconds) / 2;
        let (mut low, mut high) = (u32::MAX, 0);
        while self.now < end {
            if let Some(size) = self.burst
                && self.in_flight() + self.waiting == 0
            {
                self.waiting = size;
                self.now = self.now + Duration::from_secs(2);
            }
            while self.in_flight() < self.limit.current().min(self.load)
                && (self.burst.is_none() || self.waiting > 0)
            {
                self.waiting = self.waiting.saturating_sub(1);
                let found = self.in_flight() + 1;
                self.queued.push_back((self.now, found));
            }
            while self.busy.len() < self.workers
                && let Some((since, found)) = self.queued.pop_front()
            {
                let times = if self.scatters {
                    -(1.0 - self.rng.unit()).ln()
                } else {
                    // Half of the time to one and a half.
                    0.5 + self.rng.unit()
                };
                let took = self.service.mul_f64(times);
                self.busy.push(Reverse((self.now + took, since, found)));
            }
            let in_flight = self.in_flight();
            let Some(Reverse((ended, started, found))) = self.busy.pop() else {
                break;
            };
            self.now = ended;
            let is_broken = self.broken > 0.0 && self.rng.unit() < self.broken;
            self.limit.record(Sample {
                started,
                ended,
                found,
                in_flight,
                leaves_idle: self.burst.is_some() && in_flight + self.waiting == 1,
                outcome: if is_broken {
                    Outcome::Failure
                } else {
                    self.outcome
                },
            });
            if self.now > half {
                low = low.min(self.limit.settled());
                high = high.max(self.limit.settled());
            }
        }
        (low, high)
    }

    #[track_caller]
    fn check(&mut self, seconds: u64, expected: std::ops::RangeInclusive<u32>) -> &mut Self {
        let (low, high) = self.run(seconds);
        assert!(
            expected.contains(&low) && expected.contains(&high),
            "{low} to {high}, expected {expected:?}"
        );
        self
    }
}

#[test]
fn it_finds_the_knee_from_below_and_from_above() {
    // The workers, what one request takes, seconds, and where the limit must end.
    for (workers, service_ms, seconds, expected) in [
        (1, 5, 20, 1..=4),
        (2, 20, 20, 2..=10),
        (1, 100, 60, 1..=4),
        (2, 200, 60, 2..=5),
        (8, 20, 20, 6..=14),
        (8, 500, 120, 6..=16),
        (32, 50, 20, 24..=60),
        (64, 1, 10, 45..=128),
        (64, 200, 60, 45..=128),
    ] {
        Origin::new(workers, service_ms).check(seconds, expected);
    }
}

/// Origins that answer eight at one time before anybody minds.
const QUICK: [(usize, u64); 4] = [(1, 4), (1, 20), (2, 50), (8, 20)];

#[test]
fn bursts_are_let_in_where_nobody_minds() {
    for (workers, service_ms) in QUICK {
        let mut origin = Origin::new(workers, service_ms);
        origin.burst = Some(25);
        origin.check(200, 7..=16);
    }
}

#[test]
fn it_comes_back_from_one_where_nobody_minds_more() {
    for (workers, service_ms) in QUICK {
        let mut origin = Origin::new(workers, service_ms);
        origin.burst = Some(25);
        origin.limit.restart(1, origin.now);
        origin.check(200, 4..=16);
    }
}

#[test]
fn what_a_surge_teaches_ends_with_it() {
    for (workers, service_ms) in QUICK {
        let mut origin = Origin::new(workers, service_ms);
        origin.run(60);
        let in_surge = origin.limit.settled();
        assert!(workers > 2 || in_surge <= 5, "{in_surge}");
        origin.burst = Some(25);
        origin.run(5);
        let after = origin.limit.settled();
        assert!(after >= 7, "{in_surge}, then {after}");
    }
}

#[test]
fn it_follows_the_origin_up_and_down() {
    let mut origin = Origin::new(8, 20);
    origin.check(20, 6..=14);
    origin.workers = 32;
    origin.check(40, 24..=60);
    origin.workers = 4;
    origin.check(60, 3..=16);
}

#[test]
fn slower_pages_are_no_reason_to_let_in_fewer() {
    let mut origin = Origin::new(16, 20);
    origin.check(20, 13..=28);
    origin.service *= 8;
    origin.check(40, 12..=32);
    origin.service /= 20;
    origin.check(20, 12..=32);
}

#[test]
fn an_origin_that_slows_down_but_works_side_by_side_is_not_held_to_one_at_a_time() {
    let mut lows = Vec::new();
    for seed in 0..40 {
        let mut origin = Origin::new(8, 500);
        (origin.rng, origin.scatters) = (Rng::new(seed), true);
        origin.run(60);
        origin.service *= 4;
        let (low, _) = origin.run(120);
        lows.push(low);
    }
    lows.sort_unstable();
    assert!(lows[0] >= 4, "{lows:?}");
}

#[test]
fn a_load_that_does_not_need_it_does_not_move_it() {
    let mut origin = Origin::new(8, 20);
    origin.load = 4;
    origin.check(20, 8..=8);
    assert_eq!(origin.limit.current(), 8, "nothing is tried");
    assert!(origin.limit.service_time() > Duration::from_millis(15));
}

#[test]
fn it_sinks_to_what_is_needed_when_the_surge_is_long_over() {
    let mut origin = Origin::new(64, 20);
    origin.check(20, 45..=128);
    origin.load = 12;
    let (low, high) = origin.run(600);
    assert!((12..=16).contains(&low) && high <= 64, "{low} to {high}");
    // A night without a request, then one.
    origin.load = 1;
    origin.now = origin.now + Duration::from_secs(8 * 3600);
    origin.check(40, 8..=16);
}

#[test]
fn failures_shrink_it_at_once() {
    let mut origin = Origin::new(64, 20);
    origin.check(20, 45..=128);
    origin.outcome = Outcome::Failure;
    origin.run(2);
    assert!(origin.limit.settled() <= 8);
    origin.outcome = Outcome::Success;
    origin.check(40, 40..=110);
}

#[test]
fn a_broken_page_is_no_collapse() {
    let mut origin = Origin::new(8, 20);
    origin.broken = 0.2;
    origin.check(60, 6..=16);
}

#[test]
fn who_leaves_says_nothing_of_the_time_it_takes() {
    let mut origin = Origin::new(4, 20);
    origin.run(1);
    let before = origin.limit.service_time();
    origin.outcome = Outcome::Ignore;
    origin.service = Duration::from_millis(1);
    origin.run(1);
    assert_eq!(origin.limit.service_time(), before);
}

#[test]
fn equal_bounds_fix_it() {
    let mut origin = Origin::new(1, 20);
    let bounds = LimitBounds {
        start: 8,
        min: 5,
        max: 5,
    };
    origin.limit = Limit::new(bounds, Instant::ZERO);
    origin.check(10, 5..=5);
    origin.outcome = Outcome::Failure;
    origin.check(10, 5..=5);
    origin.limit.restart(1, origin.now);
    assert_eq!(origin.limit.current(), 5);
}

#[test]
fn any_samples_keep_it_within_its_bounds() {
    let mut rng = Rng::new(11);
    for round in 0..200 {
        let bounds = LimitBounds {
            start: 1 + round % 20,
            min: 1 + round % 3,
            max: 3 + round % 50,
        };
        let mut limit = Limit::new(bounds, Instant::ZERO);
        let mut now = Instant::ZERO;
        for _ in 0..500 {
            now = now + Duration::from_micros(rng.next() % 20_000);
            if rng.next().is_multiple_of(50) {
                now = now + Duration::from_secs(rng.next() % 100_000);
            }
            let in_flight = u32::try_from(rng.next() % 40).unwrap();
            let outcomes = [
                Outcome::ConnectFailure,
                Outcome::Failure,
                Outcome::Ignore,
                Outcome::Success,
            ];
            limit.record(Sample {
                started: now - Duration::from_micros(rng.next() % 1_000_000),
                ended: now,
                found: u32::try_from(rng.next() % 40).unwrap(),
                in_flight,
                leaves_idle: in_flight <= 1,
                outcome: outcomes[usize::try_from(rng.next() % 4).unwrap()],
            });
            for value in [limit.current(), limit.settled()] {
                assert!(
                    (bounds.min..=bounds.max).contains(&value),
                    "{value} {bounds:?}"
                );
            }
        }
    }
}
