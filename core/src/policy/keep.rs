//! Owns what is kept of a response: new copies, and what a 304 or a HEAD says of an old one.
//! Never decides what answers a client.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::copy::{Collector, StoredResponse};
use super::wants::{Ended, Errand};
use super::{Fetch, Retter, Served};
use crate::admission::Flown;
use crate::key::{CacheKey, Partition, SessionChange};
use crate::message::ResponseHead;
use crate::rules::freshness::{self, Lifetimes, NotStorable, Scope, Terms};
use crate::rules::label::Handling;
use crate::rules::{conditional, forwarding};
use crate::store::{Entry, Vary};
use crate::time::Instant;

impl Fetch {
    /// RFC 9111 §4.3.3 and §4.3.4: a 304 to our condition makes the copy usable and renews it.
    pub(super) fn validated(
        &mut self,
        head: &ResponseHead,
        session: SessionChange,
        now: Instant,
    ) -> Option<Served> {
        let (copy, key) = (self.copy.take()?, self.key.take()?);
        let renewed = Arc::new(self.renewed(&copy, key.partition(), head, now));
        let may_keep = self.is_current() && self.may_keep(&key, session);
        let store = &self.retter.store;
        let kept = if !may_keep {
            false
        } else if renewed.lifetimes() == &Lifetimes::NEVER {
            store.remove(&key);
            false
        } else {
            store.replace(key.clone(), &copy, Arc::clone(&renewed))
        };
        if kept {
            self.note_kept(key.clone());
        }
        self.land(if kept { Flown::Kept } else { Flown::Unfit });
        let ttl = renewed.ttl_seconds(now);
        let handling = Handling::Validated { ttl, why: self.why };
        let circuit = self.circuit;
        let served = Served::new(&self.retter, key, renewed, circuit, handling, now);
        Some(served.with_cookies_of(head))
    }

    /// RFC 9111 §4.3.5: a 200 to HEAD renews the copy of the same representation; that of another
    /// one is stale from now on, but still the last good one.
    pub(super) fn note_head(&self, head: &ResponseHead, session: SessionChange, now: Instant) {
        let (Some(copy), Some(key)) = (&self.copy, &self.key) else {
            return;
        };
        if self.request.method != Method::HEAD
            || head.status != StatusCode::OK
            || !self.may_keep(key, session)
        {
            return;
        }
        let length = copy.body().len();
        let noted = if conditional::same_representation(&head.fields, copy.fields(), length) {
            self.renewed(copy, key.partition(), head, now)
        } else {
            copy.expired()
        };
        if noted.lifetimes() != &Lifetimes::NEVER {
            let store = &self.retter.store;
            store.replace(key.clone(), copy, Arc::new(noted));
        }
    }

    /// The copy with what `head` says now.
    fn renewed(
        &self,
        copy: &StoredResponse,
        partition: Partition,
        head: &ResponseHead,
        now: Instant,
    ) -> StoredResponse {
        let unix = self.retter.wall_clock(now);
        let updated = copy.updated_head(head, unix);
        let vary = self.vary(&updated);
        let lifetimes = match (&vary, self.assess(partition, &updated, now)) {
            (Some(_), Ok(lifetimes)) => lifetimes,
            (None, _) | (_, Err(_)) => Lifetimes::NEVER,
        };
        let vary = vary.unwrap_or_else(|| copy.vary().clone());
        copy.renewed(&updated, lifetimes, vary, (unix, now))
    }

    /// Whether the answer to a renewal may be kept: another one may have begun since.
    pub(super) fn is_current(&mut self) -> bool {
        let Some(renewal) = &mut self.renewal else {
            return true;
        };
        let is_current = self.retter.is_current(renewal);
        if is_current && renewal.ended == Ended::Dropped {
            renewal.ended = Ended::Passed;
        }
        is_current
    }

    /// Puts a new copy into the store; returns whether it is there. It is not when it does not fit,
    /// or when the origin may have made it before a write that has changed the page since.
    pub(super) fn keep(&mut self, key: CacheKey, copy: StoredResponse) -> bool {
        let is_good = copy.is_good();
        let Retter { changes, store, .. } = &*self.retter;
        let is_older = || changes.hit(&key, self.mark);
        let mut is_kept = !is_older() && store.insert(key.clone(), copy).is_some();
        if is_kept && is_older() {
            store.remove(&key);
            is_kept = false;
        }
        if is_kept && is_good {
            self.note_kept(key);
        }
        is_kept
    }

    /// Notes what a copy can be renewed with.
    fn note_kept(&mut self, key: CacheKey) {
        match (&mut self.renewal, self.peer) {
            (Some(renewal), _) => renewal.ended = Ended::Renewed,
            (None, Some(peer)) => self.retter.remember(Errand {
                key,
                peer,
                request: Arc::clone(&self.request),
            }),
            (None, None) => {}
        }
    }

    pub(super) fn collect(
        &self,
        head: &ResponseHead,
        session: SessionChange,
        now: Instant,
    ) -> Option<Collector> {
        let cache = &self.retter.config.cache;
        let key = self.key.as_ref()?;
        if !self.may_keep(key, session) {
            return None;
        }
        let too_long = |length: &str| {
            length
                .parse()
                .is_ok_and(|n: usize| n > cache.object_bytes_max)
        };
        if head.fields.get_str("content-length").is_some_and(too_long)
            || self.request.method != Method::GET
        {
            return None;
        }
        let lifetimes = self.assess(key.partition(), head, now).ok()?;
        let vary = self.vary(head)?;
        let budget = &self.retter.budget;
        let times = (self.retter.wall_clock(now), now);
        Some(Collector::new(
            head,
            lifetimes,
            vary,
            cache.object_bytes_max,
            budget,
            times,
        ))
    }

    /// Whether what the response does to cookies lets it be kept under `key`.
    fn may_keep(&self, key: &CacheKey, session: SessionChange) -> bool {
        match (session, key.partition()) {
            (SessionChange::ChangesSession, _) | (SessionChange::SetsCookie, Partition::Shared) => {
                false
            }
            (SessionChange::SetsCookie, Partition::Cookies(_) | Partition::Session(_))
            | (SessionChange::None, _) => true,
        }
    }

    fn assess(
        &self,
        partition: Partition,
        head: &ResponseHead,
        now: Instant,
    ) -> Result<Lifetimes, NotStorable> {
        let cache = &self.retter.config.cache;
        let scope = match partition {
            Partition::Shared => Scope::Shared,
            Partition::Cookies(_) => Scope::Cookies,
            Partition::Session(_) => Scope::Session,
        };
        let terms = Terms {
            rescue: cache.rescue,
            fresh: cache.fresh,
            ttl: cache.ttl,
            scope,
        };
        // A request for a HEAD asks about the GET.
        let mut request = Arc::clone(&self.request);
        if request.method == Method::HEAD {
            Arc::make_mut(&mut request).method = Method::GET;
        }
        freshness::assess(&terms, &request, head, self.retter.wall_clock(now))
    }

    /// The secondary key that `head` gives a copy for this request.
    fn vary(&self, head: &ResponseHead) -> Option<Vary> {
        // A client may keep a field from the origin by naming it in `Connection`: then the origin
        // chose the variant without it, and it is not the one for those who send that value.
        let forwarded = forwarding::HopByHop::of(&self.request.fields);
        let is_seen = |name: &[u8]| name.is_ascii() && forwarded.keeps(name);
        if !head.fields.tokens("vary").all(is_seen) {
            return None;
        }
        let detect_session = self.retter.config.cache.detect_session;
        Vary::of(&self.request.fields, &head.fields, detect_session)
    }
}
