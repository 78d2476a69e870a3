//! Owns [`Writes`]: when a write last changed each resource, so that what other users have of it is
//! asked about before it answers (RFC 9111 §4.4). Never knows which copies there are, nor whose.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Instant;

/// Where two written resources meet in a slot, whatever else meets them there is taken for written
/// as well: that costs a question to the origin, no more.
const SLOTS: usize = 8192;

/// The last writes: 64 KiB, however many there are.
#[derive(Debug)]
pub(super) struct Writes {
    /// Of all: mostly it is older than a copy, and nothing else has to be looked at.
    last: LatestWrite,
    slots: Box<[Written]>,
}

/// Nanoseconds, 0 for never.
#[derive(Debug, Default)]
struct LatestWrite(AtomicU64);

/// When a resource of its slot was last written, and which: a [`tag`] over microseconds, rounded up;
/// 0 for never.
#[derive(Debug, Default)]
struct Written(AtomicU64);

/// Nine years since the clock began.
const TIME_BITS: u32 = 48;
const TIME_MAX: u64 = (1 << TIME_BITS) - 1;

/// Several resources of one slot were written.
const SEVERAL: u64 = 0;

impl Writes {
    pub(super) fn new() -> Self {
        Self {
            last: LatestWrite::default(),
            slots: std::iter::repeat_with(Written::default)
                .take(SLOTS)
                .collect(),
        }
    }

    /// The origin has said that a write succeeded.
    pub(super) fn note(&self, resource: u64, now: Instant) {
        self.slot(resource).note(tag(resource), now);
        self.last.note(now);
    }

    /// Whether there was one since `asked`: what was asked for before may not know of it.
    pub(super) fn hit(&self, resource: impl FnOnce() -> u64, asked: Instant) -> bool {
        if !self.last.is_since(asked) {
            return false;
        }
        let resource = resource();
        self.slot(resource).is_since(tag(resource), asked)
    }

    fn slot(&self, resource: u64) -> &Written {
        &self.slots[usize::try_from(resource % SLOTS as u64).unwrap_or_default()]
    }
}

impl LatestWrite {
    fn note(&self, now: Instant) {
        self.0.fetch_max(now.as_nanos().max(1), Ordering::AcqRel);
    }

    fn is_since(&self, asked: Instant) -> bool {
        let written = self.0.load(Ordering::Acquire);
        written > 0 && written >= asked.as_nanos()
    }
}

impl Written {
    fn note(&self, tag: u64, now: Instant) {
        let micros = now.as_nanos().div_ceil(1000).clamp(1, TIME_MAX);
        let noted = |old: u64| {
            let tag = match old {
                0 => tag,
                old if old >> TIME_BITS == tag => tag,
                _ => SEVERAL,
            };
            Some(tag << TIME_BITS | micros.max(old & TIME_MAX))
        };
        // It always says what to store.
        let _ = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, noted);
    }

    fn is_since(&self, tag: u64, asked: Instant) -> bool {
        let written = self.0.load(Ordering::Acquire);
        let whose = written >> TIME_BITS;
        let is_it = whose == SEVERAL || whose == tag;
        let micros = written & TIME_MAX;
        is_it && micros > 0 && micros.saturating_mul(1000) >= asked.as_nanos()
    }
}

/// What tells resources of one slot apart: bits of the hash that do not choose the slot; never
/// [`SEVERAL`].
fn tag(resource: u64) -> u64 {
    (resource >> TIME_BITS).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The resource `number` of slot 7.
    fn in_slot(number: u64) -> u64 {
        number << TIME_BITS | 7
    }

    #[test]
    fn a_write_counts_for_the_others_of_its_slot_only_where_several_were_written() {
        let writes = Writes::new();
        let at = Instant::from_nanos;
        let hit = |number, asked| writes.hit(|| in_slot(number), at(asked));
        writes.note(in_slot(1), at(10_000));
        let of_one = (hit(1, 10_000), hit(1, 10_001), hit(2, 1), hit(3, 1));
        assert_eq!(of_one, (true, false, false, false), "one was written");
        writes.note(in_slot(1), at(20_000));
        assert_eq!((hit(1, 20_000), hit(2, 1)), (true, false), "twice");
        writes.note(in_slot(2), at(30_000));
        let of_several = (hit(1, 30_000), hit(2, 30_000), hit(3, 30_000));
        assert_eq!(of_several, (true, true, true), "several were written");
        assert!(!hit(3, 30_001), "asked for after the write");
    }

    #[test]
    fn a_write_within_a_microsecond_after_the_question_counts() {
        let writes = Writes::new();
        writes.note(in_slot(1), Instant::from_nanos(1_001));
        assert!(writes.hit(|| in_slot(1), Instant::from_nanos(1_001)));
    }
}
