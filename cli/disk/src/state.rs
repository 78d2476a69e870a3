//! Owns what the threads of a disk share, as a value ([`State`]): what is to be written, in which order, and
//! what of that on the disk counts.
//! Never waits, reads no clock and writes nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use retter_core::copies::Restored;
use retter_core::key::{CacheKey, Partition};

use crate::index::{Index, Kept};

/// How long a change waits, so that the next ones are written with it.
const DELAY: Duration = Duration::from_millis(100);

/// How often the copies of one key are written: a page that is another one for each visitor would wear the
/// disk out.
const PAUSE: Duration = Duration::from_secs(60);

/// Keys that wait to be written; more are not noted, and their older copies stay.
const CHANGED_MAX: usize = 16_384;

/// Keys that one turn of the writer takes.
const TURN_MAX: usize = 32;

/// Bytes of the names of those.
const CHANGED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Drops that are remembered while copies are still being loaded; with more, all of those go.
const DROPPED_MAX: usize = 1 << 17;

/// What is to be written first: what must not come back.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Drops {
    pub(crate) all: bool,
    pub(crate) keys: Vec<u64>,
    pub(crate) partitions: Vec<u128>,
    /// Those who wait for these wait for this number.
    pub(crate) number: u64,
}

impl Drops {
    fn is_empty(&self) -> bool {
        !self.all && self.keys.is_empty() && self.partitions.is_empty()
    }
}

/// What was dropped while the copies of an earlier process were still being looked for.
#[derive(Debug, Default)]
struct Loading {
    all: bool,
    keys: HashSet<u64>,
    partitions: HashSet<u128>,
}

/// A key that the writer is at.
#[derive(Clone, Copy, Debug)]
struct Writing {
    is_dropped: bool,
    partition: u128,
}

/// What the writer does next.
#[derive(Debug)]
pub(crate) enum Work {
    Drops(Drops),
    Keys(Vec<CacheKey>),
    /// Nothing is to be written: there is time to clean up.
    Idle,
}

/// Shared by all threads, behind one lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) index: Index,
    changed: BTreeMap<(Instant, u64), CacheKey>,
    changed_bytes: usize,
    changed_keys: HashSet<u64>,
    changes: u64,
    drops: Drops,
    drops_written: u64,
    /// Whoever drops does not wait any more until the writer has caught up.
    pub(crate) is_behind: bool,
    loading: Option<Loading>,
    /// Changes that were not noted, or not written.
    pub(crate) lost: u64,
    writing: HashMap<u64, Writing>,
}

impl State {
    /// There may be copies of an earlier process.
    pub(crate) fn new() -> Self {
        Self {
            loading: Some(Loading::default()),
            ..Self::default()
        }
    }

    /// Notes that there is something to be written; returns whether the writer may sleep too long now.
    pub(crate) fn note_change(&mut self, key: &CacheKey, now: Instant) -> bool {
        let hash = key.hash();
        if self.changed_keys.contains(&hash) {
            return false;
        }
        if self.changed_keys.len() >= CHANGED_MAX || self.changed_bytes >= CHANGED_BYTES_MAX {
            self.lost += 1;
            return false;
        }
        let after = self.index.looked(hash).map(|looked| looked + PAUSE);
        let due = after.map_or(now, |after| after.max(now)) + DELAY;
        let is_first = self.due().is_none_or(|first| due < first);
        self.changed_keys.insert(hash);
        self.changed_bytes += key.bytes_held();
        self.changes += 1;
        self.changed.insert((due, self.changes), key.clone());
        is_first
    }

