//! Owns [`Asks`]: what the application should be asked as a stranger, in which order, and within
//! which share of its time.
//! Never asks, and never looks at a copy or a circuit. A visitor's request never gets here: only what
//! its key names.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::languages::{Languages, hash_in};
use super::target::target_of_key;
use super::trial::{Found, Trial};
use crate::breaker::Target;
use crate::key::{self, CacheKey, Language};
use crate::limits::{ASKED_HOSTS_MAX, ASKED_PAGES_MAX};
use crate::report::{Obstacle, PublicStats};
use crate::time::Instant;

/// How long what a stranger was sent is good enough.
const AGAIN: Duration = Duration::from_secs(600);

/// How long a page is left alone that was asked for a moment ago, whoever is told what there.
const REST: Duration = Duration::from_secs(10);

/// How long a page is left alone at most on which the application failed.
const REST_MAX: Duration = AGAIN;

/// How long a page is left alone of which nothing can be kept.
const UNFIT: Duration = Duration::from_secs(3_600);

/// How long no circuit is probed with a page that failed twice in a row.
const PROBE_REST: Duration = Duration::from_secs(16);

/// When a page is due that no stranger should ask for.
const NEVER: Instant = Instant::from_nanos(u64::MAX);

/// At most this many requests are looked at for fields that identify the client.
const COUNTED_MAX: u32 = 1_000;

/// Pages to be asked for as a stranger. Bounded: the least wanted of a few gives way.
#[derive(Debug)]
pub(super) struct Asks {
    /// By host: how many requests there were, and how many of them had a field that identifies the client.
    hosts: BTreeMap<Box<[u8]>, (u32, u32)>,
    /// By the hash of the key, and of the language where the page differs by that; of two that collide
    /// the first stays.
    pages: BTreeMap<u64, Page>,
    running: Option<Running>,
    starts: u64,
    /// Before, the share of the application's time is used up.
    not_before: Instant,
    /// When whoever asks looks again by itself; `None` for never.
    looks_at: Option<Instant>,
    pub(super) stats: PublicStats,
    /// One at a time.
    trial: Option<Trial>,
}

#[derive(Debug)]
struct Page {
    key: CacheKey,
    /// How often visitors had it since it was asked for.
    count: u32,
    due: Instant,
    /// When it was last asked for.
    asked: Option<Instant>,
    /// It is asked for once more with what the stranger was just handed.
    cookies: Option<Box<[u8]>>,
    /// Times in a row that the application failed on it.
    failures: u32,
    /// There should be a copy.
    is_kept: bool,
    /// It comes before all others: a visitor was told "no".
    is_urgent: bool,
    /// In which it is asked for; `None` where the page does not differ by it, or that is not known yet.
    language: Option<Language>,
    /// Where the page differs by the language: which of them visitors want, and how many.
    languages: Option<Languages>,
    /// Why nothing of the last answer was kept.
    unfit: Option<Obstacle>,
    probes_from: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    hash: u64,
    is_trial: bool,
    number: u64,
}

/// What is to be asked for.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) key: CacheKey,
    /// With these cookies, which the stranger was just handed.
    pub(super) cookies: Option<Box<[u8]>>,
    /// Only to find out which of them are replaced.
    pub(super) is_trial: bool,
    /// In this language, where the page differs by it.
    pub(super) language: Option<Language>,
}

impl Ask {
    fn hash(&self) -> u64 {
        hash_in(self.key.hash(), self.language.as_ref())
    }
}

/// How it ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Ended {
    /// The answer holds what the stranger was handed with it: these cookies are to be sent.
    Again(Box<[u8]>),
    /// It was given up, or says nothing.
    Dropped,
    /// The application failed.
    Failed,
    /// There is a new copy, or the one that there was is found right.
    Kept,
    /// No connection to the application came about, which says nothing of the page.
    NotReached,
    /// The stranger may not see it.
    Refused,
    /// Nothing of such an answer is kept, as it differs by the language, and by nothing else.
    InLanguages,
    /// Nothing of such an answer is kept, for this reason.
    Unfit(Obstacle),
}

