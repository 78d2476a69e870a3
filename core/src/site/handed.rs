//! Owns [`Handed`]: which cookie values the origin has handed out of late, and which of them to
//! more than one visitor. Such a value is nobody's: it tells no two of them apart.
//! Never sees a cookie: only its mark.
//!
//! Bounded: a value that was handed out so long ago that many others came since is forgotten. Those
//! that several have give way last.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::key::Keyer;
use crate::message::Fields;

/// More than a small site's visitors of a day, in half a mebibyte.
const BUCKETS: usize = 8192;

/// How many places a mark is looked for in.
const WAYS: usize = 8;

/// Set in the entry of a value that several have; marks are kept without this bit.
const SEVERAL: u64 = 1;

/// Values by their marks.
#[derive(Debug)]
pub(super) struct Handed {
    /// 0 is a free place.
    entries: Box<[[AtomicU64; WAYS]]>,
    /// There is one.
    has_any: AtomicBool,
    /// How many values several have: mostly none, and nothing else has to be looked at.
    several: AtomicUsize,
    /// Held by whoever changes an entry.
    writer: Mutex<()>,
}

impl Handed {
    pub(super) fn new() -> Self {
        Self {
            entries: std::iter::repeat_with(Default::default)
                .take(BUCKETS)
                .collect(),
            has_any: AtomicBool::new(false),
            several: AtomicUsize::new(0),
            writer: Mutex::new(()),
        }
    }

    /// Whether the cookies of a request that should be one visitor's tell nobody apart: one of them
    /// was given to several, and none of the others carries a session or is known to have been given
    /// to one only.
    pub(super) fn is_nobodys(&self, keyer: &Keyer, request: &Fields) -> bool {
        if self.several.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut is_several = false;
        for (mark, is_session) in keyer.tokens(request) {
            match self.find(mark) {
                Some(entry) if entry & SEVERAL == 0 => return false,
                Some(_) => is_several = true,
                None if is_session => return false,
                None => {}
            }
        }
        is_several
    }

    fn find(&self, mark: u64) -> Option<u64> {
        let wanted = entry(mark);
        let mut entries = self
            .bucket(mark)
            .iter()
            .map(|place| place.load(Ordering::Acquire));
        entries.find(|entry| entry & !SEVERAL == wanted)
    }

    /// Notes that a value was handed out to several.
    pub(super) fn note_several(&self, mark: u64) {
        if self.note(mark) {
            self.note(mark);
        }
    }

    /// Notes that a value was handed out to a visitor who did not have it; returns whether it is the
    /// first, as far as is known.
    pub(super) fn note(&self, mark: u64) -> bool {
        let new = entry(mark);
        let bucket = self.bucket(mark);
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |place: &AtomicU64| place.load(Ordering::Relaxed);
        if let Some(place) = bucket.iter().find(|place| known(place) & !SEVERAL == new) {
            if known(place) & SEVERAL == 0 {
                place.store(new | SEVERAL, Ordering::Release);
                self.several.fetch_add(1, Ordering::AcqRel);
            }
            return false;
        }
        let is_free = |place: &&AtomicU64| known(place) == 0;
        let is_single = |place: &&AtomicU64| known(place) & SEVERAL == 0;
        let start = usize::try_from(mark >> 1).unwrap_or_default() % WAYS;
        let in_turn = || bucket[start..].iter().chain(&bucket[..start]);
        let place = in_turn()
            .find(is_free)
            .or_else(|| in_turn().find(is_single))
            .unwrap_or(&bucket[start]);
        if known(place) & SEVERAL != 0 {
            self.several.fetch_sub(1, Ordering::AcqRel);
        }
        place.store(new, Ordering::Release);
        self.has_any.store(true, Ordering::Release);
        true
    }

    /// Shows all values, and whether several have them.
    pub(super) fn each(&self, show: &mut dyn FnMut(u64, bool)) {
        if !self.has_any.load(Ordering::Acquire) {
            return;
        }
        for place in self.entries.iter().flatten() {
            let entry = place.load(Ordering::Acquire);
            if entry != 0 {
                show(entry & !SEVERAL, entry & SEVERAL != 0);
            }
        }
    }

    fn bucket(&self, mark: u64) -> &[AtomicU64; WAYS] {
        &self.entries[usize::try_from(mark >> 32).unwrap_or_default() % BUCKETS]
    }
}

/// The entry of a mark, which is never that of a free place.
const fn entry(mark: u64) -> u64 {
    let entry = mark & !SEVERAL;
    if entry == 0 { 2 } else { entry }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    impl Handed {
        fn is_several(&self, mark: u64) -> bool {
            self.find(mark).is_some_and(|entry| entry & SEVERAL != 0)
        }
    }

    #[test]
    fn a_value_handed_out_twice_is_nobodys() {
        let handed = Handed::new();
        for mark in [0, 1, 2, 3, u64::MAX] {
            handed.note(mark << 8);
        }
        assert!(!handed.is_several(3 << 8) && !handed.is_several(4 << 8));
        handed.note(3 << 8);
        assert!(handed.is_several(3 << 8) && !handed.is_several(2 << 8));
    }

    #[test]
    fn what_several_have_gives_way_last() {
        let handed = Handed::new();
        let mut rng = Rng::new(7);
        handed.note(42);
        handed.note(42);
        for _ in 0..BUCKETS * WAYS * 4 {
            handed.note(rng.next());
        }
        assert!(handed.is_several(42));
        // Even where all of a bucket are several visitors', a new one finds a place.
        for mark in (0..32).map(|number| number << 1) {
            handed.note(mark);
            handed.note(mark);
            assert!(handed.is_several(mark));
        }
        assert!(handed.several.load(Ordering::Relaxed) <= WAYS + 1);
    }
}
