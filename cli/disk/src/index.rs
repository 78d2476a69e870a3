//! Owns what is on the disk and counts ([`Index`]): of each key the variants, and where they are.
//! Never reads or writes a segment.

use std::collections::HashMap;
use std::time::Instant;

/// Where a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Position {
    pub(crate) segment: u64,
    pub(crate) at: usize,
}

/// A copy on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) variant: u64,
    pub(crate) content: u64,
    pub(crate) place: Position,
    /// Bytes of the frame.
    pub(crate) len: u64,
    /// Seconds since 1970.
    pub(crate) written: u64,
}

#[derive(Debug, Default)]
struct Held {
    /// When it was last compared with what is in memory; `None` since the start.
    looked: Option<Instant>,
    partition: u128,
    slots: Vec<Kept>,
}

/// The copies on the disk by the hashes of their keys. Two keys of one hash are taken for one: what drops
/// one drops both.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: HashMap<u64, Held>,
    /// Keys of partitions that can be dropped.
    partitions: HashMap<u128, Vec<u64>>,
    bytes: u64,
    len: usize,
}

impl Index {
    /// Bytes of all frames that count.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many copies there are.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn has(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    /// When the copies of a key were last compared with those in memory.
    pub(crate) fn looked(&self, key: u64) -> Option<Instant> {
        self.keys.get(&key)?.looked
    }

    pub(crate) fn note_look(&mut self, key: u64, now: Instant) {
        if let Some(held) = self.keys.get_mut(&key) {
            held.looked = Some(now);
        }
    }

    pub(crate) fn slot(&self, key: u64, variant: u64) -> Option<&Kept> {
        let mut slots = self.keys.get(&key)?.slots.iter();
        slots.find(|slot| slot.variant == variant)
    }

    /// Puts a copy in the place of the same variant.
    pub(crate) fn put(&mut self, (key, partition): (u64, u128), slot: Kept, now: Instant) {
        self.take(key, |held| held.variant == slot.variant);
        self.add((key, partition), slot);
        self.note_look(key, now);
    }

    /// Adds a copy where there is none of the same variant, as those that are there are newer; returns
    /// whether it was added.
    pub(crate) fn put_older(&mut self, name: (u64, u128), slot: Kept) -> bool {
        let is_new = self.slot(name.0, slot.variant).is_none();
        if is_new {
            self.add(name, slot);
        }
        is_new
    }

    fn add(&mut self, (key, partition): (u64, u128), slot: Kept) {
        if partition != 0 && !self.has(key) {
            self.partitions.entry(partition).or_default().push(key);
        }
        let held = self.keys.entry(key).or_default();
        held.partition = partition;
        held.slots.push(slot);
        self.bytes += slot.len;
        self.len += 1;
    }

    /// A frame was written again somewhere else.
    pub(crate) fn moved(&mut self, key: u64, from: Position, to: Position) {
        let slots = self.keys.get_mut(&key).map(|held| &mut held.slots);
        if let Some(slot) = slots.into_iter().flatten().find(|slot| slot.place == from) {
            slot.place = to;
        }
    }

    /// Takes a key out; returns whether it was there.
    pub(crate) fn remove(&mut self, key: u64) -> bool {
        let was_there = self.has(key);
        self.take(key, |_| true);
        was_there
    }

    /// Takes the keys of a partition out, and returns them.
    pub(crate) fn remove_partition(&mut self, partition: u128) -> Vec<u64> {
        let keys = self.partitions.get(&partition).cloned().unwrap_or_default();
        for key in &keys {
            self.remove(*key);
        }
        keys
    }

    /// Takes all keys out but these, which are sorted; returns those that are out.
    pub(crate) fn retain(&mut self, kept: &[u64]) -> Vec<u64> {
        let keys = self.keys.keys().copied();
        let mut gone: Vec<_> = keys
            .filter(|key| kept.binary_search(key).is_err())
            .collect();
        gone.sort_unstable();
        for key in &gone {
            self.remove(*key);
        }
        gone
    }

    /// A segment is gone, and all that was in it.
    pub(crate) fn remove_segment(&mut self, segment: u64) {
        let is_there = |slot: &Kept| slot.place.segment == segment;
        let hit = |held: &Held| held.slots.iter().any(is_there);
        let keys = self.keys.iter().filter(|(_, held)| hit(held));
        let mut keys: Vec<_> = keys.map(|(key, _)| *key).collect();
        keys.sort_unstable();
        for key in keys {
            self.take(key, is_there);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes those of a key's copies out that are chosen, and the key with the last of them.
    fn take(&mut self, key: u64, chosen: impl Fn(&Kept) -> bool) {
        let Some(held) = self.keys.get_mut(&key) else {
            return;
        };
        let taken = held.slots.iter().filter(|slot| chosen(slot));
        let (count, bytes) =
            taken.fold((0, 0), |(count, bytes), slot| (count + 1, bytes + slot.len));
        held.slots.retain(|slot| !chosen(slot));
        self.len -= count;
        self.bytes -= bytes;
        if !held.slots.is_empty() {
            return;
        }
        let partition = held.partition;
        self.keys.remove(&key);
        if let Some(keys) = self.partitions.get_mut(&partition) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.partitions.remove(&partition);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(variant: u64, segment: u64) -> Kept {
        Kept {
            variant,
            content: 0,
            place: Position { segment, at: 8 },
            len: 10,
            written: 0,
        }
    }

    #[test]
    fn what_is_taken_out_is_gone_from_everywhere() {
        let now = Instant::now();
        let mut index = Index::default();
        index.put((1, 0), slot(1, 1), now);
        index.put((1, 0), slot(2, 1), now);
        index.put((2, 7), slot(1, 2), now);
        index.put((3, 7), slot(1, 2), now);
        assert_eq!((index.len(), index.bytes()), (4, 40));
        index.put((1, 0), slot(1, 3), now);
        assert_eq!(
            (index.len(), index.bytes()),
            (4, 40),
            "in the place of the other"
        );
        assert!(!index.put_older((1, 0), slot(1, 0)) && index.put_older((1, 0), slot(3, 0)));
        index.remove_segment(1);
        assert!(index.slot(1, 2).is_none() && index.slot(1, 1).is_some());
        assert_eq!(index.remove_partition(7), [2, 3]);
        assert!(index.remove_partition(7).is_empty() && !index.has(2));
        index.put((4, 0), slot(1, 3), now);
        assert_eq!(index.retain(&[4]), [1]);
        assert_eq!((index.len(), index.bytes()), (1, 10));
        index.moved(
            4,
            Position { segment: 3, at: 8 },
            Position { segment: 5, at: 9 },
        );
        assert_eq!(index.slot(4, 1).map(|slot| slot.place.segment), Some(5));
        assert!(index.remove(4) && !index.remove(4));
        assert_eq!((index.len(), index.bytes()), (0, 0));
    }
}