impl Asks {
    pub(super) fn new() -> Self {
        Self {
            hosts: BTreeMap::new(),
            pages: BTreeMap::new(),
            running: None,
            starts: 0,
            not_before: Instant::ZERO,
            looks_at: None,
            stats: PublicStats::default(),
            trial: None,
        }
    }

    /// Notes that a visitor got a page that a stranger may get too. Returns whether whoever asks
    /// should be woken for it.
    pub(super) fn want(&mut self, key: &CacheKey, now: Instant) -> bool {
        let (host, has_identity, hash) = (key.authority(), key.has_identity(), key.hash());
        if let Some(wakes) = self.want_again(host, has_identity, hash) {
            return wakes;
        }
        self.count_host(host, has_identity);
        self.insert(key, now);
        self.wakes(hash)
    }

    /// As [`want`](Self::want), of a page that is known already; `None` where it is not.
    pub(super) fn want_again(
        &mut self,
        host: &[u8],
        has_identity: bool,
        hash: u64,
    ) -> Option<bool> {
        let page = self.pages.get_mut(&hash)?;
        let was_wanted = page.count > 0;
        page.count = page.count.saturating_add(1);
        self.count_host(host, has_identity);
        Some(!was_wanted && self.wakes(hash))
    }

    /// Whether the page of this hash is known to differ by the language.
    pub(super) fn has_languages(&self, hash: u64) -> bool {
        let page = self.pages.get(&hash);
        page.is_some_and(|page| page.languages.is_some())
    }

    /// As [`want`](Self::want), of a page that is known to differ by the language: for whoever wants this
    /// one. `None` where it does not.
    pub(super) fn want_in(
        &mut self,
        key: &CacheKey,
        language: impl FnOnce() -> Option<Language>,
        now: Instant,
    ) -> Option<bool> {
        let page = self.pages.get_mut(&key.hash())?;
        let languages = page.languages.as_mut()?;
        let Some(language) = language() else {
            return Some(false);
        };
        if !languages.want(&language) {
            return Some(false);
        }
        let hash = hash_in(key.hash(), Some(&language));
        if let Some(page) = self.pages.get_mut(&hash) {
            page.count = page.count.saturating_add(1);
        } else {
            self.insert_in(key, Some(language), now);
        }
        self.count_host(key.authority(), key.has_identity());
        Some(self.wakes(hash))
    }

    /// Notes that there is news of a page: it is asked for soon, and first of all where a visitor was
    /// told "no".
    pub(super) fn hasten(&mut self, key: &CacheKey, is_no: bool, now: Instant) -> bool {
        self.count_host(key.authority(), key.has_identity());
        let hash = key.hash();
        if !self.pages.contains_key(&hash) {
            if !is_no {
                return false;
            }
            self.insert(key, now);
        }
        let Some(page) = self.pages.get_mut(&hash) else {
            return false;
        };
        if page.due == NEVER {
            return false;
        }
        let rested = page.asked.map_or(now, |asked| asked + REST);
        page.due = page.due.min(rested.max(now));
        page.count = page.count.max(1);
        page.is_urgent |= is_no;
        self.wakes(hash)
    }

    /// A page is none that a stranger should ask for: it sends its visitors on, or takes something
    /// away from them.
    pub(super) fn leave_alone(&mut self, key: &CacheKey) {
        let hash = key.hash();
        if !self.pages.contains_key(&hash) {
            self.insert(key, NEVER);
        }
        let Some(page) = self.pages.get_mut(&hash) else {
            return;
        };
        if page.is_kept || page.key != *key {
            return;
        }
        page.due = NEVER;
        let languages = page.languages.take().unwrap_or_default();
        for hash in languages.hashes(hash) {
            if let Some(page) = self.pages.get_mut(&hash) {
                (page.due, page.is_kept) = (NEVER, false);
            }
        }
    }

