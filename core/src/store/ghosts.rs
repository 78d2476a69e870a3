//! Owns the memory of what left the small queue lately: hashes only, oldest forgotten first.
//! Never holds a value or a key.

use std::collections::VecDeque;

use hashbrown::HashTable;

/// A bounded set of hashes in the order of their coming.
///
/// A hash stays until it is the oldest: a page that comes back twice in that time is welcome twice.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    order: VecDeque<u64>,
    set: HashTable<u64>,
}

impl Ghosts {
    /// Bytes that one hash costs, with the reserve of tables that grow by doubling.
    pub(super) const BYTES: usize = 2 * (size_of::<u64>() + size_of::<u64>() + 1);

    /// Remembers `hash`, and at most `count_max` in all.
    pub(super) fn remember(&mut self, hash: u64, count_max: usize) {
        if self.contains(hash) {
            return;
        }
        while self.order.len() >= count_max.max(1) {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Ok(found) = self.set.find_entry(oldest, |&seen| seen == oldest) {
                found.remove();
            }
        }
        self.order.push_back(hash);
        self.set.insert_unique(hash, hash, |&seen| seen);
        debug_assert_eq!(self.order.len(), self.set.len());
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.set.find(hash, |&seen| seen == hash).is_some()
    }

    /// Number of hashes; `None` when queue and set disagree.
    pub(super) fn checked_len(&self) -> Option<usize> {
        let agree = self.order.len() == self.set.len()
            && self.order.iter().all(|&hash| self.contains(hash));
        agree.then_some(self.order.len())
    }
}
