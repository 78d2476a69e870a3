//! Owns the lock of the gate: what is behind it changes here, and those whose turn has come are woken
//! once it is free again.
//! Never decides anything.

use std::fmt;
use std::sync::PoisonError;

use super::queue::Wakers;
use super::state::State;
use crate::sync::{Mutex, MutexGuard};
use crate::time::Instant;

/// Apart from the gate, so that a slot needs no lifetime and may outlive it.
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    /// What is behind the lock, to look at.
    pub(super) fn look(&self) -> MutexGuard<'_, State> {
        // A panic while it is held would be a bug of ours; the state stays usable all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it; who can enter then does. Without a time it is that of the last call. No waker is
    /// called with the lock held.
    pub(super) fn change<T>(
        &self,
        now: Option<Instant>,
        change: impl FnOnce(&mut State, Instant, &mut Wakers) -> T,
    ) -> T {
        let mut wakers = Wakers::new();
        let mut state = self.look();
        state.last = now.map_or(state.last, |now| state.last.max(now));
        let now = now.unwrap_or(state.last);
        let changed = change(&mut state, now, &mut wakers);
        if state.queue.len() > 0 {
            let now = state.last;
            state.dispatch(now, &mut wakers);
        }
        drop(state);
        for waker in wakers {
            waker.wake();
        }
        changed
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
