//! Owns [`Chains`]: which browser each cookie value was given to, for those that the origin has given to
//! one browser only.
//! Never sees a value, a request or a copy: only marks come here, and only the numbers of chains leave.
//!
//! Bounded: where there are too many, one of which the browser has never come back gives way, or else
//! the one that was not asked with for the longest time, of a few.

mod chain;

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use hashbrown::HashTable;
use slab::Slab;

use self::chain::{Chain, Forgotten};
use crate::key::Link;
use crate::limits::{CHAIN_VALUES_MAX, CHAINS_MAX};
use crate::sync::{AtomicU32, Mutex, MutexGuard};
use crate::time::Instant;

/// How many chains are looked at for one that gives way, and how many until there is one of which no
/// browser has come back.
const LOOKS: usize = 16;
const LOOKS_MAX: usize = 64;

/// The chains of a site.
#[derive(Debug)]
pub(super) struct Chains {
    /// How many there are: while there is none, nothing has to be looked at.
    count: AtomicU32,
    table: Mutex<Table>,
}

/// What a value is that a browser is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Given {
    /// It was not given to anybody that is known.
    First,
    /// It stands in the place of one that the browser had: the chain goes on with it.
    Next,
    /// Another browser has it.
    Several,
}

#[derive(Debug)]
struct Table {
    by_mark: HashTable<Entry>,
    chains: Slab<Chain>,
    /// Where it is looked next for one that gives way.
    hand: usize,
    /// How many there have been.
    numbers: u64,
}

impl Chains {
    pub(super) fn new() -> Self {
        Self {
            count: AtomicU32::new(0),
            table: Mutex::new(Table {
                by_mark: HashTable::new(),
                chains: Slab::new(),
                hand: 0,
                numbers: 0,
            }),
        }
    }

    /// Whether there is none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// A request carries a value with this mark: what it may see of the copies of its chain.
    pub(super) fn enter(&self, mark: u64, now: Instant) -> Option<Link> {
        let mut table = self.table();
        let link = table.enter(mark, now);
        self.counted(&table);
        link
    }

    /// The same for whoever only asks.
    pub(super) fn look(&self, mark: u64, now: Instant) -> Option<Link> {
        let table = self.table();
        let at = table.find(mark)?;
        let chain = table.chains.get(at).filter(|chain| !chain.is_over(now))?;
        chain.look(mark, now)
    }

    /// The origin is asked only now for the answer to a request that was looked at before: whether all
    /// of its values still have the last word in their chains.
    pub(super) fn hold(&self, marks: &[u64], now: Instant) -> bool {
        let mut table = self.table();
        marks.iter().all(|mark| {
            let at = table.find(*mark);
            let chain = at.and_then(|at| table.chains.get_mut(at));
            chain.is_some_and(|chain| chain.holds(*mark, now))
        })
    }

    /// A browser that had `before` is given another value, which may only stand in its place where it
    /// `goes_on` with it. What another browser has is nobody's from now on, and a chain that does not go
    /// on has ended.
    pub(super) fn give(
        &self,
        value: u64,
        before: Option<u64>,
        goes_on: bool,
        now: Instant,
    ) -> Given {
        let mut table = self.table();
        let given = table.give(value, before, goes_on, now);
        self.counted(&table);
        given
    }

    /// A value that one browser has been given opens a chain.
    pub(super) fn open(&self, mark: u64, now: Instant) {
        let mut table = self.table();
        if table.find(mark).is_none() {
            table.open(mark, now);
        }
        self.counted(&table);
    }

    /// The session of a value ends: none of its copies is found any more. A browser may keep the value.
    pub(super) fn end(&self, mark: u64, now: Instant) {
        let mut table = self.table();
        let Some(at) = table.find(mark) else { return };
        table.numbers += 1;
        let (number, mut forgotten) = (table.numbers, Forgotten::new());
        if let Some(chain) = table.chains.get_mut(at) {
            chain.begin_anew(number, mark, &mut forgotten, now);
        }
        table.forget(&forgotten, at);
        self.counted(&table);
    }

    /// Somebody else has a value too: it is nobody's from now on. Returns whether it was in a chain.
    pub(super) fn dissolve(&self, mark: u64) -> bool {
        let mut table = self.table();
        let at = table.find(mark);
        if let Some(at) = at {
            table.remove(at);
        }
        self.counted(&table);
        at.is_some()
    }

    /// The last moment of which any of them knows.
    pub(super) fn latest(&self) -> Instant {
        let table = self.table();
        let chains = table.chains.iter();
        chains
            .map(|(_, chain)| chain.last())
            .max()
            .unwrap_or(Instant::ZERO)
    }

    /// How many there are.
    pub(super) fn len(&self) -> u32 {
        self.count.load(Ordering::Acquire)
    }

    /// All of them have ended.
    pub(super) fn clear(&self) {
        let mut table = self.table();
        table.by_mark.clear();
        table.chains.clear();
        self.counted(&table);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, table: &Table) {
        let count = u32::try_from(table.chains.len()).unwrap_or(u32::MAX);
        self.count.store(count, Ordering::Release);
    }
}

