//! Owns [`Lead`]: the duty to say how a fetch ended that others wait for.
//! Never fetches anything.

use std::sync::Arc;

use super::shared::Shared;
use super::words::Flown;
use crate::key::CacheKey;

/// The duty to say how a fetch ended that others wait for; dropped, it was abandoned.
#[must_use = "others wait for it"]
#[derive(Debug)]
pub struct Lead {
    shared: Arc<Shared>,
    /// `None` once said.
    key: Option<CacheKey>,
}

impl Lead {
    pub(super) fn new(shared: &Arc<Shared>, key: CacheKey) -> Self {
        Self {
            shared: Arc::clone(shared),
            key: Some(key),
        }
    }

    /// Says how the fetch ended.
    pub fn land(mut self, flown: Flown) {
        self.end(flown);
    }

    fn end(&mut self, flown: Flown) {
        let Some(key) = self.key.take() else { return };
        self.shared.change(None, |state, _, wakers| {
            state.queue.land(&key, flown, &state.shares, wakers);
        });
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.end(Flown::Abandoned);
    }
}
