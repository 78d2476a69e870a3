//! Owns [`Line`]: those who wait and are not called yet, in the order of their numbers, and how many are
//! before whom.
//! Never decides when somebody is called.

use std::collections::VecDeque;
use std::time::Duration;

use super::networks::Shown;
use crate::time::Instant;

/// One who waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) number: u64,
    /// Until when its page should have looked again.
    pub(super) by: Instant,
    pub(super) shown: Shown,
    /// It has looked again at least once.
    is_known: bool,
    /// How many numbers there were before it, in all.
    given: u64,
    /// How many were here of those, as of the last sweep.
    here: u64,
}

impl Waiting {
    pub(super) const fn new(number: u64, shown: Shown, by: Instant) -> Self {
        Self {
            number,
            by,
            shown,
            is_known: false,
            given: 0,
            here: 0,
        }
    }
}

/// Those who wait. Numbers and counts grow from the first to the last.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<Waiting>,
    /// The greatest number that was called.
    reached: u64,
    /// Numbers given so far, and those of them that were called or passed over.
    given: u64,
    given_reached: u64,
    /// The same of those who were here.
    here: u64,
    here_reached: u64,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many are kept, here or not.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    #[cfg(test)]
    pub(super) fn is_in_order(&self) -> bool {
        self.waiting.iter().is_sorted_by(|one, next| {
            one.number < next.number && one.given <= next.given && one.here <= next.here
        })
    }

    /// How many are here, about.
    pub(super) fn here(&self) -> usize {
        let here = self.here.saturating_sub(self.here_reached);
        usize::try_from(here).unwrap_or(usize::MAX)
    }

    /// The greatest number that was called.
    pub(super) const fn reached(&self) -> u64 {
        self.reached
    }

    pub(super) fn contains(&self, number: u64) -> bool {
        self.find(number).is_ok()
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Waiting> {
        let at = self.find(number).ok()?;
        self.waiting.get_mut(at)
    }

    /// Its page should look again before `by`; `is_back` where it has done so before.
    pub(super) fn look(&mut self, number: u64, by: Instant, is_back: bool) {
        if let Some(waiting) = self.get_mut(number) {
            waiting.is_known |= is_back;
            waiting.by = by;
        }
    }

    /// How many are before a number: those who are here, about, and all who were given one; `None` where
    /// it does not wait.
    pub(super) fn ahead(&self, number: u64) -> Option<(u64, u64)> {
        let at = self.find(number).ok()?;
        let waiting = self.waiting.get(at)?;
        Some((
            waiting.here.saturating_sub(self.here_reached),
            waiting.given.saturating_sub(self.given_reached),
        ))
    }

    /// The same for one who comes now, with as many `called`.
    pub(super) const fn ahead_of_new(&self, called: usize) -> (u64, u64, usize) {
        let here = self.here.saturating_sub(self.here_reached);
        let given = self.given.saturating_sub(self.given_reached);
        (here, given, called)
    }

    /// Somebody comes with a number greater than all.
    pub(super) fn push(&mut self, mut waiting: Waiting) {
        debug_assert!(
            self.waiting
                .back()
                .is_none_or(|last| last.number < waiting.number)
        );
        (waiting.given, waiting.here) = (self.given, self.here);
        self.given += 1;
        self.here += 1;
        self.waiting.push_back(waiting);
    }

    /// Somebody comes with a number that stands where it would.
    pub(super) fn insert(&mut self, mut waiting: Waiting) {
        let Err(at) = self.find(waiting.number) else {
            return;
        };
        let Some(behind) = self.waiting.get(at) else {
            return self.push(waiting);
        };
        (waiting.given, waiting.here) = (behind.given, behind.here);
        waiting.is_known = true;
        self.waiting.insert(at, waiting);
        // Those behind it are counted by the next sweep.
        self.here += 1;
    }

    /// The next visitor in order, and how many numbers were passed over since the one before.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Waiting, u64)> {
        let waiting = self.waiting.pop_front()?;
        self.reached = self.reached.max(waiting.number);
        let given = (waiting.given + 1).saturating_sub(self.given_reached);
        self.given_reached = self.given_reached.max(waiting.given + 1);
        let here = waiting.here + u64::from(waiting.by > now);
        self.here_reached = self.here_reached.max(here);
        Some((waiting, given))
    }

    /// Takes the last one out.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_back()?;
        self.here = self.here.saturating_sub(1).max(self.here_reached);
        Some(waiting)
    }

    /// Counts the visitors who are here. Those not seen again, or not for long, are not kept: `left` is
    /// told of each.
    pub(super) fn sweep(&mut self, now: Instant, mut left: impl FnMut(&Waiting)) {
        let mut here = self.here_reached;
        self.waiting.retain_mut(|waiting| {
            let is_here = waiting.by > now;
            if !is_here && (!waiting.is_known || now.saturating_since(waiting.by) > KEPT) {
                left(waiting);
                return false;
            }
            waiting.here = here;
            here += u64::from(is_here);
            true
        });
        self.here = here;
        if self.waiting.is_empty() {
            // A crowd that is over costs nothing any more.
            self.waiting = VecDeque::new();
        }
    }

    fn find(&self, number: u64) -> Result<usize, usize> {
        self.waiting
            .binary_search_by_key(&number, |waiting| waiting.number)
    }
}

/// How long a place is kept whose page does not look again.
const KEPT: Duration = Duration::from_secs(5 * 60);
