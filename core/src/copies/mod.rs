//! Owns the copies of one site, `Copies`: the store, what has made copies wrong of late, the
//! memory in which new ones are made, and what those are told who keep copies beside it.
//! Never decides what answers a client, what may be kept, or which copies are to be renewed.

mod beside;
mod changes;
mod content;
mod copy;
mod gone;
mod journal;
mod listed;
mod purge;
mod record;
mod restoring;
mod sharing;
mod shown;
mod sought;
#[cfg(test)]
mod tests;
mod writes;

use std::cell::RefCell;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::quality::FixedState;
use smallvec::SmallVec;

use self::beside::Beside;
use self::changes::{Change, Changes};
use self::content::Budget;
use self::gone::Gone;
use self::record::Stamp;
use self::writes::Writes;
use crate::canary::{Plant, is_planted};
use crate::config::CacheSettings;
use crate::key::{CacheKey, Partition};
use crate::limits::STORE_SHARDS_MAX;
use crate::message::Fields;
use crate::rules::coding::GzipPool;
use crate::store::{Bounds, Entry, Store};
use crate::time::Instant;

pub(crate) use self::changes::Mark;
pub(crate) use self::copy::{Collector, Making, StoredResponse, Times};
pub use self::journal::{Journal, Recorded, Records, Restored, Unrestored};
pub use self::listed::Listed;
pub use self::purge::{Purge, Purged};
pub(crate) use self::restoring::{Restoring, Written};
pub use self::sharing::{Invalidation, Sharing};
pub use self::shown::Shown;
pub use self::sought::Sought;
pub(crate) use self::sought::{Seeking, question};

/// Everything that is kept of a site's answers.
pub(crate) struct Copies {
    beside: Beside,
    budget: Arc<Budget>,
    bytes_max: usize,
    changes: Changes,
    /// What the origin was asked for before may have been made wrong by what was not heard of.
    doubted: AtomicU64,
    entries_max: usize,
    gone: Gone,
    object_bytes_max: usize,
    /// Of resources, each to a partition.
    refusals: Writes,
    resource_hash: FixedState,
    store: Store<StoredResponse>,
    writes: Writes,
}

/// Which copies are wrong from now on.
#[derive(Clone, Copy)]
pub(crate) enum Outdated<'a> {
    /// Those whose keys are chosen.
    Chosen(&'a dyn Fn(&CacheKey) -> bool),
    /// Those of pages, each by its key.
    Pages(&'a [CacheKey]),
    /// Those of a partition.
    Partition(Partition),
}

/// The rules by which copies are made: settings, and what keys mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Other rules have another one.
    pub(crate) mark: u64,
    /// What the origin was asked for before was made by others.
    pub(crate) since: Instant,
}

/// What there is to count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CopiesStats {
    pub(crate) bytes: usize,
    pub(crate) collecting_bytes: usize,
    pub(crate) evictions: u64,
    pub(crate) insertions: u64,
    pub(crate) leaving_bytes: usize,
    pub(crate) len: usize,
}

impl Outdated<'_> {
    /// Whether the copies of `key` are among them.
    pub(crate) fn has(&self, key: &CacheKey) -> bool {
        match self {
            Self::Chosen(chosen) => chosen(key),
            Self::Pages(keys) => keys.contains(key),
            Self::Partition(partition) => key.partition() == *partition,
        }
    }
}

impl Copies {
    /// Nothing is kept yet. The same `seed` gives the same hashes.
    pub(crate) fn new(settings: &CacheSettings, seed: u64) -> Self {
        Self {
            beside: Beside::default(),
            budget: Arc::new(Budget::new(settings.bytes_max / 2)),
            bytes_max: settings.bytes_max,
            changes: Changes::new(),
            doubted: AtomicU64::new(0),
            entries_max: settings.entries_max,
            gone: Gone::new(),
            object_bytes_max: settings.object_bytes_max,
            refusals: Writes::new(),
            resource_hash: FixedState::with_seed(seed),
            store: Store::new(Bounds {
                bytes_max: settings.bytes_max,
                entries_max: settings.entries_max,
                object_bytes_max: settings.object_bytes_max,
                shards_max: STORE_SHARDS_MAX,
            }),
            writes: Writes::new(),
        }
    }

