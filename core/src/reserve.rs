//! Owns the memory that all sessions share for peers who take slowly what is sent to them.
//! Never knows whose bytes they are: each session says what it holds.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::QUEUE_BYTES_FREE;

/// A part of what is left is what each may take next, so that many share fairly and whoever comes
/// finds something left: the dynamic threshold of switches with shared memory (Choudhury and Hahne
/// 1998). One alone gets a fifth of all.
const SHARE: usize = 4;

/// Bytes that are held for slow peers, over all sessions, beyond what each may hold anyway
/// ([`QUEUE_BYTES_FREE`]).
#[derive(Debug)]
pub(crate) struct Reserve {
    bytes_max: usize,
    used: AtomicUsize,
}

impl Reserve {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            used: AtomicUsize::new(0),
        }
    }

    /// Whether a queue that holds this many bytes may take another piece.
    pub(crate) fn admits(&self, queued: usize) -> bool {
        queued < QUEUE_BYTES_FREE || queued - QUEUE_BYTES_FREE < self.left() / SHARE
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.used())
    }

    /// Takes note that somebody who held `before` holds `now`.
    pub(crate) fn note(&self, before: usize, now: usize) {
        if now > before {
            self.used.fetch_add(now - before, Ordering::Relaxed);
        } else if before > now {
            self.used.fetch_sub(before - now, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets this many queues grow in pieces as long as they may; returns what each has.
    fn fill(reserve: &Reserve, queues: usize) -> Vec<usize> {
        const PIECE: usize = 1024;
        let mut held = vec![0; queues];
        loop {
            let before = held.clone();
            for queued in held.iter_mut().filter(|queued| reserve.admits(**queued)) {
                let excess = |queued: usize| queued.saturating_sub(QUEUE_BYTES_FREE);
                reserve.note(excess(*queued), excess(*queued + PIECE));
                *queued += PIECE;
            }
            if held == before {
                return held;
            }
        }
    }

    #[test]
    fn many_share_what_one_had() {
        const MIB: usize = 1 << 20;
        for (queues, each) in [(1, 6 * MIB), (20, 1 << 20), (2000, QUEUE_BYTES_FREE)] {
            let reserve = Reserve::new(32 * MIB);
            let held = fill(&reserve, queues);
            let (least, most) = (held.iter().min().unwrap(), held.iter().max().unwrap());
            assert!(
                *least >= each && most - least <= MIB / 8,
                "{queues}: {least} {most}"
            );
            let excess: usize = held.iter().map(|queued| queued - QUEUE_BYTES_FREE).sum();
            assert_eq!(excess, reserve.used());
            assert!(excess <= 32 * MIB + queues * 1024);
        }
    }

    #[test]
    fn without_any_each_has_its_own() {
        assert_eq!(fill(&Reserve::new(0), 1), [QUEUE_BYTES_FREE]);
    }
}
