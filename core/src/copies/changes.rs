//! Owns [`Changes`]: what made copies wrong of late, so that an answer that was asked for before is
//! not kept after. Never knows which copies there are.
//!
//! Who makes copies wrong notes it first and drops them then; who keeps one looks before and after.
//! Whichever way the two interleave, a copy older than the change does not stay.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::key::{CacheKey, Partition};
use crate::sync::{AtomicU64, Mutex, MutexGuard};

/// More changes than there are while a page takes. What was asked for longer ago is taken for
/// changed: it is not kept, which costs a copy and no more.
const RECENT_MAX: usize = 32_768;

/// The last changes.
#[derive(Debug)]
pub(super) struct Changes {
    /// How many there were in all; changed under the lock.
    count: AtomicU64,
    recent: Mutex<VecDeque<Change>>,
}

/// Which copies are wrong from now on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// All.
    All,
    /// Those under a key, by its hash.
    Key(u64),
    /// Those of a partition.
    Partition(Partition),
}

/// When somebody looked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Mark {
    /// Before all changes.
    pub(super) const START: Self = Self(0);
}

impl Changes {
    pub(super) fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            recent: Mutex::new(VecDeque::new()),
        }
    }

    /// What has changed until now will not count.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.count.load(Ordering::SeqCst))
    }

    pub(super) fn note(&self, change: Change) {
        self.push(&mut self.recent(), change);
    }

    /// Notes what an answer says that was asked for at `mark` and is itself to be kept under `key`:
    /// after the mark that is returned it has been said already, and nothing else is missed.
    pub(super) fn note_by(&self, changes: &[Change], key: &CacheKey, mark: Mark) -> Mark {
        let mut recent = self.recent();
        let is_hit = self.hits(&recent, key, mark);
        for change in changes {
            self.push(&mut recent, *change);
        }
        if is_hit { mark } else { self.mark() }
    }

    fn push(&self, recent: &mut VecDeque<Change>, change: Change) {
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(change);
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether something since `mark` has made what is kept under `key` wrong.
    pub(super) fn hit(&self, key: &CacheKey, mark: Mark) -> bool {
        // Mostly nothing has changed.
        if self.count.load(Ordering::SeqCst) == mark.0 {
            return false;
        }
        self.hits(&self.recent(), key, mark)
    }

    /// The same, under the lock.
    fn hits(&self, recent: &VecDeque<Change>, key: &CacheKey, mark: Mark) -> bool {
        let since = self.count.load(Ordering::SeqCst).saturating_sub(mark.0);
        let since = usize::try_from(since).unwrap_or(usize::MAX);
        let hits = |change: &Change| match change {
            Change::All => true,
            Change::Key(hash) => *hash == key.hash(),
            Change::Partition(partition) => *partition == key.partition(),
        };
        since > recent.len() || recent.iter().rev().take(since).any(hits)
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
