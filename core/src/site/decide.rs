//! Owns the decision: which of origin, copy and refusal answers a request, and when that waits.
//! Never learns from an answer: [`Fetch`] does.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::admit::{self, Decision};
use super::ask::{Ask, class_of};
use super::course::Grant;
use super::delayed::Delayed;
use super::fetch::Fetch;
use super::parts::Parts;
use super::refusal::Refusal;
use super::rescuable;
use super::served::Served;
use super::snapshot::Snapshot;
use super::target::target_of;
use super::ticket::Ticket;
use super::unrescued::Unrescued;
use super::visitor::Asker;
use super::waiting;
use crate::admission::{Class, Entered};
use crate::breaker::{Outcome, State};
use crate::canary::{Plant, is_planted};
use crate::config::FreshMode;
use crate::copies::StoredResponse;
use crate::key::{CacheKey, Links, Partition};
use crate::message::{Fields, RequestHead};
use crate::report::Obstacle;
use crate::rules::freshness::{Allowed, Wishes};
use crate::rules::label::{ForwardReason, Handling, Instead, Refused};
use crate::rules::{conditional, forwarding, media};
use crate::store::Entry as _;
use crate::time::Instant;

/// What a site says of a request.
#[derive(Debug)]
#[must_use]
pub enum Ruling {
    /// This is to be done with it.
    Now(Decision),
    /// The origin is full: the ticket has a decision later.
    Wait(Ticket),
}

impl Ruling {
    /// The decision, where there is one already.
    #[must_use]
    pub fn now(self) -> Option<Decision> {
        match self {
            Self::Now(decision) => Some(decision),
            Self::Wait(_) => None,
        }
    }
}

impl From<Result<Decision, Box<Delayed>>> for Ruling {
    fn from(decided: Result<Decision, Box<Delayed>>) -> Self {
        match decided {
            Ok(decision) => Self::Now(decision),
            Err(delayed) => Self::Wait((*delayed).into()),
        }
    }
}

impl From<Decision> for Ruling {
    fn from(decision: Decision) -> Self {
        Self::Now(decision)
    }
}

/// Says how `request` is to be answered; one that is bound to its connection by the origin or not
/// at all.
pub(super) fn decide(
    parts: &Arc<Parts>,
    request: &Arc<RequestHead>,
    asker: Asker,
    now: Instant,
) -> Ruling {
    let snapshot = parts.snapshot();
    if class_of(request) == Class::Write || snapshot.excludes(request.path()) {
        return pass_by(parts, request, asker, snapshot, now);
    }
    let fields = &request.fields;
    let Found {
        mut copy,
        mut key,
        may_share,
        why_not,
    } = find(parts, &snapshot, request, asker, now);
    let wishes = Wishes::of(fields);
    let usable = copy.as_ref().zip(key.as_ref());
    let usable = usable.and_then(|(copy, key)| {
        let fresh = snapshot.config().cache.fresh;
        usable_by(parts, copy, key, fresh, &wishes, fields, now)
    });
    if let Some(handling) = usable
        && let (Some(copy), Some(key)) = (copy.take(), key.take())
    {
        let circuit = parts.circuits.state(target_of(request), now);
        if request.method == Method::GET {
            parts.coverage.note(Ok(rescuable::way_of(&key)), now);
        }
        let served = Served::new(parts, &snapshot, key, copy, circuit, handling, now);
        return Decision::Serve(served).into();
    }
    let why = reason(parts, copy.as_deref(), key.as_ref(), &snapshot, now);
    if wishes.only_if_cached() {
        let circuit = parts.circuits.state(target_of(request), now);
        let refusal = Refusal::new(why, Refused::OnlyIfCached, circuit, Duration::ZERO);
        return Decision::Refuse(parts.happened.refused(refusal)).into();
    }
    if copy.as_ref().is_some_and(|copy| !copy.is_good()) {
        let seen = key.as_ref().filter(|_| may_share);
        copy = seen.and_then(|key| parts.copies.look_up_good(key, fields));
    }
    let age_max = snapshot.config().cache.rescue_age_max;
    let may_rescue = copy
        .as_ref()
        .is_some_and(|copy| copy.may_rescue(age_max, now));
    let ends_session = key.is_none() && snapshot.keyer().ends_session(request);
    let visitor = Some(parts.voices.of(asker.peer, key.as_ref()));
    let target = request.path_and_query();
    let mut ask = Ask {
        address: asker.address,
        bid: parts.gate.bid(Class::Read, target, asker.address),
        chose_public: asker.chose_public,
        copy,
        ends_session,
        guest: asker.guest,
        key,
        may_rescue,
        may_share,
        request,
        snapshot,
        unrescued: None,
        visitor,
        waits_until: None,
        why,
    };
    if request.method == Method::GET {
        ask.unrescued = rescuable::judge(parts, &ask, why_not, now);
    }
    ask_origin(parts, ask, now)
}

