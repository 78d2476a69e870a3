//! Owns [`Successors`]: which cookie values a browser was given a moment ago, each in the place of another
//! one that it may still send.
//! Never sees a value: only marks come here.
//!
//! A browser signs out with the value that it has when it asks. Where others are on their way, and nothing
//! says that all of them are of one session, each begins a session of its own; signing out ends them too.
//!
//! Bounded: the newest stay.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;

use crate::time::Instant;

/// How long a browser may still send the value of before.
const LASTS: Duration = Duration::from_secs(30);

/// Half a minute of 136 new values a second, in 96 KiB; each is looked at where a visitor signs out.
const PLACES: usize = 4096;

/// As many as a browser asks for at a time, and the one in whose place all of them stand.
const FAMILY_MAX: usize = 16;

/// Marks of values that one browser has been given, one in the place of another.
pub(super) type Family = SmallVec<[u64; 4]>;

/// Values, each with the one that it replaced lately; the oldest gives way.
#[derive(Debug)]
pub(super) struct Successors(Mutex<Ring>);

#[derive(Debug)]
struct Ring {
    places: Box<[Successor]>,
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Successor {
    before: u64,
    value: u64,
    until: Instant,
}

impl Successors {
    pub(super) fn new() -> Self {
        let none = Successor {
            before: 0,
            value: 0,
            until: Instant::ZERO,
        };
        Self(Mutex::new(Ring {
            places: vec![none; PLACES].into(),
            next: 0,
        }))
    }

    /// The value of the mark `before` was replaced.
    pub(super) fn note(&self, before: u64, value: u64, now: Instant) {
        let mut ring = self.ring();
        let at = ring.next;
        ring.next = (at + 1) % PLACES;
        if let Some(place) = ring.places.get_mut(at) {
            *place = Successor {
                before,
                value,
                until: now + LASTS,
            };
        }
    }

    /// What a moment ago replaced the value of this mark, what it replaced itself, and so on: first itself.
    pub(super) fn family(&self, mark: u64, now: Instant) -> Family {
        let ring = self.ring();
        let mut family = Family::from_slice(&[mark]);
        let mut done = 0;
        while let Some(known) = family.get(done).copied() {
            done += 1;
            for link in ring.places.iter().filter(|link| now < link.until) {
                let other = match known {
                    _ if known == link.before => link.value,
                    _ if known == link.value => link.before,
                    _ => continue,
                };
                if !family.contains(&other) && family.len() < FAMILY_MAX {
                    family.push(other);
                }
            }
        }
        family
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    #[test]
    fn values_are_of_one_family_for_half_a_minute_after_one_has_replaced_the_other() {
        let successors = Successors::new();
        successors.note(7, 8, at(1));
        successors.note(7, 9, at(2));
        successors.note(9, 10, at(3));
        successors.note(1, 2, at(3));
        assert_eq!(successors.family(8, at(4))[..], [8, 7, 9, 10]);
        assert_eq!(successors.family(7, at(4))[..], [7, 8, 9, 10]);
        assert_eq!(successors.family(7, at(31))[..], [7, 9, 10]);
        assert_eq!(successors.family(8, at(31))[..], [8]);
        assert_eq!(successors.family(3, at(4))[..], [3]);
        assert_eq!(successors.family(0, at(0))[..], [0]);
    }

    #[test]
    fn the_newest_stay() {
        let successors = Successors::new();
        for value in 0..PLACES as u64 + 1 {
            successors.note(value, value + 5_000, at(1));
        }
        assert_eq!(successors.family(0, at(1))[..], [0]);
        assert_eq!(successors.family(1, at(1))[..], [1, 5_001]);
        let many = PLACES as u64;
        assert_eq!(successors.family(many, at(1))[..], [many, many + 5_000]);
    }

    #[test]
    fn a_family_is_bounded() {
        let successors = Successors::new();
        for value in 1..100 {
            successors.note(0, value, at(1));
        }
        assert_eq!(successors.family(0, at(1)).len(), FAMILY_MAX);
    }
}
