//! Owns [`Carried`]: which cookie values came with requests though nobody knows whom they were given to,
//! as after a restart. Handed out now, they are not their receiver's alone.
//! Never sees a value: only its mark. Where two marks share a place, the newer one has it.

use std::sync::atomic::{AtomicU64, Ordering};

/// More than a small site's visitors of an hour, in 128 KiB.
const PLACES: usize = 16_384;

/// Values by their marks.
#[derive(Debug)]
pub(super) struct Carried(Box<[AtomicU64]>);

impl Carried {
    pub(super) fn new() -> Self {
        Self(
            std::iter::repeat_with(AtomicU64::default)
                .take(PLACES)
                .collect(),
        )
    }

    /// Notes that a request came with a value.
    pub(super) fn note(&self, mark: u64) {
        let place = self.place(mark);
        if place.load(Ordering::Relaxed) != mark {
            place.store(mark, Ordering::Release);
        }
    }

    /// Whether a request came with it, as far as is known.
    pub(super) fn has(&self, mark: u64) -> bool {
        self.place(mark).load(Ordering::Acquire) == mark
    }

    fn place(&self, mark: u64) -> &AtomicU64 {
        &self.0[usize::try_from(mark >> 16).unwrap_or_default() % PLACES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_until_another_takes_its_place() {
        let carried = Carried::new();
        assert!(!carried.has(7 << 16));
        carried.note(7 << 16);
        carried.note(8 << 16);
        assert!(carried.has(7 << 16) && carried.has(8 << 16) && !carried.has(9 << 16));
        let other = (7 + (PLACES as u64)) << 16;
        carried.note(other);
        assert!(carried.has(other) && !carried.has(7 << 16));
    }
}
