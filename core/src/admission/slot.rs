//! Owns [`Slot`]: a request that is at the origin.
//! Never asks for one.

use std::sync::Arc;

use super::kinds::LATE;
use super::shared::Shared;
use super::stay::Stay;
use crate::breaker::Outcome;
use crate::time::Instant;

/// A request at the origin. Give it back with its outcome; dropped, it is free all the same, but
/// nothing is learnt.
///
/// Where [`on_late`](Self::on_late) is told at [`late_at`](Self::late_at), a request that only waits
/// at the origin holds no place there.
#[must_use = "dropping a slot gives it back"]
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    stay: Stay,
    /// From when the origin is at work.
    since: Instant,
    is_late: bool,
    is_free: bool,
}

impl Slot {
    pub(super) fn new(shared: &Arc<Shared>, stay: Stay, since: Instant) -> Self {
        Self {
            shared: Arc::clone(shared),
            stay,
            since,
            is_late: false,
            is_free: false,
        }
    }

    /// The origin is at work only from now: until now it waited for its client.
    pub const fn begin(&mut self, now: Instant) {
        if !self.is_late {
            self.since = now;
        }
    }

    /// When to tell that the request is still there; `None` once that is told.
    #[must_use]
    pub fn late_at(&self) -> Option<Instant> {
        (!self.is_late).then(|| self.since + LATE)
    }

    /// The request is still there: where others are answered meanwhile, it gives up its place. `page`
    /// is its path, for whoever asks what keeps the origin busy.
    pub fn on_late(&mut self, page: Box<str>, now: Instant) {
        if std::mem::replace(&mut self.is_late, true) {
            return;
        }
        let (stay, since) = (&self.stay, self.since);
        self.shared.change(Some(now), |state, now, _| {
            state.note_late(stay, since, page, now);
        });
    }

    /// Whether the request only waits at the origin, and nobody knows yet how long those of its kind do:
    /// that it takes long is no sign of trouble.
    #[must_use]
    pub fn is_patient(&self) -> bool {
        self.shared.look().is_patient(&self.stay, self.since)
    }

    /// Whether the request may be given more time than others: it only waits at the origin, or is
    /// likely to, as no request of its kind was ever quick, and the origin is well.
    #[must_use]
    pub fn may_wait_on(&self, now: Instant) -> bool {
        let state = self.shared.look();
        state.may_wait_on(&self.stay, self.since, now)
    }

    /// Gives the slot back: the limit learns from it, and who is next is let in.
    pub fn release(mut self, outcome: Outcome, now: Instant) {
        self.free(Some((outcome, now)));
    }

    fn free(&mut self, outcome: Option<(Outcome, Instant)>) {
        if std::mem::replace(&mut self.is_free, true) {
            return;
        }
        let since = (self.since, self.is_late);
        self.shared.change(None, |state, _, _| {
            state.leave(&self.stay, since, outcome);
        });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.free(None);
    }
}