    /// Those copies are gone: they are asked for when they are wanted.
    pub(super) fn forget_where(&mut self, chosen: &dyn Fn(&CacheKey) -> bool) {
        for page in self.pages.values_mut().filter(|page| chosen(&page.key)) {
            page.is_kept = false;
            if page.due != NEVER {
                page.due = Instant::ZERO;
            }
        }
    }

    /// The page that is wanted most of those that are due.
    pub(super) fn next(&mut self, now: Instant) -> Option<Ask> {
        if self.running.is_some() || now < self.not_before {
            return None;
        }
        if let Some(trial) = self.trial.as_ref().filter(|trial| trial.due <= now) {
            return Some(Ask {
                key: trial.key.clone(),
                cookies: Some(trial.cookies.clone()),
                is_trial: true,
                language: None,
            });
        }
        loop {
            let due = self.waiting().filter(|page| page.due <= now);
            let most = due.max_by_key(|page| (page.is_urgent, page.count, Reverse(page.due)))?;
            // Not before, as it takes some looking, and a visitor would wait for it.
            if most.asked.is_some() || key::may_be_asked(&most.key) {
                return Some(most.ask());
            }
            let hash = most.ask().hash();
            self.pages.get_mut(&hash)?.due = NEVER;
        }
    }

    /// When a page is due; `None` when none is wanted.
    pub(super) fn due_at(&self) -> Option<Instant> {
        if self.running.is_some() {
            return None;
        }
        let pages = self.waiting().map(|page| page.due);
        let first = pages.chain(self.trial_due()).min();
        first.map(|due| due.max(self.not_before))
    }

    /// When the cookies that a stranger was given are to be tried again.
    fn trial_due(&self) -> Option<Instant> {
        self.trial.as_ref().map(|trial| trial.due)
    }

    /// Begins to find out which of the cookies of these names, which a stranger was given, are replaced by
    /// each answer; not while that is found out of others.
    pub(super) fn try_cookies(
        &mut self,
        key: &CacheKey,
        (names, cookies): (Vec<u64>, Box<[u8]>),
        now: Instant,
    ) {
        if self.trial.is_none() {
            self.trial = Some(Trial::new(key, names, cookies, now));
        }
    }

    /// A GET of the trial has ended: what has been found out.
    pub(super) fn tried(&mut self, tried: Option<(&[u64], Box<[u8]>)>, now: Instant) -> Vec<Found> {
        let Some(trial) = &mut self.trial else {
            return Vec::new();
        };
        let (found, is_over) = trial.note(tried, now);
        if is_over {
            self.trial = None;
        }
        found
    }

    /// Notes when whoever asks looks again by itself.
    pub(super) const fn looks_at(&mut self, at: Option<Instant>) {
        self.looks_at = at;
    }

    /// The pages that a circuit could be probed with, the best first, and from when on.
    pub(super) fn to_probe_with(&self) -> Vec<(Ask, Instant)> {
        if self.running.is_some() {
            return Vec::new();
        }
        let kept = self.pages.values().filter(|page| page.is_kept);
        let mut kept: Vec<_> = kept.filter(|page| !self.is_gated(&page.key)).collect();
        kept.sort_by_key(|page| (page.failures, Reverse(page.count)));
        kept.truncate(PROBES_MAX);
        kept.into_iter()
            .map(|page| (page.ask(), page.probes_from))
            .collect()
    }

