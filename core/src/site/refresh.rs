//! Owns [`Refresh`]: asking the origin though no client waits, to renew a copy or to probe a
//! circuit; and when that happens.
//! Never takes a slot that a write could have, and never asks for what nobody asked for before.

use std::net::IpAddr;
use std::sync::Arc;

use super::ask::Ask;
use super::course::Grant;
use super::errand::{self, Errand};
use super::fetch::Fetch;
use super::parts::Parts;
use super::wants::LOOK_AGAIN;
use crate::breaker::{Outcome, State};
use crate::message::RequestHead;
use crate::rules::label::Forward;
use crate::time::Instant;

/// Permission, and the wish, to ask the origin for a page though no client waits for it.
///
/// Send [`request`](Self::request), feed the answer to [`fetch`](Self::fetch), throw it away.
#[derive(Debug)]
#[must_use = "dropped, the copy stays as old as it is"]
pub struct Refresh {
    /// To be fed with the answer; see [`Fetch`]. What it would rescue with is of no use here.
    pub fetch: Fetch,
    /// On whose behalf: the address of the client that was answered from the copy.
    pub peer: IpAddr,
    /// What to send: a plain GET with that client's cookies and credentials.
    pub request: Arc<RequestHead>,
}

/// Why a renewal does not start.
#[derive(Debug)]
enum NotStarted {
    /// There is no slot.
    Full,
    /// The copy is gone, cannot be asked for again, or another renewal of it has just begun.
    Gone,
    /// A circuit is not closed.
    Refused,
}

/// Copies looked at in one call; those behind them get their turn in the next.
const LOOKS_MAX: usize = 8;

/// The next copy to renew, or circuit to probe.
pub(super) fn next(parts: &Arc<Parts>, now: Instant) -> Option<Refresh> {
    if parts.background_max() == 0 {
        return None;
    }
    parts.renewals.attend();
    if parts.reach.is_refused() {
        // It is found out by connecting alone.
        return None;
    }
    probe(parts, now).or_else(|| renew(parts, now))
}

/// When to ask for the next one; `None` when only the waker tells.
pub(super) fn due_at(parts: &Parts, now: Instant) -> Option<Instant> {
    if parts.background_max() == 0 || parts.reach.is_refused() {
        return None;
    }
    let probe = next_probe(parts, now);
    let only_probes = only_probes(parts);
    let mut wants = parts.renewals.wants();
    let due = if only_probes { None } else { wants.due_at() };
    let next = [probe, due].into_iter().flatten().min();
    // Due, but there is no room.
    let next = next.map(|at| at.max(now + LOOK_AGAIN));
    wants.looks_at(next, only_probes);
    next
}

/// Probes a circuit whose time has come.
fn probe(parts: &Arc<Parts>, now: Instant) -> Option<Refresh> {
    if parts.circuits.is_calm() {
        return None;
    }
    let mut candidates = parts.renewals.wants().to_probe_with();
    {
        let tiers = parts.circuits.read();
        candidates.retain(|candidate| {
            let path = candidate.errand.request.path();
            tiers.state(path, now) == State::HalfOpen
                && tiers.retry_at(path, now).is_none()
                && candidate.from <= now
        });
    }
    let mut candidates = candidates.iter().take(LOOKS_MAX);
    candidates.find_map(|candidate| start(parts, &candidate.errand, true, now).ok())
}

/// Whether the origin's circuit is not closed: what comes to it then is a probe.
fn only_probes(parts: &Parts) -> bool {
    !parts.circuits.is_calm() && !parts.circuits.read().is_origin_closed()
}

/// Renews a copy that is wanted.
fn renew(parts: &Arc<Parts>, now: Instant) -> Option<Refresh> {
    if only_probes(parts) {
        return None;
    }
    let wants = || parts.renewals.wants();
    for _ in 0..LOOKS_MAX {
        let errand = wants().most_wanted(now)?;
        match start(parts, &errand, false, now) {
            Ok(refresh) => return Some(refresh),
            Err(NotStarted::Full) => return None,
            Err(NotStarted::Gone) => {}
            Err(NotStarted::Refused) => wants().postpone(&errand.key, now),
        }
    }
    None
}

/// Starts one, where the copy still is, a slot is free and the circuits let it pass.
fn start(
    parts: &Arc<Parts>,
    errand: &Errand,
    is_probe: bool,
    now: Instant,
) -> Result<Refresh, NotStarted> {
    let Errand { key, peer, request } = errand;
    let (gate, renewals) = (&parts.gate, &parts.renewals);
    let Some(copy) = parts.copies.look_up_good(key, &request.fields) else {
        renewals.wants().forget(key);
        return Err(NotStarted::Gone);
    };
    let path = request.path();
    let snapshot = parts.snapshot();
    if snapshot.config().cache.excluded_paths.matches(path) {
        renewals.wants().forget(key);
        return Err(NotStarted::Gone);
    }
    let has_room = || gate.in_flight() < gate.limit();
    let slot = match gate.try_enter_background(now) {
        // Renewals that hang must not keep a probe back: it is what visitors wait for.
        None if is_probe && has_room() => gate.try_enter(now),
        slot => slot,
    };
    let slot = slot.ok_or(NotStarted::Full)?;
    let plain = errand::plain(request);
    if plain.fields.is_cut() {
        // Without what is missing it would be somebody else's page.
        renewals.wants().forget(key);
        return Err(NotStarted::Gone);
    }
    let permit = parts.change_circuits(now, |tiers| {
        // What is wanted most is not the best to probe with.
        let may_ask = is_probe || tiers.state(path, now) == State::Closed;
        let permit = may_ask.then(|| tiers.try_acquire(path, now));
        permit.and_then(Result::ok).ok_or(NotStarted::Refused)
    })?;
    let circuit = permit.circuit();
    let Some(renewal) = renewals.start(errand, now) else {
        // Another has begun it meanwhile.
        parts.record(permit, Outcome::Ignore, now);
        return Err(NotStarted::Gone);
    };
    let request = Arc::new(plain);
    let ask = Ask {
        copy: Some(copy),
        ends_session: false,
        key: Some(key.clone()),
        // Nobody waits for an answer.
        may_rescue: false,
        request: &request,
        snapshot,
        waits_until: None,
        why: Forward::Stale,
    };
    let grant = Grant {
        lead: None,
        permit,
        slot,
    };
    let mut fetch = Fetch::new(parts, ask, grant, circuit, now);
    fetch.renews(renewal);
    Ok(Refresh {
        fetch,
        peer: *peer,
        request,
    })
}

/// When a circuit that is not closed can be probed.
fn next_probe(parts: &Parts, now: Instant) -> Option<Instant> {
    if parts.circuits.is_calm() {
        return None;
    }
    let candidates = parts.renewals.wants().to_probe_with();
    let tiers = parts.circuits.read();
    let next = candidates.iter().filter_map(|candidate| {
        let path = candidate.errand.request.path();
        let at = tiers.retry_at(path, now).unwrap_or(now);
        (tiers.state(path, now) != State::Closed).then(|| at.max(candidate.from))
    });
    next.min()
}
