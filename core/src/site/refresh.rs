//! Owns [`Refresh`]: asking the origin though no client waits, to renew a copy or to probe a
//! circuit; and when that happens.
//! Never takes a slot that a write could have, and never asks for what nobody asked for before.

use std::net::IpAddr;
use std::sync::Arc;

use super::ask::Ask;
use super::asks;
use super::course::Grant;
use super::errand::{self, Errand};
use super::fetch::Fetch;
use super::parts::Parts;
use super::sake::Sake;
use super::snapshot::Snapshot;
use super::target::{target_of, target_of_key};
use super::visit::Visit;
use super::wants::LOOK_AGAIN;
use crate::admission::{Bid, Class, Gate, Slot};
use crate::breaker::{Outcome, State, Target, TierPermit, Tiers};
use crate::copies::StoredResponse;
use crate::key::{self, CacheKey, Line};
use crate::message::RequestHead;
use crate::rules::label::ForwardReason;
use crate::time::Instant;

/// Permission, and the wish, to ask the origin for a page though no client waits for it.
///
/// Send [`request`](Self::request), feed the answer to [`fetch`](Self::fetch), throw it away.
#[derive(Debug)]
#[must_use = "dropped, the copy stays as old as it is"]
pub struct Refresh {
    /// To be fed with the answer; see [`Fetch`]. What it would rescue with is of no use here.
    pub fetch: Fetch,
    /// On whose behalf: the address of the client that was answered from the copy, or of the
    /// stranger.
    pub peer: IpAddr,
    /// What to send: a plain GET with that client's cookies and credentials, or with none, as a
    /// stranger does.
    pub request: Arc<RequestHead>,
    /// Whether what the request says of scheme and host, and of the address that it comes from, is to
    /// be passed on as it is: no client has sent it.
    pub is_strangers: bool,
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
    if parts.by_hand.rests(now).is_some() {
        return None;
    }
    if parts.reach.is_refused() {
        // It is found out by connecting alone.
        return None;
    }
    probe(parts, now)
        .or_else(|| renew(parts, now))
        .or_else(|| ask(parts, now))
}

/// When to ask for the next one; `None` when only the waker tells.
pub(super) fn due_at(parts: &Parts, now: Instant) -> Option<Instant> {
    if parts.background_max() == 0 || parts.reach.is_refused() {
        return None;
    }
    if let Some(until) = parts.by_hand.rests(now) {
        return until;
    }
    let probe = next_probe(parts, now);
    let only_probes = only_probes(parts);
    let asks = match only_probes || !asks_strangers(parts) {
        true => None,
        false => parts.asks().due_at(),
    };
    let mut wants = parts.renewals.wants();
    let due = if only_probes { None } else { wants.due_at() };
    let next = [probe, due, asks].into_iter().flatten().min();
    // Due, but there is no room.
    let next = next.map(|at| at.max(now + LOOK_AGAIN));
    wants.looks_at(next, only_probes);
    drop(wants);
    parts.asks().looks_at(next);
    next
}

/// Whether there are copies of what a stranger is sent.
fn asks_strangers(parts: &Parts) -> bool {
    parts.snapshot().config().cache.has_public()
}

/// Asks as a stranger for what visitors want most.
fn ask(parts: &Arc<Parts>, now: Instant) -> Option<Refresh> {
    if only_probes(parts) || !asks_strangers(parts) {
        return None;
    }
    for _ in 0..LOOKS_MAX {
        let ask = parts.asks().next(now)?;
        match start_asking(parts, &ask, false, now) {
            Ok(refresh) => return Some(refresh),
            Err(NotStarted::Full) => return None,
            Err(NotStarted::Gone | NotStarted::Refused) => parts.asks().postpone(&ask, now),
        }
    }
    None
}

/// Probes a circuit whose time has come.
fn probe(parts: &Arc<Parts>, now: Instant) -> Option<Refresh> {
    if parts.circuits.is_calm() {
        return None;
    }
    if let Some(refresh) = probe_as_stranger(parts, now) {
        return Some(refresh);
    }
    let mut candidates = parts.renewals.wants().to_probe_with();
    {
        let tiers = parts.circuits.read();
        candidates.retain(|candidate| {
            is_due(
                &tiers,
                target_of(&candidate.errand.request),
                candidate.from,
                now,
            )
        });
    }
    let mut candidates = candidates.iter().take(LOOKS_MAX);
    candidates.find_map(|candidate| start(parts, &candidate.errand, true, now).ok())
}

/// Probes with what means least: what anybody may ask for.
fn probe_as_stranger(parts: &Arc<Parts>, now: Instant) -> Option<Refresh> {
    let mut candidates = parts.asks().to_probe_with();
    {
        let tiers = parts.circuits.read();
        candidates.retain(|(ask, from)| is_due(&tiers, target_of_key(&ask.key), *from, now));
    }
    let mut candidates = candidates.iter();
    candidates.find_map(|(ask, _)| start_asking(parts, ask, true, now).ok())
}

