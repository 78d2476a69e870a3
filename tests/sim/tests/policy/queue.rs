//! Owns the model of the queue before the origin: who stands in which order, who follows whose
//! fetch, and what each learns.
//! Never measures how long a request takes at the origin: it is told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use retter_core::admission::Class;
use retter_core::time::Instant;

use super::{Key, SLOTS, TIMEOUT};

/// What becomes of a place in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// A slot is its own; with the page that others wait for.
    Enter(Option<Key>),
    Flown(Flown),
    Shed,
}

/// How a fetch ended for those who follow it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flown {
    Abandoned,
    Failed,
    Kept,
    Unfit,
}

#[derive(Debug)]
pub(crate) enum Entry {
    Place(u64),
    Shed,
    Slot,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    since: Instant,
    /// What it will fetch for others too.
    leads: Option<Key>,
}

#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) free: u32,
    next: u64,
    /// Writes that went since a read had to wait for them.
    writes_gone: u32,
    /// Who stands in the order, the oldest first.
    writes: VecDeque<Waiter>,
    reads: VecDeque<Waiter>,
    /// Who follows, for each page with a leader: from when that begins to wait until it has landed.
    followers: BTreeMap<Key, VecDeque<Waiter>>,
    /// The pages on which the origin has failed for a leader whom others follow.
    failed: BTreeSet<Key>,
    fates: BTreeMap<u64, Fate>,
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            free: SLOTS,
            next: 0,
            writes_gone: 0,
            failed: BTreeSet::new(),
            writes: VecDeque::new(),
            reads: VecDeque::new(),
            followers: BTreeMap::new(),
            fates: BTreeMap::new(),
        }
    }

    /// Requests that wait for a slot, and those that wait for another's fetch.
    pub(crate) fn waiting(&self) -> [usize; 2] {
        let following = self.followers.values().map(VecDeque::len).sum();
        [self.writes.len() + self.reads.len(), following]
    }

    /// Nobody stands in the order where there is room.
    pub(crate) fn try_enter(&mut self) -> bool {
        let has_room = self.free > 0;
        self.free -= u32::from(has_room);
        has_room
    }

    /// Requests take `service` at the origin.
    pub(crate) fn enter(
        &mut self,
        class: Class,
        key: Option<Key>,
        service: Duration,
        now: Instant,
    ) -> Entry {
        if self.try_enter() {
            return Entry::Slot;
        }
        let id = self.next;
        let since = now;
        if let Some(followers) = key.and_then(|key| self.followers.get_mut(&key)) {
            self.next += 1;
            let leads = None;
            followers.push_back(Waiter { id, since, leads });
            return Entry::Place(id);
        }
        let is_vain = self.wait(class, service) > TIMEOUT;
        if is_vain && !self.line(class).is_empty() && !self.make_room(class, now) {
            return Entry::Shed;
        }
        self.next += 1;
        let leads = key;
        self.begin();
        self.line(class).push_back(Waiter { id, since, leads });
        if let Some(key) = key {
            self.followers.insert(key, VecDeque::new());
        }
        Entry::Place(id)
    }

    /// Time until one more is let in, where each takes `service` at the origin.
    pub(crate) fn wait(&self, class: Class, service: Duration) -> Duration {
        let ahead = match class {
            Class::Read => self.writes.len() + self.reads.len(),
            Class::Write => self.writes.len(),
        };
        let turns = u32::try_from(ahead).expect("a few") + 1;
        service * turns / SLOTS
    }

    /// A read gives way to a write, the newcomer to the others, and where the newest goes first
    /// the oldest to the newcomer.
    fn make_room(&mut self, class: Class, now: Instant) -> bool {
        let victims = match class {
            Class::Write if !self.reads.is_empty() => Class::Read,
            Class::Read | Class::Write => class,
        };
        let is_late = is_late(self.line(victims), now);
        if victims == class && !is_late {
            return false;
        }
        let line = self.line(victims);
        let victim = if is_late {
            line.pop_front()
        } else {
            line.pop_back()
        };
        self.shed(victim.expect("somebody waits"));
        true
    }

    /// What has become of a place, if it is known.
    pub(crate) fn poll(&mut self, id: u64, now: Instant) -> Option<Fate> {
        if let Some(fate) = self.fates.remove(&id) {
            return Some(fate);
        }
        if self.since(id) + TIMEOUT > now {
            return None;
        }
        self.leave(id, now);
        Some(Fate::Shed)
    }

    fn since(&self, id: u64) -> Instant {
        let lines = [&self.writes, &self.reads].into_iter();
        let mut all = lines.chain(self.followers.values()).flatten();
        let waiter = all.find(|waiter| waiter.id == id);
        waiter.expect("who has no fate waits").since
    }

    /// A place is given up, and a slot that was its own.
    pub(crate) fn leave(&mut self, id: u64, now: Instant) {
        if let Some(Fate::Enter(leads)) = self.fates.remove(&id) {
            self.part(leads, Flown::Abandoned);
            self.free += 1;
        }
        for followers in self.followers.values_mut() {
            followers.retain(|waiter| waiter.id != id);
        }
        for class in [Class::Write, Class::Read] {
            let line = self.line(class);
            if let Some(index) = line.iter().position(|waiter| waiter.id == id) {
                let waiter = line.remove(index).expect("it was found");
                self.shed(waiter);
                self.fates.remove(&id);
            }
        }
        self.let_in(now);
    }

    /// A slot is free.
    pub(crate) fn release(&mut self, now: Instant) {
        self.free += 1;
        self.let_in(now);
    }

    /// A fetch has ended, for those who follow it.
    pub(crate) fn land(&mut self, key: Option<Key>, flown: Flown, now: Instant) {
        self.part(key, flown);
        self.let_in(now);
    }

    fn part(&mut self, key: Option<Key>, flown: Flown) {
        let Some((key, mut followers)) = key.and_then(|key| self.followers.remove_entry(&key))
        else {
            return;
        };
        // Another finds out whether it was the leader's request that failed.
        let has_failed = self.failed.remove(&key);
        let goes_on = match flown {
            Flown::Abandoned => true,
            Flown::Failed => !has_failed,
            Flown::Kept | Flown::Unfit => false,
        };
        let fails = has_failed || matches!(flown, Flown::Failed);
        if goes_on && fails && !followers.is_empty() {
            self.failed.insert(key);
        }
        match flown {
            _ if goes_on => {
                if let Some(mut next) = followers.pop_front() {
                    next.leads = Some(key);
                    self.stand(next);
                    self.followers.insert(key, followers);
                }
            }
            Flown::Abandoned | Flown::Failed | Flown::Kept => {
                let fates = followers
                    .into_iter()
                    .map(|waiter| (waiter.id, Fate::Flown(flown)));
                self.fates.extend(fates);
            }
            Flown::Unfit => followers.into_iter().for_each(|waiter| self.stand(waiter)),
        }
    }

    /// Two writes before a read; the oldest first, until it has waited too long.
    fn let_in(&mut self, now: Instant) {
        while self.free > 0 {
            let class = match (self.writes.len(), self.reads.len()) {
                (0, 0) => return,
                (0, _) => Class::Read,
                (_, 1..) if self.writes_gone >= 2 => Class::Read,
                _ => Class::Write,
            };
            self.writes_gone = match (class, self.reads.is_empty()) {
                (Class::Write, false) => self.writes_gone + 1,
                _ => 0,
            };
            let line = self.line(class);
            let next = if is_late(line, now) {
                line.pop_back()
            } else {
                line.pop_front()
            };
            let next = next.expect("somebody waits");
            if next.since + TIMEOUT <= now {
                self.shed(next);
            } else {
                self.free -= 1;
                self.fates.insert(next.id, Fate::Enter(next.leads));
            }
        }
    }

    fn shed(&mut self, waiter: Waiter) {
        self.fates.insert(waiter.id, Fate::Shed);
        self.part(waiter.leads, Flown::Abandoned);
    }

    /// Somebody begins to wait: where nobody did, nothing is known of before.
    fn begin(&mut self) {
        if self.writes.is_empty() && self.reads.is_empty() {
            self.writes_gone = 0;
        }
    }

    /// Who followed stands among the reads where it would if it had never followed.
    fn stand(&mut self, waiter: Waiter) {
        self.begin();
        let index = self.reads.partition_point(|other| other.id < waiter.id);
        self.reads.insert(index, waiter);
    }

    const fn line(&mut self, class: Class) -> &mut VecDeque<Waiter> {
        match class {
            Class::Read => &mut self.reads,
            Class::Write => &mut self.writes,
        }
    }
}

fn is_late(line: &VecDeque<Waiter>, now: Instant) -> bool {
    line.front()
        .is_some_and(|oldest| oldest.since + TIMEOUT / 4 <= now)
}
