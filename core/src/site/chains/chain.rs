//! Owns [`Chain`]: the values that one browser was given for one cookie, one in the place of another,
//! and which copies the holder of each of them may see.
//! Never sees a value: only marks. Never knows another chain.
//!
//! A chain is a line: each value stands in the place of the one before, from the first request that
//! carries it on, which is the only sign that its browser has taken it. At each moment one value is the
//! *head*, and only its requests make copies; so the time for which the origin was asked for a copy says
//! of which value it is. The holder of a value may see the copies of the values that it comes from, and
//! of no other: a value is sometimes held by more than one (it was planted, or taken from a shared
//! computer), and what comes of it then goes separate ways.
//!
//! A value is mostly replaced by several answers to parallel requests, of which the browser keeps the
//! last. Where a second successor comes into use, the line goes on from the value that both come from:
//! what the other branch was sent is cut off, for ever and for everybody.

use std::time::Duration;

use smallvec::SmallVec;

use crate::canary::{Plant, is_planted};
use crate::key::{Cuts, Link};
use crate::time::Instant;

/// Values of one chain that are known: the head, those before it, and those that may come after.
const LINKS_MAX: usize = 6;

/// Times that are cut off, each by itself. Where there are more, two that are next to each other become
/// one, with what lies between them.
const CUTS_MAX: usize = 2;

/// How long a value counts that was replaced: requests with it may still be on their way.
const GRACE_MS: u32 = 30_000;

/// How long a chain lasts without a request.
pub(super) const IDLE: Duration = Duration::from_secs(30 * 60);

/// A chain ends before its time in milliseconds does.
const LIFE: Duration = Duration::from_secs(40 * 24 * 60 * 60);

/// No value, or none that is known any more.
const NONE: u8 = u8::MAX;

/// When a value was replaced that was not.
const NEVER: u32 = u32::MAX;

/// Marks of values that a chain knows no more.
pub(super) type Forgotten = SmallVec<[u64; LINKS_MAX]>;

/// A value is too old for another one to be given in its place.
#[derive(Debug)]
pub(super) struct TooOld;

/// The line of one cookie in one browser. Times are milliseconds since its beginning.
#[derive(Debug)]
pub(super) struct Chain {
    born: Instant,
    /// The number by which partitions know it.
    number: u64,
    marks: [u64; LINKS_MAX],
    /// When the successor of a value came into use.
    replaced: [u32; LINKS_MAX],
    cuts: [(u32, u32); CUTS_MAX],
    /// The last moment of which it knows.
    latest: u32,
    /// Which value each stands in the place of.
    parents: [u8; LINKS_MAX],
    cuts_len: u8,
    head: u8,
    len: u8,
    /// It stands in the place of a chain whose session has ended: what the origin was asked for until
    /// then is of that one.
    is_anew: bool,
    /// Its head has come back: a browser keeps it.
    is_used: bool,
}

impl Chain {
    /// A new one that begins with a value of this mark.
    pub(super) fn new(number: u64, mark: u64, now: Instant) -> Self {
        let mut chain = Self {
            born: now,
            number,
            marks: [0; LINKS_MAX],
            replaced: [NEVER; LINKS_MAX],
            cuts: [(0, 0); CUTS_MAX],
            latest: 0,
            parents: [NONE; LINKS_MAX],
            cuts_len: 0,
            head: 0,
            len: 1,
            is_anew: false,
            is_used: false,
        };
        chain.marks[0] = mark;
        chain
    }

    /// The marks of all values that are known.
    pub(super) fn marks(&self) -> &[u64] {
        &self.marks[..usize::from(self.len)]
    }

    /// Whether a browser keeps its value.
    pub(super) const fn is_used(&self) -> bool {
        self.is_used
    }

    /// When it last heard of a request.
    pub(super) fn last(&self) -> Instant {
        self.born + Duration::from_millis(self.latest.into())
    }

