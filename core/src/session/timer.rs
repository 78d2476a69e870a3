//! Owns the names of all deadlines that a session has, whichever of its parts they are of.
//! Never knows when they are: the parts do.

use crate::client::h1;
use crate::exchange;

/// What a deadline guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timer {
    /// The next piece of a request body.
    ClientBody,
    /// A whole request head, from its first byte.
    ClientHead,
    /// The next request on an idle connection.
    ClientIdle,
    /// The client to close after our last answer.
    ClientLinger,
    /// A full queue of the client's, until it counts as slow.
    ClientPause,
    /// Progress of the client's send queue.
    ClientWrite,
    /// The rest of a response that is held back: until it is passed on all the same.
    Held,
    /// The next piece of a response body, or the origin taking a request body.
    OriginBody,
    /// A connection to the origin.
    OriginConnect,
    /// The response head.
    OriginHead,
    /// Room at the origin.
    OriginRoom,
    /// The response, for longer than it should take: until the copy answers.
    Slow,
    /// Any byte through a tunnel.
    TunnelIdle,
    /// The whole request body: until its slot at the origin is for others.
    Upload,
}

impl From<h1::Timer> for Timer {
    fn from(timer: h1::Timer) -> Self {
        match timer {
            h1::Timer::Head => Self::ClientHead,
            h1::Timer::Idle => Self::ClientIdle,
            h1::Timer::Linger => Self::ClientLinger,
            h1::Timer::Write => Self::ClientWrite,
        }
    }
}

impl From<exchange::Timer> for Timer {
    fn from(timer: exchange::Timer) -> Self {
        match timer {
            exchange::Timer::ClientPause => Self::ClientPause,
            exchange::Timer::Held => Self::Held,
            exchange::Timer::OriginBody => Self::OriginBody,
            exchange::Timer::OriginConnect => Self::OriginConnect,
            exchange::Timer::OriginHead => Self::OriginHead,
            exchange::Timer::OriginRoom => Self::OriginRoom,
            exchange::Timer::Slow => Self::Slow,
            exchange::Timer::TunnelIdle => Self::TunnelIdle,
            exchange::Timer::Upload => Self::Upload,
        }
    }
}
