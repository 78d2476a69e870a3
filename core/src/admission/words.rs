//! Owns the words in which the gate and its queue say who wants in, and how it went.
//! Never decides anything.

use std::time::Duration;

use crate::rules::label::Cause;

/// What counts when there is not room for all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// It can be asked again, and a copy of it may come.
    Read,
    /// Nothing can stand in for it.
    Write,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shed {
    /// It waited for as long as anybody may.
    Deadline,
    /// It would have had to wait for longer than anybody may.
    Early,
    /// Too many wait.
    Full,
}

/// How a fetch ended that others wait for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flown {
    /// Its client left: nothing is known.
    Abandoned,
    /// The origin failed on it.
    Failed(Cause),
    /// The answer is a copy now.
    Kept,
    /// The answer is for nobody else.
    Unfit,
}

/// The page that keeps the origin's places longest at one moment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its path, without the query.
    pub page: Box<str>,
    /// Requests for it that have been at the origin for more than a second.
    pub requests: usize,
    /// Those of them that only wait there, and hold no place.
    pub parked: usize,
    /// How long the first of them has been there.
    pub longest: Duration,
}