impl Table {
    fn find(&self, mark: u64) -> Option<usize> {
        let is_it = |entry: &Entry| {
            let has = |chain: &Chain| chain.marks().contains(&mark);
            entry.tag == tag(mark) && self.chains.get(place(entry.at)).is_some_and(has)
        };
        let entry = self.by_mark.find(spread(tag(mark)), is_it)?;
        Some(place(entry.at))
    }

    /// Where the chain of a value is, if it goes on; what is over is removed.
    fn living(&mut self, mark: u64, now: Instant) -> Option<usize> {
        let at = self.find(mark)?;
        if self.chains.get(at)?.is_over(now) {
            self.remove(at);
            return None;
        }
        Some(at)
    }

    fn enter(&mut self, mark: u64, now: Instant) -> Option<Link> {
        let at = self.living(mark, now)?;
        let mut forgotten = Forgotten::new();
        let link = self.chains.get_mut(at)?.enter(mark, &mut forgotten, now);
        self.forget(&forgotten, at);
        link
    }

    fn give(&mut self, value: u64, before: Option<u64>, goes_on: bool, now: Instant) -> Given {
        let own = before.and_then(|before| Some((before, self.living(before, now)?)));
        if let Some(at) = self.find(value) {
            let chain = self.chains.get(at);
            if let (Some((before, own)), Some(chain)) = (own, chain)
                && own == at
                && goes_on
                && chain.is_child(value, before)
            {
                // By one of several answers at a time.
                return Given::Next;
            }
            self.remove(at);
            if let Some((_, own)) = own
                && own != at
            {
                self.remove(own);
            }
            return Given::Several;
        }
        let Some((before, own)) = own else {
            return Given::First;
        };
        let mut forgotten = Forgotten::new();
        let grows = |chain: &mut Chain| chain.grow(before, value, &mut forgotten, now).is_ok();
        let is_next = goes_on && self.chains.get_mut(own).is_some_and(grows);
        self.forget(&forgotten, own);
        if !is_next {
            self.remove(own);
            return Given::First;
        }
        self.index(value, own);
        self.bound(own);
        Given::Next
    }

    fn open(&mut self, mark: u64, now: Instant) {
        if self.chains.len() >= CHAINS_MAX {
            self.evict(None);
        }
        if self.chains.len() == self.chains.capacity() {
            // Not twice as much as is allowed.
            let more = self
                .chains
                .len()
                .max(64)
                .min(CHAINS_MAX - self.chains.len());
            self.chains.reserve_exact(more);
        }
        self.numbers += 1;
        let at = self.chains.insert(Chain::new(self.numbers, mark, now));
        self.index(mark, at);
        self.bound(at);
    }

    fn index(&mut self, mark: u64, at: usize) {
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        let entry = Entry { tag: tag(mark), at };
        let hash = |entry: &Entry| spread(entry.tag);
        self.by_mark.insert_unique(spread(entry.tag), entry, hash);
    }

    /// Makes room where there are too many values, but not by that chain.
    fn bound(&mut self, own: usize) {
        while self.by_mark.len() > CHAIN_VALUES_MAX && self.evict(Some(own)) {}
    }

    /// Removes the chain that is least likely to be of use, of a few; whether there was one.
    fn evict(&mut self, but: Option<usize>) -> bool {
        let capacity = self.chains.capacity().max(1);
        let mut least = None;
        let mut looks = 0;
        for _ in 0..capacity {
            self.hand = (self.hand + 1) % capacity;
            let Some(chain) = self
                .chains
                .get(self.hand)
                .filter(|_| Some(self.hand) != but)
            else {
                continue;
            };
            let likely = (chain.is_used(), chain.last());
            if least.is_none_or(|(_, least)| likely < least) {
                least = Some((self.hand, likely));
            }
            looks += 1;
            let is_unused = least.is_some_and(|(_, (is_used, _))| !is_used);
            if looks >= LOOKS && is_unused || looks == LOOKS_MAX {
                break;
            }
        }
        let Some((at, _)) = least else { return false };
        self.remove(at);
        true
    }

    fn remove(&mut self, at: usize) {
        if let Some(chain) = self.chains.try_remove(at) {
            let marks: Forgotten = chain.marks().iter().copied().collect();
            self.forget(&marks, at);
        }
    }

    /// Values that a chain knows no more.
    fn forget(&mut self, marks: &[u64], at: usize) {
        for mark in marks {
            let is_it = |entry: &Entry| entry.tag == tag(*mark) && place(entry.at) == at;
            if let Ok(entry) = self.by_mark.find_entry(spread(tag(*mark)), is_it) {
                entry.remove();
            }
        }
    }
}

/// Where the chain of a value is.
#[derive(Debug)]
struct Entry {
    tag: u32,
    at: u32,
}

fn place(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// The part of a mark by which it is looked for.
fn tag(mark: u64) -> u32 {
    u32::try_from(mark >> 32).unwrap_or_default()
}

/// The hash of a tag, of which the table looks at the highest bits and at the lowest.
const fn spread(tag: u32) -> u64 {
    (tag as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[cfg(test)]
mod tests;
