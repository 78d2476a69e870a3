//! Owns [`Group`]: all variants of one key, what it costs, and the queues and partitions that it is in.
//! Never decides what is evicted.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use smallvec::SmallVec;

use super::entry::Entry;
use super::ghosts::Ghosts;
use super::list::{Links, List};
use super::shares::Owner;
use crate::key::{CacheKey, Partition};

pub(super) struct Group<V> {
    pub(super) key: CacheKey,
    /// Oldest first, never empty while in the shard.
    pub(super) variants: SmallVec<[Variant<V>; 1]>,
    /// What the group is charged for, variants included.
    pub(super) bytes: usize,
    pub(super) fifo: Fifo,
    /// Who had its first variant made, and is charged for what is of none of them.
    pub(super) owner: Owner,
    /// Uses since the group came into its queue, up to [`USES_MAX`](super::shard::USES_MAX).
    pub(super) uses: AtomicU8,
    pub(super) in_partition: Links,
    pub(super) in_queue: Links,
}

pub(super) struct Variant<V> {
    pub(super) value: Arc<V>,
    pub(super) bytes: usize,
    /// Who had it made, and is charged for it.
    pub(super) owner: Owner,
}

pub(super) struct Members {
    pub(super) partition: Partition,
    pub(super) list: List,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fifo {
    Main,
    Small,
}

pub(super) struct Queue {
    pub(super) list: List,
    pub(super) bytes: usize,
}

/// Bytes that the allocator adds to one allocation, about.
const ALLOCATION_BYTES: usize = 16;

/// What a group costs beside its variants. Tables and slab grow by doubling, so up to half of
/// them is reserve: each slot is charged twice.
pub(super) fn group_bytes<V>(key: &CacheKey) -> usize {
    let slot = size_of::<Option<Group<V>>>() + size_of::<usize>() + 1;
    let partition = match key.partition() {
        Partition::Public | Partition::Shared => 0,
        Partition::Marked(_) | Partition::Session(_) => size_of::<Members>() + 1,
    };
    2 * (slot + partition) + Ghosts::BYTES + key.bytes_held() + ALLOCATION_BYTES
}

/// What a variant costs: the value behind its `Arc`, two counters and what it keeps alive.
pub(super) fn variant_bytes<V: Entry>(value: &V) -> usize {
    let fixed = size_of::<V>() + 2 * size_of::<usize>() + ALLOCATION_BYTES;
    value
        .bytes()
        .saturating_add(fixed + 2 * size_of::<Variant<V>>())
}

/// A partition is a keyed hash already. `None` for those that many see: they have no list, as it
/// would hold most of the store and is never dropped as a whole.
pub(super) fn partition_hash(partition: Partition) -> Option<u64> {
    match partition {
        Partition::Public | Partition::Shared => None,
        Partition::Marked(hash) | Partition::Session(hash) => Some((hash >> 64) as u64),
    }
}
