//! Owns what becomes of a request that asks for the origin: it is let through, a copy stands in for
//! it, or it is refused.
//! Never makes a request wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;

use super::ask::Ask;
use super::by_hand::Stance;
use super::course::Grant;
use super::delayed::Delayed;
use super::fetch::Fetch;
use super::parts::Parts;
use super::refusal::Refusal;
use super::served::Served;
use super::snapshot::Snapshot;
use super::target::target_of;
use super::waiting;
use crate::admission::{Class, Lead, Slot};
use crate::breaker::{State, Target, Tier, TierPermit, TierRejected};
use crate::message::RequestHead;
use crate::rules::label::{Handling, Instead, Refused};
use crate::time::Instant;

/// What to do with a request.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// Ask the origin.
    Fetch(Fetch),
    /// Answer 503 with `Retry-After`, or 504.
    Refuse(Refusal),
    /// Answer from a copy.
    Serve(Served),
}

/// The origin has room: asks the breaker, which for a write has no say.
///
/// # Errors
/// Nothing is decided: the request waits until the origin is back.
pub(super) fn go(
    parts: &Arc<Parts>,
    ask: Ask<'_>,
    slot: Slot,
    lead: Option<Lead>,
    now: Instant,
) -> Result<Decision, Box<Delayed>> {
    let (target, visitor) = (target_of(ask.request), ask.visitor);
    let (circuit, acquired) = match ask.bid.class {
        Class::Read => acquire(parts, &ask, now),
        Class::Write => match bars_write(parts, now) {
            Some(barred) => (State::Open, Err(barred)),
            None => {
                let tiers = parts.circuits.read();
                (
                    tiers.state(target, now),
                    Ok(tiers.pass(target, visitor, now)),
                )
            }
        },
    };
    match acquired {
        Ok(permit) => {
            let grant = Grant { lead, permit, slot };
            let fetch = Fetch::new(parts, ask, grant, circuit, now);
            Ok(Decision::Fetch(fetch))
        }
        Err(barred) => {
            // Those who share this fetch look for another before its place is given away.
            drop(lead);
            drop(slot);
            stand_in(parts, ask, circuit, barred, now)
        }
    }
}

/// The origin is not to be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Barred {
    by: Bar,
    retry_at: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Bar {
    Circuit(Tier),
    /// An operator wants it so.
    Hand,
    Maintenance,
}

impl Barred {
    const fn by(tier: Tier, retry_at: Instant) -> Self {
        let by = Bar::Circuit(tier);
        Self { by, retry_at }
    }

    const fn by_hand(is_maintenance: bool, retry_at: Instant) -> Self {
        let by = match is_maintenance {
            true => Bar::Maintenance,
            false => Bar::Hand,
        };
        Self { by, retry_at }
    }
}

/// What keeps a write from the origin, if anything does.
pub(super) fn bars_write(parts: &Parts, now: Instant) -> Option<Barred> {
    match parts.by_hand.of_write(now)? {
        Stance::Goes => None,
        Stance::Shut {
            is_maintenance,
            retry_at,
        } => Some(Barred::by_hand(is_maintenance, retry_at)),
    }
}

/// Asks the breaker for a visitor's request, or tells when to ask again; with the circuit as it was
/// at that moment.
pub(super) fn acquire(
    parts: &Arc<Parts>,
    ask: &Ask<'_>,
    now: Instant,
) -> (State, Result<TierPermit, Barred>) {
    let (target, visitor) = (target_of(ask.request), ask.visitor);
    match parts.by_hand.of_read(now) {
        Some(Stance::Goes) => {
            // What is seen still counts, as far as it does.
            let permit = parts.change_circuits(now, |tiers| {
                let acquired = tiers.try_acquire(target, visitor, now);
                acquired.unwrap_or_else(|_| tiers.pass(target, visitor, now))
            });
            return (State::Closed, Ok(permit));
        }
        Some(Stance::Shut {
            is_maintenance,
            retry_at,
        }) => {
            return (State::Open, Err(Barred::by_hand(is_maintenance, retry_at)));
        }
        None => {}
    }
    let circuit = parts.circuits.state(target, now);
    // A copy that stands in for one of its own is as good as that.
    let has_copy = || {
        let instead = Instead::CircuitOpen;
        ask.may_rescue || ask.wanting(parts).find(instead, now).is_some()
    };
    let has_copy = circuit != State::Closed && has_copy();
    if circuit == State::HalfOpen
        && let Some(tier) = leaves_probing(parts, target, has_copy, now)
    {
        return (circuit, Err(Barred::by(tier, now)));
    }
    // What is found out by connecting alone is not found out with a request.
    let in_turn = has_copy || parts.reach.is_refused();
    parts.change_circuits(now, |tiers| {
        let acquired = match in_turn {
            true => tiers.try_acquire_in_turn(target, visitor, now),
            false => tiers.try_acquire(target, visitor, now),
        };
        match acquired {
            Ok(permit) => (permit.circuit(), Ok(permit)),
            Err(TierRejected { retry_at, tier }) => {
                let barred = Barred::by(tier, retry_at);
                (tiers.state(target, now), Err(barred))
            }
        }
    })
}

