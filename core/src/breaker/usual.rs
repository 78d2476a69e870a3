//! Owns what is usual: how long the origin takes to begin its answer, by kind of page.
//! Never decides what is too long, and never sees a failure.

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;

use crate::time::Instant;

/// Kinds of pages that are told apart; the one seen least recently gives way.
const KINDS_MAX: usize = 512;

/// A kind's time moves this part of the way toward each new one.
const WEIGHT: u64 = 4;

/// What takes longer than this multiple of the usual counts as this multiple.
pub(super) const FACTOR: u32 = 4;

/// A kind's time grows by at most the half in this time: a brown-out must not become what is
/// usual, but a page that is slower since the last change of the application must at last.
const GROWTH: Duration = Duration::from_secs(60);

/// Times seen between two looks at all kinds.
const LOOK_EVERY: u32 = 32;

/// The usual times of one origin.
#[derive(Debug)]
pub(super) struct Usuals {
    kinds: BTreeMap<u64, Usual>,
    /// Below this, no growth is held back: it makes nothing slow.
    floor: u64,
    /// Of all kinds, the middle one: a page that is asked for often has no more say than another.
    middle: Option<u64>,
    seen: u32,
}

/// The usual time of one kind, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Usual {
    time: u64,
    /// What it may grow to until `since` is [`GROWTH`] ago.
    max: u64,
    since: Instant,
    seen_at: Instant,
}

impl Usuals {
    /// Makes an empty one. Times up to `floor` may become usual at once.
    pub(super) fn new(floor: Duration) -> Self {
        Self {
            kinds: BTreeMap::new(),
            floor: nanos(floor),
            middle: None,
            seen: 0,
        }
    }

    /// What makes nothing slow from now on.
    pub(super) fn set_floor(&mut self, floor: Duration) {
        self.floor = nanos(floor);
    }

    /// Notes how long a page of this kind took.
    pub(super) fn add(&mut self, kind: u64, took: Duration, now: Instant) {
        let (took, floor) = (nanos(took), self.floor);
        match self.kinds.get_mut(&kind) {
            Some(usual) => usual.add(took, floor, now),
            None => {
                self.make_room();
                self.kinds.insert(kind, Usual::new(took, floor, now));
            }
        }
        if self.seen.is_multiple_of(LOOK_EVERY) || self.kinds.len() < 8 {
            self.middle = self.find_middle();
        }
        self.seen = self.seen.wrapping_add(1);
    }

    /// What is usual for this kind; `None` when it was never seen.
    pub(super) fn of(&self, kind: u64) -> Option<Duration> {
        let usual = self.kinds.get(&kind)?;
        Some(Duration::from_nanos(usual.time))
    }

    /// What is usual for the origin; `None` before anything was seen.
    pub(super) fn middle(&self) -> Option<Duration> {
        self.middle.map(Duration::from_nanos)
    }

    fn make_room(&mut self) {
        if self.kinds.len() < KINDS_MAX {
            return;
        }
        let oldest = self.kinds.iter().min_by_key(|(_, usual)| usual.seen_at);
        if let Some((&kind, _)) = oldest {
            self.kinds.remove(&kind);
        }
    }

    fn find_middle(&self) -> Option<u64> {
        let mut times: SmallVec<[u64; 8]> = self.kinds.values().map(|usual| usual.time).collect();
        let middle = times.len().checked_sub(1)? / 2;
        Some(*times.select_nth_unstable(middle).1)
    }
}

impl Usual {
    fn new(time: u64, floor: u64, now: Instant) -> Self {
        Self {
            time,
            max: grown(time, floor),
            since: now,
            seen_at: now,
        }
    }

    fn add(&mut self, took: u64, floor: u64, now: Instant) {
        if now.saturating_since(self.since) >= GROWTH {
            self.max = grown(self.time, floor);
            self.since = now;
        }
        self.seen_at = now;
        let took = took.min(self.time.saturating_mul(FACTOR.into()).max(floor));
        // Rounded toward what was seen, so that it is reached in the end.
        let time = if took > self.time {
            self.time + (took - self.time).div_ceil(WEIGHT)
        } else {
            self.time - (self.time - took).div_ceil(WEIGHT)
        };
        self.time = time.min(self.max);
    }
}

