//! Owns [`Successors`]: which cookie value a browser was given a moment ago in the place of another one that
//! it may still send.
//! Never sees a value: only marks come here.
//!
//! A browser signs out with the value that it has when it asks. Where another one is on its way, and nothing
//! says that both are of one session, that one begins a session of its own; signing out ends it too.
//!
//! Bounded: what comes later takes the place of what has the same.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::time::Instant;

/// How long a browser may still send the value of before.
const LASTS: Duration = Duration::from_secs(30);

const PLACES: usize = 1024;

/// Values, each with the one that replaced it lately.
#[derive(Debug)]
pub(super) struct Successors(Mutex<Box<[Successor]>>);

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
        Self(Mutex::new(vec![none; PLACES].into()))
    }

    /// The value of the mark `before` was replaced.
    pub(super) fn note(&self, before: u64, value: u64, now: Instant) {
        if let Some(place) = self.places().get_mut(place(before)) {
            *place = Successor {
                before,
                value,
                until: now + LASTS,
            };
        }
    }

    /// What replaced the value of the mark `before` a moment ago.
    pub(super) fn of(&self, before: u64, now: Instant) -> Option<u64> {
        let places = self.places();
        let found = places.get(place(before))?;
        (found.before == before && now < found.until).then_some(found.value)
    }

    fn places(&self) -> MutexGuard<'_, Box<[Successor]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn place(mark: u64) -> usize {
    usize::try_from(mark % PLACES as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    #[test]
    fn a_value_is_known_by_the_one_before_for_half_a_minute() {
        let successors = Successors::new();
        successors.note(7, 8, at(1));
        assert_eq!(successors.of(7, at(30)), Some(8));
        assert_eq!(successors.of(7, at(31)), None);
        assert_eq!(successors.of(8, at(1)), None);
        successors.note(7, 9, at(2));
        successors.note(7 + PLACES as u64, 10, at(3));
        assert_eq!(successors.of(7, at(4)), None, "the later one has its place");
        assert_eq!(successors.of(0, at(0)), None);
    }
}
