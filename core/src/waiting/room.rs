//! Owns [`Room`]: who waits in which order, who is called, and who was let in.
//! Never takes a lock, reads a cookie or writes a page.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use foldhash::quality::FixedState;

use super::flow::{Bearing, Flow, SOON};
use super::line::{Line, Waiting};
use super::networks::{Mark, Networks, Shown};
use super::words::{Count, Guest, Said, Stay};
use crate::canary::{Plant, is_planted};
use crate::limits::ROOM_MAX;
use crate::time::Instant;

/// Everything behind the lock. The rules:
///
/// 1. Numbers grow with time. They are called in their order: as many as are likely to be let in until
///    those who are called look again. Numbers of those who have left are passed over.
/// 2. A visitor who is called goes to the gate before the origin, as everybody does without a room. What
///    the gate turns away is still called. What it lets in has a pass for [`PASS`], which is worth the
///    same: it goes to the gate.
/// 3. A newcomer is given a number while somebody waits. A client that does not bring it back gets no
///    other one for [`UNCLAIMED`].
/// 4. No place stays free for a visitor who may not come: while hardly anybody stands at the gate,
///    newcomers go there.
/// 5. A visitor whose page has not looked again for long has left. Its number is still good until it is
///    called, and for as long as a pass after that.
/// 6. A number of an earlier run of the program stands where it would: all numbers of this one are
///    greater.
/// 7. What one network may have of it is bounded; see [`Networks`].
#[derive(Debug)]
pub(super) struct Room {
    line: Line,
    /// Visitors who were called and have not come, or were turned away.
    called: BTreeMap<u64, Called>,
    /// Visitors who were called and came, or did not in time.
    passes: BTreeMap<u64, Pass>,
    networks: Networks,
    /// Visitors who were given a number and have not shown it, with the time until when they get no other.
    unclaimed: HashMap<u64, Instant, FixedState>,
    flow: Flow,
    /// The greatest number that was given, or shown.
    last: u64,
    /// The first that was given by this run.
    first: Option<u64>,
    began: Instant,
    swept: Instant,
    pub(super) count: Count,
}

#[derive(Clone, Copy, Debug)]
struct Called {
    /// Until when it should have come.
    by: Instant,
    shown: Shown,
}

#[derive(Clone, Copy, Debug)]
struct Pass {
    until: Instant,
    shown: Shown,
    used: Used,
}

/// What has become of a pass.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Used {
    /// It was called and did not come.
    Never,
    /// It came once, and is inside if the gate has let it in.
    Once,
    Often,
}

/// How long a visitor who was called may come and go.
const PASS: Duration = Duration::from_secs(10 * 60);

/// How long a visitor who does not bring its number back gets no other.
const UNCLAIMED: Duration = Duration::from_secs(2 * 60);

/// How old a number of an earlier run may be.
const AGE_MAX: u64 = 60 * 60 * MICROS_PER_SEC;

/// For how long after its start a program learns of numbers that were given before.
const RETURN: Duration = Duration::from_secs(2 * 60);

/// How often the line is searched for visitors who have left.
const SWEEP: Duration = Duration::from_secs(1);

const MICROS_PER_SEC: u64 = 1_000_000;

/// What there is to a number that is shown.
enum Standing {
    Called,
    Passes,
    Unknown,
    Waits,
}

