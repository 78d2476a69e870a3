//! Owns what has made copies wrong and since when ([`Log`]), by which a shared copy is judged: it was
//! written by an instance that knew all events up to some place in the stream, and must not be used where a
//! later one is about it.
//! Never reads the stream, and never judges a copy in memory.

use std::collections::HashMap;

use retter_core::copies::{Invalidation, Purged};
use retter_core::key::{CacheKey, Keyer, Partition};

use crate::names::Id;

/// Keys and partitions that are remembered; with more, copies older than the older half are out.
const NAMES_MAX: usize = 1 << 17;

/// Purges that are remembered; likewise.
const PURGES_MAX: usize = 1024;

/// The last event about each name.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// What happened before is not known: copies from before are out.
    horizon: Id,
    keys: HashMap<u64, Id>,
    partitions: HashMap<Partition, Id>,
    purges: Vec<(Purged, Id)>,
    /// What this instance has made wrong, by the number of the item, until that is in the stream.
    pending: Pending,
}

#[derive(Debug, Default)]
struct Pending {
    all: u64,
    keys: HashMap<u64, u64>,
    partitions: HashMap<Partition, u64>,
    purges: Vec<(Purged, u64)>,
}

impl Log {
    /// What happened before `id` is not known, or not any more.
    pub(crate) fn forget_before(&mut self, id: Id) {
        self.horizon = self.horizon.max(id);
        self.keys.clear();
        self.partitions.clear();
        self.purges.clear();
    }

    /// Nothing is known, as of a stream that was not read yet; what this instance has to tell stays.
    pub(crate) fn clear(&mut self) {
        self.forget_before(Id::START);
        self.horizon = Id::START;
    }

    /// Takes note of an event.
    pub(crate) fn note(&mut self, invalidation: &Invalidation, keyer: &Keyer, id: Id) {
        match invalidation {
            Invalidation::Keys(keys) => self.keys.extend(keys.iter().map(|key| (*key, id))),
            Invalidation::Partition(partition) => {
                self.partitions.insert(*partition, id);
            }
            Invalidation::Purge(purge) => {
                self.purges
                    .extend(purge.keys(keyer).map(|purged| (purged, id)));
            }
            // Copies from before still rescue.
            Invalidation::Refused(_) | Invalidation::Written(_) => {}
        }
        if self.keys.len() > NAMES_MAX {
            self.forget_half(self.keys.values().copied().collect());
        }
        if self.partitions.len() > NAMES_MAX {
            self.forget_half(self.partitions.values().copied().collect());
        }
        if self.purges.len() > PURGES_MAX {
            self.forget_half(self.purges.iter().map(|(_, id)| *id).collect());
        }
    }

    /// Forgets the older half of events like these, and puts all copies out that are not younger.
    fn forget_half(&mut self, mut ids: Vec<Id>) {
        let middle = ids.len() / 2;
        let (_, middle, _) = ids.select_nth_unstable(middle);
        self.horizon = self.horizon.max(*middle);
        let horizon = self.horizon;
        self.keys.retain(|_, id| *id > horizon);
        self.partitions.retain(|_, id| *id > horizon);
        self.purges.retain(|(_, id)| *id > horizon);
    }

    /// This instance has something to tell, as its item of this `number`: from now on it counts.
    pub(crate) fn tell(&mut self, invalidation: &Invalidation, keyer: &Keyer, number: u64) {
        let pending = &mut self.pending;
        match invalidation {
            Invalidation::Keys(keys) => pending.keys.extend(keys.iter().map(|key| (*key, number))),
            Invalidation::Partition(partition) => {
                pending.partitions.insert(*partition, number);
            }
            Invalidation::Purge(purge) => {
                let purged = purge.keys(keyer);
                pending.purges.extend(purged.map(|purged| (purged, number)));
            }
            Invalidation::Refused(_) | Invalidation::Written(_) => {}
        }
    }

    /// This instance tells, as its item of this `number`, that anything may be wrong.
    pub(crate) fn tell_gap(&mut self, number: u64) {
        self.pending = Pending {
            all: number,
            ..Pending::default()
        };
    }

    /// The items of this instance up to this `number` are in the stream, and noted.
    pub(crate) fn told(&mut self, number: u64) {
        let pending = &mut self.pending;
        if pending.all <= number {
            pending.all = 0;
        }
        pending.keys.retain(|_, told| *told > number);
        pending.partitions.retain(|_, told| *told > number);
        pending.purges.retain(|(_, told)| *told > number);
    }

