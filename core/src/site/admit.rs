//! Owns what becomes of a request that asks for the origin: it is let through, a copy stands in for
//! it, or it is refused.
//! Never makes a request wait.

use std::sync::Arc;
use std::time::Duration;

use super::course::{Ask, Grant};
use super::fetch::Fetch;
use super::parts::Parts;
use super::refusal::Refusal;
use super::served::Served;
use crate::admission::{Class, Lead, Slot};
use crate::breaker::{State, TierPermit};
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
pub(super) fn go(
    parts: &Arc<Parts>,
    ask: Ask<'_>,
    class: Class,
    slot: Slot,
    lead: Option<Lead>,
    now: Instant,
) -> Decision {
    let path = ask.request.path();
    let (circuit, acquired) = match class {
        Class::Read => acquire(parts, &ask, now),
        Class::Write => {
            let tiers = parts.circuits.read();
            (tiers.state(path, now), Ok(tiers.pass(path)))
        }
    };
    match acquired {
        Ok(permit) => {
            let grant = Grant { lead, permit, slot };
            Decision::Fetch(Fetch::new(parts, ask, grant, circuit, now))
        }
        Err(retry_at) => stand_in(parts, ask, circuit, retry_at, now),
    }
}

/// Asks the breaker for a visitor's request, or tells when to ask again; with the circuit as it was
/// at that moment.
pub(super) fn acquire(
    parts: &Arc<Parts>,
    ask: &Ask<'_>,
    now: Instant,
) -> (State, Result<TierPermit, Instant>) {
    let path = ask.request.path();
    let circuit = parts.circuits.state(path, now);
    // No visitor is the guinea pig where a copy can be.
    if circuit == State::HalfOpen {
        let has_copy =
            ask.may_rescue || ask.wanting(parts).find(Instead::CircuitOpen, now).is_some();
        if probes_by_itself(parts, path, has_copy, now) {
            return (circuit, Err(now));
        }
    }
    parts.change_circuits(|tiers| match tiers.try_acquire(path, now) {
        Ok(permit) => (permit.circuit(), Ok(permit)),
        Err(rejected) => (tiers.state(path, now), Err(rejected.retry_at)),
    })
}

/// Whether circuits are probed in the background, so that this visitor does not have to: with a
/// copy of this path where the path's own circuit is not closed, else with any that can be asked
/// for now. Who has no copy does not wait for a page that stays broken.
fn probes_by_itself(parts: &Parts, path: &[u8], has_copy: bool, now: Instant) -> bool {
    if !parts.renewals.is_attended() {
        return false;
    }
    let tiers = parts.circuits.read();
    let is_path = tiers.path_state(path, now) != State::Closed;
    let lets = |other: &[u8]| match is_path {
        true => other == path,
        false => tiers.retry_at(other, now).is_none(),
    };
    parts.renewals.wants().can_probe(lets, has_copy, now)
        || parts.asks().can_probe(lets, has_copy, now)
}

/// The circuit refuses: a copy answers, or nothing does.
pub(super) fn stand_in(
    parts: &Arc<Parts>,
    mut ask: Ask<'_>,
    circuit: State,
    retry_at: Instant,
    now: Instant,
) -> Decision {
    let handling = |ttl| Handling::CircuitOpen { ttl };
    let served = serve(parts, &mut ask, circuit, handling, now)
        .or_else(|| ask.wanting(parts).serve(Instead::CircuitOpen, circuit, now));
    match served {
        Some(served) => Decision::Serve(served),
        None => {
            let wait = retry_at.saturating_since(now);
            Decision::Refuse(Refusal::new(ask.why, Refused::CircuitOpen, circuit, wait))
        }
    }
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

/// There is no room for a request that nothing can stand in for.
pub(super) fn shed(parts: &Parts, ask: &Ask<'_>, class: Class, now: Instant) -> Decision {
    /// By then things have changed, whatever the queue looks like now.
    const WAIT_MAX: Duration = Duration::from_secs(30);
    let circuit = parts.circuits.state(ask.request.path(), now);
    let wait = parts.gate.wait(class, now).min(WAIT_MAX);
    Decision::Refuse(Refusal::new(ask.why, Refused::Overload, circuit, wait))
}
