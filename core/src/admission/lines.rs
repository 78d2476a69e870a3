//! Owns in which order requests wait that stand for the same kind of room: a line for each visitor, and
//! the order among visitors.
//! Never knows how many may enter, and calls no waker.

use std::collections::{BTreeMap, HashMap};
use std::task::Waker;

use foldhash::quality::FixedState;

use super::bid::{Bid, Visitor};
use super::words::Class;
use crate::key::CacheKey;
use crate::time::Instant;

/// Lines of visitors. The order:
///
/// 1. Among visitors, who would start first in the origin's own time; of those the one who has waited
///    longest.
/// 2. Within a line two writes go before a read. Within a class the oldest goes first, until it has
///    waited for a quarter of what it may: from then on the newest, because the old ones are likely to
///    be given up by their users, and serving them would make everybody late. Those who have waited
///    for the origin's return are served in turn.
#[derive(Debug)]
pub(super) struct Lines {
    lines: HashMap<Visitor, Line, FixedState>,
    order: BTreeMap<Turn, Visitor>,
    len: usize,
}

/// When it is a visitor's turn: the start, and the number of the oldest in the line.
type Turn = (u64, u64);

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) bid: Bid,
    pub(super) since: Instant,
    /// When it has waited for as long as it may.
    pub(super) until: Instant,
    /// It has waited for the origin's return before.
    pub(super) has_returned: bool,
    pub(super) waker: Option<Waker>,
    /// What it will fetch for others too.
    pub(super) leads: Option<CacheKey>,
}

/// Who goes next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) bid: Bid,
    pub(super) id: u64,
}

/// The requests of one visitor, by their numbers.
#[derive(Debug)]
struct Line {
    writes: BTreeMap<u64, Waiter>,
    reads: BTreeMap<u64, Waiter>,
    turn: Turn,
    /// The origin's own time when its turn began to be waited for.
    from: u64,
    /// Writes that went since a read had to wait for them.
    writes_gone: u32,
}

impl Lines {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            lines: HashMap::with_hasher(FixedState::with_seed(seed)),
            order: BTreeMap::new(),
            len: 0,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// A request begins to wait, at `time` in the origin's own time; its visitor's last request is
    /// done at `done`.
    pub(super) fn push(&mut self, id: u64, waiter: Waiter, (time, done): (u64, u64)) {
        let visitor = waiter.bid.visitor;
        let line = self.lines.entry(visitor).or_insert_with(|| Line {
            writes: BTreeMap::new(),
            reads: BTreeMap::new(),
            turn: (time.max(done), id),
            from: time,
            writes_gone: 0,
        });
        line.of_mut(waiter.bid.class).insert(id, waiter);
        self.len += 1;
        self.turn_of(visitor, None);
    }

    /// A request waits no longer.
    pub(super) fn remove(&mut self, bid: &Bid, id: u64) -> Option<Waiter> {
        let line = self.lines.get_mut(&bid.visitor)?;
        let waiter = line.of_mut(bid.class).remove(&id)?;
        self.len -= 1;
        self.turn_of(bid.visitor, None);
        Some(waiter)
    }

    /// The request that goes next is let in.
    pub(super) fn take(&mut self, next: Next) -> Option<Waiter> {
        if let Some(line) = self.lines.get_mut(&next.bid.visitor) {
            line.writes_gone = match next.bid.class {
                Class::Write if !line.reads.is_empty() => line.writes_gone + 1,
                Class::Read | Class::Write => 0,
            };
        }
        self.remove(&next.bid, next.id)
    }

    /// A visitor's last request is done at `done`; it is `time` where that is because one was let in.
    pub(super) fn charged(&mut self, visitor: Visitor, done: u64, time: Option<u64>) {
        let Some(line) = self.lines.get_mut(&visitor) else {
            return;
        };
        line.from = time.unwrap_or(line.from);
        let start = line.from.max(done);
        self.turn_of(visitor, Some(start));
    }

    /// Who goes next of those that may; of visitors whose requests may not, a few are passed over.
    pub(super) fn next(&self, now: Instant, may: impl Fn(&Bid) -> bool) -> Option<Next> {
        const LOOKED_AT: usize = 64;
        let visitors = self.order.values().take(LOOKED_AT);
        let mut lines = visitors.filter_map(|visitor| self.lines.get(visitor));
        lines.find_map(|line| {
            let first = line.class();
            let other = match first {
                Class::Read => Class::Write,
                Class::Write => Class::Read,
            };
            [first, other].into_iter().find_map(|class| {
                let waiting = line.of(class);
                let next = match is_late(waiting, now) {
                    true => waiting.last_key_value(),
                    false => waiting.first_key_value(),
                };
                let (&id, waiter) = next?;
                let bid = waiter.bid;
                may(&bid).then_some(Next { bid, id })
            })
        })
    }

