//! Owns the bytes on their way to a peer, in order.
//! Never copies a body: only parts too small to be worth their own buffer are moved together.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

use super::recv::recycle;

/// Parts up to this size are copied together. Cheaper than a queue entry and a slice of a
/// vectored write, and one-byte chunks then cannot make the queue outgrow its bytes.
const SMALL_PART: usize = 256;

/// Queue entries that an empty queue may keep room for.
const PARTS_KEPT: usize = 64;

/// A queue of bytes for vectored writes.
#[derive(Debug, Default)]
pub struct SendQueue {
    parts: VecDeque<Bytes>,
    /// Small parts behind all of `parts`, copied together.
    tail: BytesMut,
    len: usize,
}

impl SendQueue {
    /// An empty queue. Allocates nothing until a push.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `part`; an empty one is ignored.
    pub fn push(&mut self, part: Bytes) {
        if part.len() <= SMALL_PART {
            return self.push_slice(&part);
        }
        self.len = self.len.saturating_add(part.len());
        if !self.tail.is_empty() {
            self.parts.push_back(self.tail.split().freeze());
        }
        self.parts.push_back(part);
    }

    /// Appends a copy of `part`, for framing that exists nowhere as [`Bytes`].
    pub fn push_slice(&mut self, part: &[u8]) {
        self.len = self.len.saturating_add(part.len());
        self.tail.extend_from_slice(part);
    }

    /// Fills `dst` with the first parts for a vectored write; returns how many were filled.
    pub fn slices<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let tail = (!self.tail.is_empty()).then_some(&self.tail[..]);
        let parts = self.parts.iter().map(|part| &part[..]).chain(tail);
        let mut count = 0;
        for (slot, part) in dst.iter_mut().zip(parts) {
            *slot = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// Drops the first `written` bytes.
    pub fn advance(&mut self, written: usize) {
        debug_assert!(written <= self.len, "more than was queued");
        let mut left = written.min(self.len);
        self.len -= left;
        while let Some(front) = self.parts.front_mut() {
            if left < front.len() {
                front.advance(left);
                return;
            }
            left -= front.len();
            if let Some(part) = self.parts.pop_front() {
                recycle(part);
            }
        }
        self.tail.advance(left);
        if self.len == 0 {
            self.clear();
        }
    }

    /// Drops everything and the memory of a burst.
    pub fn clear(&mut self) {
        self.parts.clear();
        if self.parts.capacity() > PARTS_KEPT {
            self.parts = VecDeque::new();
        }
        self.tail = BytesMut::new();
        self.len = 0;
    }

    /// Bytes queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the queue keeps room for, once so many parts are sent.
    fn kept_after(parts: usize) -> usize {
        let mut queue = SendQueue::new();
        for _ in 0..parts {
            queue.push(Bytes::from_static(&[b'x'; SMALL_PART + 1]));
        }
        queue.advance(queue.len());
        queue.parts.capacity()
    }

    #[test]
    fn the_room_of_a_burst_is_given_back() {
        assert!(kept_after(PARTS_KEPT / 2) >= PARTS_KEPT / 2);
        assert_eq!(kept_after(PARTS_KEPT * 10), 0);
    }
}