    /// The copy for a request with these fields, also one that is merely fresh.
    pub(crate) fn look_up(&self, key: &CacheKey, request: &Fields) -> Option<Arc<StoredResponse>> {
        self.store
            .get(key, request)
            .filter(|copy| self.may_be_seen(copy, key))
    }

    /// The last good copy.
    pub(crate) fn look_up_good(
        &self,
        key: &CacheKey,
        request: &Fields,
    ) -> Option<Arc<StoredResponse>> {
        self.store
            .get_good(key, request)
            .filter(|copy| self.may_be_seen(copy, key))
    }

    /// Whether whoever asks with `key` may have the copy: it is of nobody else's branch of a chain, and
    /// nothing has changed of which it is a part.
    fn may_be_seen(&self, copy: &StoredResponse, key: &CacheKey) -> bool {
        key.shows(copy.times().asked) && !self.is_part_of_the_past(copy, key)
    }

    /// All keys that there are copies of.
    pub(crate) fn keys(&self) -> Vec<CacheKey> {
        self.store.keys()
    }

    /// All copies, in no order that means anything.
    pub(crate) fn list(&self, age_max: Duration, now: Instant) -> Vec<Listed> {
        let keys = self.keys().into_iter();
        let listed = keys.flat_map(|key| {
            let variants = self.store.variants(&key).into_iter();
            variants.map(move |copy| Listed {
                key: key.clone(),
                age: copy.age(now),
                bytes: copy.body().len(),
                is_fresh: copy.is_fresh(now),
                may_rescue: copy.is_good() && copy.may_rescue(age_max, now),
            })
        });
        listed.collect()
    }

    /// The same with their heads and contents, of those that everybody may see and that are chosen.
    pub(crate) fn show(&self, chosen: &dyn Fn(&CacheKey) -> bool, now: Instant) -> Vec<Shown> {
        let keys = self.keys().into_iter();
        let keys = keys.filter(|key| key.partition().is_everybodys() && chosen(key));
        let shown = keys.flat_map(|key| {
            let variants = self.store.variants(&key).into_iter();
            variants.map(move |copy| Shown::of(&key, &copy, now))
        });
        shown.collect()
    }

    /// Whether there is a copy of `key`, for whatever request.
    pub(crate) fn contains(&self, key: &CacheKey) -> bool {
        self.store.contains(key)
    }

    /// Whether a copy of `key` gave way to others of late, as far as is remembered.
    pub(crate) fn was_evicted(&self, key: &CacheKey) -> bool {
        self.store.was_evicted(key)
    }

    /// What has changed until now does not count against what is asked for from now on.
    pub(crate) fn mark(&self) -> Mark {
        self.changes.mark()
    }

    /// Whether a copy that was there at `mark` may still answer. What has made it wrong meanwhile
    /// has dropped it too; what has made others wrong has not.
    pub(crate) fn still_holds(
        &self,
        copy: &Arc<StoredResponse>,
        key: &CacheKey,
        request: &Fields,
        mark: Mark,
    ) -> bool {
        let is_kept = || {
            let kept = self.store.get_good(key, request);
            kept.is_some_and(|kept| Arc::ptr_eq(&kept, copy))
        };
        (!self.changes.hit(key, mark) || is_kept()) && !self.is_part_of_the_past(copy, key)
    }

    /// Whether somebody has changed the resource since the origin was asked for the copy. The writer's
    /// copies, and everybody's of the target, are dropped by then; those of other users, and of other
    /// countries and devices, may still rescue them. So may those of which it is in doubt.
    pub(crate) fn is_written(&self, copy: &StoredResponse, key: &CacheKey) -> bool {
        let asked = copy.times().asked;
        if asked.as_nanos() < self.doubted.load(Ordering::Relaxed) {
            return true;
        }
        // What is everybody's and was there at that very moment is gone: this is a newer one.
        let is_plain = key.partition() == Partition::Shared && !key.is_shaped();
        let least = Duration::from_nanos(u64::from(is_plain));
        self.was_written(key, asked + least)
    }