/// What there is for a request.
struct Found {
    copy: Option<Arc<StoredResponse>>,
    /// `None` where no copy is looked for or made.
    key: Option<CacheKey>,
    /// Whether it may see what others like its client see, and they what it is sent.
    may_share: bool,
    /// Why no copy of its client's own is looked for.
    why_not: Option<Obstacle>,
}

fn find(
    parts: &Arc<Parts>,
    snapshot: &Snapshot,
    request: &RequestHead,
    asker: Asker,
    now: Instant,
) -> Found {
    let (fields, keyer) = (&request.fields, snapshot.keyer());
    let (mut key, why_not) = match asker.is_bound {
        true => (None, Some(Obstacle::Bound)),
        false => key_of(parts, snapshot, request, now),
    };
    if why_not.is_some() {
        return Found {
            copy: None,
            key,
            may_share: false,
            why_not,
        };
    }
    let mut copy = key
        .as_ref()
        .and_then(|key| parts.copies.look_up(key, fields));
    if copy.is_none()
        && let Some(plain) = key.as_ref().and_then(|key| keyer.plain_key(key))
        && parts.copies.look_up_good(&plain, fields).is_some()
    {
        // Who calls the site `shop:80` may read what `shop` has, and makes no copy of it.
        copy = parts.copies.look_up(&plain, fields);
        key = Some(plain);
    }
    // Each visitor with cookies or fields that say so has copies apart from others.
    let may_share = key.as_ref().is_none_or(|key| {
        let who = (asker.address, fields);
        key.partition() != Partition::Shared || parts.visitors.may_share(keyer, key, who, now)
    });
    // A client that may not have the page may have the answer that says so.
    copy = copy.filter(|copy| may_share || !copy.is_good());
    Found {
        copy,
        key,
        may_share,
        why_not,
    }
}

/// The key of a request's copies; `None` where none is looked for or made. And why its client has none
/// of its own, where that is so: a value that several were given identifies nobody.
fn key_of(
    parts: &Parts,
    snapshot: &Snapshot,
    request: &RequestHead,
    now: Instant,
) -> (Option<CacheKey>, Option<Obstacle>) {
    // Content of a GET has no meaning (RFC 9110 §9.3.1), but some applications read it all the
    // same: what they answer is for nobody else, and no copy is the answer to it.
    if forwarding::has_content(&request.fields) {
        return (None, Some(Obstacle::Content));
    }
    let keyer = snapshot.keyer();
    let enter = |mark| {
        let link = match parts.chains.is_empty() {
            true => None,
            false => parts.chains.enter(mark, now),
        };
        if link.is_none() {
            parts.carried.note(mark);
        }
        link
    };
    let links: Links<'_> = match snapshot.config().cache.has_chains() {
        true => Some(&enter),
        false => None,
    };
    let Some(key) = keyer.key_by(request, links) else {
        return (None, Some(Obstacle::Unnamed));
    };
    if key.partition() == Partition::Shared {
        return (Some(key), None);
    }
    if keyer.ends_session(request) {
        // Whatever becomes of the request: its client wants to be gone.
        parts.sign_out(keyer, &request.fields, now);
        return (None, Some(Obstacle::Logout));
    }
    if key.line().is_some() {
        return (Some(key), None);
    }
    let is_nobodys = parts.handed.is_nobodys(keyer, &request.fields);
    (Some(key), is_nobodys.then_some(Obstacle::Several))
}

