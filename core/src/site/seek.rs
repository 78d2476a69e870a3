//! Owns [`Seek`]: a request without a copy that waits a moment for those of other instances.
//! Never looks for a copy outside of memory: whoever shares copies does.

use std::task::Waker;

use super::ask::class_of;
use super::public::Wanting;
use crate::admission::Class;
use crate::copies::{Seeking, question};
use crate::key::Partition;
use crate::rules::label::Instead;
use crate::time::Instant;

/// Waiting for copies of other instances.
#[derive(Debug)]
pub(super) struct Seek {
    deadline: Instant,
    instead: Instead,
    seeking: Seeking,
}

impl Seek {
    /// Asks for copies, where somebody shares them and there may be one for this request.
    pub(super) fn begin(
        wanting: &Wanting<'_>,
        may_share: bool,
        instead: Instead,
        now: Instant,
    ) -> Option<Box<Self>> {
        let parts = wanting.parts;
        let sharing = parts.copies.sharing()?;
        let own = wanting.key.filter(|own| !own.is_fragment())?;
        if class_of(wanting.request) != Class::Read {
            return None;
        }
        let mut keys = Vec::with_capacity(2);
        if may_share && own.line().is_none() && sharing.takes(own.partition()) {
            keys.push(own.clone());
        }
        let (cache, keyer) = (&wanting.snapshot.config().cache, wanting.snapshot.keyer());
        if cache.has_public() && sharing.takes(Partition::Public) {
            keys.push(keyer.public_key(own));
        }
        if keys.is_empty() {
            return None;
        }
        let (sought, seeking) = question(parts.copies.mark());
        let patience = sharing.seek(keys, sought)?;
        Some(Box::new(Self {
            deadline: now + patience,
            instead,
            seeking,
        }))
    }

    /// When it has waited for long enough.
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the wait is over: what was found is in memory. If not, `waker` is called when it is, but
    /// not at the deadline.
    pub(super) fn is_over(&self, waker: &Waker, now: Instant) -> bool {
        self.seeking.is_answered(waker) || self.deadline <= now
    }

    /// What a copy is to answer in the place of.
    pub(super) const fn instead(&self) -> Instead {
        self.instead
    }
}
