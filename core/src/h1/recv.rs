//! Owns the bytes that were read from a peer and not yet consumed.
//! Never copies a byte on its way out, and never reads uninitialised memory.

use bytes::{Buf, Bytes, BytesMut};

use crate::limits::RECV_CHUNK;

/// A tail with less room than this is replaced: many small reads cost more than the memory.
const TAIL_MIN: usize = RECV_CHUNK / 4;

/// A receive buffer whose front is split off as [`Bytes`] without a copy.
///
/// The tail offered to a read is initialised (zeroed once per [`RECV_CHUNK`], no `unsafe`), so it
/// fits any runtime's read call.
#[derive(Debug, Default)]
pub struct RecvBuf {
    /// The whole length is initialised; the first `filled` bytes are data.
    buf: BytesMut,
    filled: usize,
}

impl RecvBuf {
    /// An empty buffer. Allocates nothing until [`RecvBuf::read_buf`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The free tail to read into: at least one byte, at most [`RECV_CHUNK`].
    pub fn read_buf(&mut self) -> &mut [u8] {
        if self.buf.len() - self.filled < TAIL_MIN {
            // Cut the useless tail first: a reallocation then moves data only.
            self.buf.truncate(self.filled);
            self.buf.resize(self.filled.saturating_add(RECV_CHUNK), 0);
        }
        debug_assert!(self.buf.len() - self.filled <= RECV_CHUNK);
        &mut self.buf[self.filled..]
    }

    /// Tells that `len` bytes of the tail now hold data.
    pub fn filled(&mut self, len: usize) {
        debug_assert!(len <= self.buf.len() - self.filled, "more than was offered");
        self.filled = self.filled.saturating_add(len).min(self.buf.len());
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
