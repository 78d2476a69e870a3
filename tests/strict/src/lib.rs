//! Owns how the tests read HTTP/1.1: heads, bodies and whole messages, by the letter of RFC 9112. Shares
//! no code with the parser under test, and knows no socket: bytes come in, parts go out.
//! Never forgives: what the RFC does not allow a sender is [`Unfit`], because here the sender is
//! either RETTER or a mistake in a test.

mod head;
mod messages;
mod reader;

pub use head::{Fields, Framing, Head, chunked};
pub use messages::{Message, Rest, Sender, read};
pub use reader::{Part, Reader};

/// What a sender must not send, as a sentence's end: "no line end after a chunk".
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

impl Unfit {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}
