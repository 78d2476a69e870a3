//! Owns the thread-safe store: a power of two of shards, each under its own lock.
//! Never holds two locks, and never drops a value while it holds one.

use std::fmt;
use std::sync::{Arc, PoisonError};

use super::entry::Entry;
use super::keep;
use super::shard::{Dropped, Shard};
use crate::key::{CacheKey, Partition};
use crate::message::Fields;
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How much a [`Store`] may hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Bytes of all values, with what they cost beside their content.
    pub bytes_max: usize,
    /// Number of values.
    pub entries_max: usize,
    /// Bytes of one value that should always fit.
    pub object_bytes_max: usize,
    /// Shards that are useful, as four for each core; few when the store is small.
    pub shards_max: usize,
}

impl Bounds {
    /// The number of shards: each holds several of the largest objects and enough entries, or
    /// one large page would evict everything that happens to share its shard.
    fn shards(&self) -> usize {
        let fits = |shards: usize| {
            shards <= self.shards_max.min(SHARDS_MAX)
                && self.bytes_max / shards / OBJECTS_PER_SHARD_MIN >= self.object_bytes_max
                && self.entries_max / shards >= ENTRIES_PER_SHARD_MIN
        };
        let mut shards = 1;
        while fits(shards * 2) {
            shards *= 2;
        }
        shards
    }
}

/// A bounded map from keys to the variants of a copy. All methods take `&self`.
///
/// The same calls with keys of the same seed evict the same copies. A hit costs one read lock, one
/// comparison of the whole key and one `Arc` clone.
pub struct Store<V> {
    shards: Box<[RwLock<Shard<V>>]>,
}

