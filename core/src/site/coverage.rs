//! Owns [`Coverage`]: how many GETs could have been answered if the origin had failed at that moment,
//! by the minute for an hour, and which fields of unknown names stood in the way.
//! Never judges a request: `rescuable` does.
//!
//! A request costs one addition. A minute that is used again an hour later is first added to the past,
//! so that sums never fall.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::report::{CoverageCounts, CoverageStats, Obstacle, Way};
use crate::time::Instant;

const MINUTES: u64 = 60;

/// Names of fields that are told apart. Nobody can push one out that most requests have.
const NAMES_MAX: usize = 8;

const NUMBERS: usize = CoverageCounts::NUMBERS;

/// The counts of a site.
#[derive(Debug)]
pub(super) struct Coverage {
    minutes: Box<[Minute]>,
    names: Mutex<Names>,
    /// The counts of minutes that are more than an hour old.
    past: Mutex<[u64; NUMBERS]>,
}

#[derive(Debug, Default)]
struct Minute {
    counts: [AtomicU32; NUMBERS],
    /// Which minute it is, from 1 on; 0 before the first.
    number: AtomicU64,
}

/// The names that came most, by the algorithm of Misra and Gries: where there are too many, each loses
/// one.
#[derive(Debug, Default)]
struct Names {
    /// Of all of them, those that are not here included.
    all: u64,
    most: Vec<(Box<[u8]>, u64)>,
}

impl Coverage {
    pub(super) fn new() -> Self {
        Self {
            minutes: (0..MINUTES).map(|_| Minute::default()).collect(),
            names: Mutex::new(Names::default()),
            past: Mutex::new([0; NUMBERS]),
        }
    }

    /// Counts one GET.
    pub(super) fn note(&self, of: Result<Way, Obstacle>, now: Instant) {
        self.add(CoverageCounts::number(of), now);
    }

    /// Counts one GET that could not be rescued and need not be: it asked for no page.
    pub(super) fn note_no_page(&self, now: Instant) {
        self.add(CoverageCounts::NO_PAGE, now);
    }

    fn add(&self, number: usize, now: Instant) {
        let minute = minute_of(now);
        let Some(place) = self.place(minute) else {
            return;
        };
        if place.number.load(Ordering::Acquire) < minute {
            self.begin(place, minute);
        }
        if let Some(count) = place.counts.get(number) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn place(&self, minute: u64) -> Option<&Minute> {
        let at = usize::try_from(minute % MINUTES).ok()?;
        self.minutes.get(at)
    }

    #[cold]
    fn begin(&self, place: &Minute, minute: u64) {
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        if place.number.load(Ordering::Relaxed) >= minute {
            return;
        }
        for (sum, count) in past.iter_mut().zip(&place.counts) {
            *sum += u64::from(count.swap(0, Ordering::Relaxed));
        }
        place.number.store(minute, Ordering::Release);
    }

    pub(super) fn stats(&self, now: Instant) -> CoverageStats {
        let last = minute_of(now);
        // Held, so that nothing moves to the past meanwhile.
        let past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stats = CoverageStats::default();
        for (number, count) in past.iter().enumerate() {
            stats.total.add(number, *count);
        }
        for minute in &self.minutes {
            let is_of_hour = minute.number.load(Ordering::Relaxed) + MINUTES > last;
            for (number, count) in minute.counts.iter().enumerate() {
                let count = u64::from(count.load(Ordering::Relaxed));
                stats.total.add(number, count);
                stats.hour.add(number, if is_of_hour { count } else { 0 });
            }
        }
        stats
    }

    /// Notes the name of a field of which nothing is known, and that stood in the way of a copy
    /// of a GET.
    pub(super) fn note_field(&self, name: &[u8]) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.note(name);
    }

    /// The field of unknown name that most GETs had of those that fields stood in the way of, with its
    /// share of them, at least.
    pub(super) fn worst_field(&self) -> Option<(String, f64)> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.worst()
    }
}

impl Names {
    /// Longer names are nobody's that an operator would set.
    const BYTES_MAX: usize = 64;

    /// When all counts are halved, so that what was long ago counts less.
    const ALL_MAX: u64 = 4096;

    fn note(&mut self, name: &[u8]) {
        self.all += 1;
        let is_it = |known: &[u8]| known.eq_ignore_ascii_case(name);
        let has_room = self.most.len() < NAMES_MAX;
        match self.most.iter_mut().find(|(known, _)| is_it(known)) {
            Some((_, count)) => *count += 1,
            None if name.len() > Self::BYTES_MAX => {}
            None if has_room => self.most.push((name.into(), 1)),
            None => {
                for (_, count) in &mut self.most {
                    *count -= 1;
                }
                self.most.retain(|(_, count)| *count > 0);
            }
        }
        if self.all >= Self::ALL_MAX {
            self.all /= 2;
            for (_, count) in &mut self.most {
                *count /= 2;
            }
            self.most.retain(|(_, count)| *count > 0);
        }
    }

    fn worst(&self) -> Option<(String, f64)> {
        let most = self.most.iter().max_by_key(|(_, count)| *count)?;
        let (name, count) = most;
        #[expect(clippy::cast_precision_loss, reason = "both are small")]
        let share = *count as f64 / self.all.max(1) as f64;
        Some((String::from_utf8_lossy(name).into_owned(), share))
    }
}

fn minute_of(at: Instant) -> u64 {
    const NANOS: u64 = 60_000_000_000;
    at.as_nanos() / NANOS + 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    #[test]
    fn what_was_counted_leaves_the_hour_and_stays_in_the_sum() {
        let coverage = Coverage::new();
        coverage.note(Ok(Way::Own), at(0));
        coverage.note(Err(Obstacle::Vary), at(30 * 60));
        coverage.note_no_page(at(30 * 60));
        let of = |secs: u64| {
            let stats = coverage.stats(at(secs));
            let CoverageStats { hour, total } = stats;
            let of = |counts: CoverageCounts| (counts.by(Way::Own), counts.without(Obstacle::Vary));
            (of(hour), of(total), hour.no_page)
        };
        assert_eq!(of(59 * 60), ((1, 1), (1, 1), 1));
        assert_eq!(of(60 * 60), ((0, 1), (1, 1), 1));
        assert_eq!(of(90 * 60), ((0, 0), (1, 1), 0));
        // The same place an hour later.
        coverage.note(Ok(Way::Own), at(60 * 60));
        assert_eq!(of(60 * 60), ((1, 1), (2, 1), 1));
        // Whoever comes late counts all the same.
        coverage.note(Ok(Way::Own), at(0));
        assert_eq!(of(60 * 60).1, (3, 1));
    }

    #[test]
    fn the_field_that_most_have_is_named_whatever_others_send() {
        let coverage = Coverage::new();
        assert_eq!(coverage.worst_field(), None);
        for number in 0..10_000 {
            coverage.note_field(b"X-Foo");
            coverage.note_field(b"x-foo");
            coverage.note_field(format!("X-Random-{number}").as_bytes());
        }
        let (name, share) = coverage.worst_field().unwrap();
        assert_eq!(name, "X-Foo");
        assert!(share > 0.5 && share <= 0.67, "{share}");
        coverage.note_field(&[b'x'; 10_000]);
        assert!(
            coverage
                .worst_field()
                .is_some_and(|(name, _)| name.len() < 10)
        );
    }
}
