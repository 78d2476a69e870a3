//! Owns [`Gone`]: the pages of which copies were dropped last, so that an older copy of another machine does
//! not take their place. Never knows which copies there are.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many are remembered at most: a later one takes the place of one that has the same.
const PLACES: usize = 4096;

/// Hashes of keys, 0 for none: 32 KiB.
#[derive(Debug)]
pub(super) struct Gone(Box<[AtomicU64]>);

impl Gone {
    pub(super) fn new() -> Self {
        Self(
            std::iter::repeat_with(AtomicU64::default)
                .take(PLACES)
                .collect(),
        )
    }

    /// The copies of a key are about to be dropped. Whoever puts one in looks before and after.
    pub(super) fn note(&self, key: u64) {
        if let Some(place) = self.place(key) {
            place.store(key, Ordering::SeqCst);
        }
    }

    /// Whether they were, as far as is remembered.
    pub(super) fn has(&self, key: u64) -> bool {
        let place = self.place(key);
        place.is_some_and(|place| place.load(Ordering::SeqCst) == key)
    }

    fn place(&self, key: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(key % PLACES as u64).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_each_place_is_remembered() {
        let gone = Gone::new();
        assert!(!gone.has(7));
        gone.note(7);
        gone.note(8);
        assert!(gone.has(7) && gone.has(8) && !gone.has(7 + PLACES as u64));
        gone.note(7 + PLACES as u64);
        assert!(!gone.has(7) && gone.has(7 + PLACES as u64));
    }
}
