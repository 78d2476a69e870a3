//! Owns the bytes on their way to a peer, in order.
//! Never copies a body: only parts too small to be worth their own buffer are moved together.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::recv::recycle;

/// Parts up to this size are copied together. Cheaper than a queue entry and a slice of a
/// vectored write, and one-byte chunks then cannot make the queue outgrow its bytes.
const SMALL_PART: usize = 256;

/// Queue entries that an empty queue may keep room for.
const PARTS_KEPT: usize = 64;

/// Room for small parts to begin with: a usual head, so that it does not grow.
const SMALL_BYTES: usize = 1024;

/// Sent small parts are let go of while others wait, when there are this many bytes of them.
const SMALL_SENT_MAX: usize = 16_384;

/// A queue of bytes for vectored writes.
#[derive(Debug, Default)]
pub struct SendQueue {
    parts: VecDeque<Part>,
    /// All small parts, in order, one behind the other. Those that no entry of `parts` is for
    /// come last.
    small: Vec<u8>,
    /// Bytes of `small` that were sent.
    small_sent: usize,
    /// Bytes of `small` that entries of `parts` are for, sent ones included.
    small_queued: usize,
    /// Bytes of the large parts.
    large: usize,
    /// Those of them that somebody else holds in memory anyway.
    shared: usize,
}

#[derive(Debug)]
enum Part {
    Large(Bytes),
    /// As `Large`, but the queue is not what holds it in memory.
    Shared(Bytes),
    /// This number of the next bytes of `small`.
    Small(usize),
}

impl SendQueue {
    /// An empty queue. Allocates nothing until a push.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `part`; an empty one is ignored.
    pub fn push(&mut self, part: Bytes) {
        self.push_part(part, false);
    }

    /// Appends `part`, which somebody else holds in memory in any case.
    pub fn push_shared(&mut self, part: Bytes) {
        self.push_part(part, true);
    }

    fn push_part(&mut self, part: Bytes, is_shared: bool) {
        if part.len() <= SMALL_PART {
            return self.push_slice(&part);
        }
        let tail = self.small.len() - self.small_queued;
        if tail > 0 {
            self.parts.push_back(Part::Small(tail));
            self.small_queued = self.small.len();
        }
        self.large = self.large.saturating_add(part.len());
        self.parts.push_back(if is_shared {
            self.shared = self.shared.saturating_add(part.len());
            Part::Shared(part)
        } else {
            Part::Large(part)
        });
    }

    /// Appends a copy of `part`, for framing that exists nowhere as [`Bytes`].
    pub fn push_slice(&mut self, part: &[u8]) {
        if !part.is_empty() {
            self.tail().extend_from_slice(part);
        }
    }

    /// Where bytes are appended that exist nowhere else. Nothing that is there may be changed.
    pub(super) fn tail(&mut self) -> &mut Vec<u8> {
        if self.small.capacity() == 0 {
            self.small = spare();
        } else if self.small_sent > SMALL_SENT_MAX {
            self.small.drain(..self.small_sent);
            self.small_queued -= self.small_sent;
            self.small_sent = 0;
        }
        &mut self.small
    }

    /// Fills `dst` with the first parts for a vectored write; returns how many were filled.
    pub fn slices<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let mut small = &self.small[self.small_sent..];
        let mut count = 0;
        let mut slots = dst.iter_mut();
        for (part, slot) in self.parts.iter().zip(&mut slots) {
            let slice = match part {
                Part::Large(part) | Part::Shared(part) => part,
                Part::Small(len) => {
                    let (part, rest) = small.split_at(*len);
                    small = rest;
                    part
                }
            };
            *slot = IoSlice::new(slice);
            count += 1;
        }
        if count == self.parts.len()
            && !small.is_empty()
            && let Some(slot) = dst.get_mut(count)
        {
            *slot = IoSlice::new(small);
            count += 1;
        }
        count
    }

    /// Drops the first `written` bytes.
    pub fn advance(&mut self, written: usize) {
        debug_assert!(written <= self.len(), "more than was queued");
        let mut left = written.min(self.len());
        while let Some(front) = self.parts.front_mut() {
            let len = match front {
                Part::Large(part) | Part::Shared(part) => part.len(),
                Part::Small(len) => *len,
            };
            let taken = left.min(len);
            if matches!(front, Part::Shared(_)) {
                self.shared -= taken;
            }
            match front {
                Part::Large(part) | Part::Shared(part) => {
                    self.large -= taken;
                    if taken < len {
                        part.advance(taken);
                    }
                }
                Part::Small(len) => {
                    self.small_sent += taken;
                    *len -= taken;
                }
            }
            if taken < len {
                return;
            }
            left -= taken;
            if let Some(Part::Large(part)) = self.parts.pop_front() {
                recycle(part);
            }
        }
        self.small_sent += left;
        self.small_queued = self.small_queued.max(self.small_sent);
        if self.small_sent == self.small.len() {
            self.clear();
        }
    }

    /// Drops everything and the memory of a burst.
    pub fn clear(&mut self) {
        self.parts.clear();
        if self.parts.capacity() > PARTS_KEPT {
            self.parts = VecDeque::new();
        }
        give_back(std::mem::take(&mut self.small));
        (self.small_sent, self.small_queued) = (0, 0);
        (self.large, self.shared) = (0, 0);
    }

    /// Bytes queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.large + self.small.len() - self.small_sent
    }

    /// Bytes queued that only this queue holds in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.len() - self.shared
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Drop for SendQueue {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.small));
    }
}

/// Buffers for small parts that a thread keeps: queues take turns, as those who read do.
const SPARES_MAX: usize = 8;

thread_local! {
    static SPARES: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn spare() -> Vec<u8> {
    // Fails only while the thread ends.
    let found = SPARES.try_with(|spares| spares.borrow_mut().pop());
    let found = found.ok().flatten();
    found.unwrap_or_else(|| Vec::with_capacity(SMALL_BYTES))
}

/// Keeps a buffer, unless it has grown.
fn give_back(mut buf: Vec<u8>) {
    if buf.capacity() != SMALL_BYTES {
        return;
    }
    buf.clear();
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < SPARES_MAX {
            spares.push(buf);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the queue keeps room for, once this many parts are sent.
    fn kept_after(parts: usize) -> usize {
        let mut queue = SendQueue::new();
        for _ in 0..parts {
            queue.push(Bytes::from_static(&[b'x'; SMALL_PART + 1]));
        }
        queue.advance(queue.len());
        queue.parts.capacity()
    }

    #[test]
    fn what_was_sent_of_small_parts_is_let_go_of_though_others_wait() {
        let mut queue = SendQueue::new();
        for round in 0..100_000_u32 {
            queue.push_slice(&round.to_le_bytes());
            queue.push(Bytes::from_static(&[b'x'; SMALL_PART + 1]));
            if round > 0 {
                queue.advance(4 + SMALL_PART + 1);
            }
        }
        assert!(queue.small.capacity() <= 4 * SMALL_SENT_MAX);
        let mut slices = [IoSlice::new(&[]); 3];
        assert_eq!(queue.slices(&mut slices), 2);
        assert_eq!(&slices[0][..], 99_999_u32.to_le_bytes());
        assert_eq!(queue.len(), 4 + SMALL_PART + 1);
    }

    #[test]
    fn the_room_of_a_burst_is_given_back() {
        assert!(kept_after(PARTS_KEPT / 2) >= PARTS_KEPT / 2);
        assert_eq!(kept_after(PARTS_KEPT * 10), 0);
    }
}
