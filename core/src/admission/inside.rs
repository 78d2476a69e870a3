//! Owns who is at the origin: how many work there, how many only wait (are parked), and which have been
//! there for so long that they may turn out to.
//! Never decides who enters.

use std::collections::BTreeMap;
use std::time::Duration;

use smallvec::SmallVec;

use super::bid::Visitor;
use super::kind::Kind;
use super::kinds::LATE;
use super::words::Holder;
use crate::time::Instant;

/// Those at the origin.
///
/// A request that has been there for a second is late. Where two requests that came after it were
/// answered as usual meanwhile, it does not work: it is parked. Age alone says nothing, as where the
/// whole origin stands still.
#[derive(Debug)]
pub(super) struct Inside {
    /// Requests that work, as far as is known.
    pub(super) working: u32,
    /// Those that wait.
    pub(super) parked: u32,
    /// Those for which no visitor waits; they are among the others.
    pub(super) background: u32,
    /// Those that are late and may work, by their begin and number.
    late: BTreeMap<Since, Late>,
    /// Those that are late and parked.
    resting: BTreeMap<Since, Late>,
    /// The begins of the two requests answered as usual that began last, the latest first.
    usual: [Instant; 2],
    /// When somebody was let in last who is no probe.
    pub(super) entered_at: Instant,
    /// Probes: requests beyond the limit, which find out whether the others only wait, or will never be
    /// answered. And when the last one came; long ago where it brought news.
    pub(super) probes: u32,
    pub(super) probed_at: Instant,
    next: u64,
}

/// From when the origin has a request, and its number.
pub(super) type Since = (Instant, u64);

/// A late request.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) kind: Kind,
    pub(super) visitor: Visitor,
    pub(super) page: Box<str>,
}

/// Whose requests turned out to wait, and of which kind they are.
pub(super) type Found = SmallVec<[(Visitor, Kind); 2]>;

impl Inside {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            working: 0,
            parked: 0,
            background: 0,
            late: BTreeMap::new(),
            resting: BTreeMap::new(),
            usual: [Instant::ZERO; 2],
            entered_at: now,
            probes: 0,
            probed_at: now,
            next: 0,
        }
    }

    /// One is let in; returns its number.
    pub(super) const fn enter(&mut self, is_parked: bool, is_probe: bool, now: Instant) -> u64 {
        if is_parked {
            self.parked += 1;
        } else {
            self.working += 1;
        }
        if is_probe {
            self.probes += 1;
            self.probed_at = now;
        } else {
            self.entered_at = now;
        }
        self.next += 1;
        self.next
    }

    /// A probe has left. Where it was the first to be answered well for long, the next one need not wait.
    pub(super) const fn end_probe(&mut self, is_news: bool) {
        self.probes -= 1;
        if is_news {
            self.probed_at = Instant::ZERO;
        }
    }

    /// When nobody had been let in for [`LATE`], not even a probe.
    pub(super) fn stands_from(&self) -> Instant {
        self.entered_at.max(self.probed_at) + LATE
    }

    /// A request is late. Says whether it turns out to wait.
    pub(super) fn note_late(&mut self, since: Since, late: Late, is_parked: bool) -> bool {
        let turns_out = !is_parked && since.0 < self.usual[1];
        if is_parked || turns_out {
            self.resting.insert(since, late);
        } else {
            self.late.insert(since, late);
        }
        if turns_out {
            self.working -= 1;
            self.parked += 1;
        }
        turns_out
    }

    /// A request that began then was answered as usual: tells who waits while others are.
    pub(super) fn note_usual(&mut self, since: Instant) -> Found {
        let [latest, before] = self.usual;
        if since > latest {
            self.usual = [since, latest];
        } else if since > before {
            self.usual[1] = since;
        } else {
            return Found::new();
        }
        let mut found = Found::new();
        while let Some(first) = self.late.first_entry()
            && first.key().0 < self.usual[1]
        {
            let (since, late) = first.remove_entry();
            found.push((late.visitor, late.kind));
            self.resting.insert(since, late);
            self.working -= 1;
            self.parked += 1;
        }
        found
    }

    /// A request is gone that was late or not; says whether it was parked. `knew` says whether it was
    /// taken for that from the start.
    pub(super) fn leave(&mut self, since: Since, is_late: bool, knew: bool) -> bool {
        let found = is_late && self.late.remove(&since).is_none();
        let rested = found && self.resting.remove(&since).is_some();
        let is_parked = knew || rested;
        if is_parked {
            self.parked -= 1;
        } else {
            self.working -= 1;
        }
        is_parked
    }

    /// Whether a late request turned out to wait.
    pub(super) fn is_resting(&self, since: Since) -> bool {
        self.resting.contains_key(&since)
    }

    /// Whether requests of two kinds for which `is_quick` holds are late.
    pub(super) fn are_two_overdue(&self, is_quick: impl Fn(Kind) -> bool) -> bool {
        let mut overdue = self.late.values().filter(|late| is_quick(late.kind));
        let Some(first) = overdue.next() else {
            return false;
        };
        overdue.any(|other| other.kind != first.kind)
    }

    /// The page whose late requests have been there longest, all together.
    pub(super) fn holder(&self, now: Instant) -> Option<Holder> {
        let mut pages: BTreeMap<&str, (Duration, Holder)> = BTreeMap::new();
        let working = self.late.iter().map(|entry| (entry, 0));
        let parked = self.resting.iter().map(|entry| (entry, 1));
        for (((since, _), late), is_parked) in working.chain(parked) {
            let age = now.saturating_since(*since);
            let (sum, holder) = pages.entry(&late.page).or_insert_with(|| {
                let holder = Holder {
                    page: late.page.clone(),
                    requests: 0,
                    parked: 0,
                    longest: Duration::ZERO,
                };
                (Duration::ZERO, holder)
            });
            *sum = sum.saturating_add(age);
            holder.requests += 1;
            holder.parked += is_parked;
            holder.longest = holder.longest.max(age);
        }
        let longest = pages.into_values().max_by_key(|(sum, _)| *sum);
        longest.map(|(_, holder)| holder)
    }
}
