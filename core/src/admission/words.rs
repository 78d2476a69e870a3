//! Owns the words in which the gate and its queue say who wants in, and how it went.
//! Never decides anything.

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
