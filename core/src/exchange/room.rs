//! Owns whether a client takes more of what an exchange has for it.
//! Never decides that: the client tells.

use crate::time::Instant;

/// Whether the client takes more, as it told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    Free,
    /// It takes no more since then.
    Full(Instant),
    /// It takes no more because it does not move what it has.
    Paused,
}
