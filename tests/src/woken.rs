//! Owns who was woken, of many that wait in one loop.
//! Never polls anybody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Those who were woken, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Woken(Arc<Mutex<Vec<u64>>>);

/// Wakes one of them.
#[derive(Debug)]
struct Bell(u64, Woken);

impl Woken {
    /// What wakes the one with this number.
    pub(crate) fn waker(&self, id: u64) -> Waker {
        Waker::from(Arc::new(Bell(id, self.clone())))
    }

    /// Those who were woken since.
    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.ids())
    }

    /// Whether one is among them.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.ids().contains(&id)
    }

    fn ids(&self) -> MutexGuard<'_, Vec<u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.1.ids().push(self.0);
    }
}
