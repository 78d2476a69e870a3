//! Owns [`Unrescued`]: a GET that no copy could answer if the origin failed, until more is known of it.
//! Never judges one: `rescuable` does.

use std::sync::Arc;

use super::parts::Parts;
use crate::report::Obstacle;
use crate::time::Instant;

/// A GET that no copy could answer if the origin failed. It is counted when it is dropped, as its answer
/// may say more of the reason.
#[derive(Debug)]
pub(super) struct Unrescued {
    at: Instant,
    parts: Arc<Parts>,
    /// `None` where it turns out that it asked for no page.
    why: Option<Obstacle>,
}

impl Unrescued {
    pub(super) fn new(parts: &Arc<Parts>, why: Obstacle, now: Instant) -> Self {
        let parts = Arc::clone(parts);
        let why = Some(why);
        Self {
            at: now,
            parts,
            why,
        }
    }

    /// What is in the way, as far as is known.
    pub(super) const fn why(&self) -> Option<Obstacle> {
        self.why
    }

    /// The origin has answered with no page.
    pub(super) fn is_no_page(&mut self) {
        self.why = None;
    }

    /// The answer cannot be kept. That says more than that nobody has had it, and less than anything
    /// else.
    pub(super) fn is_not_kept(&mut self, why: Obstacle) {
        if self.why == Some(Obstacle::NotSeen) {
            self.why = Some(why);
        }
    }
}

impl Drop for Unrescued {
    fn drop(&mut self) {
        let coverage = &self.parts.coverage;
        match self.why {
            Some(why) => coverage.note(Err(why), self.at),
            None => coverage.note_no_page(self.at),
        }
    }
}
