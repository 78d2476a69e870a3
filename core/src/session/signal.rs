//! Owns the words in which a session and the adapter that drives it speak.
//! Never acts on them.

use crate::report::CallId;
use crate::time::Instant;

/// One of the two sides of a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The connection that asked.
    Client,
    /// The connection to the application.
    Origin,
}

/// A fact that is not bytes or time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Input {
    /// No address of the origin took a connection.
    ConnectFailed,
    /// The connection asked for with [`Action::Connect`] stands.
    Connected {
        /// Whether it was used before and may have died unnoticed.
        reused: bool,
    },
    /// No new requests are wanted: finish what runs, then close.
    Drain,
    /// Others need the place: close unless a request runs that does not wait for a slow client, else
    /// behind its answer.
    GiveWay,
    /// Nothing is left here to make a connection with: no socket, port or memory. That says nothing
    /// of the origin; see [`is_want`](crate::addresses::is_want).
    NoSocket,
    /// A read failed: the connection is gone.
    ReadFailed(Side),
    /// A write failed. What the peer sent before may still be readable.
    WriteFailed(Side),
}

/// What the adapter must do with a socket. Bytes are not actions; see
/// [`write_slices`](super::Session::write_slices).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Action {
    /// Close this side so that the peer sees a reset, not a clean end (or stop dialling).
    Abort(Side),
    /// Close this side (or stop dialling).
    Close(Side),
    /// Give the origin's connection to the session of
    /// [`poll_detached`](super::Session::poll_detached), and run that beside this one.
    Detach(CallId),
    /// Get a connection to the origin, answer with [`Input::Connected`],
    /// [`Input::ConnectFailed`] or [`Input::NoSocket`].
    Connect {
        /// The exchange that it is for.
        call: CallId,
        /// Whether it must be a new one: an idle one may have died, and this request must not
        /// be sent twice.
        fresh: bool,
    },
    /// Keep the origin's connection of this exchange for a later request of any client.
    Park(CallId),
    /// The next request goes out on the connection to the origin that this session has held since
    /// its last exchange, and on no other that exists. Answer with [`Input::Connected`], `reused`,
    /// if it is still open and silent; else close it and go on as for a fresh
    /// [`Connect`](Self::Connect).
    Resume(CallId),
    /// Close the writing half of this side.
    Shutdown(Side),
}

/// Whether a session could give its place to another client without harm, and since when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// A request runs, or its answer is on its way.
    Busy,
    /// Nothing has come since then.
    Idle(Instant),
    /// A request runs, and its client has to take of the answer, or to send of the content. It has been
    /// too slow since then, or will be if it goes on as it does now.
    Owing(Instant),
    /// A request has been coming since then, and nothing has been done about it yet; or none ever came.
    Reading(Instant),
}