    /// Whether it has come to its end by itself.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.saturating_since(self.last()) > IDLE || now.saturating_since(self.born) > LIFE
    }

    /// What the holder of a value may see; `None` where it is too old.
    pub(super) fn look(&self, mark: u64, now: Instant) -> Option<Link> {
        let at = self.find(mark)?;
        let time = self.time(now);
        if !self.counts(at, time) {
            return None;
        }
        let replaced = self.replaced[at];
        Some(self.link((replaced != NEVER).then_some(replaced)))
    }

    /// A request carries a value: what its holder may see. Where that is the first request with it, the
    /// line goes on with it, and marks that are not on it are forgotten.
    pub(super) fn enter(
        &mut self,
        mark: u64,
        forgotten: &mut Forgotten,
        now: Instant,
    ) -> Option<Link> {
        let at = self.find(mark)?;
        let time = self.time(now);
        (self.latest, self.is_used) = (time, true);
        if self.is_pending(at) && self.counts(at, time) {
            self.go_on_with(at, time, forgotten);
        }
        self.look(mark, now)
    }

    /// The origin is asked only now for the answer to a request with this value, which was in use before:
    /// whether it still is the head, and a copy for which the origin is asked now is of it.
    pub(super) fn holds(&mut self, mark: u64, now: Instant) -> bool {
        self.latest = self.time(now);
        self.find(mark) == Some(usize::from(self.head))
    }

    /// Whether a value was given in the place of another one.
    pub(super) fn is_child(&self, mark: u64, parent: u64) -> bool {
        let (Some(at), Some(parent)) = (self.find(mark), self.find(parent)) else {
            return false;
        };
        usize::from(self.parents[at]) == parent
    }

    /// A browser that sent `parent` is given another value in its place. Where there is no room for it,
    /// others are forgotten.
    ///
    /// # Errors
    /// The parent counts no more.
    pub(super) fn grow(
        &mut self,
        parent: u64,
        mark: u64,
        forgotten: &mut Forgotten,
        now: Instant,
    ) -> Result<(), TooOld> {
        let time = self.time(now);
        let counts = |at: &usize| self.counts(*at, time) && !self.is_pending(*at);
        self.find(parent).filter(counts).ok_or(TooOld)?;
        self.latest = time;
        if usize::from(self.len) == LINKS_MAX {
            self.make_room(parent, time, forgotten);
        }
        let at = self.find(parent).ok_or(TooOld)?;
        let new = usize::from(self.len);
        (self.marks[new], self.replaced[new]) = (mark, NEVER);
        self.parents[new] = index(at);
        self.len += 1;
        Ok(())
    }

    /// All copies of the chain go, and the browser keeps this value: it goes on as another chain.
    pub(super) fn begin_anew(
        &mut self,
        number: u64,
        mark: u64,
        forgotten: &mut Forgotten,
        now: Instant,
    ) {
        forgotten.extend(self.marks().iter().copied().filter(|other| *other != mark));
        *self = Self::new(number, mark, now);
        (self.is_anew, self.is_used) = (true, true);
    }

    /// Milliseconds since the beginning, never before what it knows already.
    fn time(&self, now: Instant) -> u32 {
        let millis = now.saturating_since(self.born).as_millis();
        let millis = u32::try_from(millis).unwrap_or(NEVER - 1);
        millis.min(NEVER - 1).max(self.latest)
    }

    fn find(&self, mark: u64) -> Option<usize> {
        self.marks().iter().position(|known| *known == mark)
    }

    /// Whether no request has carried a value yet.
    fn is_pending(&self, at: usize) -> bool {
        self.replaced[at] == NEVER && at != usize::from(self.head)
    }

    /// Whether a value tells its holder from others: the head does, one that was replaced for a while,
    /// and one that no request has carried as long as the one in whose place it was given.
    fn counts(&self, at: usize, time: u32) -> bool {
        let was_replaced = |at: usize| time.saturating_sub(self.replaced[at]) > GRACE_MS;
        match self.is_pending(at) {
            true => {
                let parent = usize::from(self.parents[at]);
                parent < usize::from(self.len) && !was_replaced(parent)
            }
            false => !was_replaced(at),
        }
    }

    fn link(&self, until: Option<u32>) -> Link {
        let at = |time: u32| self.born + Duration::from_millis(time.into());
        let cuts = self.cuts.iter().take(self.cuts_len.into());
        let cuts = cuts.map(|(from, until)| (at(*from), at(until.saturating_add(1))));
        let before = self.is_anew.then(|| (Instant::ZERO, at(1)));
        let cuts: Cuts = before.into_iter().chain(cuts).collect();
        Link {
            chain: self.number,
            cuts,
            until: until.map(at),
        }
    }

    /// The line goes on with a value that comes into use.
    fn go_on_with(&mut self, at: usize, time: u32, forgotten: &mut Forgotten) {
        let (parent, before) = (usize::from(self.parents[at]), usize::from(self.head));
        self.head = index(at);
        if parent == before {
            self.replaced[parent] = time;
            return;
        }
        // Another branch was in use since.
        if is_planted(Plant::UncutBranch) {
            return;
        }
        self.cut(self.replaced[parent], time);
        let mut stays = [false; LINKS_MAX];
        stays[at] = true;
        let mut ancestor = parent;
        while ancestor < usize::from(self.len) && !stays[ancestor] {
            stays[ancestor] = true;
            ancestor = usize::from(self.parents[ancestor]);
        }
        let on_line = stays;
        for (other, stays) in stays.iter_mut().enumerate().take(self.len.into()) {
            let of = usize::from(self.parents[other]);
            let is_next = other != before && self.is_pending(other);
            *stays |= is_next && on_line.get(of) == Some(&true);
        }
        self.retain(stays, forgotten);
    }

    /// What the origin was asked for between two moments is shown to nobody any more.
    fn cut(&mut self, from: u32, until: u32) {
        let mut cuts: SmallVec<[(u32, u32); CUTS_MAX + 1]> = SmallVec::new();
        let known = self.cuts.iter().take(self.cuts_len.into()).copied();
        cuts.extend(known.filter(|cut| cut.0 < from));
        match cuts.last_mut() {
            Some(last) if last.1 >= from => last.1 = until,
            Some(_) | None => cuts.push((from, until)),
        }
        if cuts.len() > CUTS_MAX {
            let between = |at: &usize| cuts[at + 1].0 - cuts[*at].1;
            let nearest = (0..CUTS_MAX).min_by_key(between).unwrap_or_default();
            cuts[nearest].1 = cuts[nearest + 1].1;
            cuts.remove(nearest + 1);
        }
        self.cuts_len = index(cuts.len());
        self.cuts[..cuts.len()].copy_from_slice(&cuts);
    }

    /// Forgets the value that is least likely to come back, but not `parent` or the head.
    fn make_room(&mut self, parent: u64, time: u32, forgotten: &mut Forgotten) {
        let parent = self.find(parent);
        let head = usize::from(self.head);
        let others = (0..usize::from(self.len)).filter(|at| *at != head && Some(*at) != parent);
        // First what counts no more, then what another was given in the place of, the oldest first.
        let likely = |at: &usize| match (self.counts(*at, time), self.is_pending(*at)) {
            (false, _) => 0,
            (true, true) if usize::from(self.parents[*at]) != head => 1,
            (true, true) => 3,
            (true, false) => 2,
        };
        if let Some(least) = others.min_by_key(likely) {
            let mut stays = [true; LINKS_MAX];
            stays[least] = false;
            self.retain(stays, forgotten);
        }
    }

    /// Keeps those values, in their order.
    fn retain(&mut self, stays: [bool; LINKS_MAX], forgotten: &mut Forgotten) {
        let mut places = [NONE; LINKS_MAX];
        let mut len = 0;
        for at in 0..usize::from(self.len) {
            if !stays[at] {
                forgotten.push(self.marks[at]);
                continue;
            }
            places[at] = index(len);
            self.marks[len] = self.marks[at];
            self.replaced[len] = self.replaced[at];
            self.parents[len] = self.parents[at];
            len += 1;
        }
        for parent in &mut self.parents[..len] {
            *parent = places.get(usize::from(*parent)).copied().unwrap_or(NONE);
        }
        self.head = places[usize::from(self.head)];
        self.len = index(len);
    }
}

/// A number that is below [`LINKS_MAX`], or about that.
fn index(at: usize) -> u8 {
    u8::try_from(at).unwrap_or(NONE)
}