/// How a copy answers without the origin being asked, if it may.
fn usable_by(
    parts: &Parts,
    copy: &StoredResponse,
    key: &CacheKey,
    fresh: FreshMode,
    wishes: &Wishes,
    request: &Fields,
    now: Instant,
) -> Option<Handling> {
    if fresh == FreshMode::Off
        || conditional::is_for_origin(request)
        || parts.copies.is_written(copy, key)
        || !copy.is_alike(key)
    {
        return None;
    }
    let ttl = copy.ttl_seconds(now);
    match copy.allow(wishes, now)? {
        // Where nobody fetches it again it would only be stale.
        Allowed::Behind => parts
            .renewals
            .may_renew(request)
            .then_some(Handling::Behind { ttl }),
        Allowed::Fresh => Some(Handling::Fresh { ttl }),
        Allowed::MaxStale => Some(Handling::MaxStale { ttl }),
    }
}

/// Why a request goes past the copies (RFC 9211 §2.2).
fn reason(
    parts: &Parts,
    copy: Option<&StoredResponse>,
    key: Option<&CacheKey>,
    snapshot: &Snapshot,
    now: Instant,
) -> ForwardReason {
    match (copy, key) {
        (_, None) => ForwardReason::Bypass,
        (Some(copy), Some(key))
            if !copy.is_fresh(now) || parts.copies.is_written(copy, key) || !copy.is_alike(key) =>
        {
            ForwardReason::Stale
        }
        (Some(_), Some(_)) if snapshot.config().cache.fresh == FreshMode::Off => {
            ForwardReason::Bypass
        }
        (Some(_), Some(_)) => ForwardReason::Request,
        (None, Some(key)) if parts.copies.contains(key) => ForwardReason::VaryMiss,
        (None, Some(_)) => ForwardReason::UriMiss,
    }
}

/// RFC 9111 §4: an unsafe method is written through; also while the circuit is open. So is what the
/// settings exclude: there the origin's own answer is wanted.
fn pass_by(
    parts: &Arc<Parts>,
    request: &Arc<RequestHead>,
    asker: Asker,
    snapshot: Arc<Snapshot>,
    now: Instant,
) -> Ruling {
    let keyer = snapshot.keyer();
    let ends_session = keyer.ends_session(request);
    if !parts.chains.is_empty() {
        // Its client has taken the values that it sends.
        for (mark, _) in keyer.tokens(&request.fields) {
            let _ = parts.chains.enter(mark, now);
        }
    }
    if ends_session {
        parts.sign_out(keyer, &request.fields, now);
    }
    let is_excluded = request.method == Method::GET && class_of(request) == Class::Read;
    let unrescued = is_excluded.then(|| Unrescued::new(parts, Obstacle::Excluded, now));
    let why = if matches!(request.method, Method::GET | Method::HEAD) {
        ForwardReason::Bypass
    } else {
        ForwardReason::Method
    };
    let target = request.path_and_query();
    let ask = Ask {
        address: asker.address,
        bid: parts.gate.bid(Class::Write, target, asker.address),
        chose_public: asker.chose_public,
        copy: None,
        ends_session,
        guest: None,
        key: None,
        may_rescue: false,
        may_share: false,
        request,
        snapshot,
        unrescued,
        visitor: Some(parts.voices.of(asker.peer, None)),
        waits_until: None,
        why,
    };
    if request.method == Method::OPTIONS {
        let circuit = parts.circuits.state(target_of(request), now);
        if circuit == State::Open
            && let Some(served) = ask.wanting(parts).serve(Instead::CircuitOpen, circuit, now)
        {
            return Decision::Serve(served).into();
        }
    }
    if let Some(barred) = admit::bars_write(parts, now) {
        return admit::stand_in(parts, ask, State::Open, barred, now).into();
    }
    match parts.gate.try_enter(&ask.bid, now) {
        Some(slot) => admit::go(parts, ask, slot, None, now).into(),
        None => wait(parts, ask, None, now),
    }
}

