//! The sides of a session that face its client, one for each protocol, and [`Stream`]: what an
//! exchange is joined to, whichever it is.
//! Never knows an exchange but by the replies that it gets from one.

pub(crate) mod h1;

use bytes::Bytes;

use crate::config::ClientSettings;
use crate::exchange::reply::Reply;
use crate::message::{Fields, ProtocolError};
use crate::time::Instant;

/// One request and its answer on a client's connection. HTTP/1.1 has one at a time, which is the
/// connection itself; a protocol that interleaves them has many.
pub(crate) trait Stream {
    /// The next piece of the request's content.
    ///
    /// # Errors
    /// Why it will not come as a whole; [`ProtocolError::UnexpectedEof`] where the client broke off.
    fn poll_content(&mut self) -> Result<Piece, ProtocolError>;

    /// Content is wanted again, after a time in which none was read.
    fn resume_content(&mut self, settings: &ClientSettings, now: Instant);

    /// Takes everything that was received, for a tunnel.
    fn take_buffered(&mut self) -> Bytes;

    /// Whether the client sends no more.
    fn is_eof(&self) -> bool;

    /// Takes the next part of the answer.
    fn handle_reply(&mut self, reply: Reply, settings: &ClientSettings, now: Instant);

    /// Bytes of the answer that the client has not taken and nobody else holds in memory.
    fn held(&self) -> usize;

    /// Whether the client has its answer, and nothing shows that it wants or gets anything else.
    fn wants_nothing(&self) -> bool;

    /// Whether all of what came through a tunnel has left, and its end is to be shown now; says so
    /// once.
    fn poll_shut(&mut self) -> bool;
}

/// A part of a request's content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    /// Never empty.
    Data(Bytes),
    /// All of it was there, with these trailers.
    End(Fields),
    /// Nothing until more is received.
    Nothing,
}
