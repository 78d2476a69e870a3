//! Owns how threads of a test wait for one another: a gate that opens once, and a watched value.
//! Never sleeps: every wait ends with the event it waits for, or fails the test at the deadline.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::DEADLINE;

/// A value that threads change and others wait on.
#[derive(Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    /// Makes one that holds `value`.
    pub fn new(value: T) -> Self {
        Self {
            value: Mutex::new(value),
            changed: Condvar::new(),
        }
    }

    /// Locks the value to look at it.
    ///
    /// # Panics
    /// If a thread panicked while it changed the value.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().expect("no holder of the lock panicked")
    }

    /// Changes the value and wakes whoever waits on it.
    ///
    /// # Panics
    /// If a thread panicked while it changed the value.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `find` finds something in the value, or `limit` passes.
    ///
    /// # Panics
    /// If a thread panicked while it changed the value.
    pub fn wait<R>(&self, limit: Duration, mut find: impl FnMut(&mut T) -> Option<R>) -> Option<R> {
        let until = Instant::now() + limit;
        let mut value = self.lock();
        loop {
            if let Some(found) = find(&mut value) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            (value, _) = self
                .changed
                .wait_timeout(value, left)
                .expect("no holder of the lock panicked");
        }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// Holds threads back until a test opens it; it stays open.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Watched<bool>>);

impl Gate {
    /// Makes a closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everyone through, now and later.
    pub fn open(&self) {
        self.0.change(|open| *open = true);
    }

    /// Waits until the gate is open, or the deadline passes.
    pub fn wait(&self) {
        self.wait_at_most(DEADLINE);
    }

    /// Waits until the gate is open, or `limit` passes: how a model origin is slow and can still
    /// be stopped.
    pub fn wait_at_most(&self, limit: Duration) {
        let _ = self.is_open_within(limit);
    }

    /// Waits as [`wait_at_most`](Self::wait_at_most) does. Whether it is open.
    #[must_use]
    pub fn is_open_within(&self, limit: Duration) -> bool {
        self.0.wait(limit, |open| open.then_some(())).is_some()
    }
}