/// Whether the origin's circuit would refuse a request without a copy now, as
/// [`acquire`] would find.
pub(super) fn bars(parts: &Parts, target: Target<'_>, now: Instant) -> bool {
    if let Some(stance) = parts.by_hand.of_read(now) {
        return stance != Stance::Goes;
    }
    let (origin, is_shut) = {
        let tiers = parts.circuits.read();
        (
            tiers.origin_state(now),
            tiers.origin_retry_at(now).is_some(),
        )
    };
    match origin {
        State::Closed => false,
        State::HalfOpen => {
            is_shut || leaves_probing(parts, target, false, now) == Some(Tier::Origin)
        }
        State::Open => true,
    }
}

/// The circuit that is probed by others, so that this visitor does not have to.
fn leaves_probing(parts: &Parts, target: Target<'_>, has_copy: bool, now: Instant) -> Option<Tier> {
    let is_path = parts.circuits.read().path_state(target, now) != State::Closed;
    // What is found out by connecting alone is not found out with a request.
    if parts.reach.is_refused() && parts.circuits.read().origin_state(now) != State::Closed {
        return Some(Tier::Origin);
    }
    // No visitor is the guinea pig where a copy can be.
    let tier = if is_path { Tier::Path } else { Tier::Origin };
    probes_by_itself(parts, target, has_copy, now).then_some(tier)
}

/// Whether circuits are probed in the background, so that this visitor does not have to: with a
/// copy of this path where the path's own circuit is not closed, else with any that can be asked
/// for now. A client without a copy does not wait for a page that stays broken.
fn probes_by_itself(parts: &Parts, target: Target<'_>, has_copy: bool, now: Instant) -> bool {
    if !parts.renewals.is_attended() {
        return false;
    }
    let tiers = parts.circuits.read();
    let is_path = tiers.path_state(target, now) != State::Closed;
    let lets = |other: Target<'_>| match is_path {
        true => tiers.share_circuit(other, target),
        false => tiers.retry_at(other, now).is_none(),
    };
    parts.renewals.wants().can_probe(lets, has_copy, now)
        || parts.asks().can_probe(lets, has_copy, now)
}

/// The circuit refuses: a copy answers, or nothing does.
///
/// # Errors
/// Nothing is decided: the request waits until the origin is back.
pub(super) fn stand_in(
    parts: &Arc<Parts>,
    mut ask: Ask<'_>,
    circuit: State,
    barred: Barred,
    now: Instant,
) -> Result<Decision, Box<Delayed>> {
    let handling = |ttl| Handling::CircuitOpen { ttl };
    let served = serve(parts, &mut ask, circuit, handling, now)
        .or_else(|| ask.wanting(parts).serve(Instead::CircuitOpen, circuit, now));
    if let Some(served) = served {
        return Ok(Decision::Serve(served));
    }
    let wait = barred.retry_at.saturating_since(now);
    let refused = match barred.by {
        Bar::Circuit(_) | Bar::Hand => Refused::CircuitOpen,
        Bar::Maintenance => Refused::Maintenance,
    };
    let refusal = match barred.by {
        Bar::Circuit(Tier::Path) => Refusal::page_fails(ask.why, circuit, wait),
        Bar::Circuit(Tier::Origin) | Bar::Hand | Bar::Maintenance => {
            Refusal::new(ask.why, refused, circuit, wait)
        }
    };
    let may_return = matches!(barred.by, Bar::Circuit(Tier::Origin));
    refuse(parts, ask, refusal, (Instead::CircuitOpen, may_return), now)
}

