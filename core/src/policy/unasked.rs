//! Owns what becomes of a fetch for which the origin cannot be asked, for want of something here.
//! Never blames the origin for it.

use std::sync::atomic::Ordering;

use super::{Fetch, Refusal, Served};
use crate::rules::label::Handling;
use crate::time::Instant;

impl Fetch {
    /// This side has no socket, port or memory left to ask the origin with. The copy answers, where
    /// one may, as it does when the origin is full; else the client is told to come back.
    ///
    /// The breaker learns nothing from it, and whoever waits for this fetch looks for another.
    ///
    /// # Errors
    /// The refusal, where no copy may answer.
    pub fn unasked(mut self: Box<Self>, now: Instant) -> Result<Served, Refusal> {
        let (circuit, why) = (self.circuit, self.why);
        let answer = match self.take_copy() {
            Some((copy, key)) => {
                let ttl = copy.ttl_seconds(now);
                let handling = Handling::Overload { ttl };
                let retter = &self.retter;
                retter.overload_copies.fetch_add(1, Ordering::Relaxed);
                Ok(Served::new(
                    retter,
                    &self.snapshot,
                    key,
                    copy,
                    circuit,
                    handling,
                    now,
                ))
            }
            None => Err(Refusal::unasked(why, circuit)),
        };
        self.abandon(now);
        answer
    }
}
