//! Owns [`Lately`]: what happened to whom of late, each for a time, as marks that say nothing else.
//! Never knows what a mark stands for.
//!
//! Bounded: where too many share a bucket, the one that ends first gives way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::time::Instant;

/// With [`WAYS`] places each: 32,768 marks in a quarter of a mebibyte.
const BUCKETS: usize = 4096;

const WAYS: usize = 8;

/// Marks, and until when each counts.
#[derive(Debug)]
pub(super) struct Lately {
    /// When the last one ends, in seconds: mostly none counts, and nothing has to be looked at.
    last: AtomicU64,
    /// The upper half of a mark, and the second in which it ends; 0 is a free place.
    places: Box<[[AtomicU64; WAYS]]>,
    /// Held by whoever changes a place.
    writer: Mutex<()>,
}

impl Lately {
    pub(super) fn new() -> Self {
        Self {
            last: AtomicU64::new(0),
            places: std::iter::repeat_with(Default::default)
                .take(BUCKETS)
                .collect(),
            writer: Mutex::new(()),
        }
    }

    /// Whether any mark may count now.
    #[inline]
    pub(super) fn has_any(&self, now: Instant) -> bool {
        self.last.load(Ordering::Acquire) > seconds(now)
    }

    /// Lets a mark count until then, rounded up to a second, and not shorter than it does.
    pub(super) fn note(&self, mark: u64, until: Instant) {
        let until = (seconds(until) + 1).min(END_MAX);
        let bucket = self.bucket(mark);
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = |place: &AtomicU64| place.load(Ordering::Relaxed) & END_MAX;
        let is_it = |place: &&AtomicU64| place.load(Ordering::Relaxed) & !END_MAX == tag(mark);
        let known = bucket.iter().find(is_it);
        let first_to_end = || bucket.iter().min_by_key(|place| ends(place));
        let Some(place) = known.or_else(first_to_end) else {
            return;
        };
        let before = known.map_or(0, ends);
        place.store(tag(mark) | until.max(before), Ordering::Release);
        self.last.fetch_max(until, Ordering::AcqRel);
    }

    /// Lets a mark count no more.
    pub(super) fn forget(&self, mark: u64) {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        for place in self.bucket(mark) {
            if place.load(Ordering::Relaxed) & !END_MAX == tag(mark) {
                place.store(0, Ordering::Release);
            }
        }
    }

    /// For how long a mark counts from now on; `None` when it does not.
    pub(super) fn left(&self, mark: u64, now: Instant) -> Option<Duration> {
        if !self.has_any(now) {
            return None;
        }
        let mut places = self.bucket(mark).iter();
        let counts = |place: u64| place & !END_MAX == tag(mark) && place & END_MAX > seconds(now);
        let found = places.find_map(|place| {
            let place = place.load(Ordering::Acquire);
            counts(place).then_some(place & END_MAX)
        })?;
        Some(Duration::from_secs(found - seconds(now)))
    }

    /// Whether a mark counts now.
    pub(super) fn has(&self, mark: u64, now: Instant) -> bool {
        self.left(mark, now).is_some()
    }

    /// Shows all marks that count now, as far as they are kept: noted with [`note`](Self::note) they are found
    /// as before.
    pub(super) fn each(&self, now: Instant, show: &mut dyn FnMut(u64, Instant)) {
        if !self.has_any(now) {
            return;
        }
        for (number, bucket) in (0..).zip(&self.places) {
            for place in bucket {
                let place = place.load(Ordering::Acquire);
                let until = place & END_MAX;
                if until > seconds(now) {
                    // `note` adds a second.
                    let until = Duration::from_secs(until.saturating_sub(1));
                    show(tag(place) | number, Instant::from_epoch(until));
                }
            }
        }
    }

    fn bucket(&self, mark: u64) -> &[AtomicU64; WAYS] {
        &self.places[usize::try_from(mark & 0xffff_ffff).unwrap_or_default() % BUCKETS]
    }
}

/// The bits of a place that say when it ends.
const END_MAX: u64 = 0xffff_ffff;

const fn tag(mark: u64) -> u64 {
    mark & !END_MAX
}

fn seconds(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    #[test]
    fn a_mark_counts_until_its_time() {
        let lately = Lately::new();
        assert!(!lately.has(7, at(0)));
        let (mark, other) = (7 << 32, 8 << 32);
        lately.note(mark, at(10));
        lately.note(mark, at(5));
        assert!(lately.has(mark, at(10)) && !lately.has(mark, at(11)));
        assert!(!lately.has(other, at(9)) && !lately.has(mark + 1, at(9)));
        assert_eq!(lately.left(mark, at(4)), Some(Duration::from_secs(7)));
        assert!(!lately.has_any(at(11)));
        lately.note(mark, at(20));
        lately.forget(mark);
        assert!(!lately.has(mark, at(12)));
    }

    #[test]
    fn what_is_shown_is_found_as_before_where_it_is_noted_again() {
        let (lately, other) = (Lately::new(), Lately::new());
        let mut rng = Rng::new(5);
        let marks: Vec<_> = (10..1_010).map(|secs| (rng.next(), secs)).collect();
        for (mark, secs) in &marks {
            lately.note(*mark, at(*secs));
        }
        lately.each(at(500), &mut |mark, until| other.note(mark, until));
        for (mark, secs) in marks {
            assert_eq!(
                other.left(mark, at(500)),
                lately.left(mark, at(500)),
                "{secs}"
            );
        }
    }

    #[test]
    fn what_ends_first_gives_way() {
        let lately = Lately::new();
        lately.note(42, at(1_000_000));
        let mut rng = Rng::new(3);
        let marks: Vec<_> = (0..200_000).map(|_| rng.next()).collect();
        for (secs, mark) in (1..).zip(&marks) {
            lately.note(*mark, at(secs));
        }
        assert!(lately.has(42, at(0)));
        let newest = marks.iter().rev().take(1_000);
        assert!(newest.clone().all(|mark| lately.has(*mark, at(0))));
        let counting = marks
            .iter()
            .filter(|mark| lately.has(**mark, at(0)))
            .count();
        assert!(counting < BUCKETS * WAYS);
    }
}