    /// Whether there is a page that a circuit could be probed with, now or `later`, on one of the paths
    /// that `lets` says.
    pub(super) fn can_probe(
        &self,
        lets: impl Fn(Target<'_>) -> bool,
        later: bool,
        now: Instant,
    ) -> bool {
        let can = |page: &&Page| page.is_kept && (later || page.probes_from <= now);
        let mut kept = self.pages.values().filter(can);
        kept.any(|page| lets(target_of_key(&page.key)) && !self.is_gated(&page.key))
    }

    /// Begins to ask; `None` when another page is being asked for.
    pub(super) fn start(&mut self, ask: &Ask, now: Instant) -> Option<u64> {
        let (key, is_trial) = (&ask.key, ask.is_trial);
        if self.running.is_some() {
            return None;
        }
        if !is_trial {
            let page = self.pages.get_mut(&ask.hash())?;
            if page.key != *key || page.language != ask.language {
                return None;
            }
            (page.asked, page.is_urgent, page.cookies) = (Some(now), false, None);
        }
        self.starts += 1;
        self.running = Some(Running {
            hash: ask.hash(),
            is_trial,
            number: self.starts,
        });
        self.stats.asked += 1;
        Some(self.starts)
    }

    /// Leaves a page alone for a while that could not be asked for.
    pub(super) fn postpone(&mut self, ask: &Ask, now: Instant) {
        if let Some(trial) = self.trial.as_mut().filter(|_| ask.is_trial) {
            trial.due = now + REST;
        } else if let Some(page) = self.pages.get_mut(&ask.hash())
            && page.due != NEVER
        {
            page.due = now + REST;
        }
    }

    /// The asking has ended that was begun so long ago; of the application's time it may have this
    /// share.
    pub(super) fn end(
        &mut self,
        number: u64,
        ended: Ended,
        (took, share): (Duration, f64),
        now: Instant,
    ) {
        let Some(running) = self.running.filter(|running| running.number == number) else {
            return;
        };
        self.running = None;
        let stats = &mut self.stats;
        stats.spent += took;
        *match ended {
            Ended::Again(_) | Ended::InLanguages | Ended::Unfit(_) => &mut stats.passed,
            Ended::Dropped | Ended::Failed | Ended::NotReached => &mut stats.failed,
            Ended::Kept => &mut stats.kept,
            Ended::Refused => &mut stats.refused,
        } += 1;
        let rest = took.as_secs_f64() * (1.0 / share.clamp(0.000_1, 1.0) - 1.0);
        let rest = Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX);
        self.not_before = now + rest.min(REST_MAX);
        if running.is_trial {
            return;
        }
        if let Some(page) = self.pages.get_mut(&running.hash) {
            page.end(ended, now);
        }
    }

    /// Pages that visitors want and that may be asked for, without one that is being asked for.
    fn waiting(&self) -> impl Iterator<Item = &Page> {
        let waits = |page: &&Page| page.count > 0 && page.due < NEVER;
        let waiting = self.pages.values().filter(waits);
        waiting.filter(|page| !self.is_gated(&page.key))
    }

    /// Why there is no copy of a page, by the hash of its key, for whoever wants such a language.
    pub(super) fn obstacle(
        &self,
        hash: u64,
        language: impl FnOnce() -> Option<Language>,
    ) -> Obstacle {
        let page = self.pages.get(&hash);
        let page = match page.is_some_and(|page| page.languages.is_some()) {
            true => {
                let Some(language) = language() else {
                    return Obstacle::Vary;
                };
                self.pages.get(&hash_in(hash, Some(&language)))
            }
            false => page,
        };
        match page {
            None => Obstacle::NotAsked,
            Some(page) if page.due == NEVER => Obstacle::Unasked,
            Some(page) if page.is_kept => Obstacle::Evicted,
            Some(page) => page.unfit.unwrap_or(Obstacle::NotAsked),
        }
    }

    /// How many there are.
    pub(super) fn wanted(&self) -> usize {
        self.waiting().count()
    }

    /// Whether nearly every request for a host has a field that identifies the client: a gateway signs
    /// people in there, past which no stranger comes.
    fn is_gated(&self, key: &CacheKey) -> bool {
        let counts = self.hosts.get(key.authority());
        counts.is_none_or(|&(all, identified)| identified * 10 >= all * 9)
    }

