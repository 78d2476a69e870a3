//! Owns which copy stands in for the application where a visitor has none: that of what a stranger
//! was sent, for whoever is taken for one; and for a preflight, what was allowed before.
//! Never asks as a stranger.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Method;

use super::parts::Parts;
use super::preflights;
use super::served::Served;
use super::snapshot::Snapshot;
use crate::breaker::State;
use crate::copies::StoredResponse;
use crate::key::{CacheKey, Language, Partition};
use crate::message::{Fields, RequestHead};
use crate::rules::forwarding;
use crate::rules::label::{Cause, Handling, Instead};
use crate::time::Instant;

/// A request for which there is no copy of its own.
#[derive(Clone, Copy)]
pub(super) struct Wanting<'a> {
    pub(super) address: Option<IpAddr>,
    /// Whether it has chosen to see what strangers are sent while the origin does not answer.
    pub(super) chose_public: bool,
    /// `None` for what is never kept.
    pub(super) key: Option<&'a CacheKey>,
    pub(super) parts: &'a Arc<Parts>,
    pub(super) request: &'a RequestHead,
    pub(super) snapshot: &'a Arc<Snapshot>,
}

/// A copy that stands in.
pub(super) struct Standing {
    copy: Arc<StoredResponse>,
    /// The visitor is more than a stranger, and has chosen it.
    is_chosen: bool,
    key: CacheKey,
}

/// The copy of what a stranger was sent, in the language that a request names first where the page
/// differs by that.
pub(super) fn look_up_public(
    parts: &Parts,
    key: &CacheKey,
    request: &Fields,
) -> Option<Arc<StoredResponse>> {
    debug_assert_eq!(key.partition(), Partition::Public);
    let copies = &parts.copies;
    copies.look_up_good(key, request).or_else(|| {
        let language = copies.contains(key).then(|| Language::of(request))??;
        copies.look_up_good(key, &language.alone_in(request))
    })
}

/// Whether a visitor who is more than a stranger could be given what strangers are sent of this page, by
/// choice: where the page is for strangers, and was not refused to this visitor.
pub(super) fn is_offered(
    parts: &Parts,
    request: &RequestHead,
    address: Option<IpAddr>,
    now: Instant,
) -> bool {
    let snapshot = parts.snapshot();
    let (cache, keyer) = (&snapshot.config().cache, snapshot.keyer());
    let is_read = request.method == Method::GET && !forwarding::has_content(&request.fields);
    if !is_read
        || !parts.has_public.load(Ordering::Relaxed)
        || !cache.has_public()
        || snapshot.excludes(request.path())
        || keyer.ends_session(request)
    {
        return false;
    }
    let Some(own) = keyer.key(request).filter(|own| !own.is_fragment()) else {
        return false;
    };
    let (key, who) = (keyer.public_key(&own), (address, &request.fields));
    let copy = look_up_public(parts, &key, &request.fields);
    copy.is_some_and(|copy| copy.may_rescue(cache.rescue_age_max, now))
        && parts.visitors.may_share(keyer, &own, who, now)
}

impl Wanting<'_> {
    /// The copy of what a stranger was sent, where this visitor may have it.
    pub(super) fn find(&self, instead: Instead, now: Instant) -> Option<Standing> {
        let (parts, cache) = (self.parts, &self.snapshot.config().cache);
        if self.request.method == Method::OPTIONS {
            let (key, copy) = self.allowed_before(now)?;
            return Some(Standing {
                copy,
                is_chosen: false,
                key,
            });
        }
        let own = self.key?;
        if !parts.has_public.load(Ordering::Relaxed) || !cache.has_public() {
            return None;
        }
        let (keyer, fields) = (self.snapshot.keyer(), &self.request.fields);
        let key = keyer.public_key(own);
        let copy = look_up_public(parts, &key, fields)?;
        let who = (self.address, fields);
        let fails = match instead {
            Instead::CircuitOpen
            | Instead::Rescued(Cause::Failure(_) | Cause::Soft | Cause::Status(_)) => true,
            Instead::Overload | Instead::Rescued(Cause::Slow) => false,
        };
        let is_stranger = parts.visitors.is_stranger(keyer, own, who, fails, now);
        let is_his = copy.may_rescue(cache.rescue_age_max, now)
            && (is_stranger || self.chose_public && fails)
            && parts.visitors.may_share(keyer, own, who, now);
        is_his.then_some(Standing {
            copy,
            is_chosen: !is_stranger,
            key,
        })
    }

    /// What the origin allowed to a preflight like this, or says of other sites with a copy of the page.
    fn allowed_before(&self, now: Instant) -> Option<(CacheKey, Arc<StoredResponse>)> {
        let (parts, snapshot, request) = (self.parts, self.snapshot, self.request);
        let question = preflights::question(snapshot, request)?;
        if let Some(answer) = parts.preflights.find(&question) {
            return Some((question.key().clone(), answer));
        }
        let (keyer, target) = (snapshot.keyer(), request.path_and_query());
        let keys = keyer.keys_of(request, target, Partition::Shared);
        let age_max = snapshot.config().cache.rescue_age_max;
        for key in keys.flat_map(|key| [keyer.public_key(&key), key]) {
            let who = (self.address, &request.fields);
            if let Some(copy) = parts.copies.look_up_good(&key, &request.fields)
                && copy.may_rescue(age_max, now)
                && parts.visitors.may_share(keyer, &key, who, now)
                && let Some(head) = preflights::allowing(copy.fields())
            {
                return Some((question.key().clone(), parts.answer_of(&head, now)?));
            }
        }
        None
    }

    /// The same as an answer.
    pub(super) fn serve(&self, instead: Instead, circuit: State, now: Instant) -> Option<Served> {
        let Standing {
            copy,
            is_chosen,
            key,
        } = self.find(instead, now)?;
        self.parts.public_served.fetch_add(1, Ordering::Relaxed);
        let ttl = copy.ttl_seconds(now);
        let handling = Handling::Public {
            ttl,
            instead,
            is_chosen,
        };
        let (parts, snapshot) = (self.parts, self.snapshot);
        Some(Served::new(
            parts, snapshot, key, copy, circuit, handling, now,
        ))
    }
}
