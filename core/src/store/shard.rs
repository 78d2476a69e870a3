//! Owns one shard of the store: S3-FIFO eviction (Yang et al., SOSP 2023) over a slab.
//! Never locks, never reads a clock, never drops a value: the caller does, after unlocking.
//!
//! A *group* is all variants of one key and the unit of eviction. New groups enter the *small*
//! queue; one that was used more than once there moves to *main*, the others leave and only their
//! hash is remembered as a *ghost*, which sends a returning key straight to main. So a scan of
//! pages that nobody asks for again passes through a tenth of the bytes and leaves the rest alone.
//! A hit changes one atomic counter and no list, so it needs a shared reference only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use hashbrown::HashTable;
use slab::Slab;
use smallvec::SmallVec;

use super::entry::Entry;
use super::ghosts::Ghosts;
use super::group::{Fifo, Group, Members, Queue, Variant, group_bytes, partition_hash};
use super::list::{Chain, Linked, Links, List};
use super::shares::{Owner, Shares};
use crate::key::{CacheKey, Partition};
use crate::message::Fields;

/// Values that left the shard, to be dropped without its lock.
pub(super) type Dropped<V> = SmallVec<[Arc<V>; 8]>;

pub(super) struct Shard<V> {
    pub(super) bytes_max: usize,
    pub(super) entries_max: usize,
    pub(super) entries: usize,
    pub(super) groups: Slab<Group<V>>,
    /// Slots by the key's hash.
    pub(super) index: HashTable<usize>,
    /// The copies of each partition but the shared one, so that one can be dropped by itself.
    pub(super) partitions: HashTable<Members>,
    pub(super) small: Queue,
    pub(super) main: Queue,
    pub(super) ghosts: Ghosts,
    pub(super) shares: Shares,
    pub(super) evictions: u64,
    pub(super) insertions: u64,
}

impl<V: Entry> Shard<V> {
    pub(super) fn new(bytes_max: usize, entries_max: usize) -> Self {
        let queue = || Queue {
            list: List::new(Chain::Queue),
            bytes: 0,
        };
        Self {
            bytes_max,
            entries_max,
            entries: 0,
            groups: Slab::new(),
            index: HashTable::new(),
            partitions: HashTable::new(),
            small: queue(),
            main: queue(),
            ghosts: Ghosts::default(),
            shares: Shares::new(),
            evictions: 0,
            insertions: 0,
        }
    }

    /// Charges `extra` bytes for a value that became heavier. A value that has left is nobody's
    /// charge any more.
    pub(super) fn grew(
        &mut self,
        key: &CacheKey,
        value: &Arc<V>,
        extra: usize,
        dropped: &mut Dropped<V>,
    ) {
        let Some(at) = self.find(key) else { return };
        let mut variants = self.groups[at].variants.iter_mut();
        let Some(variant) = variants.find(|variant| Arc::ptr_eq(&variant.value, value)) else {
            return;
        };
        // An honest `extra` is far below any bound; a dishonest one must not wrap the sums.
        let extra = extra.min(self.bytes_max.saturating_add(1));
        variant.bytes += extra;
        let owner = variant.owner;
        self.charge(at, owner, extra);
        self.make_room(at, dropped);
    }

    pub(super) fn remove(&mut self, key: &CacheKey, dropped: &mut Dropped<V>) -> usize {
        self.find(key)
            .map_or(0, |at| self.remove_group(at, dropped))
    }

    /// Drops everything under all keys of this hash.
    pub(super) fn remove_hash(&mut self, hash: u64, dropped: &mut Dropped<V>) -> usize {
        let mut count = 0;
        let find = |shard: &Self| {
            let is_it = |&at: &usize| shard.groups[at].key.hash() == hash;
            shard.index.find(hash, is_it).copied()
        };
        while let Some(at) = find(self) {
            count += self.remove_group(at, dropped);
        }
        count
    }

    /// Drops `value` where it is still kept under `key`; the other variants stay.
    pub(super) fn remove_variant(
        &mut self,
        key: &CacheKey,
        value: &Arc<V>,
        dropped: &mut Dropped<V>,
    ) {
        let Some(at) = self.find(key) else { return };
        let mut variants = self.groups[at].variants.iter();
        if let Some(which) = variants.position(|variant| Arc::ptr_eq(&variant.value, value)) {
            self.take_variant(at, which, dropped);
            if self.groups[at].variants.is_empty() {
                self.remove_group(at, dropped);
            }
        }
    }

