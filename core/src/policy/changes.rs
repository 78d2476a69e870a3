//! Owns [`Changes`]: how often copies were made wrong, so that an answer that was asked for before
//! is not kept after. Never knows which copies there are.
//!
//! Who makes copies wrong notes it first and drops them then; who keeps one looks before and after.
//! Whichever way the two interleave, a copy older than the change does not stay.

use std::array;
use std::sync::atomic::Ordering;

use crate::key::{CacheKey, Partition};
use crate::sync::AtomicUsize;

/// More keys than are usually written at once: of two that share a counter, a write to one keeps
/// an answer of the other from being kept, once.
const COUNTERS: usize = 256;

/// Counts of changes: by key, by partition, and of everything.
pub(super) struct Changes {
    all: AtomicUsize,
    keys: [AtomicUsize; COUNTERS],
    partitions: [AtomicUsize; COUNTERS],
}

/// What had changed when somebody looked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Mark([usize; 3]);

impl Changes {
    pub(super) fn new() -> Self {
        let counters = || array::from_fn(|_| AtomicUsize::new(0));
        Self {
            all: AtomicUsize::new(0),
            keys: counters(),
            partitions: counters(),
        }
    }

    /// What has changed for `key` so far.
    pub(super) fn mark(&self, key: &CacheKey) -> Mark {
        let counters = [
            &self.all,
            self.of_key(key),
            self.of_partition(key.partition()),
        ];
        Mark(counters.map(|counter| counter.load(Ordering::SeqCst)))
    }

    /// Everything is wrong from now on.
    pub(super) fn note_all(&self) {
        self.all.fetch_add(1, Ordering::SeqCst);
    }

    /// What is kept under `key` is wrong from now on.
    pub(super) fn note_key(&self, key: &CacheKey) {
        self.of_key(key).fetch_add(1, Ordering::SeqCst);
    }

    /// What a partition holds is wrong from now on.
    pub(super) fn note_partition(&self, partition: Partition) {
        self.of_partition(partition).fetch_add(1, Ordering::SeqCst);
    }

    fn of_key(&self, key: &CacheKey) -> &AtomicUsize {
        &self.keys[usize::from(key.hash().to_le_bytes()[2])]
    }

    fn of_partition(&self, partition: Partition) -> &AtomicUsize {
        let hash = match partition {
            Partition::Shared => 0,
            Partition::Cookies(hash) | Partition::Session(hash) => hash,
        };
        &self.partitions[usize::from(hash.to_le_bytes()[0])]
    }
}
