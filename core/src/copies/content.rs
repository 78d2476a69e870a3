//! Owns the content of copies in memory, and how much of it is nowhere in the store: what is being
//! collected, and what has left the store but is still on its way to somebody.
//! Never decides what is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;

use crate::limits::COPY_BYTES_SMALL;

/// Bytes that are in memory for copies beside those in the store.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: usize,
    collecting: AtomicUsize,
    /// Content that has left the store, or never got there, until its last reader has it.
    leaving: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            collecting: AtomicUsize::new(0),
            leaving: AtomicUsize::new(0),
        }
    }

    /// Whether more than half is used, of what content of `len` bytes may use.
    fn is_short(&self, len: usize) -> bool {
        self.collecting().saturating_add(self.others(len)) > self.bytes_max / 2
    }

    /// What is not there for content of `len` bytes, beside what is being collected.
    fn others(&self, len: usize) -> usize {
        if len > COPY_BYTES_SMALL {
            self.leaving()
        } else {
            0
        }
    }

    /// Bytes that are being collected.
    pub(super) fn collecting(&self) -> usize {
        self.collecting.load(Ordering::Relaxed)
    }

    /// Bytes on their way to clients only.
    pub(super) fn leaving(&self) -> usize {
        self.leaving.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize, whole: usize) -> bool {
        let collecting = self.collecting.fetch_add(bytes, Ordering::Relaxed);
        let used = collecting.saturating_add(self.others(whole));
        if used.saturating_add(bytes) <= self.bytes_max {
            return true;
        }
        self.collecting.fetch_sub(bytes, Ordering::Relaxed);
        false
    }
}

/// Content that comes piece by piece.
#[derive(Debug)]
pub(super) struct Collected {
    budget: Arc<Budget>,
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Collected {
    /// Nothing yet, and never more than `bytes_max`.
    pub(super) fn new(bytes_max: usize, budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: Vec::new(),
            bytes_max,
        }
    }

    /// Adds a piece; `false` when there is no room for it.
    #[must_use]
    pub(super) fn push(&mut self, data: &[u8]) -> bool {
        let whole = self.bytes.len().saturating_add(data.len());
        let fits = whole <= self.bytes_max && self.budget.take(data.len(), whole);
        if fits {
            self.bytes.extend_from_slice(data);
        }
        fits
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there is little room for more of such size.
    pub(super) fn is_short(&self) -> bool {
        self.budget.is_short(self.bytes.len())
    }

    pub(super) fn finish(mut self) -> Content {
        let budget = &self.budget;
        let len = self.bytes.len();
        budget.collecting.fetch_sub(len, Ordering::Relaxed);
        Content::new(std::mem::take(&mut self.bytes), budget)
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        let len = self.bytes.len();
        self.budget.collecting.fetch_sub(len, Ordering::Relaxed);
    }
}

/// The content of a copy, shared by all states of that copy and by those who are being sent it.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Large(Arc<Large>),
    Small(Bytes),
}

#[derive(Debug)]
pub(super) struct Large {
    bytes: Bytes,
    counted: Arc<Counted>,
}

/// What `Bytes` hold until the last of them is gone.
#[derive(Debug)]
struct Counted {
    budget: Arc<Budget>,
    bytes: Box<[u8]>,
    has_left: AtomicBool,
}

/// A share of [`Counted`], as `Bytes` want to own it.
struct Share(Arc<Counted>);

impl Content {
    pub(super) fn new(bytes: Vec<u8>, budget: &Arc<Budget>) -> Self {
        // The spare capacity is given back: the store's weights stay true.
        let bytes = bytes.into_boxed_slice();
        if bytes.len() <= COPY_BYTES_SMALL {
            return Self::Small(Bytes::from(bytes));
        }
        let counted = Arc::new(Counted {
            budget: Arc::clone(budget),
            bytes,
            has_left: AtomicBool::new(false),
        });
        let bytes = Bytes::from_owner(Share(Arc::clone(&counted)));
        Self::Large(Arc::new(Large { bytes, counted }))
    }

    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Self::Large(large) => &large.bytes,
            Self::Small(bytes) => bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }
}

impl Drop for Large {
    /// No copy has it any more.
    fn drop(&mut self) {
        let Counted {
            budget,
            bytes,
            has_left,
        } = &*self.counted;
        has_left.store(true, Ordering::Relaxed);
        budget.leaving.fetch_add(bytes.len(), Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if *self.has_left.get_mut() {
            let len = self.bytes.len();
            self.budget.leaving.fetch_sub(len, Ordering::Relaxed);
        }
    }
}

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(len: usize, budget: &Arc<Budget>) -> Option<Content> {
        let mut collected = Collected::new(usize::MAX, budget);
        collected.push(&vec![b'x'; len]).then(|| collected.finish())
    }

    #[test]
    fn what_left_the_store_counts_until_its_last_reader_has_it() {
        let budget = Arc::new(Budget::new(COPY_BYTES_SMALL * 3));
        let copy = collected(COPY_BYTES_SMALL * 2, &budget).expect("it fits");
        let renewed = copy.clone();
        let reader = copy.bytes().slice(COPY_BYTES_SMALL..);
        drop(copy);
        assert_eq!((budget.collecting(), budget.leaving()), (0, 0));
        drop(renewed);
        assert_eq!(budget.leaving(), COPY_BYTES_SMALL * 2);
        assert!(budget.is_short(COPY_BYTES_SMALL + 1) && !budget.is_short(COPY_BYTES_SMALL));
        assert!(
            collected(COPY_BYTES_SMALL + 1, &budget).is_none(),
            "no room"
        );
        assert!(
            collected(COPY_BYTES_SMALL, &budget).is_some(),
            "small ones fit always"
        );
        drop(reader);
        assert_eq!(budget.leaving(), 0);
        assert!(collected(COPY_BYTES_SMALL + 1, &budget).is_some());
    }

    #[test]
    fn what_is_given_up_is_given_back() {
        let budget = Arc::new(Budget::new(COPY_BYTES_SMALL));
        let mut one = Collected::new(COPY_BYTES_SMALL * 2, &budget);
        assert!(one.push(&[b'x'; COPY_BYTES_SMALL]));
        assert!(!one.push(b"x"), "the budget ends");
        assert!(collected(1, &budget).is_none());
        drop(one);
        assert_eq!(budget.collecting(), 0);
        let mut small = Collected::new(1, &budget);
        assert!(!small.push(b"xx"), "its own bound");
    }
}
