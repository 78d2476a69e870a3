//! Owns [`Writes`]: when a write last changed each resource, so that what other users have of it is
//! asked about before it answers (RFC 9111 §4.4). Never knows which copies there are, nor whose.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Instant;

/// Resources that share a slot are taken for one: that costs a question to the origin, no more.
const SLOTS: usize = 8192;

/// The last writes: 64 KiB, however many there are.
#[derive(Debug)]
pub(super) struct Writes {
    /// Of all: mostly it is older than a copy, and nothing else has to be looked at.
    last: LatestWrite,
    slots: Box<[LatestWrite]>,
}

/// Nanoseconds, 0 for never.
#[derive(Debug, Default)]
struct LatestWrite(AtomicU64);

impl Writes {
    pub(super) fn new() -> Self {
        Self {
            last: LatestWrite::default(),
            slots: std::iter::repeat_with(LatestWrite::default)
                .take(SLOTS)
                .collect(),
        }
    }

    /// The origin has said that a write succeeded.
    pub(super) fn note(&self, resource: u64, now: Instant) {
        self.slot(resource).note(now);
        self.last.note(now);
    }

    /// Whether there was one since `asked`: what was asked for before may not know of it.
    pub(super) fn hit(&self, resource: impl FnOnce() -> u64, asked: Instant) -> bool {
        self.last.is_since(asked) && self.slot(resource()).is_since(asked)
    }

    fn slot(&self, resource: u64) -> &LatestWrite {
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