/// Whether a circuit of `target` can be probed now, with what may do so `from` then on.
fn is_due(tiers: &Tiers, target: Target<'_>, from: Instant, now: Instant) -> bool {
    from <= now
        && tiers.state(target, now) == State::HalfOpen
        && tiers.retry_at(target, now).is_none()
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
    let is_replaced = |line: &Line| !parts.chains.hold(line.marks(), now);
    if snapshot.excludes(path) || key.line().is_some_and(is_replaced) {
        renewals.wants().forget(key);
        return Err(NotStarted::Gone);
    }
    let bid = gate.bid(Class::Read, request.path_and_query(), None);
    let slot = slot(gate, &bid, is_probe, now).ok_or(NotStarted::Full)?;
    let plain = errand::plain(request);
    if plain.fields.is_cut() {
        // Without what is missing it would be somebody else's page.
        renewals.wants().forget(key);
        return Err(NotStarted::Gone);
    }
    let permit = permit(parts, target_of(request), is_probe, now).ok_or(NotStarted::Refused)?;
    let circuit = permit.circuit();
    let Some(renewal) = renewals.start(errand, now) else {
        // Another has begun it meanwhile.
        parts.record(permit, Outcome::Ignore, now);
        return Err(NotStarted::Gone);
    };
    let request = Arc::new(plain);
    let ask = unattended(Some(copy), key, bid, &request, snapshot);
    let grant = Grant {
        lead: None,
        permit,
        slot,
    };
    let mut fetch = Fetch::new(parts, ask, grant, circuit, now);
    fetch.is_for(Sake::Renewal(renewal));
    Ok(Refresh {
        fetch,
        peer: *peer,
        request,
        is_strangers: false,
    })
}

/// Starts to ask as a stranger, where there is a place that nobody else wants and the circuits let it
/// pass.
fn start_asking(
    parts: &Arc<Parts>,
    ask: &asks::Ask,
    is_probe: bool,
    now: Instant,
) -> Result<Refresh, NotStarted> {
    let asks::Ask {
        key,
        cookies,
        is_trial,
        language,
    } = ask;
    let gate = &parts.gate;
    if !gate.has_place() {
        return Err(NotStarted::Full);
    }
    let snapshot = parts.snapshot();
    let peer = snapshot.config().cache.public_address;
    let address = peer.to_string();
    let names = parts.address_fields.names();
    let request = key::request_of(
        key,
        (cookies.as_deref(), language.as_ref()),
        &names,
        &address,
    )
    .ok_or(NotStarted::Gone)?;
    let bid = gate.bid(Class::Read, request.path_and_query(), None);
    let slot = slot(gate, &bid, is_probe, now).ok_or(NotStarted::Full)?;
    let permit = permit(parts, target_of_key(key), is_probe, now).ok_or(NotStarted::Refused)?;
    let circuit = permit.circuit();
    let Some(number) = parts.asks().start(ask, now) else {
        parts.record(permit, Outcome::Ignore, now);
        return Err(NotStarted::Gone);
    };
    // What it was handed may be in the answer that it is to be compared with.
    let copy = match cookies {
        Some(_) => None,
        None => parts.copies.look_up_good(key, &request.fields),
    };
    let request = Arc::new(request);
    let grant = Grant {
        lead: None,
        permit,
        slot,
    };
    let visit = Visit::new(key, number, cookies.as_deref(), *is_trial);
    let ask = unattended(copy, key, bid, &request, snapshot);
    let mut fetch = Fetch::new(parts, ask, grant, circuit, now);
    fetch.is_for(Sake::Stranger(Box::new(visit)));
    Ok(Refresh {
        fetch,
        peer,
        request,
        is_strangers: true,
    })
}

/// A slot for what no client waits for.
fn slot(gate: &Gate, bid: &Bid, is_probe: bool, now: Instant) -> Option<Slot> {
    let slot = gate.try_enter_background(bid, now);
    if slot.is_some() || !is_probe {
        return slot;
    }
    // What hangs must not keep a probe back: it is what visitors wait for.
    match gate.has_place() {
        true => gate.try_enter(bid, now),
        false => gate.try_enter_beyond(bid, now),
    }
}

/// The circuits' leave. What is wanted most is not the best to probe with.
fn permit(parts: &Parts, target: Target<'_>, is_probe: bool, now: Instant) -> Option<TierPermit> {
    parts.change_circuits(now, |tiers| {
        let may_ask = is_probe || tiers.state(target, now) == State::Closed;
        let permit = may_ask.then(|| tiers.try_acquire(target, None, now));
        permit.and_then(Result::ok)
    })
}

/// A request for whose answer nobody waits.
fn unattended<'a>(
    copy: Option<Arc<StoredResponse>>,
    key: &CacheKey,
    bid: Bid,
    request: &'a Arc<RequestHead>,
    snapshot: Arc<Snapshot>,
) -> Ask<'a> {
    Ask {
        address: None,
        bid,
        chose_public: false,
        copy,
        ends_session: false,
        guest: None,
        key: Some(key.clone()),
        may_rescue: false,
        may_share: true,
        request,
        snapshot,
        unrescued: None,
        visitor: None,
        waits_until: None,
        why: ForwardReason::Stale,
    }
}

/// When a circuit that is not closed can be probed.
fn next_probe(parts: &Parts, now: Instant) -> Option<Instant> {
    if parts.circuits.is_calm() {
        return None;
    }
    let candidates = parts.renewals.wants().to_probe_with();
    let strangers = parts.asks().to_probe_with();
    let tiers = parts.circuits.read();
    let at = |target: Target<'_>, from: Instant| {
        let at = tiers.retry_at(target, now).unwrap_or(now);
        (tiers.state(target, now) != State::Closed).then(|| at.max(from))
    };
    let of_users = candidates
        .iter()
        .filter_map(|candidate| at(target_of(&candidate.errand.request), candidate.from));
    let of_strangers = strangers
        .iter()
        .filter_map(|(ask, from)| at(target_of_key(&ask.key), *from));
    of_users.chain(of_strangers).min()
}
