//! Owns [`Place`]: a request that waits for room at the origin.
//! Never knows who else waits.

use std::sync::Arc;
use std::task::{Poll, Waker};

use super::bid::Bid;
use super::lead::Lead;
use super::queue::Fate;
use super::shared::Shared;
use super::slot::Slot;
use super::words::{Flown, Shed};
use crate::time::Instant;

/// How a wait ended.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, into the fetch that it becomes"
)]
pub enum Admitted {
    /// The fetch that it followed has ended.
    Flown(Flown),
    /// It waited in vain.
    Shed(Shed),
    /// There is room; with the duty to those who follow, if it leads.
    Slot(Slot, Option<Lead>),
}

/// A place in the queue. Dropped, it is free at once.
#[must_use = "dropping a place gives it up"]
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    bid: Bid,
    id: u64,
    deadline: Instant,
    is_over: bool,
}

impl Place {
    pub(super) fn new(shared: &Arc<Shared>, (id, bid): (u64, Bid), deadline: Instant) -> Self {
        Self {
            shared: Arc::clone(shared),
            bid,
            id,
            deadline,
            is_over: false,
        }
    }

    /// When the wait is over in any case.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Asks how the wait ended; `waker` is called when asking again can help, or at the deadline
    /// nobody is called: the caller has a timer. Not to be asked again after it was ready.
    pub fn poll(&mut self, waker: &Waker, now: Instant) -> Poll<Admitted> {
        // Dropped without the lock, as foreign code runs in it.
        let mut replaced = None;
        let who = (self.id, &self.bid);
        let fate = self.shared.change(Some(now), |state, now, wakers| {
            let told = (wakers, &mut replaced);
            let fate = state.queue.poll(who, waker, &state.shares, now, told);
            if let Some(Fate::Shed(shed)) = fate {
                state.count_shed(shed);
            }
            fate
        });
        let Some(fate) = fate else {
            return Poll::Pending;
        };
        self.is_over = true;
        Poll::Ready(match fate {
            Fate::Enter(entered, key) => {
                let lead = key.map(|key| Lead::new(&self.shared, key));
                Admitted::Slot(Slot::new(&self.shared, entered, now), lead)
            }
            Fate::Flown(flown) => Admitted::Flown(flown),
            Fate::Shed(shed) => Admitted::Shed(shed),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.shared.change(None, |state, now, wakers| {
            let left = state.queue.leave(self.id, &self.bid, &state.shares, wakers);
            if let Some(entered) = left {
                state.leave(&entered, (now, false), None);
            }
        });
    }
}