    fn count_host(&mut self, host: &[u8], has_identity: bool) {
        if let Some(counts) = self.hosts.get_mut(host) {
            return count(counts, has_identity);
        }
        if self.hosts.len() >= ASKED_HOSTS_MAX {
            let least = self.hosts.iter().min_by_key(|(_, (all, _))| *all);
            let Some(least) = least.map(|(host, _)| host.clone()) else {
                return;
            };
            self.hosts.remove(&least);
        }
        self.hosts.insert(host.into(), (1, u32::from(has_identity)));
    }

    /// Whether a page is due earlier than whoever asks looks again.
    fn wakes(&self, hash: u64) -> bool {
        let Some(page) = self.pages.get(&hash) else {
            return false;
        };
        let due = page.due.max(self.not_before);
        let is_asked = self.running.is_none() && due < NEVER && !self.is_gated(&page.key);
        is_asked && self.looks_at.is_none_or(|at| due < at)
    }

    fn insert(&mut self, key: &CacheKey, due: Instant) {
        self.insert_in(key, None, due);
    }

    fn insert_in(&mut self, key: &CacheKey, language: Option<Language>, due: Instant) {
        let hash = hash_in(key.hash(), language.as_ref());
        if self.pages.len() >= ASKED_PAGES_MAX {
            let is_free = |at: u64| self.running.is_none_or(|running| running.hash != at);
            // Hashes are as good as random.
            let around = self.pages.range(hash..).chain(self.pages.range(..hash));
            let few = around.filter(|(at, _)| is_free(**at)).take(LOOKS);
            let least = few.min_by_key(|(_, page)| (page.count, page.asked));
            let Some(least) = least.map(|(&at, _)| at) else {
                return;
            };
            self.pages.remove(&least);
        }
        let page = Page {
            key: key.clone(),
            count: 1,
            due,
            asked: None,
            cookies: None,
            failures: 0,
            is_kept: false,
            is_urgent: false,
            language,
            languages: None,
            unfit: None,
            probes_from: Instant::ZERO,
        };
        self.pages.insert(hash, page);
    }
}

/// Counts one more request for a host.
fn count((all, identified): &mut (u32, u32), has_identity: bool) {
    *all += 1;
    *identified += u32::from(has_identity);
    if *all >= COUNTED_MAX {
        (*all, *identified) = (*all / 2, *identified / 2);
    }
}

/// How many pages are looked at for one that gives way.
const LOOKS: usize = 16;

/// Pages that are offered to probe with: those behind them are worse.
const PROBES_MAX: usize = 8;

impl Page {
    fn ask(&self) -> Ask {
        Ask {
            key: self.key.clone(),
            cookies: self.cookies.clone(),
            is_trial: false,
            language: self.language.clone(),
        }
    }

    fn end(&mut self, ended: Ended, now: Instant) {
        if !matches!(ended, Ended::Failed) {
            self.failures = 0;
        }
        match ended {
            Ended::Again(cookies) => {
                (self.cookies, self.due) = (Some(cookies), now);
                self.count = self.count.max(1);
            }
            Ended::Dropped | Ended::NotReached => self.due = now + REST,
            Ended::Failed => {
                self.due = now + (REST * 2_u32.pow(self.failures.min(6))).min(REST_MAX);
                self.failures = self.failures.saturating_add(1);
                if self.failures >= 2 {
                    self.probes_from = now + PROBE_REST;
                }
            }
            Ended::Kept => {
                (self.count, self.due) = (0, now + AGAIN);
                self.is_kept = true;
                (self.unfit, self.languages) = (None, None);
            }
            Ended::Refused => {
                (self.count, self.due) = (0, now + AGAIN);
                self.is_kept = false;
                self.unfit = Some(Obstacle::Closed);
            }
            Ended::InLanguages => {
                (self.count, self.due) = (0, now + UNFIT);
                self.is_kept = false;
                self.unfit = Some(Obstacle::Vary);
                self.languages.get_or_insert_default();
            }
            Ended::Unfit(why) => {
                (self.count, self.due) = (0, now + UNFIT);
                self.unfit = Some(why);
                self.is_kept = false;
            }
        }
    }
}

#[cfg(test)]
mod tests;
