//! Owns the bytes that were read from a peer and not yet consumed.
//! Never copies a body on its way out but for pieces too small to be worth a buffer, and never
//! reads uninitialised memory.

use std::cell::RefCell;
use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::RECV_CHUNK;

/// What a buffer offers to its first read where many peers are silent: most requests fit, and ten
/// thousand that have sent half of one hold 20 MiB.
const FIRST_CHUNK: usize = 2 * 1024;

/// Pieces up to this size are copied out, so that the buffer stays in one piece and is used again.
const SMALL_PIECE: usize = 1024;

/// Buffers of each size that a thread keeps for the next read. A session holds one only while
/// something is in it, and sessions of a thread take turns.
const SPARES_MAX: usize = 8;

/// A receive buffer whose front is split off as [`Bytes`].
///
/// The tail offered to a read is initialised (no `unsafe`), so it fits any runtime's read call.
/// Buffers are zeroed once and then used again, by other connections too: what an earlier one
/// left in a tail is overwritten by the read before it counts as data.
pub struct RecvBuf {
    /// The whole length is initialised; `start..filled` is data.
    buf: BytesMut,
    start: usize,
    filled: usize,
    /// What the next new tail has.
    chunk: usize,
    /// What the first one has.
    chunk_first: usize,
}

impl Default for RecvBuf {
    fn default() -> Self {
        Self::with_first(RECV_CHUNK)
    }
}

impl RecvBuf {
    /// An empty buffer. Allocates nothing until [`RecvBuf::read_buf`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty buffer that begins small, for a peer that may never send.
    #[must_use]
    pub fn small() -> Self {
        Self::with_first(FIRST_CHUNK)
    }

    fn with_first(chunk: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            start: 0,
            filled: 0,
            chunk,
            chunk_first: chunk,
        }
    }

    /// The free tail to read into: at least one byte, at most [`RECV_CHUNK`].
    pub fn read_buf(&mut self) -> &mut [u8] {
        // A tail with less room is replaced: many small reads cost more than the memory.
        if self.buf.len() - self.filled < self.chunk / 4 {
            self.make_room();
        }
        let end = self.buf.len().min(self.filled.saturating_add(RECV_CHUNK));
        &mut self.buf[self.filled..end]
    }

    /// Tells that `len` bytes of the tail now hold data.
    pub fn filled(&mut self, len: usize) {
        debug_assert!(len <= self.buf.len() - self.filled, "more than was offered");
        self.filled = self.filled.saturating_add(len).min(self.buf.len());
        if self.filled == self.buf.len() {
            // There may be much more.
            self.chunk = RECV_CHUNK;
        }
    }

    /// Takes the first `len` bytes out; fewer when there are fewer. Not copied unless small.
    pub fn take(&mut self, len: usize) -> Bytes {
        let len = len.min(self.len());
        if len <= SMALL_PIECE {
            return self.take_copy(len);
        }
        self.buf.advance(self.start);
        self.filled -= self.start + len;
        self.start = 0;
        if len == self.buf.len() {
            // All of it: the piece is the buffer, and can become one again.
            return std::mem::take(&mut self.buf).freeze();
        }
        self.buf.split_to(len).freeze()
    }

    /// Takes a copy of the first `len` bytes out, for what is kept for long: it holds nothing
    /// else in memory.
    pub fn take_copy(&mut self, len: usize) -> Bytes {
        let len = len.min(self.len());
        let piece = Bytes::copy_from_slice(&self.data()[..len]);
        self.advance(len);
        piece
    }

    /// Drops the first `len` bytes; fewer when there are fewer.
    pub fn advance(&mut self, len: usize) {
        self.start += len.min(self.len());
        if self.start == self.filled {
            (self.start, self.filled) = (0, 0);
        }
    }

    /// Gives the memory back when no data is in it: an idle connection holds no buffer.
    pub fn release(&mut self) {
        if self.is_empty() {
            give_back(std::mem::take(&mut self.buf));
            self.chunk = self.chunk_first;
        }
    }

    /// Lends the memory to others until the next read, when no data is in it. What a body left
    /// of it stays: the next piece goes there.
    pub(super) fn lend(&mut self) {
        if self.is_empty() && is_whole(&self.buf) {
            give_back(std::mem::take(&mut self.buf));
        }
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.buf[self.start..self.filled]
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled - self.start
    }

    /// Whether there is no data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == self.start
    }

    /// Whether it has memory at the moment.
    #[must_use]
    pub fn holds_memory(&self) -> bool {
        !self.buf.is_empty()
    }

    /// Makes the tail a chunk long: by moving the data to the front, or into a new buffer.
    fn make_room(&mut self) {
        let len = self.len();
        if self.buf.len() - len >= self.chunk / 2 {
            self.buf.copy_within(self.start..self.filled, 0);
        } else if len == 0 {
            give_back(std::mem::replace(&mut self.buf, spare(self.chunk)));
        } else {
            let mut larger = BytesMut::zeroed(len.saturating_add(self.chunk));
            larger[..len].copy_from_slice(self.data());
            give_back(std::mem::replace(&mut self.buf, larger));
        }
        (self.start, self.filled) = (0, len);
    }
}

/// Without the bytes: behind the data may be those of other connections.
impl fmt::Debug for RecvBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvBuf")
            .field("data", &self.len())
            .field("memory", &self.buf.len())
            .finish_non_exhaustive()
    }
}

impl Drop for RecvBuf {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.buf));
    }
}

thread_local! {
    /// The spare buffers of this thread, by [`size`]. As an allocator's own lists they change
    /// nothing but what memory costs: a spare buffer is as long as a new one.
    static SPARES: RefCell<[Vec<BytesMut>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// A buffer of `len` initialised bytes.
fn spare(len: usize) -> BytesMut {
    // Fails only while the thread ends.
    let found = size(len).and_then(|size| {
        let found = SPARES.try_with(|spares| spares.borrow_mut()[size].pop());
        found.ok().flatten()
    });
    found.unwrap_or_else(|| BytesMut::zeroed(len))
}

/// Keeps a buffer for the next read, if it is whole.
fn give_back(buf: BytesMut) {
    let Some(size) = size(buf.len()) else {
        return;
    };
    let _ = SPARES.try_with(|spares| {
        let spares = &mut spares.borrow_mut()[size];
        if spares.len() < SPARES_MAX {
            spares.push(buf);
        }
    });
}

/// Takes back a piece that has been written, where it was a whole buffer and nobody else holds it.
pub(super) fn recycle(piece: Bytes) {
    if piece.len() == RECV_CHUNK
        && let Ok(buf) = piece.try_into_mut()
    {
        give_back(buf);
    }
}

/// Whether a buffer can be used for any connection.
fn is_whole(buf: &BytesMut) -> bool {
    size(buf.len()).is_some()
}

/// The list that buffers of this length are in.
const fn size(len: usize) -> Option<usize> {
    match len {
        FIRST_CHUNK => Some(0),
        RECV_CHUNK => Some(1),
        _ => None,
    }
}
