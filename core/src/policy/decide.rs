//! Owns the decision: which of origin, copy and refusal answers a request, and when that waits.
//! Never learns from an answer: [`Fetch`] does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;

use super::{Fetch, Refusal, Retter, Served, Snapshot, Ticket};
use crate::admission::{Class, Entry, Lead, Slot};
use crate::breaker::{Outcome, State, TierPermit};
use crate::canary::{Plant, is_planted};
use crate::config::FreshMode;
use crate::copies::StoredResponse;
use crate::key::{CacheKey, Partition};
use crate::message::{Fields, RequestHead};
use crate::rules::freshness::{Allowed, Wishes};
use crate::rules::label::{Forward, Handling, Refused};
use crate::rules::{conditional, forwarding, login};
use crate::store::Entry as _;
use crate::time::Instant;

/// What to do with a request.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Ask the origin.
    Fetch(Box<Fetch>),
    /// Answer 503 with `Retry-After`, or 504.
    Refuse(Refusal),
    /// Answer from a copy.
    Serve(Served),
    /// The origin is full: [`Ticket::poll`] until it says what to do.
    Wait(Ticket),
}

/// A request on its way through the decision.
pub(super) struct Ask<'a> {
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

/// What a fetch needs: room at the origin, the breaker's leave, and perhaps others' trust.
pub(super) struct Grant {
    pub(super) lead: Option<Lead>,
    pub(super) permit: TierPermit,
    pub(super) slot: Slot,
}

impl Retter {
    /// Says how `request` is to be answered. One that signs its connection in
    /// ([`login::binds_connection`]) is answered by the origin or not at all.
    pub fn decide(self: &Arc<Self>, request: &Arc<RequestHead>, now: Instant) -> Decision {
        self.decide_on(request, login::binds_connection(&request.fields), now)
    }

    /// As [`decide`](Self::decide), for a request of a client that has signed in by its connection
    /// before: no copy answers, nothing is kept of the answer, and nobody shares it.
    pub fn decide_bound(self: &Arc<Self>, request: &Arc<RequestHead>, now: Instant) -> Decision {
        self.decide_on(request, true, now)
    }

    /// As [`decide`](Self::decide), for whoever has looked already whether it is bound.
    pub(crate) fn decide_on(
        self: &Arc<Self>,
        request: &Arc<RequestHead>,
        is_bound: bool,
        now: Instant,
    ) -> Decision {
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        if !reads || forwarding::upgrade(request).is_some() {
            return self.decide_write(request, now);
        }
        let snapshot = self.snapshot();
        let mut key = match is_bound {
            true => None,
            false => self.key(&snapshot, request),
        };
        let fields = &request.fields;
        let mut copy = key
            .as_ref()
            .and_then(|key| self.copies.look_up(key, fields));
        let wishes = Wishes::of(fields);
        let usable = copy.as_ref().zip(key.as_ref());
        let usable = usable.and_then(|(copy, key)| {
            let fresh = snapshot.config().cache.fresh;
            self.usable(copy, key, fresh, &wishes, fields, now)
        });
        if let Some(handling) = usable
            && let (Some(copy), Some(key)) = (copy.take(), key.take())
        {
            let circuit = self.circuit_of(request.path(), now);
            return Decision::Serve(Served::new(
                self, &snapshot, key, copy, circuit, handling, now,
            ));
        }
        let why = self.reason(copy.as_deref(), key.as_ref(), &snapshot, now);
        if wishes.only_if_cached() {
            let circuit = self.circuit_of(request.path(), now);
            let refusal = Refusal::new(why, Refused::OnlyIfCached, circuit, Duration::ZERO);
            return Decision::Refuse(refusal);
        }
        if copy.as_ref().is_some_and(|copy| !copy.is_good()) {
            copy = key
                .as_ref()
                .and_then(|key| self.copies.look_up_good(key, fields));
        }
        let age_max = snapshot.config().cache.rescue_age_max;
        let may_rescue = copy
            .as_ref()
            .is_some_and(|copy| copy.may_rescue(age_max, now));
        let ends_session = key.is_none() && snapshot.keyer().ends_session(request);
        let ask = Ask {
            copy,
            ends_session,
            key,
            may_rescue,
            request,
            snapshot,
            why,
        };
        self.ask_origin(ask, now)
    }

