//! Owns [`Changes`]: the changes of state that nobody has taken yet, and how many there were.
//! Never decides that a state changes.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::breaker::{Change, Tier, Transition};

/// Transitions that wait to be polled. An origin's failure opens a few dozen circuits at once.
pub(super) const TRANSITIONS_MAX: usize = 256;

/// The changes of state of all circuits, in their order.
#[derive(Debug, Default)]
pub(super) struct Changes {
    count: u64,
    waiting: VecDeque<Transition>,
}

impl Changes {
    /// Notes a change of the path's circuit with this name, or without one of the origin's.
    pub(super) fn push(&mut self, path: Option<Arc<str>>, change: Change) {
        if self.waiting.len() >= TRANSITIONS_MAX {
            self.waiting.pop_front();
        }
        self.count += 1;
        let Change {
            at,
            from,
            reason,
            to,
        } = change;
        let tier = match path {
            Some(_) => Tier::Path,
            None => Tier::Origin,
        };
        self.waiting.push_back(Transition {
            at,
            from,
            path,
            reason,
            tier,
            to,
        });
    }

    /// Takes the oldest one.
    pub(super) fn poll(&mut self) -> Option<Transition> {
        self.waiting.pop_front()
    }

    /// How many there were so far.
    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// How many wait to be taken.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
