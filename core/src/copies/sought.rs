//! Owns a question for copies that other instances keep: [`Sought`] is what whoever is asked holds, and
//! [`Seeking`] what the request holds that waits for it.
//! Never looks for a copy, and never waits.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use super::changes::Mark;
use crate::sync::{AtomicBool, Mutex};

/// A question for copies. Dropped, it is answered: what was found is in memory by then.
pub struct Sought {
    inner: Arc<Inner>,
    mark: Mark,
}

/// The same for the request that waits.
pub(crate) struct Seeking {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    is_answered: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// A question that is asked at `mark`: what changes after that is not to be found any more.
pub(crate) fn question(mark: Mark) -> (Sought, Seeking) {
    let inner = Arc::new(Inner::default());
    let seeking = Seeking {
        inner: Arc::clone(&inner),
    };
    (Sought { inner, mark }, seeking)
}

impl Sought {
    pub(crate) const fn mark(&self) -> Mark {
        self.mark
    }
}

impl Drop for Sought {
    fn drop(&mut self) {
        let inner = &self.inner;
        inner.is_answered.store(true, Ordering::SeqCst);
        let mut waker = inner.waker.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = {
            let taken = waker.take();
            drop(waker);
            taken
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Seeking {
    /// Whether it is answered; if not, `waker` is called when it is.
    pub(crate) fn is_answered(&self, waker: &Waker) -> bool {
        let inner = &self.inner;
        // Noted first, so that no answer is missed.
        let replaced = {
            let mut noted = inner.waker.lock().unwrap_or_else(PoisonError::into_inner);
            noted.replace(waker.clone())
        };
        drop(replaced);
        inner.is_answered.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sought")
    }
}

impl fmt::Debug for Seeking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seeking")
    }
}