    /// The key of a request's copies; `None` where none is looked for or made.
    fn key(&self, snapshot: &Snapshot, request: &RequestHead) -> Option<CacheKey> {
        // Content of a GET has no meaning (RFC 9110 §9.3.1), but some applications read it all the
        // same: what they answer is for nobody else, and no copy is the answer to it.
        if forwarding::has_content(&request.fields) {
            return None;
        }
        let keyer = snapshot.keyer();
        let key = keyer.key(request)?;
        if key.partition() == Partition::Shared {
            return Some(key);
        }
        if keyer.ends_session(request) {
            // Whatever becomes of the request: its client wants to be gone.
            self.drop_session_of(keyer, &request.fields);
            return None;
        }
        let is_nobodys = self.handed.is_nobodys(keyer, &request.fields);
        (!is_nobodys).then_some(key)
    }

    /// How a copy answers without the origin being asked, if it may.
    fn usable(
        &self,
        copy: &StoredResponse,
        key: &CacheKey,
        fresh: FreshMode,
        wishes: &Wishes,
        request: &Fields,
        now: Instant,
    ) -> Option<Handling> {
        if fresh == FreshMode::Off
            || conditional::is_for_origin(request)
            || self.copies.is_written(copy, key)
        {
            return None;
        }
        let ttl = copy.ttl_seconds(now);
        match copy.allow(wishes, now)? {
            // Where nobody fetches it again it would only be stale.
            Allowed::Behind => self.may_renew(request).then_some(Handling::Behind { ttl }),
            Allowed::Fresh => Some(Handling::Fresh { ttl }),
            Allowed::MaxStale => Some(Handling::MaxStale { ttl }),
        }
    }

    /// Why a request goes past the copies (RFC 9211 §2.2).
    fn reason(
        &self,
        copy: Option<&StoredResponse>,
        key: Option<&CacheKey>,
        snapshot: &Snapshot,
        now: Instant,
    ) -> Forward {
        match (copy, key) {
            (_, None) => Forward::Bypass,
            (Some(copy), Some(key)) if !copy.is_fresh(now) || self.copies.is_written(copy, key) => {
                Forward::Stale
            }
            (Some(_), Some(_)) if snapshot.config().cache.fresh == FreshMode::Off => {
                Forward::Bypass
            }
            (Some(_), Some(_)) => Forward::Request,
            (None, Some(key)) if self.copies.contains(key) => Forward::VaryMiss,
            (None, Some(_)) => Forward::UriMiss,
        }
    }

    /// RFC 9111 §4: an unsafe method is written through; also while the circuit is open.
    fn decide_write(self: &Arc<Self>, request: &Arc<RequestHead>, now: Instant) -> Decision {
        let snapshot = self.snapshot();
        let keyer = snapshot.keyer();
        let ends_session = keyer.ends_session(request);
        if ends_session {
            self.drop_session_of(keyer, &request.fields);
        }
        let why = if request.method == Method::GET {
            Forward::Bypass
        } else {
            Forward::Method
        };
        let ask = Ask {
            copy: None,
            ends_session,
            key: None,
            may_rescue: false,
            request,
            snapshot,
            why,
        };
        match self.gate.try_enter(now) {
            Some(slot) => self.go(ask, Class::Write, slot, None, now),
            None => self.wait(ask, Class::Write, now),
        }
    }

    /// Asks breaker and gate; a usable copy answers what they refuse.
    fn ask_origin(self: &Arc<Self>, mut ask: Ask<'_>, now: Instant) -> Decision {
        let (circuit, acquired) = self.acquire(&ask, now);
        let permit = match acquired {
            Ok(permit) => permit,
            Err(retry_at) => return self.stand_in(ask, circuit, retry_at, now),
        };
        if !(ask.may_rescue && is_planted(Plant::OverloadWithRoom))
            && let Some(slot) = self.gate.try_enter(now)
        {
            let grant = Grant {
                lead: None,
                permit,
                slot,
            };
            return Decision::Fetch(Fetch::new(self, ask, grant, circuit, now));
        }
        // Who waits must not hold a probe back.
        self.record(permit, Outcome::Ignore, now);
        match self.serve(&mut ask, circuit, now, |ttl| Handling::Overload { ttl }) {
            Some(served) => {
                self.overload_copies.fetch_add(1, Ordering::Relaxed);
                Decision::Serve(served)
            }
            None => self.wait(ask, Class::Read, now),
        }
    }

