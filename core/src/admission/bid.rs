//! Owns [`Bid`]: what a request is to the gate.
//! Never decides anything.

use super::kind::Kind;
use super::words::Class;
use crate::network::Network;

/// What a request is to the gate: made by [`Gate::bid`](super::Gate::bid).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bid {
    /// What counts when there is not room for all.
    pub class: Class,
    pub(super) kind: Kind,
    pub(super) visitor: Visitor,
}

/// Who asks, as far as the gate tells visitors apart: by the network of the address. All whose address
/// is not known are one, and no share of theirs is ever held back.
pub(super) type Visitor = Option<Network>;
