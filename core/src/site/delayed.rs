//! Owns [`Delayed`]: a request that has no answer yet, and waits: for an origin that takes no connection to
//! be back, as it was not sent, or for a copy of another instance.
//! Never waits: [`Ticket`](super::Ticket) does.

use std::net::IpAddr;
use std::sync::Arc;

use super::ask::Ask;
use super::parts::Parts;
use super::reach::RestartWait;
use super::refusal::Refusal;
use super::seek::Seek;
use super::snapshot::Snapshot;
use super::unrescued::Unrescued;
use super::visitor::Guest;
use crate::admission::Bid;
use crate::breaker::Visitor;
use crate::key::CacheKey;
use crate::message::RequestHead;
use crate::rules::label::{ForwardReason, Instead};
use crate::time::Instant;

/// A request of which nothing was sent, and which may be sent when the origin is back; or one that a copy of
/// another instance may answer yet. Nothing is
/// decided about it: make a [`Ticket`](super::Ticket) of it, or drop it when its client leaves.
#[derive(Debug)]
#[must_use = "make a ticket of it"]
pub struct Delayed {
    /// The client's address, where it is known.
    pub(super) address: Option<IpAddr>,
    pub(super) bid: Bid,
    pub(super) chose_public: bool,
    pub(super) ends_session: bool,
    /// Where its client can keep a number of the waiting room.
    pub(super) guest: Option<Guest>,
    pub(super) key: Option<CacheKey>,
    /// Whether it may see what others like its client see, and they what it is sent.
    pub(super) may_share: bool,
    pub(super) parts: Arc<Parts>,
    /// Where it waits for the origin; `None` where only a copy is waited for.
    pub(super) place: Option<RestartWait>,
    /// The answer when it has waited in vain.
    pub(super) refusal: Refusal,
    pub(super) request: Arc<RequestHead>,
    /// What it waits for of other instances.
    pub(super) seek: Option<Box<Seek>>,
    pub(super) since: Instant,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) unrescued: Option<Unrescued>,
    pub(super) visitor: Option<Visitor>,
    pub(super) why: ForwardReason,
}

impl Delayed {
    /// Lets a request wait that would be refused in this way, if that is of use: for a copy that answers
    /// in the place of that, and for the origin where it `may_return`.
    pub(super) fn new(
        parts: &Arc<Parts>,
        ask: Ask<'_>,
        refusal: Refusal,
        (instead, may_return): (Instead, bool),
        now: Instant,
    ) -> Result<Box<Self>, Refusal> {
        let wait = ask.snapshot.config().admission.restart_wait;
        let enter = || {
            let reach = &parts.reach;
            reach.enter(wait, ask.waits_until, ask.bid.class, now)
        };
        let place = may_return.then(enter).flatten();
        let seek = Seek::begin(&ask.wanting(parts), ask.may_share, instead, now);
        if place.is_some() {
            // Connecting is tried more often now.
            parts.renewals.wake();
        } else if seek.is_none() {
            return Err(refusal);
        }
        Ok(Box::new(Self {
            address: ask.address,
            bid: ask.bid,
            chose_public: ask.chose_public,
            ends_session: ask.ends_session,
            guest: ask.guest,
            key: ask.key,
            may_share: ask.may_share,
            parts: Arc::clone(parts),
            place,
            refusal,
            request: Arc::clone(ask.request),
            seek,
            since: now,
            snapshot: ask.snapshot,
            unrescued: ask.unrescued,
            visitor: ask.visitor,
            why: ask.why,
        }))
    }
}
