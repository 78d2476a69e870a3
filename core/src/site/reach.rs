//! Owns [`Reach`]: whether the origin takes connections, when connecting is tried again, and the
//! requests that wait for it meanwhile.
//! Never connects, and never looks at a circuit: it is told what came of both.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Waker;
use std::time::Duration;

use crate::admission::Class;
use crate::limits::{RESTART_READS_MAX, RESTART_WAITING_MAX};
use crate::sync::{AtomicBool, Mutex, MutexGuard};
use crate::time::Instant;

/// How long after one attempt to connect the next one begins. It is no request, and costs the
/// machine next to nothing, so it goes on for ever.
const EVERY: Duration = Duration::from_secs(1);

/// The same while requests wait for its success.
const EVERY_EAGER: Duration = Duration::from_millis(100);

/// Whether the origin takes connections, shared by all requests of a site.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Somebody tries to connect when that is due.
    attended: AtomicBool,
    /// It is not known to be other than well, so the lock is not needed to know that.
    is_disturbed: AtomicBool,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Names given so far.
    names: u64,
    standing: Standing,
    /// The requests that wait: writes first, each in order of arrival, as they are let look again.
    waiting: BTreeMap<Name, Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Standing {
    /// No connection has failed since the last that came about.
    #[default]
    Reached,
    /// It takes no connection.
    Refused {
        /// The first that failed.
        since: Instant,
        trial: Trial,
    },
    /// It was heard of again, and its circuit is being probed.
    Returning {
        since: Instant,
        /// The first connection that failed before.
        refused_since: Option<Instant>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Trial {
    Due(Instant),
    /// It is another's turn at that time, so that none can be lost for ever.
    Runs {
        name: u64,
        lost_at: Instant,
    },
}

/// Whether it is a read, and a number.
type Name = (bool, u64);

/// Waiting for the origin to take connections. Dropped, it is free at once.
#[derive(Debug)]
pub(super) struct RestartWait {
    deadline: Instant,
    inner: Arc<Mutex<Inner>>,
    name: Name,
}

impl Reach {
    /// Notes that somebody connects when that is due, from now on.
    pub(super) fn attend(&self) {
        self.attended.store(true, Ordering::Relaxed);
    }

    /// Whether the origin takes no connection, and somebody is about to find out when it does.
    pub(super) fn is_refused(&self) -> bool {
        self.is_disturbed()
            && self.attended.load(Ordering::Relaxed)
            && matches!(self.lock().standing, Standing::Refused { .. })
    }

    /// Whether it is of use to wait for the origin.
    pub(super) fn is_on(&self) -> bool {
        self.is_disturbed() && !matches!(self.lock().standing, Standing::Reached)
    }

    /// No connection came about. Returns whether that is new.
    pub(super) fn refused(&self, now: Instant) -> bool {
        self.change(|inner| {
            let since = match inner.standing {
                Standing::Reached => now,
                Standing::Returning { refused_since, .. } => refused_since.unwrap_or(now),
                Standing::Refused { .. } => return false,
            };
            let trial = Trial::Due(now + EVERY);
            inner.standing = Standing::Refused { since, trial };
            true
        })
    }

    /// A connection came about, after one that did not. `is_returning` tells whether the origin's
    /// circuit is being probed now.
    pub(super) fn connected(&self, is_returning: bool, now: Instant) {
        self.settle(|standing| match standing {
            Standing::Refused { since, .. } if is_returning => Standing::Returning {
                since: now,
                refused_since: Some(since),
            },
            Standing::Refused { .. } => Standing::Reached,
            other @ (Standing::Reached | Standing::Returning { .. }) => other,
        });
    }

    /// Something good was heard of the origin: its circuit is being probed.
    pub(super) fn returning(&self, now: Instant) {
        self.change(|inner| {
            if let Standing::Reached = inner.standing {
                inner.standing = Standing::Returning {
                    since: now,
                    refused_since: None,
                };
            }
        });
    }

    /// The probes have led to something, good or bad.
    pub(super) fn returned(&self) {
        self.settle(|standing| match standing {
            Standing::Reached | Standing::Returning { .. } => Standing::Reached,
            other @ Standing::Refused { .. } => other,
        });
    }

    /// Begins an attempt to connect, where one is due; it is lost at `lost_at`.
    pub(super) fn start_trial(&self, lost_at: Instant, now: Instant) -> Option<u64> {
        self.attend();
        if !self.is_disturbed() {
            return None;
        }
        let mut inner = self.lock();
        inner.names += 1;
        let name = inner.names;
        let Standing::Refused { trial, .. } = &mut inner.standing else {
            return None;
        };
        let due = trial.due();
        (due <= now).then(|| {
            *trial = Trial::Runs { name, lost_at };
            name
        })
    }

    /// An attempt has ended without a connection, or says nothing.
    pub(super) fn end_trial(&self, name: u64, now: Instant) {
        let mut inner = self.lock();
        let every = match inner.waiting.is_empty() {
            true => EVERY,
            false => EVERY_EAGER,
        };
        if let Standing::Refused { trial, .. } = &mut inner.standing
            && let Trial::Runs { name: runs, .. } = *trial
            && runs == name
        {
            *trial = Trial::Due(now + every);
        }
    }

    /// Lets the next attempt begin at once, unless one runs.
    pub(super) fn hurry(&self, now: Instant) {
        if let Standing::Refused {
            trial: Trial::Due(at),
            ..
        } = &mut self.lock().standing
        {
            *at = (*at).min(now);
        }
    }

    /// When the next attempt is due, where anybody makes it.
    pub(super) fn due_at(&self) -> Option<Instant> {
        if !self.is_disturbed() || !self.attended.load(Ordering::Relaxed) {
            return None;
        }
        match self.lock().standing {
            Standing::Refused { trial, .. } => Some(trial.due()),
            Standing::Reached | Standing::Returning { .. } => None,
        }
    }

    /// Lets a request wait until `wait` after the first connection that failed, or after the origin
    /// was heard of again, and not beyond `until`. `None` where that has passed, where too many
    /// wait, or where nobody will find out.
    pub(super) fn enter(
        &self,
        wait: Duration,
        until: Option<Instant>,
        class: Class,
        now: Instant,
    ) -> Option<RestartWait> {
        if !self.is_disturbed() || !self.attended.load(Ordering::Relaxed) {
            return None;
        }
        let mut inner = self.lock();
        let since = match &mut inner.standing {
            Standing::Reached => return None,
            Standing::Refused { since, trial } => {
                if let Trial::Due(at) = trial {
                    *at = (*at).min(now + EVERY_EAGER);
                }
                *since
            }
            Standing::Returning { since, .. } => *since,
        };
        let deadline = until.map_or(since + wait, |until| until.min(since + wait));
        let most = match class {
            Class::Read => RESTART_READS_MAX,
            Class::Write => RESTART_WAITING_MAX,
        };
        if deadline <= now || inner.waiting.len() >= most {
            return None;
        }
        inner.names += 1;
        let name = (class == Class::Read, inner.names);
        inner.waiting.insert(name, None);
        Some(RestartWait {
            deadline,
            inner: Arc::clone(&self.inner),
            name,
        })
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        match self.is_disturbed() {
            true => self.lock().waiting.len(),
            false => 0,
        }
    }

    /// Lets those who wait look again.
    pub(super) fn wake(&self) {
        if self.is_disturbed() {
            self.settle(|standing| standing);
        }
    }

    fn is_disturbed(&self) -> bool {
        self.is_disturbed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Whether something is the matter is noted under the lock, so that the newest is noted last.
    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        let changed = change(&mut inner);
        let is_disturbed = !matches!(inner.standing, Standing::Reached);
        self.is_disturbed.store(is_disturbed, Ordering::Relaxed);
        changed
    }

    /// Changes how the origin stands, and lets those who wait look again.
    fn settle(&self, next: impl FnOnce(Standing) -> Standing) {
        let wakers: Vec<Waker> = self.change(|inner| {
            inner.standing = next(inner.standing);
            let wakers = inner.waiting.values_mut().filter_map(mem::take);
            wakers.collect()
        });
        // Not under the lock: a waker is foreign code.
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Trial {
    /// When the next one may begin.
    const fn due(self) -> Instant {
        match self {
            Self::Due(at) | Self::Runs { lost_at: at, .. } => at,
        }
    }
}

impl RestartWait {
    /// Until when it is of use.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Notes whom to wake when the origin may be back. Whether it certainly is not.
    pub(super) fn register(&self, waker: &Waker) -> bool {
        let mut inner = lock(&self.inner);
        let replaced = inner.waiting.insert(self.name, Some(waker.clone()));
        let is_refused = matches!(inner.standing, Standing::Refused { .. });
        drop(inner);
        drop(replaced);
        is_refused
    }
}

impl Drop for RestartWait {
    fn drop(&mut self) {
        let left = lock(&self.inner).waiting.remove(&self.name);
        drop(left);
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(5);

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    /// One that has refused since 1 s, while somebody tries to connect.
    fn refused() -> Reach {
        let reach = Reach::default();
        assert_eq!(
            reach.start_trial(at(0), at(0)),
            None,
            "nothing is the matter"
        );
        assert!(reach.refused(at(1_000)));
        assert!(!reach.refused(at(1_900)), "it is known");
        reach
    }

    #[test]
    fn connecting_is_tried_every_second_for_ever_one_at_a_time() {
        let reach = refused();
        let mut now = 2_000;
        for _ in 0..100 {
            assert_eq!(reach.due_at(), Some(at(now)));
            assert_eq!(reach.start_trial(at(now + 4_000), at(now - 1)), None);
            let name = reach.start_trial(at(now + 4_000), at(now)).unwrap();
            assert_eq!(reach.start_trial(at(now + 4_000), at(now + 10)), None);
            reach.end_trial(name, at(now + 10));
            now += 1_010;
        }
        // One that is lost is tried again, and has nothing to say any more.
        let lost = reach.start_trial(at(now + 4_000), at(now)).unwrap();
        assert_eq!(reach.due_at(), Some(at(now + 4_000)));
        let next = reach.start_trial(at(now + 9_000), at(now + 4_000));
        reach.end_trial(lost, at(now + 4_001));
        assert_eq!(reach.due_at(), Some(at(now + 9_000)));
        reach.end_trial(next.unwrap(), at(now + 4_001));
        assert_eq!(reach.due_at(), Some(at(now + 5_001)));
        reach.connected(false, at(now + 5_000));
        assert_eq!((reach.due_at(), reach.is_on()), (None, false));
    }

    #[test]
    fn requests_wait_until_some_time_after_the_first_refusal_and_not_too_many() {
        let reach = refused();
        let enter = |until: Option<u64>, now| {
            let place = reach.enter(WAIT, until.map(at), Class::Write, at(now))?;
            Some((place.deadline(), place))
        };
        let (deadline, place) = enter(None, 3_000).unwrap();
        assert_eq!(deadline, at(6_000));
        assert_eq!(reach.due_at(), Some(at(2_000)));
        assert!(place.register(Waker::noop()), "it is not back");
        assert_eq!(enter(Some(5_000), 3_000).unwrap().0, at(5_000));
        assert!(enter(None, 6_000).is_none(), "later ones do not wait");
        let places: Vec<_> = (1..RESTART_WAITING_MAX)
            .map(|_| enter(None, 3_000))
            .collect();
        assert!(enter(None, 3_000).is_none(), "nor do more");
        assert_eq!(reach.waiting(), RESTART_WAITING_MAX);
        drop(places);
        // Reads leave some to writes, which are the first to look again.
        let read = || reach.enter(WAIT, None, Class::Read, at(3_000));
        let reads: Vec<_> = (1..RESTART_READS_MAX).map(|_| read()).collect();
        assert!(reads.iter().all(Option::is_some));
        assert!(read().is_none());
        assert!(enter(None, 3_000).is_some());
        drop(reads);
        let [late, early] = [Class::Read, Class::Write]
            .map(|class| reach.enter(WAIT, None, class, at(3_000)).unwrap().name);
        assert!(early < late);
        // Requests that wait make trials more frequent.
        let name = reach.start_trial(at(9_000), at(3_000)).unwrap();
        reach.end_trial(name, at(3_000));
        assert_eq!(reach.due_at(), Some(at(3_100)));
        drop(place);
        assert_eq!(reach.waiting(), 0);
    }

    #[test]
    fn the_first_refusal_of_an_outage_counts_until_the_circuit_is_closed() {
        let reach = refused();
        reach.connected(true, at(3_000));
        assert!(reach.is_on() && !reach.is_refused());
        let deadline = |now| {
            reach
                .enter(WAIT, None, Class::Read, at(now))
                .unwrap()
                .deadline()
        };
        assert_eq!(deadline(3_000), at(8_000), "it takes connections");
        assert!(reach.refused(at(4_000)));
        assert_eq!(deadline(4_000), at(6_000));
        reach.returned();
        assert!(reach.is_refused(), "of nobody who was told before");
        reach.connected(true, at(5_000));
        reach.returned();
        assert!(!reach.is_on());
        assert!(reach.refused(at(5_500)), "another outage");
        assert_eq!(deadline(5_500), at(10_500));
    }

    #[test]
    fn where_nobody_tries_nobody_waits() {
        let reach = Reach::default();
        assert!(reach.refused(at(0)));
        assert!(!reach.is_refused());
        assert!(reach.enter(WAIT, None, Class::Read, at(0)).is_none());
    }
}