    /// Whether what this instance has to tell about a key is not in the stream yet: what is written of it now
    /// would be out at once.
    pub(crate) fn is_pending(&self, key: &CacheKey) -> bool {
        let pending = &self.pending;
        pending.all > 0
            || pending.keys.contains_key(&key.hash())
            || pending.partitions.contains_key(&key.partition())
            || pending.purges.iter().any(|(purged, _)| purged.has(key))
    }

    /// Whether nothing is known to have made a copy of this key wrong whose writer knew all events up to `id`.
    pub(crate) fn is_live(&self, key: &CacheKey, id: Id) -> bool {
        let is_before = |event: Option<&Id>| event.is_none_or(|event| *event <= id);
        let mut purges = self.purges.iter();
        id >= self.horizon
            && !self.is_pending(key)
            && is_before(self.keys.get(&key.hash()))
            && is_before(self.partitions.get(&key.partition()))
            && purges.all(|(purged, event)| *event <= id || !purged.has(key))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;
    use retter_core::copies::Purge;
    use retter_core::message::{Fields, RequestHead};
    use retter_core::{Instant, Settings, Site};

    use super::*;

    const fn id(millis: u64) -> Id {
        Id { millis, number: 0 }
    }

    fn site() -> Site {
        Site::new(&Settings::default().validate().unwrap(), 1, Instant::ZERO)
    }

    fn key(site: &Site, target: &str) -> CacheKey {
        let fields = Fields::from_pairs([("host", &b"h"[..])]);
        let request = Arc::new(RequestHead::new(Method::GET, target, fields));
        site.snapshot().keyer().key(&request).unwrap()
    }

    #[test]
    fn a_copy_is_out_where_a_later_event_is_about_it() {
        let site = site();
        let snapshot = site.snapshot();
        let keyer = snapshot.keyer();
        let (page, other) = (key(&site, "/page"), key(&site, "/other"));
        let prefix = Purge::Prefix {
            host: None,
            path: "/page".to_owned(),
        };
        for invalidation in [
            Invalidation::Keys(vec![page.hash()]),
            Invalidation::Purge(prefix),
        ] {
            let mut log = Log::default();
            assert!(log.is_live(&page, Id::START));
            log.tell(&invalidation, keyer, 1);
            assert!(!log.is_live(&page, id(99)), "until its place is known");
            assert!(log.is_pending(&page) && !log.is_pending(&other));
            assert!(log.is_live(&other, id(1)));
            log.note(&invalidation, keyer, id(5));
            log.told(1);
            let live = [4, 5, 6].map(|at| log.is_live(&page, id(at)));
            assert_eq!(live, [false, true, true]);
            assert!(log.is_live(&other, id(1)));
        }
        let mut log = Log::default();
        let everybodys = Invalidation::Partition(Partition::Session(1));
        log.note(&everybodys, keyer, id(5));
        log.note(&Invalidation::Written(1), keyer, id(5));
        assert!(log.is_live(&page, id(1)));
    }

    #[test]
    fn what_is_not_remembered_puts_all_older_copies_out() {
        let site = site();
        let snapshot = site.snapshot();
        let page = key(&site, "/page");
        let mut log = Log::default();
        let half = NAMES_MAX as u64 / 2;
        for number in 0..=NAMES_MAX as u64 {
            let at = id(5 + u64::from(number > half));
            log.note(&Invalidation::Keys(vec![number]), snapshot.keyer(), at);
        }
        assert!(!log.is_live(&page, id(4)) && log.is_live(&page, id(5)));
        assert_eq!(log.keys.len() as u64, half, "the younger half is known");
        for _ in 0..=PURGES_MAX {
            let nothing = Purge::Prefix {
                host: None,
                path: "/nothing".to_owned(),
            };
            log.note(&Invalidation::Purge(nothing), snapshot.keyer(), id(6));
        }
        assert!(!log.is_live(&page, id(5)) && log.is_live(&page, id(6)));
        log.tell_gap(3);
        assert!(!log.is_live(&page, id(9)));
        log.told(2);
        assert!(!log.is_live(&page, id(9)));
        log.told(3);
        assert!(log.is_live(&page, id(9)));
        log.clear();
        assert!(log.is_live(&page, id(1)));
    }
}