/// Says how a request is to be answered that may have to be sent again. It keeps its slot, and those
/// who wait for it.
pub(super) fn decide_again(parts: &Arc<Parts>, fetch: Fetch, now: Instant) -> Ruling {
    if fetch.is_allowed(now) {
        return Decision::Fetch(fetch).into();
    }
    let mut course = fetch.into_course();
    let request = Arc::clone(&course.request);
    let ask = course.ask(&request);
    let (slot, lead) = (course.slot.take(), course.lead.take());
    course.give_up(now);
    match slot {
        Some(slot) => admit::go(parts, ask, slot, lead, now).into(),
        None => wait(parts, ask, None, now),
    }
}

/// Asks breaker and gate; a usable copy answers what they refuse.
fn ask_origin(parts: &Arc<Parts>, mut ask: Ask<'_>, now: Instant) -> Ruling {
    if parts.waiting.is_open()
        && !has_copy(parts, &ask, now)
        && let Some(refusal) = waiting::bars(parts, &ask, now)
    {
        return admit::refuse(parts, ask, refusal, (Instead::Overload, false), now).into();
    }
    let (circuit, acquired) = admit::acquire(parts, &ask, now);
    let permit = match acquired {
        Ok(permit) => permit,
        Err(barred) => return admit::stand_in(parts, ask, circuit, barred, now).into(),
    };
    if !(ask.may_rescue && is_planted(Plant::OverloadWithRoom))
        && let Some(slot) = parts.gate.try_enter(&ask.bid, now)
    {
        let grant = Grant {
            lead: None,
            permit,
            slot,
        };
        return Decision::Fetch(Fetch::new(parts, ask, grant, circuit, now)).into();
    }
    // A request that waits must not hold a probe back.
    parts.record(permit, Outcome::Ignore, now);
    if !has_copy(parts, &ask, now) {
        return wait(parts, ask, None, now);
    }
    // Whose session may end meanwhile gets at once what is its own now.
    let is_chained = ask.key.as_ref().is_some_and(|key| key.line().is_some());
    let waits = !is_chained && parts.gate.is_expected(&ask.bid, SHORT_WAIT, now);
    if waits && !is_planted(Plant::OverloadWithRoom) {
        return wait(parts, ask, Some(now + SHORT_WAIT), now);
    }
    match admit::overflow(parts, &mut ask, circuit, now) {
        Some(served) => Decision::Serve(served).into(),
        None => wait(parts, ask, None, now),
    }
}

/// How long a request may wait though a copy can answer it: its visitor hardly notices.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// Whether a copy may answer because there is no room. One of data does not where requests for it wait
/// at the origin until there is news: its visitor would ask again at once, for ever.
fn has_copy(parts: &Arc<Parts>, ask: &Ask<'_>, now: Instant) -> bool {
    if ask.may_rescue && !admit::is_before_own_write(parts, ask, now) {
        let copy = ask.copy.as_ref();
        let is_data = copy.is_some_and(|copy| media::is_data(copy.fields()));
        return !is_data || !parts.gate.may_park(&ask.bid);
    }
    ask.wanting(parts).find(Instead::Overload, now).is_some()
}

/// The origin is full: the request waits, if that is of use, until a copy answers where one can.
fn wait(parts: &Arc<Parts>, mut ask: Ask<'_>, copy_at: Option<Instant>, now: Instant) -> Ruling {
    let shares = ask.may_share && admit::shares(ask.request, &ask.snapshot);
    let key = ask
        .key
        .as_ref()
        .filter(|key| shares && key.is_named_by(ask.request));
    match parts.gate.enter(&ask.bid, key, now) {
        Entered::Place(place) => Ruling::Wait(Ticket::new(parts, ask, place, copy_at, now)),
        Entered::Shed(_) => {
            let circuit = parts.circuits.state(target_of(ask.request), now);
            match copy_at.and_then(|_| admit::overflow(parts, &mut ask, circuit, now)) {
                Some(served) => Decision::Serve(served).into(),
                None => admit::shed(parts, ask, now).into(),
            }
        }
        Entered::Slot(slot) => admit::go(parts, ask, slot, None, now).into(),
    }
}