fn grown(time: u64, floor: u64) -> u64 {
    let from = time.max(floor);
    from.saturating_add(from / 2)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(250);

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    /// Adds the times of one kind, a second apart; returns what is usual then, in milliseconds.
    fn after(times: impl IntoIterator<Item = u64>) -> u128 {
        let mut usuals = Usuals::new(FLOOR);
        for (second, time) in (0..).zip(times) {
            usuals.add(1, Duration::from_millis(time), at(second * 1_000));
        }
        usuals.of(1).unwrap().as_millis()
    }

    #[test]
    fn what_is_usual() {
        #[track_caller]
        fn check(times: impl IntoIterator<Item = u64>, expected: std::ops::RangeInclusive<u128>) {
            let usual = after(times);
            assert!(expected.contains(&usual), "{usual} is not in {expected:?}");
        }
        let times = std::iter::repeat_n;
        check([40], 40..=40);
        // A first page that was slow, as after a start, is soon forgotten.
        check([2_000].into_iter().chain(times(50, 20)), 50..=60);
        // One that is slow by nature is what it is, from the first time on.
        check(times(30_000, 3), 30_000..=30_000);
        // Cheap and dear by turns: between them.
        check([20, 800].into_iter().cycle().take(101), 20..=400);
        // Below the floor it follows at once.
        check(times(5, 20).chain(times(200, 20)), 190..=200);
        // A brown-out does not become usual within minutes, though every page is slow in it.
        check(times(50, 100).chain(times(5_000, 20)), 50..=375);
        check(times(50, 100).chain(times(5_000, 60)), 50..=563);
        check(times(50, 100).chain(times(5_000, 180)), 50..=1_266);
        // A change for good does.
        check(times(50, 100).chain(times(2_000, 600)), 1_900..=2_000);
        // And back, at once.
        check(times(2_000, 600).chain(times(50, 20)), 50..=60);
    }

    #[test]
    fn a_change_for_good_is_learnt_from_probes_alone() {
        let mut usuals = Usuals::new(FLOOR);
        for second in 0..100 {
            usuals.add(1, Duration::from_millis(50), at(second * 1_000));
        }
        let mut minutes = 0;
        while usuals.of(1).unwrap() * FACTOR < Duration::from_secs(2) {
            minutes += 1;
            usuals.add(1, Duration::from_secs(2), at(100_000 + minutes * 60_000));
        }
        assert!(minutes <= 6, "{minutes} probes, one a minute");
    }

    #[test]
    fn each_kind_has_one_say_and_there_are_not_too_many() {
        let mut usuals = Usuals::new(FLOOR);
        assert_eq!((usuals.middle(), usuals.of(1)), (None, None));
        for _ in 0..100 {
            usuals.add(0, Duration::from_secs(3), at(0));
        }
        for kind in 1..=4 {
            usuals.add(kind, Duration::from_millis(kind), at(1));
        }
        assert_eq!(usuals.middle(), Some(Duration::from_millis(3)));
        for kind in 5..10_000 {
            usuals.add(kind, Duration::from_millis(7), at(kind));
            assert!(usuals.kinds.len() <= KINDS_MAX);
        }
        assert_eq!(
            (usuals.of(0), usuals.of(9_999)),
            (None, Some(Duration::from_millis(7)))
        );
    }

    #[test]
    fn survives_the_ends_of_time() {
        let mut usuals = Usuals::new(Duration::MAX);
        let end = Instant::from_nanos(u64::MAX);
        for took in [Duration::MAX, Duration::ZERO, Duration::MAX] {
            usuals.add(1, took, end);
            usuals.add(1, took, Instant::ZERO);
        }
        assert!(usuals.of(1).is_some());
    }
}