    /// When the next change is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.changed.first_key_value().map(|((due, _), _)| *due)
    }

    pub(crate) fn has_drops(&self) -> bool {
        !self.drops.is_empty()
    }

    /// No copy of these keys may come back. Returns the number to [wait for](Self::are_written), where
    /// something has to be written for that.
    pub(crate) fn note_drops(&mut self, keys: &[u64]) -> Option<u64> {
        let before = self.drops.keys.len();
        for key in keys {
            let is_there = self.index.remove(*key);
            let is_written = self
                .writing
                .get_mut(key)
                .is_some_and(|writing| !std::mem::replace(&mut writing.is_dropped, true));
            let may_come = self
                .loading
                .as_mut()
                .is_some_and(|loading| loading.keys.insert(*key));
            if is_there || is_written || may_come {
                self.drops.keys.push(*key);
            }
        }
        let is_too_much = |loading: &Loading| loading.keys.len() > DROPPED_MAX;
        if self.loading.as_ref().is_some_and(is_too_much) {
            return self.note_drop_of_all();
        }
        (self.drops.keys.len() > before).then(|| self.count_drop())
    }

    /// Likewise, of a partition.
    pub(crate) fn note_partition(&mut self, partition: u128) -> Option<u64> {
        let was_there = !self.index.remove_partition(partition).is_empty();
        let mut is_written = false;
        let of_it = |writing: &&mut Writing| writing.partition == partition;
        for writing in self.writing.values_mut().filter(of_it) {
            is_written |= !writing.is_dropped;
            writing.is_dropped = true;
        }
        let loading = self.loading.as_mut();
        let may_come = loading.is_some_and(|loading| loading.partitions.insert(partition));
        if was_there || is_written || may_come {
            self.drops.partitions.push(partition);
            return Some(self.count_drop());
        }
        None
    }

    /// Likewise, of all keys but these, which are sorted. While copies are still being loaded it is not
    /// known which there are.
    pub(crate) fn note_others(&mut self, kept: &[u64]) -> Option<u64> {
        if kept.is_empty() || self.loading.is_some() {
            return self.note_drop_of_all();
        }
        let gone = self.index.retain(kept);
        let other = |key: &&u64| kept.binary_search(key).is_err() && !gone.contains(key);
        let mut written: Vec<_> = self.writing.keys().filter(other).copied().collect();
        written.extend(&gone);
        for key in &written {
            if let Some(writing) = self.writing.get_mut(key) {
                writing.is_dropped = true;
            }
        }
        let is_any = !written.is_empty();
        self.drops.keys.append(&mut written);
        is_any.then(|| self.count_drop())
    }

    fn note_drop_of_all(&mut self) -> Option<u64> {
        let is_any = self.index.len() > 0 || !self.writing.is_empty() || self.loading.is_some();
        self.void();
        self.drops = Drops {
            all: true,
            number: self.drops.number,
            ..Drops::default()
        };
        is_any.then(|| self.count_drop())
    }

    /// What is on the disk counts no more.
    pub(crate) fn void(&mut self) {
        self.index.clear();
        self.writing
            .values_mut()
            .for_each(|writing| writing.is_dropped = true);
        if let Some(loading) = &mut self.loading {
            loading.all = true;
        }
    }

    fn count_drop(&mut self) -> u64 {
        self.drops.number += 1;
        self.drops.number
    }

    /// The number of the last drop.
    pub(crate) const fn last_drop(&self) -> u64 {
        self.drops.number
    }

    /// Whether the drops up to this number are written.
    pub(crate) const fn are_written(&self, number: u64) -> bool {
        self.drops_written >= number
    }

    /// What to write next: drops come first. With `all`, changes that are not due yet as well.
    pub(crate) fn next_work(&mut self, now: Instant, all: bool) -> Work {
        if self.has_drops() {
            let number = self.drops.number;
            let drops = std::mem::take(&mut self.drops);
            self.drops.number = number;
            return Work::Drops(drops);
        }
        self.is_behind = false;
        let mut keys = Vec::new();
        while keys.len() < TURN_MAX {
            let Some(entry) = self.changed.first_entry() else {
                break;
            };
            if !all && entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.changed_keys.remove(&key.hash());
            self.changed_bytes -= key.bytes_held();
            let writing = Writing {
                is_dropped: false,
                partition: number_of(key.partition()),
            };
            self.writing.insert(key.hash(), writing);
            keys.push(key);
        }
        match keys.is_empty() {
            true => Work::Idle,
            false => Work::Keys(keys),
        }
    }

    /// These drops are on their way to the disk, for whoever kills the process.
    pub(crate) fn wrote_drops(&mut self, number: u64) {
        self.drops_written = self.drops_written.max(number);
        self.is_behind &= self.has_drops();
    }

    /// These could not be written: they come again.
    pub(crate) fn return_drops(&mut self, drops: Drops) {
        let newer = std::mem::take(&mut self.drops);
        self.drops = Drops {
            all: drops.all || newer.all,
            keys: [drops.keys, newer.keys].concat(),
            partitions: [drops.partitions, newer.partitions].concat(),
            number: newer.number,
        };
        self.is_behind = true;
    }

    /// A copy was written, or perhaps: it counts, unless it was dropped meanwhile.
    pub(crate) fn wrote(&mut self, key: &CacheKey, slot: Kept, now: Instant) {
        let is_current = self
            .writing
            .get(&key.hash())
            .is_some_and(|it| !it.is_dropped);
        if is_current {
            let name = (key.hash(), number_of(key.partition()));
            self.index.put(name, slot, now);
        }
    }

    /// The writer is not at these keys any more.
    pub(crate) fn end_turn(&mut self, keys: &[CacheKey], now: Instant) {
        for key in keys {
            self.writing.remove(&key.hash());
            self.index.note_look(key.hash(), now);
        }
    }

    /// A copy of an earlier process was found: it counts where nothing has dropped it since, and none of
    /// the same variant is newer.
    pub(crate) fn found(&mut self, name: (u64, u128), slot: Kept) -> bool {
        let Some(loading) = &self.loading else {
            return false;
        };
        let is_dropped =
            loading.all || loading.keys.contains(&name.0) || loading.partitions.contains(&name.1);
        !is_dropped && self.index.put_older(name, slot)
    }

    /// Whether a copy of an earlier process may still come back.
    pub(crate) fn is_live(&self, restored: Restored) -> bool {
        self.index.slot(restored.key, restored.variant).is_some()
    }

    pub(crate) const fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// Whether those that are still to be loaded were all dropped.
    pub(crate) fn is_void(&self) -> bool {
        self.loading.as_ref().is_none_or(|loading| loading.all)
    }

    /// A segment is gone. Where it was not looked at yet, nothing is known of what was in it.
    pub(crate) fn removed(&mut self, segment: u64) {
        self.index.remove_segment(segment);
        if let Some(loading) = &mut self.loading {
            loading.all = true;
        }
    }

    /// All copies of earlier processes are found.
    pub(crate) fn loaded(&mut self) {
        self.loading = None;
    }
}

/// The number of a partition that can be dropped; 0 for those that all see.
pub(crate) fn number_of(partition: Partition) -> u128 {
    match partition {
        Partition::Public | Partition::Shared => 0,
        Partition::Marked(number) | Partition::Session(number) => number,
    }
}
