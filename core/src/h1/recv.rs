//! Owns the bytes that were read from a peer and not yet consumed.
//! Never copies a byte on its way out, and never reads uninitialised memory.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::RECV_CHUNK;

/// What a buffer offers to its first read where many peers are silent: most requests fit, and ten
/// thousand idle connections hold 20 MiB.
const FIRST_CHUNK: usize = 2 * 1024;

/// A receive buffer whose front is split off as [`Bytes`] without a copy.
///
/// The tail offered to a read is initialised (zeroed once per [`RECV_CHUNK`], no `unsafe`), so it
/// fits any runtime's read call.
#[derive(Debug)]
pub struct RecvBuf {
    /// The whole length is initialised; the first `filled` bytes are data.
    buf: BytesMut,
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
            filled: 0,
            chunk,
            chunk_first: chunk,
        }
    }

    /// The free tail to read into: at least one byte, at most [`RECV_CHUNK`].
    pub fn read_buf(&mut self) -> &mut [u8] {
        // A tail with less room is replaced: many small reads cost more than the memory.
        if self.buf.len() - self.filled < self.chunk / 4 {
            // Cut the useless tail first: a reallocation then moves data only.
            self.buf.truncate(self.filled);
            self.buf.resize(self.filled.saturating_add(self.chunk), 0);
        }
        debug_assert!(self.buf.len() - self.filled <= RECV_CHUNK);
        &mut self.buf[self.filled..]
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

    /// Splits the first `len` bytes off, without a copy; fewer when there are fewer.
    pub fn take(&mut self, len: usize) -> Bytes {
        let len = len.min(self.filled);
        if len == 0 {
            return Bytes::new();
        }
        self.filled -= len;
        self.buf.split_to(len).freeze()
    }

    /// Drops the first `len` bytes; fewer when there are fewer.
    pub fn advance(&mut self, len: usize) {
        let len = len.min(self.filled);
        self.filled -= len;
        self.buf.advance(len);
    }

    /// Frees the memory when no data is in it: an idle connection holds no buffer.
    pub fn release(&mut self) {
        if self.filled == 0 {
            self.buf = BytesMut::new();
            self.chunk = self.chunk_first;
        }
    }

    /// The data.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.buf[..self.filled]
    }

    /// Bytes of data.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether there is no data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }
}