    /// The circuit refuses: a copy answers, or nothing does.
    fn stand_in(
        self: &Arc<Self>,
        mut ask: Ask<'_>,
        circuit: State,
        retry_at: Instant,
        now: Instant,
    ) -> Decision {
        match self.serve(&mut ask, circuit, now, |ttl| Handling::CircuitOpen { ttl }) {
            Some(served) => Decision::Serve(served),
            None => {
                let wait = retry_at.saturating_since(now);
                Decision::Refuse(Refusal::new(ask.why, Refused::CircuitOpen, circuit, wait))
            }
        }
    }

    /// The origin is full and no copy can answer: the request waits, if that is of use.
    fn wait(self: &Arc<Self>, ask: Ask<'_>, class: Class, now: Instant) -> Decision {
        // Only what may become a copy can be the answer to others.
        let shares = ask.request.method == Method::GET
            && !ask.request.fields.contains("range")
            && !ask.snapshot.keyer().has_ignored_query(ask.request);
        let key = ask.key.as_ref().filter(|_| shares);
        match self.gate.enter(class, key, now) {
            Entry::Place(place) => Decision::Wait(Ticket::new(self, ask, class, place, now)),
            Entry::Shed(_) => self.shed(&ask, class, now),
            Entry::Slot(slot) => self.go(ask, class, slot, None, now),
        }
    }

    /// There is no room for a request that nothing can stand in for.
    pub(super) fn shed(&self, ask: &Ask<'_>, class: Class, now: Instant) -> Decision {
        /// By then things have changed, whatever the queue looks like now.
        const WAIT_MAX: Duration = Duration::from_secs(30);
        let circuit = self.circuit_of(ask.request.path(), now);
        let wait = self.gate.wait(class, now).min(WAIT_MAX);
        Decision::Refuse(Refusal::new(ask.why, Refused::Overload, circuit, wait))
    }

    /// The origin has room: asks the breaker, which for a write has no say.
    pub(super) fn go(
        self: &Arc<Self>,
        ask: Ask<'_>,
        class: Class,
        slot: Slot,
        lead: Option<Lead>,
        now: Instant,
    ) -> Decision {
        let path = ask.request.path();
        let (circuit, acquired) = match class {
            Class::Read => self.acquire(&ask, now),
            Class::Write => {
                let tiers = self.tiers();
                (tiers.state(path, now), Ok(tiers.pass(path)))
            }
        };
        match acquired {
            Ok(permit) => {
                let grant = Grant { lead, permit, slot };
                Decision::Fetch(Fetch::new(self, ask, grant, circuit, now))
            }
            Err(retry_at) => self.stand_in(ask, circuit, retry_at, now),
        }
    }

    /// Asks the breaker for a visitor's request, or tells when to ask again; with the circuit as
    /// it was at that moment.
    fn acquire(&self, ask: &Ask<'_>, now: Instant) -> (State, Result<TierPermit, Instant>) {
        let path = ask.request.path();
        let circuit = self.circuit_of(path, now);
        // No visitor is the guinea pig where a copy can be.
        if circuit == State::HalfOpen && self.probes_by_itself(path, ask.may_rescue, now) {
            return (circuit, Err(now));
        }
        self.with_tiers(|tiers| match tiers.try_acquire(path, now) {
            Ok(permit) => (permit.circuit(), Ok(permit)),
            Err(rejected) => (tiers.state(path, now), Err(rejected.retry_at)),
        })
    }

    fn serve(
        self: &Arc<Self>,
        ask: &mut Ask<'_>,
        circuit: State,
        now: Instant,
        handling: impl FnOnce(i64) -> Handling,
    ) -> Option<Served> {
        if !ask.may_rescue {
            return None;
        }
        let (copy, key) = (ask.copy.take()?, ask.key.take()?);
        let handling = handling(copy.ttl_seconds(now));
        let snapshot = &ask.snapshot;
        Some(Served::new(
            self, snapshot, key, copy, circuit, handling, now,
        ))
    }
}
