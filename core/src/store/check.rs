//! Owns the check of a shard's own consistency, for tests and simulation.
//! Never mends anything.

use std::sync::atomic::Ordering;

use super::entry::Entry;
use super::group::{Fifo, group_bytes};
use super::shard::{Shard, USES_MAX};
use super::shares::Shares;
use crate::key::Partition;
use crate::limits::VARIANTS_MAX;

impl<V: Entry> Shard<V> {
    /// Checks every link, weight and count, for tests and simulation.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(super) fn validate(&self) -> Result<(), &'static str> {
        let check = |holds: bool, what| holds.then_some(()).ok_or(what);
        check(self.bytes() <= self.bytes_max, "more bytes than the bound")?;
        check(
            self.entries <= self.entries_max,
            "more entries than the bound",
        )?;
        check(
            self.index.len() == self.groups.len(),
            "index and slab differ in size",
        )?;
        let mut seen = 0;
        for (queue, fifo) in [(&self.small, Fifo::Small), (&self.main, Fifo::Main)] {
            let nodes = queue
                .list
                .checked_nodes(&self.groups)
                .ok_or("broken queue links")?;
            let in_fifo = nodes.iter().all(|&at| self.groups[at].fifo == fifo);
            check(in_fifo, "a group in a queue that is not its own")?;
            let bytes: usize = nodes.iter().map(|&at| self.groups[at].bytes).sum();
            check(bytes == queue.bytes, "a queue's bytes are not its groups'")?;
            seen += nodes.len();
        }
        check(seen == self.groups.len(), "groups outside the queues")?;
        check(self.counted() == self.shares, "an owner's bytes miscounted")?;
        let mut entries = 0;
        let mut in_partitions = 0;
        for (at, group) in &self.groups {
            let bytes: usize = group.variants.iter().map(|variant| variant.bytes).sum();
            let bytes = bytes + group_bytes::<V>(&group.key);
            check(
                bytes == group.bytes,
                "a group's bytes are not its variants'",
            )?;
            check(!group.variants.is_empty(), "a group without variants")?;
            check(group.variants.len() <= VARIANTS_MAX, "too many variants")?;
            check(
                group.uses.load(Ordering::Relaxed) <= USES_MAX,
                "too many uses",
            )?;
            check(
                self.find(&group.key) == Some(at),
                "a group that its key does not find",
            )?;
            entries += group.variants.len();
            in_partitions += usize::from(!matches!(
                group.key.partition(),
                Partition::Public | Partition::Shared
            ));
        }
        check(entries == self.entries, "entries miscounted")?;
        let mut members = 0;
        for partition in &self.partitions {
            let nodes = partition
                .list
                .checked_nodes(&self.groups)
                .ok_or("broken partition")?;
            let is_own = |&at: &usize| self.groups[at].key.partition() == partition.partition;
            check(!nodes.is_empty(), "an empty partition")?;
            check(nodes.iter().all(is_own), "a group in another's partition")?;
            members += nodes.len();
        }
        check(members == in_partitions, "groups outside their partition")?;
        self.ghosts
            .checked_len()
            .ok_or("ghosts disagree")
            .map(|_| ())
    }

    /// What each owner fills, counted anew.
    fn counted(&self) -> Shares {
        let mut shares = Shares::new();
        for (_, group) in &self.groups {
            shares.add(group.owner, group_bytes::<V>(&group.key));
            for variant in &group.variants {
                shares.add(variant.owner, variant.bytes + self.least());
            }
        }
        shares
    }
}
