//! Owns the words in which the waiting room is asked and answers.
//! Never decides anything.

use std::time::Duration;

use crate::network::Network;

/// A client that wants a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guest {
    /// The wall clock, in microseconds: numbers grow with it, also from one run to the next.
    pub(super) micros: u64,
    pub(super) network: Network,
    /// The number that it shows, which was given here.
    pub(super) number: Option<u64>,
    /// A mark of its address and program, where its address is its own.
    pub(super) visitor: Option<u64>,
}

/// What the room says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// It goes to the gate.
    Goes,
    /// It is refused, as if there were no room.
    No,
    /// It waits.
    Waits(Stay),
}

/// The state of a visitor who waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stay {
    /// After this time it looks again.
    pub(super) again: Duration,
    pub(super) number: u64,
    /// The first is 1.
    pub(super) place: u64,
    /// How long it is still likely to wait; `None` while that is not known.
    pub(super) wait: Option<Duration>,
}

/// What is counted, since start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// Numbers that were given.
    pub(super) given: u64,
    /// Visitors who were let in.
    pub(super) let_in: u64,
    /// Visitors who left before they were let in.
    pub(super) left: u64,
    /// Times that a visitor got no number.
    pub(super) refused: u64,
}
