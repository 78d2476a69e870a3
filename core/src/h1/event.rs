//! Owns [`Event`]: what a connection has to tell.
//! Never reads a byte.

use bytes::Bytes;

use crate::message::Fields;

/// What a connection has to tell next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event<H> {
    /// A whole head. Data and an end follow; after a 1xx response another head does.
    Head(H),
    /// A piece of the body, never empty, a slice of the receive buffer.
    Data(Bytes),
    /// The end of the message, complete as its framing says.
    End {
        /// The trailer fields of a chunked body (RFC 9110 §6.5), as received.
        trailers: Fields,
    },
    /// Nothing until more bytes are read or the next cycle starts.
    NeedData,
    /// The peer ended the stream between messages.
    Closed,
}
