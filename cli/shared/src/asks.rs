//! Owns what requests wait for ([`Asks`]): questions for copies, on their way to the thread that asks.
//! Never asks, and never makes a request wait that cannot be answered soon.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use retter_core::copies::Sought;
use retter_core::key::CacheKey;

/// Questions that wait; more are not asked.
const ASKS_MAX: usize = 256;

/// How long it is remembered that there is nothing under a key.
const ABSENT: Duration = Duration::from_secs(1);

/// Keys of which that is remembered.
const ABSENT_MAX: usize = 8192;

/// A question.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) at: Instant,
    pub(crate) keys: Vec<CacheKey>,
    pub(crate) sought: Sought,
}

/// The questions that wait.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    inner: Mutex<Inner>,
    woken: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    absent: HashMap<u64, Instant>,
    has_ended: bool,
    /// It answers, as far as is known: the breaker is closed.
    is_well: bool,
    waiting: Vec<Ask>,
}

impl Asks {
    /// Puts a question; returns whether it is of use to wait for the answer.
    pub(crate) fn put(&self, keys: Vec<CacheKey>, sought: Sought, now: Instant) -> bool {
        let mut inner = self.lock();
        if !inner.is_well || inner.waiting.len() >= ASKS_MAX {
            return false;
        }
        let is_absent = |key: &CacheKey| {
            let noted = inner.absent.get(&key.hash());
            noted.is_some_and(|at| now.saturating_duration_since(*at) < ABSENT)
        };
        if keys.iter().all(is_absent) {
            return false;
        }
        let at = now;
        inner.waiting.push(Ask { at, keys, sought });
        drop(inner);
        self.woken.notify_one();
        true
    }

    /// Waits for questions, for so long at most; `None` at the end.
    pub(crate) fn take(&self, patience: Duration) -> Option<Vec<Ask>> {
        let inner = self.lock();
        let is_idle = |inner: &mut Inner| inner.waiting.is_empty() && !inner.has_ended;
        let waited = self.woken.wait_timeout_while(inner, patience, is_idle);
        let (mut inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        (!inner.has_ended).then(|| std::mem::take(&mut inner.waiting))
    }

    /// There is nothing under these keys.
    pub(crate) fn note_absent(&self, keys: &[u64], now: Instant) {
        let mut inner = self.lock();
        if inner.absent.len() + keys.len() > ABSENT_MAX {
            inner.absent.clear();
        }
        inner.absent.extend(keys.iter().map(|key| (*key, now)));
    }

    /// Opens or closes the breaker; whoever waits is answered that there is nothing where it opens.
    pub(crate) fn set_well(&self, is_well: bool) {
        let mut inner = self.lock();
        inner.is_well = is_well;
        let waiting = match is_well {
            true => Vec::new(),
            false => std::mem::take(&mut inner.waiting),
        };
        drop(inner);
        drop(waiting);
    }

    pub(crate) fn is_well(&self) -> bool {
        self.lock().is_well
    }

    /// Nothing is asked any more.
    pub(crate) fn end(&self) {
        self.lock().has_ended = true;
        self.set_well(false);
        self.woken.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