    /// Whether a copy is a part of a page that has changed since the origin was asked for it, or that
    /// its visitor has been refused. Of whole pages such copies are dropped; there may be any number
    /// of parts, and which there are is not known.
    fn is_part_of_the_past(&self, copy: &StoredResponse, key: &CacheKey) -> bool {
        let is_refused = || {
            let asked = copy.times().asked;
            self.refusals.hit(|| self.resource_of(key), asked)
        };
        let is_written = || self.was_written(key, copy.times().asked);
        key.is_fragment() && (is_written() || is_refused())
    }

    fn was_written(&self, key: &CacheKey, since: Instant) -> bool {
        self.writes.hit(|| self.resource(key), since)
    }

    /// The owner of copies that are made for this visitor, as far as owners are told apart; 0 where
    /// the client is not known.
    pub(crate) fn owner(&self, visitor: Option<impl Hash>) -> u8 {
        let Some(visitor) = visitor else { return 0 };
        let [first, ..] = self.resource_hash.hash_one(visitor).to_le_bytes();
        first.max(1)
    }

    /// A hash of what a key names, whoever it is for, whatever shapes it and its kind.
    pub(crate) fn resource(&self, key: &CacheKey) -> u64 {
        self.resource_hash.hash_one(key.resource())
    }

    /// The same for one partition only.
    fn resource_of(&self, key: &CacheKey) -> u64 {
        self.resource_hash
            .hash_one((key.resource(), key.partition()))
    }

    /// Starts to make a copy of a response; `None` where its fields do not fit.
    pub(crate) fn collect(&self, making: Making<'_>) -> Option<Collector> {
        Collector::new(making, self.object_bytes_max, &self.budget)
    }

    /// Puts a new copy into the store; returns whether it is there. It is not when it does not fit,
    /// or when the origin may have made it before a change that came since `mark`.
    pub(crate) fn keep(&self, key: &CacheKey, copy: StoredResponse, mark: Mark) -> bool {
        let is_older = || self.changes.hit(key, mark);
        if is_older() || self.store.insert(key.clone(), copy).is_none() {
            return false;
        }
        // Whoever makes copies wrong notes it first and drops them then.
        if is_older() {
            self.store.remove(key);
            return false;
        }
        self.beside.changed(key);
        true
    }

    /// Whether something since `mark` has made wrong what is kept under `key`, and what its request was
    /// answered with.
    pub(crate) fn is_outdated(&self, key: &CacheKey, mark: Mark) -> bool {
        self.changes.hit(key, mark)
    }

    /// Puts `new` in the place of `old`, where that is still there; returns whether it was.
    pub(crate) fn renew(
        &self,
        key: &CacheKey,
        old: &Arc<StoredResponse>,
        new: Arc<StoredResponse>,
    ) -> bool {
        let is_kept = self.store.replace(key.clone(), old, new);
        if is_kept {
            self.beside.changed(key);
        }
        is_kept
    }

    /// Drops one copy of a page, if it is still there. The page's other variants stay.
    pub(crate) fn drop_variant(&self, key: &CacheKey, copy: &Arc<StoredResponse>) {
        self.gone.note(key.hash());
        self.store.remove_variant(key, copy);
        self.drop_beside(key.hash());
        self.beside.changed(key);
    }

    /// What is kept of a page beside memory comes back no more; what is here stays.
    pub(crate) fn drop_beside(&self, key: u64) {
        self.gone.note(key);
        self.beside.dropped(&[key]);
    }

    /// From now on `journal` is told what changes; whether there was none before.
    pub(crate) fn set_journal(&self, journal: Arc<dyn Journal>) -> bool {
        self.beside.set_journal(journal)
    }

    /// Likewise.
    pub(crate) fn set_sharing(&self, sharing: Arc<dyn Sharing>) -> bool {
        self.beside.set_sharing(sharing)
    }

    /// Whoever shares copies with other instances, if there is one.
    pub(crate) fn sharing(&self) -> Option<&Arc<dyn Sharing>> {
        self.beside.sharing()
    }

    /// Tells other instances that an operator wants copies gone.
    pub(crate) fn tell_purged(&self, purge: &Purge) {
        self.beside.tell(|| Invalidation::Purge(purge.clone()));
    }

    /// What the origin was asked for before `at` is asked about before it answers: others may have made it
    /// wrong.
    pub(crate) fn doubt_before(&self, at: Instant) {
        self.doubted.fetch_max(at.as_nanos(), Ordering::Relaxed);
    }