    /// How many are likely to go before one more like this.
    pub(super) fn ahead(&self, bid: &Bid) -> usize {
        let line = self.lines.get(&bid.visitor);
        let own = line.map_or(0, |line| match bid.class {
            Class::Read => line.writes.len() + line.reads.len(),
            Class::Write => line.writes.len(),
        });
        let others = self.lines.len() - usize::from(line.is_some());
        let own_len = line.map_or(0, |line| line.writes.len() + line.reads.len());
        // As many of each of the others as of its own, itself included.
        own + (others * (own + 1)).min(self.len - own_len)
    }

    /// Whether nobody of its visitor and class waits.
    pub(super) fn is_first(&self, bid: &Bid) -> bool {
        let line = self.lines.get(&bid.visitor);
        line.is_none_or(|line| line.of(bid.class).is_empty())
    }

    /// Who gives way to one more of this visitor: a read before a write, else the newcomer unless it
    /// would go first.
    pub(super) fn gives_way(&self, bid: &Bid, now: Instant) -> Option<Next> {
        let line = self.lines.get(&bid.visitor)?;
        let victims = match bid.class {
            Class::Write if !line.reads.is_empty() => Class::Read,
            Class::Read | Class::Write => bid.class,
        };
        let waiting = line.of(victims);
        let is_late = is_late(waiting, now);
        if victims == bid.class && !is_late {
            return None;
        }
        let last = match is_late {
            true => waiting.first_key_value(),
            false => waiting.last_key_value(),
        };
        last.map(|(&id, waiter)| Next {
            bid: waiter.bid,
            id,
        })
    }

    /// The newest of the visitor with most requests, if those are more than this one's.
    pub(super) fn of_longest(&self, visitor: Visitor) -> Option<Next> {
        let visitors = self.order.values();
        let lines = visitors.filter_map(|visitor| self.lines.get(visitor));
        let longest = lines.max_by_key(|line| line.len())?;
        let own = self.lines.get(&visitor).map_or(0, Line::len);
        if longest.len() <= own + 1 {
            return None;
        }
        let newest = longest.reads.last_key_value();
        let newest = newest.or_else(|| longest.writes.last_key_value());
        newest.map(|(&id, waiter)| Next {
            bid: waiter.bid,
            id,
        })
    }

    pub(super) fn waiter_mut(&mut self, bid: &Bid, id: u64) -> Option<&mut Waiter> {
        let line = self.lines.get_mut(&bid.visitor)?;
        line.of_mut(bid.class).get_mut(&id)
    }

    /// Puts a visitor where its turn is now.
    fn turn_of(&mut self, visitor: Visitor, start: Option<u64>) {
        let Some(line) = self.lines.get_mut(&visitor) else {
            return;
        };
        self.order.remove(&line.turn);
        match line.oldest() {
            Some(oldest) => {
                line.turn = (start.unwrap_or(line.turn.0), oldest);
                self.order.insert(line.turn, visitor);
            }
            None => drop(self.lines.remove(&visitor)),
        }
    }
}

impl Line {
    /// Which class is next.
    fn class(&self) -> Class {
        /// Writes that go before a read.
        const WRITES: u32 = 2;
        match self.writes.is_empty() || self.writes_gone >= WRITES && !self.reads.is_empty() {
            true => Class::Read,
            false => Class::Write,
        }
    }

    fn len(&self) -> usize {
        self.writes.len() + self.reads.len()
    }

    fn oldest(&self) -> Option<u64> {
        let lines = [&self.writes, &self.reads].into_iter();
        lines
            .filter_map(|line| line.first_key_value())
            .map(|(&id, _)| id)
            .min()
    }

    const fn of(&self, class: Class) -> &BTreeMap<u64, Waiter> {
        match class {
            Class::Read => &self.reads,
            Class::Write => &self.writes,
        }
    }

    const fn of_mut(&mut self, class: Class) -> &mut BTreeMap<u64, Waiter> {
        match class {
            Class::Read => &mut self.reads,
            Class::Write => &mut self.writes,
        }
    }
}

/// Whether the oldest has waited too long.
fn is_late(waiting: &BTreeMap<u64, Waiter>, now: Instant) -> bool {
    /// Parts of what it may wait: a quarter of a second of one is what nobody minds.
    const PARTS: u32 = 4;
    let oldest = waiting.first_key_value();
    oldest.is_some_and(|(_, oldest)| {
        let may_wait = oldest.until.saturating_since(oldest.since);
        !oldest.has_returned && oldest.since + may_wait / PARTS <= now
    })
}
