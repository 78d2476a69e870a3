//! Owns who is told what there is in memory ([`Beside`]): a journal, which lets copies outlive the
//! process, and whoever shares them with other instances.
//! Never decides what is kept.

use std::sync::{Arc, OnceLock};

use super::journal::Journal;
use super::sharing::{Invalidation, Sharing};
use crate::key::{CacheKey, Partition};

/// Those who are told, once there are any.
#[derive(Default)]
pub(super) struct Beside {
    journal: OnceLock<Arc<dyn Journal>>,
    sharing: OnceLock<Arc<dyn Sharing>>,
}

impl Beside {
    /// Whether there was none before.
    pub(super) fn set_journal(&self, journal: Arc<dyn Journal>) -> bool {
        self.journal.set(journal).is_ok()
    }

    /// Likewise.
    pub(super) fn set_sharing(&self, sharing: Arc<dyn Sharing>) -> bool {
        self.sharing.set(sharing).is_ok()
    }

    pub(super) fn journal(&self) -> Option<&Arc<dyn Journal>> {
        self.journal.get()
    }

    pub(super) fn sharing(&self) -> Option<&Arc<dyn Sharing>> {
        self.sharing.get()
    }

    /// Parts of pages are not kept beside memory: which of them are wrong is known here only. So is which
    /// values are of one chain: another process numbers its own.
    pub(super) fn changed(&self, key: &CacheKey) {
        let (journal, sharing) = (self.journal.get(), self.sharing.get());
        if journal.is_none() && sharing.is_none() || key.is_fragment() || key.line().is_some() {
            return;
        }
        if let Some(journal) = journal
            && journal.takes(key.partition())
        {
            journal.changed(key);
        }
        if let Some(sharing) = sharing
            && sharing.takes(key.partition())
        {
            sharing.changed(key);
        }
    }

    /// What came of an answer here makes these copies wrong everywhere.
    pub(super) fn dropped(&self, keys: &[u64]) {
        self.hear_dropped(keys);
        if !keys.is_empty() {
            self.tell(|| Invalidation::Keys(keys.to_vec()));
        }
    }

    /// Likewise, those of a partition.
    pub(super) fn dropped_partition(&self, partition: Partition) {
        self.hear_dropped_partition(partition);
        self.tell(|| Invalidation::Partition(partition));
    }

    /// What another instance has told is told to the journal alone.
    pub(super) fn hear_dropped(&self, keys: &[u64]) {
        if let Some(journal) = self.journal.get() {
            journal.dropped(keys);
        }
    }

    /// Likewise.
    pub(super) fn hear_dropped_partition(&self, partition: Partition) {
        if let Some(journal) = self.journal.get() {
            journal.dropped_partition(partition);
        }
    }

    /// Tells other instances.
    pub(super) fn tell(&self, invalidation: impl FnOnce() -> Invalidation) {
        if let Some(sharing) = self.sharing.get() {
            sharing.invalidated(invalidation());
        }
    }
}