    /// The compressed form of a copy, made once.
    pub(crate) fn gzip<'a>(
        &self,
        key: &CacheKey,
        copy: &'a Arc<StoredResponse>,
        pool: &GzipPool,
    ) -> Option<&'a bytes::Bytes> {
        let (gzip, added) = copy.gzip(pool, &self.budget);
        if added > 0 {
            self.store.grew(key, copy, added);
        }
        gzip
    }

    /// Drops copies, and what is on its way: it may be as old as they are. Returns how many there
    /// were.
    pub(crate) fn drop_outdated(&self, outdated: Outdated<'_>) -> usize {
        match outdated {
            Outdated::Chosen(chosen) => {
                self.changes.note(Change::All);
                self.drop_chosen(chosen)
            }
            Outdated::Pages(keys) => {
                for key in keys {
                    self.changes.note(Change::Key(key.hash()));
                }
                self.remove(keys)
            }
            Outdated::Partition(partition) => {
                self.changes.note(Change::Partition(partition));
                let count = self.store.drop_partition(partition);
                self.beside.dropped_partition(partition);
                count
            }
        }
    }

    /// Of those beside memory only the hashes are known: what is not here any more goes as well.
    fn drop_chosen(&self, chosen: &dyn Fn(&CacheKey) -> bool) -> usize {
        let Some(journal) = self.beside.journal() else {
            return self.store.remove_where(chosen);
        };
        let kept = RefCell::new(Vec::new());
        let count = self.store.remove_where(&|key| {
            let is_chosen = chosen(key);
            if !is_chosen {
                kept.borrow_mut().push(key.hash());
            }
            is_chosen
        });
        let mut kept = kept.into_inner();
        kept.sort_unstable();
        journal.dropped_others(&kept);
        count
    }

    fn remove(&self, keys: &[CacheKey]) -> usize {
        keys.iter().for_each(|key| self.gone.note(key.hash()));
        let count = keys.iter().map(|key| self.store.remove(key)).sum();
        if !is_planted(Plant::OnDiskAfterDrop) {
            let hashes: SmallVec<[u64; 4]> = keys.iter().map(CacheKey::hash).collect();
            self.beside.dropped(&hashes);
        }
        count
    }

    /// Another instance has told what makes copies wrong; what an operator wants gone is no matter of copies
    /// alone.
    pub(crate) fn hear(&self, invalidation: &Invalidation, now: Instant) {
        match invalidation {
            Invalidation::Keys(keys) => {
                for key in keys {
                    self.changes.note(Change::Key(*key));
                    self.gone.note(*key);
                    self.store.remove_hash(*key);
                }
                self.beside.hear_dropped(keys);
            }
            Invalidation::Partition(partition) => {
                self.changes.note(Change::Partition(*partition));
                self.store.drop_partition(*partition);
                self.beside.hear_dropped_partition(*partition);
            }
            Invalidation::Written(resource) => self.writes.note(*resource, now),
            Invalidation::Refused(resource) => self.refusals.note(*resource, now),
            Invalidation::Purge(_) => {}
        }
    }

    /// Drops the copies of pages for an answer that was asked for at `mark` and is itself to be
    /// kept under `own`: after the mark that is returned it has been said already, and nothing
    /// else is missed.
    pub(crate) fn drop_by_answer(&self, keys: &[CacheKey], own: &CacheKey, mark: Mark) -> Mark {
        let changes: Vec<_> = keys.iter().map(|key| Change::Key(key.hash())).collect();
        let mark = self.changes.note_by(&changes, own, mark);
        self.remove(keys);
        mark
    }

    /// What there is under a key to be written down, with the mark of the `rules` that have counted
    /// since then. The wall clock of the adapter's epoch, in nanoseconds since 1970, is `epoch`.
    pub(crate) fn records(&self, key: &CacheKey, rules: Rules, epoch: u64) -> Records {
        let good = self.store.variants(key).into_iter();
        let good = good.filter(|copy| copy.is_good());
        let mut records = Records {
            records: Vec::new(),
            has_unfit: false,
        };
        for copy in good {
            let times = copy.times();
            let stamp = Stamp::of(times, rules.mark, epoch);
            // Where cookies partition nothing, what varies by them is somebody's all the same.
            let varies = copy.vary().fields().any(|(name, _)| name == "cookie");
            let is_fit = times.asked >= rules.since && !copy.is_cut() && !varies;
            let record = is_fit.then(|| record::write(key, &copy, stamp)).flatten();
            match record {
                Some(record) => records.records.push(Recorded {
                    variant: self.resource_hash.hash_one(copy.vary()),
                    content: self.content_hash(&copy),
                    record,
                }),
                None => records.has_unfit = true,
            }
        }
        records
    }

    fn content_hash(&self, copy: &StoredResponse) -> u64 {
        let mut hasher = self.resource_hash.build_hasher();
        // The time of each answer is another one.
        let is_date = |name: &str| name.eq_ignore_ascii_case("date");
        for (name, value) in copy.fields().iter().filter(|(name, _)| !is_date(name)) {
            hasher.write(name.as_bytes());
            hasher.write(value);
        }
        hasher.write(copy.body());
        hasher.finish()
    }

    /// Takes a copy over that was written down. It rescues, and is never fresh, until the origin
    /// confirms it; where there is one of the same variant already, that is newer.
    pub(crate) fn restore(&self, it: &Restoring<'_>) -> Result<(CacheKey, Restored), Unrestored> {
        let (key, copy) = it.copy(self.object_bytes_max, &self.budget)?;
        // The newest come first: for older ones those are not to give way, but for one that is asked for.
        let room = self.bytes_max / 10 * 9;
        let is_full =
            || self.store.bytes() + copy.bytes() > room || self.store.len() >= self.entries_max;
        let is_wanted = matches!(it.from, Written::Shared(..));
        if !is_wanted && is_full() {
            return Err(Unrestored::Full);
        }
        let restored = Restored {
            key: key.hash(),
            variant: self.resource_hash.hash_one(copy.vary()),
        };
        let is_dropped = || match it.from {
            Written::Here(is_live) => self.changes.hit(&key, Mark::START) || !is_live(restored),
            Written::Elsewhere => self.gone.has(key.hash()),
            Written::Shared(sought, is_live) => {
                self.changes.hit(&key, sought.mark()) || !is_live(&key, restored)
            }
        };
        if is_dropped() {
            return Err(Unrestored::Dropped);
        }
        let copy = Arc::new(copy);
        if !self.store.insert_new(key.clone(), Arc::clone(&copy)) {
            return Err(Unrestored::Known);
        }
        // Whoever makes copies wrong says so first and drops them then.
        if is_dropped() {
            self.store.remove_variant(&key, &copy);
            return Err(Unrestored::Dropped);
        }
        if let Written::Elsewhere = it.from {
            self.beside.changed(&key);
        }
        Ok((key, restored))
    }

    /// Drops the copies of a partition for an answer that was asked for at `mark` under `own` and is itself
    /// to be kept for somebody else; as [`drop_by_answer`](Self::drop_by_answer).
    pub(crate) fn end_by_answer(&self, partition: Partition, own: &CacheKey, mark: Mark) -> Mark {
        let mark = self
            .changes
            .note_by(&[Change::Partition(partition)], own, mark);
        self.store.drop_partition(partition);
        self.beside.dropped_partition(partition);
        mark
    }

    /// Notes that what `key` names has changed: what other users have of it is asked about before
    /// it answers, and parts of it answer no more.
    pub(crate) fn note_write(&self, key: &CacheKey, now: Instant) {
        let resource = self.resource(key);
        self.writes.note(resource, now);
        self.beside.tell(|| Invalidation::Written(resource));
    }

    /// Notes that the visitors of `key`'s partition are refused what it names: parts of it answer them
    /// no more.
    pub(crate) fn note_refusal(&self, key: &CacheKey, now: Instant) {
        let resource = self.resource_of(key);
        self.refusals.note(resource, now);
        self.beside.tell(|| Invalidation::Refused(resource));
    }

    pub(crate) fn stats(&self) -> CopiesStats {
        CopiesStats {
            bytes: self.store.bytes(),
            collecting_bytes: self.budget.collecting(),
            evictions: self.store.evictions(),
            insertions: self.store.insertions(),
            leaving_bytes: self.budget.leaving(),
            len: self.store.len(),
        }
    }

    /// Checks every link, weight and count of the store.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        self.store.validate()
    }
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}
