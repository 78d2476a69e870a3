//! Owns [`Circuits`]: the breaker of a site behind its lock, and the word that says without the lock
//! that all circuits are closed.
//! Never decides what an outcome means: [`Tiers`] does.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::breaker::{State, Target, Tiers};
use crate::sync::{AtomicBool, Mutex, MutexGuard};
use crate::time::Instant;

/// The circuits of a site, shared by all its requests.
#[derive(Debug)]
pub(super) struct Circuits {
    /// No circuit is other than closed: then a copy is served without asking for the lock.
    calm: AtomicBool,
    tiers: Mutex<Tiers>,
}

impl Circuits {
    pub(super) fn new(tiers: Tiers) -> Self {
        Self {
            calm: AtomicBool::new(true),
            tiers: Mutex::new(tiers),
        }
    }

    /// Whether all circuits are closed.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// The circuit as a request for this finds it.
    pub(super) fn state(&self, target: Target<'_>, now: Instant) -> State {
        if self.is_calm() {
            return State::Closed;
        }
        self.read().state(target, now)
    }

    /// The circuits, to look at.
    pub(super) fn read(&self) -> MutexGuard<'_, Tiers> {
        // A panic while it is held would be a bug of ours; the state stays usable all the same.
        self.tiers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the circuits; says what has changed. Whether all are closed is noted under the lock,
    /// so that the newest state is noted last.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Tiers) -> T) -> (T, Changed) {
        let mut tiers = self.read();
        let before = tiers.changes();
        let was = (tiers.is_origin_closed(), tiers.is_origin_returning());
        let was_failing = tiers.is_failing();
        let changed = change(&mut tiers);
        let is = (tiers.is_origin_closed(), tiers.is_origin_returning());
        self.calm.store(tiers.is_calm(), Ordering::Relaxed);
        let changes = Changed {
            any: tiers.changes() != before,
            begins_to_fail: !was_failing && tiers.is_failing(),
            was_failing,
            origin: Origin::between(was, is),
        };
        (changed, changes)
    }
}

/// What has changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    /// The state of some circuit.
    pub(super) any: bool,
    /// More requests fail than before, and many do.
    pub(super) begins_to_fail: bool,
    pub(super) was_failing: bool,
    pub(super) origin: Origin,
}

/// What has become of the origin's circuit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// It was closed, and is not.
    Left,
    /// Nothing that others have to know.
    Same,
    /// It is half-open because something good was heard.
    Returning,
    /// It was that, and is not closed either.
    Relapsed,
    /// It is closed, and was not.
    Returned,
}

impl Origin {
    /// From whether it was closed, and returning, to whether it is.
    const fn between(was: (bool, bool), is: (bool, bool)) -> Self {
        match (was, is) {
            ((true, _), (false, _)) => Self::Left,
            ((false, _), (true, _)) => Self::Returned,
            ((_, false), (_, true)) => Self::Returning,
            ((_, true), (_, false)) => Self::Relapsed,
            _ => Self::Same,
        }
    }
}
