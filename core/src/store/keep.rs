//! Owns how a value comes into a shard: in place of which one, and what it may drive out. What is new
//! makes room at the cost of others only as long as its owner has no more than a share, and where it is not
//! large: else the owner's own, or other large values, give way, or it does itself. So nobody drives out what
//! others wanted, with as many pages as they may think of.
//! Never chooses whose turn it is by use: the shard does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entry::Entry;
use super::group::{Fifo, Variant, group_bytes, variant_bytes};
use super::shard::{Dropped, Shard};
use super::shares::Owner;
use crate::key::CacheKey;
use crate::limits::VARIANTS_MAX;

/// A variant that came last, and what it may do.
#[derive(Clone, Copy)]
struct Newest {
    /// Its group.
    at: usize,
    owner: Owner,
    is_over: bool,
    is_large: bool,
}

/// Keeps `value` under `key`, in place of the same variant; returns whether it fits.
pub(super) fn insert<V: Entry>(
    shard: &mut Shard<V>,
    key: CacheKey,
    value: Arc<V>,
    dropped: &mut Dropped<V>,
) -> bool {
    let bytes = variant_bytes(&*value);
    let least = group_bytes::<V>(&key).saturating_add(bytes);
    if least > shard.bytes_max || shard.entries_max == 0 {
        dropped.push(value);
        return false;
    }
    let found = shard.find(&key);
    let is_new = found.is_none();
    let at = found.unwrap_or_else(|| shard.add_group(key, value.owner()));
    let variants = &shard.groups[at].variants;
    let same = variants
        .iter()
        .position(|variant| variant.value.same_variant(&value));
    let mut owner = value.owner();
    if let Some(same) = same {
        if owner == 0 {
            // Renewed for nobody, it stays whose it was.
            owner = variants[same].owner;
        }
        shard.take_variant(at, same, dropped);
    } else if variants.len() >= VARIANTS_MAX {
        let which = shard
            .one_of(at, owner)
            .unwrap_or_else(|| shard.least_wanted(at));
        shard.take_variant(at, which, dropped);
        shard.evictions += 1;
    }
    shard.add_variant(
        at,
        Variant {
            value,
            bytes,
            owner,
        },
    );
    shard.insertions += 1;
    if same.is_none() && may_not_press(shard, at, is_new) {
        return make_room_within(shard, at, dropped);
    }
    shard.make_room(at, dropped);
    true
}

/// Keeps `value` only where there is none of the same variant; returns whether it is kept.
pub(super) fn insert_new<V: Entry>(
    shard: &mut Shard<V>,
    key: CacheKey,
    value: Arc<V>,
    dropped: &mut Dropped<V>,
) -> bool {
    if shard.variants(&key).any(|held| held.same_variant(&value)) {
        dropped.push(value);
        return false;
    }
    insert(shard, key, value, dropped)
}

/// Keeps `value` only where `old` is still kept under `key`; returns whether it was and fits.
pub(super) fn replace<V: Entry>(
    shard: &mut Shard<V>,
    key: CacheKey,
    old: &Arc<V>,
    value: Arc<V>,
    dropped: &mut Dropped<V>,
) -> bool {
    let holds = shard.find(&key).is_some_and(|at| {
        let mut variants = shard.groups[at].variants.iter();
        variants.any(|variant| Arc::ptr_eq(&variant.value, old))
    });
    if !holds {
        dropped.push(value);
        return false;
    }
    insert(shard, key, value, dropped)
}

/// Whether the newest variant of a group may not drive others out: its owner has more than a share,
/// or it is large and its page, which `is_new`, was not here before.
fn may_not_press<V: Entry>(shard: &Shard<V>, at: usize, is_new: bool) -> bool {
    let newest = newest(shard, at);
    newest.is_over || is_new && newest.is_large && shard.groups[at].fifo == Fifo::Small
}

/// The newest variant of a group, as it counts among others.
fn newest<V: Entry>(shard: &Shard<V>, at: usize) -> Newest {
    let group = &shard.groups[at];
    let (owner, bytes) = match group.variants.last() {
        // What is of the group alone came with its only variant.
        Some(variant) if group.variants.len() > 1 => (variant.owner, variant.bytes),
        Some(variant) => (variant.owner, group.bytes),
        None => (0, 0),
    };
    Newest {
        at,
        owner,
        is_over: shard.shares.is_over(owner, bytes, shard.bytes_max),
        is_large: shard.is_large(bytes),
    }
}

/// Evicts what is its owner's, or large as it is, until the bounds hold; else the newest variant of
/// this group leaves. Returns whether it stays.
fn make_room_within<V: Entry>(shard: &mut Shard<V>, at: usize, dropped: &mut Dropped<V>) -> bool {
    while shard.bytes() > shard.bytes_max || shard.entries > shard.entries_max {
        match one_alike(shard, newest(shard, at)) {
            Some((group, None)) => {
                shard.remember(group);
                shard.evictions += shard.remove_group(group, dropped) as u64;
            }
            Some((group, Some(which))) => {
                shard.take_variant(group, which, dropped);
                shard.evictions += 1;
            }
            None => {
                shard.insertions -= 1;
                take_newest(shard, at, dropped);
                return false;
            }
        }
    }
    true
}

/// Takes the newest variant of a group out again, and the group where it has no other.
fn take_newest<V: Entry>(shard: &mut Shard<V>, at: usize, dropped: &mut Dropped<V>) {
    match shard.groups[at].variants.len() {
        0 | 1 => {
            shard.remember(at);
            shard.remove_group(at, dropped);
        }
        count => shard.take_variant(at, count - 1, dropped),
    }
}

/// Of the groups whose turn is next, one that is all of the same owner, or a large one where this is
/// large; or one variant of the same owner. Not of a group that is used.
fn one_alike<V: Entry>(shard: &Shard<V>, newest: Newest) -> Option<(usize, Option<usize>)> {
    /// In each queue.
    const LOOKED_AT: usize = 32;
    let is_its = |variant: &Variant<V>| newest.is_over && variant.owner == newest.owner;
    let alike = |at: usize| {
        let group = &shard.groups[at];
        let variants = &group.variants;
        // The newest one itself is no room for it.
        let others = variants.len() - usize::from(at == newest.at);
        if at != newest.at && variants.iter().all(is_its) {
            return Some((at, None));
        }
        let one = variants.iter().take(others).position(is_its);
        if let Some(which) = one {
            return Some((at, Some(which)));
        }
        let is_large = newest.is_large && !newest.is_over && shard.is_large(group.bytes);
        (at != newest.at && is_large).then_some((at, None))
    };
    let fronts = [&shard.small, &shard.main]
        .into_iter()
        .flat_map(|queue| queue.list.front(&shard.groups, LOOKED_AT));
    let mut unused = fronts.filter(|at| shard.groups[*at].uses.load(Ordering::Relaxed) <= 1);
    unused.find_map(alike)
}
