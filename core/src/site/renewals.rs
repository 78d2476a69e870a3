//! Owns [`Renewals`]: what is to be renewed behind its lock, and whether somebody does it.
//! Never asks the origin, and never looks at a circuit: it is told when those can be probed.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::errand::Errand;
use super::wants::{Ended, Schedule, Wants};
use crate::breaker::Outcome;
use crate::key::{self, CacheKey};
use crate::message::Fields;
use crate::report::RefreshStats;
use crate::sync::{AtomicBool, Mutex, MutexGuard};
use crate::time::Instant;

/// The renewals of a site, shared by all its requests.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    /// Whether somebody renews copies in the background.
    attended: AtomicBool,
    wants: Mutex<Wants>,
}

/// A renewal that runs, as its fetch knows it.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) ended: Ended,
    /// As a probe, because it is slow.
    pub(super) is_counted: bool,
    pub(super) key: CacheKey,
    number: u64,
}

impl Renewals {
    /// Notes that somebody renews copies from now on.
    pub(super) fn attend(&self) {
        self.attended.store(true, Ordering::Relaxed);
    }

    /// Whether somebody renews copies.
    pub(super) fn is_attended(&self) -> bool {
        self.attended.load(Ordering::Relaxed)
    }

    /// Whether somebody renews copies, and nothing of the client's is used up by it.
    pub(super) fn may_renew(&self, request: &Fields) -> bool {
        self.is_attended() && !key::logs_in_once(request)
    }

    /// Begins a renewal; `None` where another one of the same copy runs.
    pub(super) fn start(&self, errand: &Errand, now: Instant) -> Option<Renewal> {
        let number = self.wants().start(errand, now)?;
        Some(Renewal::new(errand, number))
    }

    /// Lets a fetch for which nobody waits any more go on to renew its copy; within `running_max`,
    /// or a hanging origin would soon have all slots.
    pub(super) fn adopt(
        &self,
        errand: &Errand,
        running_max: u32,
        retry_at: Instant,
        now: Instant,
    ) -> Option<Renewal> {
        if key::logs_in_once(&errand.request.fields) {
            return None;
        }
        let mut wants = self.wants();
        if wants.stats.running >= running_max || wants.runs(&errand.key) {
            return None;
        }
        let number = wants.start(errand, now)?;
        wants.is_slow(&errand.key, number, now, retry_at);
        Some(Renewal::new(errand, number))
    }

    /// Notes that a renewal takes longer than it should.
    pub(super) fn is_slow(&self, renewal: &Renewal, retry_at: Instant, now: Instant) {
        let mut wants = self.wants();
        wants.is_slow(&renewal.key, renewal.number, now, retry_at);
    }

    /// A renewal has ended.
    pub(super) fn ended(&self, renewal: Renewal, schedule: Schedule) {
        let Renewal {
            ended, key, number, ..
        } = renewal;
        let mut wants = self.wants();
        wants.end(&key, number, ended, schedule);
        let waker = wants.take_waker();
        drop(wants);
        wake(waker);
    }

    /// Whether nothing has happened that makes the answer of this renewal wrong.
    pub(super) fn is_current(&self, renewal: &Renewal) -> bool {
        self.wants().is_current(&renewal.key, renewal.number)
    }

    /// Counts how the origin was found by a renewal that was a probe.
    pub(super) fn count_probe(&self, outcome: Outcome) {
        let stats = &mut self.wants().stats;
        match outcome {
            Outcome::ConnectFailure | Outcome::Failure => stats.probes_failed += 1,
            Outcome::Ignore | Outcome::Slow { .. } => {}
            Outcome::Success => stats.probes_succeeded += 1,
        }
    }

    /// Notes that a copy answered where the origin should have.
    pub(super) fn want(&self, errand: &Errand, due: Instant, now: Instant) {
        if !self.may_renew(&errand.request.fields) {
            return;
        }
        let mut wants = self.wants();
        let waker = if wants.want(errand, due, now) {
            wants.take_waker()
        } else {
            None
        };
        drop(wants);
        wake(waker);
    }

    /// Wakes whoever renews copies: what is due may have changed.
    pub(super) fn wake(&self) {
        let waker = self.wants().take_waker();
        wake(waker);
    }

    pub(super) fn stats(&self) -> RefreshStats {
        let wants = self.wants();
        RefreshStats {
            wanted: wants.len(),
            ..wants.stats
        }
    }

    /// What is wanted, behind its lock.
    pub(super) fn wants(&self) -> MutexGuard<'_, Wants> {
        self.wants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Renewal {
    fn new(errand: &Errand, number: u64) -> Self {
        Self {
            ended: Ended::Dropped,
            is_counted: false,
            key: errand.key.clone(),
            number,
        }
    }
}

/// Not under the lock: a waker is foreign code.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
