//! Owns what the threads of an instance share beside the state ([`Shared`]): who is woken, what there is to
//! count, and what is wrong.
//! Never speaks to the Redis.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use retter_core::Site;
use retter_core::time::Instant as CoreInstant;
use retter_disk::Sealer;

use crate::Options;
use crate::asks::Asks;
use crate::form::Sender;
use crate::link::Trouble;
use crate::names::Names;
use crate::secret::Secret;
use crate::state::State;

/// What there is to count.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Times that a request had no copy and the Redis was asked.
    pub asked: u64,
    /// Copies that were found so.
    pub found: u64,
    /// Times that something was not heard, so that older copies only rescue until they are confirmed.
    pub gaps: u64,
    /// Events of other instances.
    pub heard: u64,
    /// Instances that were heard of within the last seconds, this one included.
    pub instances: usize,
    /// Whether all is known that others have told up to a moment ago.
    pub is_current: bool,
    /// Changes that were not written, as there were too many or the Redis refused.
    pub lost: u64,
    /// Copies or events that were not sealed with the secret, or not for their place.
    pub rejected: u64,
    /// Events of this instance.
    pub told: u64,
    /// What is wrong now.
    pub trouble: Option<Trouble>,
    /// Copies that were written.
    pub written: u64,
}

/// What counts up.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) asked: AtomicU64,
    pub(crate) found: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) heard: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) told: AtomicU64,
    pub(crate) written: AtomicU64,
}

impl Counts {
    pub(crate) fn add(count: &AtomicU64, number: u64) {
        count.fetch_add(number, Ordering::Relaxed);
    }
}

/// Whose trouble it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Asker = 0,
    Listener = 1,
    Writer = 2,
}

#[derive(Debug, Default)]
struct Standing {
    stopping: Option<Instant>,
    has_stopped: bool,
    troubles: [Option<Trouble>; 3],
}

/// What the threads of an instance share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) asks: Asks,
    pub(crate) counts: Counts,
    /// As [`State::is_current`] was, when somebody looked last.
    pub(crate) is_current: AtomicBool,
    pub(crate) options: Options,
    pub(crate) sealer: Sealer,
    pub(crate) site: Site,
    secret: Secret,
    standing: Mutex<Standing>,
    state: Mutex<State>,
    /// There is something to tell, or the end.
    work: Condvar,
    /// Something was told, or the writer has ended.
    told: Condvar,
}

impl Shared {
    pub(crate) fn new(
        site: Site,
        secret: Secret,
        options: Options,
    ) -> Result<Self, getrandom::Error> {
        let state = begin(&site, &secret)?;
        Ok(Self {
            asks: Asks::default(),
            counts: Counts::default(),
            is_current: AtomicBool::new(false),
            options,
            sealer: Sealer::new(&secret.seal()),
            site,
            secret,
            standing: Mutex::default(),
            state: Mutex::new(state),
            work: Condvar::new(),
            told: Condvar::new(),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time as the site counts it.
    pub(crate) fn now(&self) -> CoreInstant {
        CoreInstant::from_epoch(self.options.epoch.elapsed())
    }

    /// Begins anew where the rules have changed; returns whether they have.
    pub(crate) fn follow_rules(&self) -> bool {
        let mark = self.site.rules_mark();
        if self.state().mark == mark {
            return false;
        }
        let Ok(state) = begin(&self.site, &self.secret) else {
            return false;
        };
        let old = std::mem::replace(&mut *self.state(), state);
        drop(old);
        true
    }

    /// Whether what is known is of the rules that count.
    pub(crate) fn has_rules(&self) -> bool {
        self.state().mark == self.site.rules_mark()
    }

    pub(crate) fn wake_writer(&self) {
        self.work.notify_one();
    }

    /// Waits until `beat_at`, or until there is something to tell, which is not told before `tell_at`.
    pub(crate) fn sleep(&self, beat_at: Instant, tell_at: Instant) {
        let mut state = self.state();
        while self.stopping().is_none() {
            let until = match state.has_events() {
                true => beat_at.min(tell_at),
                false => beat_at,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.work.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Something was told.
    pub(crate) fn wake_tellers(&self) {
        self.told.notify_all();
    }

    /// Waits until all that this instance had to tell is in the Redis; `false` where that takes longer.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let state = self.state();
        let (last, _) = state.told();
        let mark = state.mark;
        self.wake_writer();
        let is_open = |state: &mut State| state.mark == mark && state.told().1 < last;
        let waited = self.told.wait_timeout_while(state, patience, is_open);
        let (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !timeout.timed_out()
    }

    pub(crate) fn trouble(&self, who: Who, trouble: Option<Trouble>) {
        self.standing().troubles[who as usize] = trouble;
    }

    /// Until when all is to end.
    pub(crate) fn stopping(&self) -> Option<Instant> {
        self.standing().stopping
    }

    /// The writer has ended.
    pub(crate) fn stopped(&self) {
        self.standing().has_stopped = true;
        drop(self.state());
        self.told.notify_all();
    }

    /// Lets the threads end, and waits for the writer.
    pub(crate) fn stop(&self, patience: Duration) {
        let until = Instant::now() + patience;
        self.asks.end();
        {
            let _state = self.state();
            self.standing().stopping = Some(until);
            self.work.notify_all();
        }
        let is_open = |_: &mut State| !self.standing().has_stopped;
        let waited = self
            .told
            .wait_timeout_while(self.state(), patience, is_open);
        drop(waited);
    }

    pub(crate) fn stats(&self) -> Stats {
        let counts = &self.counts;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let instances = self.state().peers.count(Instant::now());
        let troubles = self.standing().troubles.clone();
        Stats {
            asked: count(&counts.asked),
            found: count(&counts.found),
            gaps: count(&counts.gaps),
            heard: count(&counts.heard),
            instances,
            is_current: self.is_current.load(Ordering::Relaxed),
            lost: count(&counts.lost),
            rejected: count(&counts.rejected),
            told: count(&counts.told),
            // That of the writer says most: its memory may be full.
            trouble: troubles.into_iter().rev().flatten().next(),
            written: count(&counts.written),
        }
    }
}

/// A state of which nothing is known yet, for the rules that count now.
fn begin(site: &Site, secret: &Secret) -> Result<State, getrandom::Error> {
    let mut sender = Sender::default();
    getrandom::fill(&mut sender)?;
    let mark = site.rules_mark();
    let names = Names::new(secret.tag(mark));
    Ok(State::new(mark, names, sender, site.snapshot()))
}

/// What threads own of it.
pub(crate) type Handle = Arc<Shared>;