    /// Drops the copies of one partition, in time proportional to their number.
    pub(super) fn drop_partition(
        &mut self,
        partition: Partition,
        dropped: &mut Dropped<V>,
    ) -> usize {
        let Some(hash) = partition_hash(partition) else {
            return 0;
        };
        let mut count = 0;
        // The list leaves the table together with its last group.
        while let Some(at) = self
            .partitions
            .find(hash, |members| members.partition == partition)
            .and_then(|members| members.list.first())
        {
            count += self.remove_group(at, dropped);
        }
        count
    }

    /// The newest variant under `key` that may answer `request`; counts as a use.
    pub(super) fn get(&self, key: &CacheKey, request: &Fields) -> Option<&Arc<V>> {
        let group = &self.groups[self.find(key)?];
        let mut variants = group.variants.iter().rev();
        let found = variants.find(|variant| variant.value.matches(request))?;
        // Not a read-modify-write: a use lost to a race changes nothing, and once the counter is
        // full, readers of a hot copy no longer take its cache line from each other.
        let uses = group.uses.load(Ordering::Relaxed);
        if uses < USES_MAX {
            group.uses.store(uses + 1, Ordering::Relaxed);
        }
        Some(&found.value)
    }

    /// The newest good variant under `key` that may answer `request`.
    pub(super) fn get_good(&self, key: &CacheKey, request: &Fields) -> Option<&Arc<V>> {
        let mut variants = self.groups[self.find(key)?].variants.iter().rev();
        let found = variants.find(|found| found.value.is_good() && found.value.matches(request))?;
        Some(&found.value)
    }

    /// All variants under `key`, oldest first.
    pub(super) fn variants(&self, key: &CacheKey) -> impl Iterator<Item = &Arc<V>> {
        let group = self.find(key).map(|at| &self.groups[at]);
        let variants = group.into_iter().flat_map(|group| &group.variants);
        variants.map(|variant| &variant.value)
    }

    /// All keys, in no order that means anything.
    pub(super) fn keys(&self) -> impl Iterator<Item = &CacheKey> {
        self.groups.iter().map(|(_, group)| &group.key)
    }

    pub(super) fn contains(&self, key: &CacheKey) -> bool {
        self.find(key).is_some()
    }

    /// Drops the copies whose keys are chosen; looks at every key.
    pub(super) fn remove_where(
        &mut self,
        chosen: &dyn Fn(&CacheKey) -> bool,
        dropped: &mut Dropped<V>,
    ) -> usize {
        let groups = self.groups.iter();
        let chosen: Vec<_> = groups
            .filter(|(_, group)| chosen(&group.key))
            .map(|(at, _)| at)
            .collect();
        chosen
            .into_iter()
            .map(|at| self.remove_group(at, dropped))
            .sum()
    }