/// The copy as the answer, where it may be one.
pub(super) fn serve(
    parts: &Arc<Parts>,
    ask: &mut Ask<'_>,
    circuit: State,
    handling: impl FnOnce(i64) -> Handling,
    now: Instant,
) -> Option<Served> {
    if !ask.may_rescue {
        return None;
    }
    let (copy, key) = (ask.copy.take()?, ask.key.take()?);
    let handling = handling(copy.ttl_seconds(now));
    let snapshot = &ask.snapshot;
    let served = Served::new(parts, snapshot, key, copy, circuit, handling, now);
    Some(served)
}

/// Whether the answer to this request can be that to others: only what may become a copy can.
pub(super) fn shares(request: &RequestHead, snapshot: &Snapshot) -> bool {
    request.method == Method::GET
        && !request.fields.contains("range")
        && !snapshot.keyer().has_ignored_query(request)
}

/// Whether its own copy is from before its visitor has written: that is for when the origin fails.
pub(super) fn is_before_own_write(parts: &Parts, ask: &Ask<'_>, now: Instant) -> bool {
    let own = ask.copy.as_deref().zip(ask.key.as_ref());
    let (keyer, fields) = (ask.snapshot.keyer(), &ask.request.fields);
    own.is_some_and(|own| parts.is_before_own_write(keyer, own, fields, now))
}

/// A copy that answers because there is no room.
pub(super) fn overflow(
    parts: &Arc<Parts>,
    ask: &mut Ask<'_>,
    circuit: State,
    now: Instant,
) -> Option<Served> {
    let handling = |ttl| Handling::Overload { ttl };
    let served = match is_before_own_write(parts, ask, now) {
        true => None,
        false => serve(parts, ask, circuit, handling, now),
    };
    let served = served.or_else(|| ask.wanting(parts).serve(Instead::Overload, circuit, now))?;
    parts.overload_copies.fetch_add(1, Ordering::Relaxed);
    Some(served)
}

/// A copy that answers in the place of this.
pub(super) fn answer(
    parts: &Arc<Parts>,
    ask: &mut Ask<'_>,
    instead: Instead,
    now: Instant,
) -> Option<Served> {
    let circuit = parts.circuits.state(target_of(ask.request), now);
    let own = match instead {
        Instead::Overload => return overflow(parts, ask, circuit, now),
        Instead::CircuitOpen => {
            let handling = |ttl| Handling::CircuitOpen { ttl };
            serve(parts, ask, circuit, handling, now)
        }
        Instead::Rescued(cause) => {
            let handling = |ttl| Handling::Rescued { ttl, cause };
            serve(parts, ask, circuit, handling, now)
        }
    };
    own.or_else(|| ask.wanting(parts).serve(instead, circuit, now))
}

/// There is no room for a request that nothing can stand in for.
///
/// # Errors
/// Nothing is decided: the request waits for a copy of another instance.
pub(super) fn shed(
    parts: &Arc<Parts>,
    ask: Ask<'_>,
    now: Instant,
) -> Result<Decision, Box<Delayed>> {
    let refusal = no_room(parts, &ask, now);
    refuse(parts, ask, refusal, (Instead::Overload, false), now)
}

/// The request is refused, unless it may wait: for a copy that answers in the place of that, and for the
/// origin where it may return.
///
/// # Errors
/// Nothing is decided: the request waits.
pub(super) fn refuse(
    parts: &Arc<Parts>,
    ask: Ask<'_>,
    refusal: Refusal,
    wait: (Instead, bool),
    now: Instant,
) -> Result<Decision, Box<Delayed>> {
    match Delayed::new(parts, ask, refusal, wait, now) {
        Ok(delayed) => Err(delayed),
        Err(refusal) => Ok(Decision::Refuse(parts.happened.refused(refusal))),
    }
}

/// The refusal of a request that there is no room for.
pub(super) fn no_room(parts: &Parts, ask: &Ask<'_>, now: Instant) -> Refusal {
    /// By then things have changed, whatever the queue looks like now.
    const WAIT_MAX: Duration = Duration::from_secs(30);
    waiting::instead(parts, ask, now).unwrap_or_else(|| {
        let circuit = parts.circuits.state(target_of(ask.request), now);
        let wait = parts.gate.wait(&ask.bid).min(WAIT_MAX);
        Refusal::new(ask.why, Refused::Overload, circuit, wait)
    })
}