impl<V: Entry> Store<V> {
    /// Makes an empty store. It allocates as it fills.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let count = bounds.shards();
        debug_assert!(count.is_power_of_two());
        let shard = || Shard::new(bounds.bytes_max / count, bounds.entries_max / count);
        let shards = (0..count).map(|_| RwLock::new(shard())).collect();
        Self { shards }
    }

    /// The newest copy under `key` that may answer `request`.
    #[must_use]
    pub fn get(&self, key: &CacheKey, request: &Fields) -> Option<Arc<V>> {
        read(self.shard_of(key)).get(key, request).cloned()
    }

    /// The newest copy under `key` that may answer `request` and stand in for a failing origin.
    #[must_use]
    pub fn get_good(&self, key: &CacheKey, request: &Fields) -> Option<Arc<V>> {
        read(self.shard_of(key)).get_good(key, request).cloned()
    }

    /// Whether there is any variant under `key`.
    #[must_use]
    pub fn contains(&self, key: &CacheKey) -> bool {
        read(self.shard_of(key)).contains(key)
    }

    /// Whether what was under `key` gave way to others of late, as far as is remembered.
    #[must_use]
    pub fn was_evicted(&self, key: &CacheKey) -> bool {
        read(self.shard_of(key)).ghosts.contains(key.hash())
    }

    /// Keeps `value` in place of the same variant under `key`, and returns it as it is shared now.
    ///
    /// At most [`VARIANTS_MAX`] variants stay under one key; the oldest gives way. A value that is
    /// too heavy for its shard is refused with `None`, and what was there stays.
    ///
    /// [`VARIANTS_MAX`]: crate::limits::VARIANTS_MAX
    pub fn insert(&self, key: CacheKey, value: V) -> Option<Arc<V>> {
        let value = Arc::new(value);
        let shard = self.shard_of(&key);
        let mut dropped = Dropped::new();
        let kept = keep::insert(&mut write(shard), key, Arc::clone(&value), &mut dropped);
        kept.then_some(value)
    }

    /// Keeps `value` where there is none of the same variant yet; returns whether it is kept.
    pub fn insert_new(&self, key: CacheKey, value: Arc<V>) -> bool {
        let shard = self.shard_of(&key);
        let mut dropped = Dropped::new();
        keep::insert_new(&mut write(shard), key, value, &mut dropped)
    }

    /// All variants under `key`, oldest first; none of them counts as used.
    #[must_use]
    pub fn variants(&self, key: &CacheKey) -> Vec<Arc<V>> {
        read(self.shard_of(key)).variants(key).cloned().collect()
    }

    /// Keeps `value`, which renews `old`, unless `old` was dropped meanwhile: what was invalidated
    /// does not come back. Returns whether it is kept.
    pub fn replace(&self, key: CacheKey, old: &Arc<V>, value: Arc<V>) -> bool {
        let shard = self.shard_of(&key);
        let mut dropped = Dropped::new();
        keep::replace(&mut write(shard), key, old, value, &mut dropped)
    }

    /// Drops `value` where it is still kept under `key`; the other variants stay.
    pub fn remove_variant(&self, key: &CacheKey, value: &Arc<V>) {
        let mut dropped = Dropped::new();
        write(self.shard_of(key)).remove_variant(key, value, &mut dropped);
    }

    /// Charges `extra` bytes to a value that became heavier by them (its compressed form). Others
    /// make room; if that is not enough, the value leaves.
    pub fn grew(&self, key: &CacheKey, value: &Arc<V>, extra: usize) {
        let mut dropped = Dropped::new();
        write(self.shard_of(key)).grew(key, value, extra, &mut dropped);
    }

    /// Drops all variants under `key`; returns how many.
    pub fn remove(&self, key: &CacheKey) -> usize {
        let mut dropped = Dropped::new();
        write(self.shard_of(key)).remove(key, &mut dropped)
    }

    /// Drops all variants under all keys of this hash; returns how many.
    pub fn remove_hash(&self, hash: u64) -> usize {
        let mut dropped = Dropped::new();
        write(self.shard_of_hash(hash)).remove_hash(hash, &mut dropped)
    }

    /// Drops all copies of one partition; returns how many. The shared partition stays.
    ///
    /// Takes time in proportion to the copies of the partition, not to those of the store.
    pub fn drop_partition(&self, partition: Partition) -> usize {
        let drop_in = |shard| {
            let mut dropped = Dropped::new();
            write(shard).drop_partition(partition, &mut dropped)
        };
        self.shards.iter().map(drop_in).sum()
    }

    /// Drops all copies whose keys are chosen; returns how many.
    ///
    /// Looks at every key, one shard after the other: for operators, not for requests.
    pub fn remove_where(&self, chosen: &dyn Fn(&CacheKey) -> bool) -> usize {
        let drop_in = |shard| {
            let mut dropped = Dropped::new();
            write(shard).remove_where(chosen, &mut dropped)
        };
        self.shards.iter().map(drop_in).sum()
    }

    /// All keys. Looks at every one, as [`remove_where`](Self::remove_where) does.
    #[must_use]
    pub fn keys(&self) -> Vec<CacheKey> {
        let shards = self.shards.iter();
        let keys = shards.flat_map(|shard| read(shard).keys().cloned().collect::<Vec<_>>());
        keys.collect()
    }

    /// Number of copies.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).len()).sum()
    }

    /// Whether there is no copy.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all copies, with what they cost beside their content.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).bytes()).sum()
    }

    /// Copies that were dropped to make room.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| read(shard).evictions())
            .sum()
    }

    /// Copies that were kept, renewals included.
    #[must_use]
    pub fn insertions(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| read(shard).insertions())
            .sum()
    }

    /// Checks every link, weight and count of every shard, for tests and simulation.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), &'static str> {
        self.shards
            .iter()
            .try_for_each(|shard| read(shard).validate())
    }

    fn shard_of(&self, key: &CacheKey) -> &RwLock<Shard<V>> {
        self.shard_of_hash(key.hash())
    }

    fn shard_of_hash(&self, hash: u64) -> &RwLock<Shard<V>> {
        // The table in the shard uses the lowest and the highest bits of the hash: these are free.
        let middle = usize::from(hash.to_le_bytes()[4]);
        &self.shards[middle & (self.shards.len() - 1)]
    }
}

impl<V> fmt::Debug for Store<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<Store<()>>();
};

/// One byte of the hash chooses the shard.
const SHARDS_MAX: usize = 256;

/// Times that the largest object fits into a shard.
const OBJECTS_PER_SHARD_MIN: usize = 4;

/// Below this, the rounding of the bound and uneven hashing waste too much of it.
const ENTRIES_PER_SHARD_MIN: usize = 64;

/// A panic elsewhere while a lock was held is a bug of ours; it must not take the copies with it.
fn read<V>(shard: &RwLock<Shard<V>>) -> RwLockReadGuard<'_, Shard<V>> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<V>(shard: &RwLock<Shard<V>>) -> RwLockWriteGuard<'_, Shard<V>> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}
