//! Owns the words in which an exchange and its owner speak, but for what is said to the client
//! (`reply`), and those in which its states do.
//! Never acts on them.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use crate::h1::ClientConn;
use crate::message::ProtocolError;
use crate::message::{Fields, ResponseHead};
use crate::report::Failure;

/// What one step came to.
pub(super) enum Step {
    /// Nothing moved.
    Rest,
    /// Something did, and there may be more.
    Moved,
    /// The state is left.
    Turn(Turn),
}

/// Why a state is left.
pub(super) enum Turn {
    /// The response is complete.
    End(Fields),
    Failed(Failure),
    /// The final head of the response is there.
    Head(Arc<ResponseHead>),
    /// Nothing of the response is wanted.
    PassOver,
    /// What was held back of the response goes out, and the rest as it comes.
    Release,
    /// The rest is not worth waiting for, or there is none.
    Stop,
}

/// What is to be done with the origin's connection.
#[derive(Debug)]
pub(crate) enum Action {
    /// Close it (or stop dialling).
    Close,
    /// Get one.
    Connect {
        /// Whether it must be a new one: an idle one may have died, and this request must not be
        /// sent twice.
        fresh: bool,
    },
    /// Run the exchange of [`take_detached`](super::Exchange::take_detached) with it.
    Detach,
    /// Keep it for this client, as somebody may have signed in on it.
    Keep(Box<ClientConn>),
    /// Keep it for a later request of any client.
    Park,
    /// Close its writing half.
    Shutdown,
}

/// Content of the request, or of a tunnel.
#[derive(Debug)]
pub(crate) enum Content {
    /// It will not come as a whole, through the client's fault.
    Cut(Cut),
    Data(Bytes),
    /// That was all, with these trailers.
    End(Fields),
}

/// Why content will not come as a whole, and what its client is told if it has no answer yet.
#[derive(Debug)]
pub(crate) struct Cut {
    /// What the client sent that is no content.
    pub(crate) broken: Option<ProtocolError>,
    pub(crate) status: StatusCode,
    pub(crate) text: Cow<'static, str>,
}

/// Whether content is taken now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Intake {
    /// Not before the origin has taken more.
    Full,
    Open,
    /// Again, after it was full: the client had no chance to send meanwhile.
    Reopened,
    /// Neither now nor later, as far as can be told.
    Shut,
}
