//! Owns [`Timer`]: the names of all deadlines that a session has, whichever of its parts they are of.
//! Never knows when they are: the parts do.

use crate::client::h1;
use crate::exchange;
use crate::report::CallId;

/// What a deadline guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timer {
    /// Something that this exchange waits for.
    Call(CallId, exchange::Timer),
    /// Something that the client owes, between requests or for an answer.
    Client(h1::Timer),
    /// The next piece of a request's content.
    Content,
}
