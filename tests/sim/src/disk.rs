//! Owns what of the program's copies and of what it has found out is on its disk ([`Disk`]), so that the program
//! can be lost at any moment and begin again.
//! Never judges. What a segment looks like, and what becomes of a damaged one, is the business of
//! `retter-disk`: here it is a list of what was written, of which a kill may take the last copies.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use retter_core::Site;
use retter_core::copies::Journal;
use retter_core::key::{CacheKey, Partition};
use retter_core::site::Fact;
use retter_core::time::Instant;

use crate::chance::Chance;

/// The disk of one world.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Copies of sessions too.
    takes_all: bool,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// What is to be written.
    changed: Vec<CacheKey>,
    written: Vec<Entry>,
}

#[derive(Debug)]
enum Entry {
    Drops(Vec<u64>),
    DropsAllBut(Vec<u64>),
    DropsPartition(Partition),
    Keeps {
        key: u64,
        partition: Partition,
        variant: u64,
        record: Vec<u8>,
    },
}

impl Disk {
    pub(crate) fn new(takes_all: bool) -> Self {
        Self {
            takes_all,
            told: Mutex::default(),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what has changed.
    pub(crate) fn write(&self, site: &Site) {
        let changed = std::mem::take(&mut self.told().changed);
        for key in changed {
            let records = site.records(&key);
            let mut told = self.told();
            if records.has_unfit {
                told.written.push(Entry::Drops(vec![key.hash()]));
            }
            for recorded in records.records {
                told.written.push(Entry::Keeps {
                    key: key.hash(),
                    partition: key.partition(),
                    variant: recorded.variant,
                    record: recorded.record,
                });
            }
        }
    }

    /// A kill in the middle of a write: of what was written last some copies are not there, but all
    /// drops are. What was not written yet never is.
    pub(crate) fn tear(&self, chance: &mut Chance) {
        let mut told = self.told();
        told.changed.clear();
        for _ in 0..chance.below(4) {
            if let Some(Entry::Keeps { .. }) = told.written.last() {
                told.written.pop();
            }
        }
    }

    /// What was found out, and the copies that no later word has dropped, come back to a new process.
    /// Returns how many copies did.
    pub(crate) fn bring_back(&self, facts: &[Fact], site: &Site, now: Instant) -> usize {
        for fact in facts {
            site.learn(fact, now);
        }
        let mut live: BTreeMap<(u64, u64), (Partition, &[u8])> = BTreeMap::new();
        let told = self.told();
        for entry in &told.written {
            match entry {
                Entry::Drops(keys) => live.retain(|(key, _), _| !keys.contains(key)),
                Entry::DropsAllBut(kept) => live.retain(|(key, _), _| kept.contains(key)),
                Entry::DropsPartition(partition) => live.retain(|_, (of, _)| of != partition),
                Entry::Keeps {
                    key,
                    partition,
                    variant,
                    record,
                } => {
                    live.insert((*key, *variant), (*partition, record));
                }
            }
        }
        let records: Vec<_> = live.values().map(|(_, record)| record.to_vec()).collect();
        // The site speaks to its disk meanwhile.
        drop(told);
        let back = records.iter();
        back.filter(|record| site.restore(record, &|_| true, now).is_ok())
            .count()
    }
}

impl Journal for Disk {
    fn takes(&self, partition: Partition) -> bool {
        self.takes_all || partition.is_everybodys()
    }

    fn changed(&self, key: &CacheKey) {
        let mut told = self.told();
        if !told.changed.contains(key) {
            told.changed.push(key.clone());
        }
    }

    fn dropped(&self, keys: &[u64]) {
        self.told().written.push(Entry::Drops(keys.to_vec()));
    }

    fn dropped_partition(&self, partition: Partition) {
        self.told().written.push(Entry::DropsPartition(partition));
    }

    fn dropped_others(&self, kept: &[u64]) {
        self.told().written.push(Entry::DropsAllBut(kept.to_vec()));
    }
}
