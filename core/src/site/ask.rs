//! Owns [`Ask`]: a request on its way through the decision, and what it is to the queue.
//! Never decides anything about it.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use super::parts::Parts;
use super::public::Wanting;
use super::snapshot::Snapshot;
use super::unrescued::Unrescued;
use super::visitor::Guest;
use crate::admission::{Bid, Class};
use crate::breaker::Visitor;
use crate::copies::StoredResponse;
use crate::key::CacheKey;
use crate::message::RequestHead;
use crate::rules::forwarding;
use crate::rules::label::ForwardReason;
use crate::time::Instant;

/// A request on its way through the decision.
pub(super) struct Ask<'a> {
    /// The client's address, where it is known.
    pub(super) address: Option<IpAddr>,
    /// What it is to the gate.
    pub(super) bid: Bid,
    /// Whether it has chosen to see what strangers are sent while the origin does not answer.
    pub(super) chose_public: bool,
    /// Until when it may wait for an origin that takes no connections, if it has waited before.
    pub(super) waits_until: Option<Instant>,
    /// The last good copy.
    pub(super) copy: Option<Arc<StoredResponse>>,
    /// Whether it says in its target that its session ends. A visitor without a session has a key.
    pub(super) ends_session: bool,
    /// Where its client can keep a number of the waiting room.
    pub(super) guest: Option<Guest>,
    /// `None` for what is never kept.
    pub(super) key: Option<CacheKey>,
    /// Whether the copy may answer when the origin does not.
    pub(super) may_rescue: bool,
    /// Whether it may see what others like its client see, and they what it is sent.
    pub(super) may_share: bool,
    pub(super) request: &'a Arc<RequestHead>,
    /// The settings of when it began.
    pub(super) snapshot: Arc<Snapshot>,
    /// It is a client's GET that could not be answered if the origin failed.
    pub(super) unrescued: Option<Unrescued>,
    /// Whose word its outcome is; `None` where no client asks.
    pub(super) visitor: Option<Visitor>,
    pub(super) why: ForwardReason,
}

impl Ask<'_> {
    /// What stands in for a copy of its own.
    pub(super) fn wanting<'a>(&'a self, parts: &'a Arc<Parts>) -> Wanting<'a> {
        Wanting {
            address: self.address,
            chose_public: self.chose_public,
            key: self.key.as_ref(),
            parts,
            request: self.request,
            snapshot: &self.snapshot,
        }
    }
}

/// What a request is to the queue. Only what asks for a page may be answered from copies, and is
/// refused by an open circuit.
pub(super) fn class_of(request: &RequestHead) -> Class {
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    match reads && forwarding::upgrade(request).is_none() {
        true => Class::Read,
        false => Class::Write,
    }
}
