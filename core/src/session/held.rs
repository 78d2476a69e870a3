//! Owns what the reserve for slow peers was told that a session holds.
//! Never holds a byte.

use crate::limits::QUEUE_BYTES_FREE;
use crate::reserve::Reserve;

/// Bytes beyond those that every queue has free.
#[derive(Debug, Default)]
pub(super) struct Held(usize);

impl Held {
    /// Tells the reserve what the queues hold now.
    pub(super) fn note(&mut self, reserve: &Reserve, queues: [usize; 2]) {
        let beyond = queues.map(|held| held.saturating_sub(QUEUE_BYTES_FREE));
        let now = beyond.iter().sum();
        reserve.note(self.0, now);
        self.0 = now;
    }
}