impl Room {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        Self {
            line: Line::default(),
            called: BTreeMap::new(),
            passes: BTreeMap::new(),
            networks: Networks::new(seed),
            unclaimed: HashMap::with_hasher(FixedState::with_seed(seed)),
            flow: Flow::new(now),
            last: 0,
            first: None,
            began: now,
            swept: now,
            count: Count::default(),
        }
    }

    /// Whether somebody waits, or is called and has not come.
    pub(super) fn is_open(&self) -> bool {
        !self.line.is_empty() || !self.called.is_empty()
    }

    /// How many wait, and how many have a pass.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.line.here() + self.called.len(), self.passes.len())
    }

    /// Whether its parts agree.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let waiting = self.line.len() + self.called.len();
        assert_eq!(self.networks.all() as usize, waiting, "each counts once");
        assert!(waiting <= ROOM_MAX && self.passes.len() <= ROOM_MAX);
        for number in self.called.keys() {
            assert!(!self.passes.contains_key(number) && !self.line.contains(*number));
        }
        for number in self.passes.keys() {
            assert!(!self.line.contains(*number));
        }
        assert!(self.line.is_in_order());
    }

    /// How long one who came now would wait.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.flow
            .wait(self.line.ahead_of_new(self.called.len()), now)
    }

    /// Somebody wants a page while the room is open.
    pub(super) fn ask(&mut self, guest: &Guest, bearing: Bearing, now: Instant) -> Said {
        self.turn(bearing, now);
        let Some(number) = self.claim(guest, now) else {
            let is_first =
                self.line.is_empty() && self.called.len() < self.flow.to_call(bearing, now);
            return match is_first || bearing.is_idle {
                true => Said::Goes,
                false => self.draw(guest, bearing, now),
            };
        };
        match self.standing(number) {
            Standing::Called => {
                self.flow.came(true);
                self.goes(number, now);
                Said::Goes
            }
            Standing::Passes => {
                self.passes_by(number, now);
                Said::Goes
            }
            Standing::Waits => self.waits(number, true, now),
            Standing::Unknown => Said::No,
        }
    }

    /// The gate has turned somebody away.
    pub(super) fn turned_away(&mut self, guest: &Guest, bearing: Bearing, now: Instant) -> Said {
        if !self.is_open() {
            self.flow.begin(bearing, now);
        }
        self.turn(bearing, now);
        let Some(number) = self.claim(guest, now) else {
            return self.draw(guest, bearing, now);
        };
        match self.standing(number) {
            Standing::Passes => {
                let pass = self.passes.get(&number);
                let Some(&Pass { shown, .. }) = pass.filter(|pass| pass.used != Used::Often) else {
                    // It was inside before: that is for the gate alone.
                    return Said::No;
                };
                self.passes.remove(&number);
                self.flow.turned_away();
                self.count.let_in = self.count.let_in.saturating_sub(1);
                self.networks.join_again(&shown);
                self.call(number, shown, now + patience(SOON));
                self.waits(number, true, now)
            }
            Standing::Called | Standing::Waits => self.waits(number, true, now),
            Standing::Unknown => Said::No,
        }
    }

    /// All leave.
    pub(super) fn clear(&mut self) {
        while let Some(waiting) = self.line.pop() {
            self.networks.leave(&waiting.shown);
        }
        while let Some((_, called)) = self.called.pop_first() {
            self.networks.leave(&called.shown);
        }
    }

    /// The number that a visitor shows, where it counts; one of an earlier run is in the line from here
    /// on.
    fn claim(&mut self, guest: &Guest, now: Instant) -> Option<u64> {
        let number = guest.number?;
        if let Some(visitor) = guest.visitor {
            // It brings back what it is given.
            self.unclaimed.remove(&visitor);
        }
        let mark = self.networks.mark(guest.network);
        let shown = if let Some(called) = self.called.get_mut(&number) {
            &mut called.shown
        } else if let Some(pass) = self.passes.get_mut(&number) {
            &mut pass.shown
        } else if let Some(waiting) = self.line.get_mut(number) {
            &mut waiting.shown
        } else {
            return self
                .adopt(number, mark, guest.micros, now)
                .then_some(number);
        };
        shown.show(mark).then_some(number)
    }

    /// A number that is not known: it may have been given by an earlier run of the program, or belong to
    /// somebody who seemed to have left.
    fn adopt(&mut self, number: u64, mark: Mark, micros: u64, now: Instant) -> bool {
        let is_earlier = self.first.is_none_or(|first| number < first);
        let is_young = number.saturating_add(AGE_MAX) >= micros;
        let is_returning = now.saturating_since(self.began) < RETURN;
        let is_due = number > self.line.reached();
        let counts = is_young && (is_due || is_earlier && is_returning);
        if !counts || self.is_full() || !self.may_join(mark) {
            return false;
        }
        self.last = self.last.max(number);
        self.networks.join(mark);
        let shown = Shown::at(mark);
        match is_due {
            true => self
                .line
                .insert(Waiting::new(number, shown, now + patience(SOON))),
            false => self.call(number, shown, now + patience(SOON)),
        }
        true
    }

    /// Gives a number to a visitor who may have one.
    fn draw(&mut self, guest: &Guest, bearing: Bearing, now: Instant) -> Said {
        let mark = self.networks.mark(guest.network);
        let is_back = |visitor| {
            let until = self.unclaimed.get(&visitor);
            until.is_some_and(|until| *until > now)
        };
        if guest.visitor.is_some_and(is_back) || self.is_full() || !self.may_join(mark) {
            self.count.refused += 1;
            return Said::No;
        }
        if is_planted(Plant::PlaceTwice) && self.line.contains(self.last) {
            return self.waits(self.last, false, now);
        }
        if let Some(visitor) = guest.visitor.filter(|_| self.unclaimed.len() < ROOM_MAX) {
            self.unclaimed.insert(visitor, now + UNCLAIMED);
        }
        let number = guest.micros.max(self.last.saturating_add(1));
        self.last = number;
        self.first.get_or_insert(number);
        self.networks.join(mark);
        self.count.given += 1;
        let waiting = Waiting::new(number, Shown::at(mark), now + patience(SOON));
        self.line.push(waiting);
        self.call_next(bearing, now);
        self.waits(number, false, now)
    }

    /// Whether one more of a network may wait.
    fn may_join(&self, mark: Mark) -> bool {
        self.networks.may_join(mark, self.flow.staying())
    }

    fn is_full(&self) -> bool {
        self.line.len() + self.called.len() >= ROOM_MAX
    }

    fn standing(&self, number: u64) -> Standing {
        if self.called.contains_key(&number) {
            Standing::Called
        } else if self.passes.contains_key(&number) {
            Standing::Passes
        } else if self.line.contains(number) {
            Standing::Waits
        } else {
            Standing::Unknown
        }
    }

    /// A visitor looks and is not let in; `is_back` where it has brought its number.
    fn waits(&mut self, number: u64, is_back: bool, now: Instant) -> Said {
        let ahead = match self.line.ahead(number) {
            Some((here, given)) => (here, given, self.called.len()),
            None => (0, 0, self.called.range(..number).count()),
        };
        let wait = self.flow.wait(ahead, now);
        let again = Flow::look_again(wait);
        let by = now + patience(again);
        if let Some(called) = self.called.get_mut(&number) {
            called.by = by;
        } else {
            self.line.look(number, by, is_back);
        }
        let (here, _, called) = ahead;
        Said::Waits(Stay {
            again,
            number,
            place: here + called as u64 + 1,
            wait,
        })
    }

    /// A visitor who was called goes to the gate.
    fn goes(&mut self, number: u64, now: Instant) {
        let Some(called) = self.called.remove(&number) else {
            return;
        };
        self.flow.let_in(now);
        self.count.let_in += 1;
        self.networks.leave(&called.shown);
        self.give_pass(number, called.shown, Used::Once, now);
    }

    /// A visitor with a pass goes to the gate.
    fn passes_by(&mut self, number: u64, now: Instant) {
        let Some(pass) = self.passes.get_mut(&number) else {
            return;
        };
        if pass.used == Used::Never {
            pass.used = Used::Once;
            self.flow.let_in(now);
            self.count.let_in += 1;
        } else {
            pass.used = Used::Often;
        }
    }

    fn give_pass(&mut self, number: u64, shown: Shown, used: Used, now: Instant) {
        if self.passes.len() >= ROOM_MAX {
            self.passes.pop_first();
        }
        let until = now + PASS;
        let pass = Pass { until, shown, used };
        self.passes.insert(number, pass);
    }

    fn call(&mut self, number: u64, shown: Shown, by: Instant) {
        self.called.insert(number, Called { by, shown });
    }

    /// Time has passed.
    fn turn(&mut self, bearing: Bearing, now: Instant) {
        if now.saturating_since(self.swept) >= SWEEP {
            self.swept = now;
            self.sweep(now);
        }
        self.call_next(bearing, now);
    }

    /// Calls the next visitors in order.
    fn call_next(&mut self, bearing: Bearing, now: Instant) {
        let count = self.flow.to_call(bearing, now);
        while self.called.len() < count {
            let Some((waiting, given)) = self.line.next(now) else {
                return;
            };
            // Visitors who are forgotten had numbers too.
            for _ in 1..given {
                self.flow.stayed(false);
            }
            let is_here = waiting.by > now;
            self.flow.stayed(is_here);
            if is_here {
                self.call(waiting.number, waiting.shown, waiting.by);
            } else {
                self.networks.leave(&waiting.shown);
                self.count.left += 1;
                self.give_pass(waiting.number, waiting.shown, Used::Never, now);
            }
        }
    }

    /// Searches the line for visitors who have left.
    fn sweep(&mut self, now: Instant) {
        let late = self.called.iter().filter(|(_, called)| called.by <= now);
        let late: Vec<_> = late
            .map(|(number, called)| (*number, called.shown))
            .collect();
        for (number, shown) in late {
            self.called.remove(&number);
            self.flow.came(false);
            self.count.left += 1;
            self.networks.leave(&shown);
            self.give_pass(number, shown, Used::Never, now);
        }
        self.passes.retain(|_, pass| pass.until > now);
        self.unclaimed.retain(|_, until| *until > now);
        let (networks, left) = (&mut self.networks, &mut self.count.left);
        self.line.sweep(now, |waiting| {
            networks.leave(&waiting.shown);
            *left += 1;
        });
    }
}

/// How long a page may take to look again that should after `again`, before its visitor has left.
fn patience(again: Duration) -> Duration {
    /// The page is loaded over a bad line, and browsers are slow in the background.
    const SLACK: Duration = Duration::from_secs(5);
    again * 2 + SLACK
}
