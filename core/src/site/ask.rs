//! Owns [`Ask`]: a request on its way through the decision, and what it is to the queue.
//! Never decides anything about it.

use std::sync::Arc;

use http::Method;

use super::snapshot::Snapshot;
use crate::admission::Class;
use crate::copies::StoredResponse;
use crate::key::CacheKey;
use crate::message::RequestHead;
use crate::rules::forwarding;
use crate::rules::label::Forward;
use crate::time::Instant;

/// A request on its way through the decision.
pub(super) struct Ask<'a> {
    /// Until when it may wait for an origin that takes no connections, if it has waited before.
    pub(super) waits_until: Option<Instant>,
    /// The last good copy.
    pub(super) copy: Option<Arc<StoredResponse>>,
    /// Whether it says in its target that its session ends. A visitor without a session has a key.
    pub(super) ends_session: bool,
    /// `None` for what is never kept.
    pub(super) key: Option<CacheKey>,
    /// Whether the copy may answer when the origin does not.
    pub(super) may_rescue: bool,
    pub(super) request: &'a Arc<RequestHead>,
    /// The settings of when it began.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) why: Forward,
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