    pub(super) fn len(&self) -> usize {
        self.entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.small.bytes + self.main.bytes
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(super) fn insertions(&self) -> u64 {
        self.insertions
    }

    pub(super) fn find(&self, key: &CacheKey) -> Option<usize> {
        self.index
            .find(key.hash(), |&at| self.groups[at].key == *key)
            .copied()
    }

    /// Adds a group without variants yet; one whose ghost is around goes to main at once.
    pub(super) fn add_group(&mut self, key: CacheKey, owner: Owner) -> usize {
        debug_assert!(self.find(&key).is_none(), "one group per key");
        let hash = key.hash();
        let partition = key.partition();
        let fifo = if self.ghosts.contains(hash) {
            Fifo::Main
        } else {
            Fifo::Small
        };
        let bytes = group_bytes::<V>(&key);
        let at = self.groups.insert(Group {
            key,
            variants: SmallVec::new(),
            bytes,
            fifo,
            owner,
            uses: AtomicU8::new(0),
            in_partition: Links::default(),
            in_queue: Links::default(),
        });
        let groups = &mut self.groups;
        self.index
            .insert_unique(hash, at, |&at| groups[at].key.hash());
        if let Some(hash) = partition_hash(partition) {
            let is_it = |members: &Members| members.partition == partition;
            let rehash = |members: &Members| partition_hash(members.partition).unwrap_or(0);
            let found = self
                .partitions
                .entry(hash, is_it, rehash)
                .or_insert_with(|| Members {
                    partition,
                    list: List::new(Chain::Partition),
                });
            found.into_mut().list.push_back(groups, at);
        }
        self.shares.add(owner, bytes);
        self.enter_queue(at, fifo);
        at
    }

    /// Takes a group out of every structure; returns how many variants it had.
    pub(super) fn remove_group(&mut self, at: usize, dropped: &mut Dropped<V>) -> usize {
        self.leave_queue(at);
        let (hash, partition) = (self.groups[at].key.hash(), self.groups[at].key.partition());
        if let Ok(found) = self.index.find_entry(hash, |&other| other == at) {
            found.remove();
        }
        if let Some(hash) = partition_hash(partition) {
            let is_it = |members: &Members| members.partition == partition;
            if let Ok(mut found) = self.partitions.find_entry(hash, is_it) {
                found.get_mut().list.unlink(&mut self.groups, at);
                if found.get().list.is_empty() {
                    found.remove();
                }
            }
        }
        let group = self.groups.remove(at);
        let (count, least) = (group.variants.len(), self.least());
        let mut own = group.bytes;
        for variant in &group.variants {
            own -= variant.bytes;
            self.shares.take(variant.owner, variant.bytes + least);
        }
        self.shares.take(group.owner, own);
        self.entries -= count;
        dropped.extend(group.variants.into_iter().map(|variant| variant.value));
        count
    }

    /// The variant of a group that gives way to others: the oldest one that is not good, else the
    /// oldest.
    pub(super) fn least_wanted(&self, at: usize) -> usize {
        let mut variants = self.groups[at].variants.iter();
        variants
            .position(|variant| !variant.value.is_good())
            .unwrap_or(0)
    }

    /// The oldest variant of an owner that has several of a group.
    pub(super) fn one_of(&self, at: usize, owner: Owner) -> Option<usize> {
        /// These may stay beside those of others.
        const FEW: usize = 2;
        let variants = self.groups[at].variants.iter().enumerate();
        let mut own = variants.filter(|(_, variant)| variant.owner == owner);
        let (oldest, _) = own.next().filter(|_| owner != 0)?;
        own.nth(FEW - 2).map(|_| oldest)
    }

    /// Takes one variant out of a group and leaves the group, even if it is empty now.
    pub(super) fn take_variant(&mut self, at: usize, which: usize, dropped: &mut Dropped<V>) {
        let least = self.least();
        let group = &mut self.groups[at];
        let variant = group.variants.remove(which);
        group.bytes -= variant.bytes;
        self.shares.take(variant.owner, variant.bytes + least);
        queue_of(group.fifo, &mut self.small, &mut self.main).bytes -= variant.bytes;
        self.entries -= 1;
        dropped.push(variant.value);
    }

    /// Adds a group's newest variant.
    pub(super) fn add_variant(&mut self, at: usize, variant: Variant<V>) {
        let (owner, bytes) = (variant.owner, variant.bytes);
        self.groups[at].variants.push(variant);
        self.charge(at, owner, bytes);
        self.shares.add(owner, self.least());
        self.entries += 1;
    }

    fn charge(&mut self, at: usize, owner: Owner, bytes: usize) {
        let group = &mut self.groups[at];
        group.bytes += bytes;
        self.shares.add(owner, bytes);
        queue_of(group.fifo, &mut self.small, &mut self.main).bytes += bytes;
    }

    fn leave_queue(&mut self, at: usize) {
        let group = &self.groups[at];
        let bytes = group.bytes;
        let queue = queue_of(group.fifo, &mut self.small, &mut self.main);
        queue.list.unlink(&mut self.groups, at);
        queue.bytes -= bytes;
    }

    fn enter_queue(&mut self, at: usize, fifo: Fifo) {
        let group = &mut self.groups[at];
        group.fifo = fifo;
        let bytes = group.bytes;
        let queue = queue_of(fifo, &mut self.small, &mut self.main);
        queue.list.push_back(&mut self.groups, at);
        queue.bytes += bytes;
    }

    /// What a variant counts for at the least in its owner's share, beside its bytes: their number is
    /// bounded too.
    pub(super) const fn least(&self) -> usize {
        self.bytes_max
            / if self.entries_max == 0 {
                1
            } else {
                self.entries_max
            }
    }

    pub(super) const fn is_large(&self, bytes: usize) -> bool {
        bytes > self.bytes_max / LARGE_SHARE
    }

    /// Remembers that a group was here.
    pub(super) fn remember(&mut self, at: usize) {
        let hash = self.groups[at].key.hash();
        self.ghosts.remember(hash, self.groups.len());
    }

    /// Evicts until the bounds hold. `spare` is the group just changed: it goes last, and its
    /// older variants before its newest.
    pub(super) fn make_room(&mut self, spare: usize, dropped: &mut Dropped<V>) {
        while self.bytes() > self.bytes_max || self.entries > self.entries_max {
            let count = match self.choose_victim(spare) {
                Some(at) => self.remove_group(at, dropped),
                None if self.groups[spare].variants.len() > 1 => {
                    self.take_variant(spare, self.least_wanted(spare), dropped);
                    1
                }
                None => {
                    self.evictions += self.remove_group(spare, dropped) as u64;
                    break;
                }
            };
            self.evictions += count as u64;
        }
        debug_assert!(self.bytes() <= self.bytes_max && self.entries <= self.entries_max);
    }

    /// The group to evict next, after giving used ones their second chance; `None` when there is
    /// none beside `spare`.
    fn choose_victim(&mut self, spare: usize) -> Option<usize> {
        let mut chances = SECOND_CHANCES_MAX;
        loop {
            let at = self.next_in_turn(spare)?;
            let group = &mut self.groups[at];
            let hash = group.key.hash();
            let uses = group.uses.get_mut();
            match group.fifo {
                Fifo::Small if *uses > 1 && chances > 0 => {
                    *uses = 0;
                    self.leave_queue(at);
                    self.enter_queue(at, Fifo::Main);
                }
                Fifo::Small => {
                    self.ghosts.remember(hash, self.groups.len());
                    return Some(at);
                }
                Fifo::Main if *uses > 0 && chances > 0 => {
                    *uses -= 1;
                    self.leave_queue(at);
                    self.enter_queue(at, Fifo::Main);
                }
                Fifo::Main => return Some(at),
            }
            chances -= 1;
        }
    }

    pub(super) fn next_in_turn(&self, spare: usize) -> Option<usize> {
        let small = self.small.list.first_except(&self.groups, spare);
        let main = self.main.list.first_except(&self.groups, spare);
        if self.small.bytes > self.bytes_max / SMALL_SHARE {
            small.or(main)
        } else {
            main.or(small)
        }
    }
}

impl<V> Linked for Group<V> {
    fn links(&self, chain: Chain) -> &Links {
        match chain {
            Chain::Partition => &self.in_partition,
            Chain::Queue => &self.in_queue,
        }
    }

    fn links_mut(&mut self, chain: Chain) -> &mut Links {
        match chain {
            Chain::Partition => &mut self.in_partition,
            Chain::Queue => &mut self.in_queue,
        }
    }
}

/// The small queue's share of the bytes: a tenth, the paper's value for web traffic.
const SMALL_SHARE: usize = 10;

/// What takes more than one byte in this number of a shard is large.
pub(super) const LARGE_SHARE: usize = 40;

/// Two bits, as in the paper: more would let a page that was hot once stay for long.
pub(super) const USES_MAX: u8 = 3;

/// Groups that one eviction may pass over. On average it is below [`USES_MAX`] per use; the bound
/// keeps the one unlucky insertion short when everything in a full shard is hot.
const SECOND_CHANCES_MAX: u32 = 256;

fn queue_of<'a>(fifo: Fifo, small: &'a mut Queue, main: &'a mut Queue) -> &'a mut Queue {
    match fifo {
        Fifo::Main => main,
        Fifo::Small => small,
    }
}
