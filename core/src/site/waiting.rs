//! Owns how the waiting room stands before the gate: whose request is one for it, and what comes of
//! asking it.
//! Never lets anybody in: the gate does.

use http::Method;

use super::ask::Ask;
use super::parts::Parts;
use super::refusal::Refusal;
use super::target::target_of;
use super::visitor::Guest;
use crate::admission::Class;
use crate::breaker::State;
use crate::key::Kind;
use crate::message::RequestHead;
use crate::rules::label::Refused;
use crate::time::Instant;
use crate::waiting::{Bearing, Turn, Visitor};

/// What a request is refused with that has to wait as others were there before it. Not to be asked of
/// one that a copy could answer.
pub(super) fn bars(parts: &Parts, ask: &Ask<'_>, now: Instant) -> Option<Refusal> {
    let visitor = visitor(parts, ask, now)?;
    let circuit = parts.circuits.state(target_of(ask.request), now);
    if circuit != State::Closed {
        // What the origin does not answer is not waited for here.
        return None;
    }
    let turn = parts.waiting.ask(&visitor, bearing(parts, now), now);
    match turn {
        Turn::Goes => None,
        Turn::Refused => {
            let wait = parts.waiting.stats(now).wait.unwrap_or_default();
            Some(Refusal::new(ask.why, Refused::Overload, circuit, wait))
        }
        Turn::Waits(place) => Some(Refusal::waits(ask.why, place, circuit)),
    }
}

/// What a request is refused with that the gate has turned away, where it can wait.
pub(super) fn instead(parts: &Parts, ask: &Ask<'_>, now: Instant) -> Option<Refusal> {
    let visitor = visitor(parts, ask, now)?;
    let circuit = parts.circuits.state(target_of(ask.request), now);
    let turn = parts
        .waiting
        .turned_away(&visitor, bearing(parts, now), now);
    match turn {
        Turn::Goes | Turn::Refused => None,
        Turn::Waits(place) => Some(Refusal::waits(ask.why, place, circuit)),
    }
}

/// The client of a page that can be waited for.
fn visitor<'a>(parts: &Parts, ask: &'a Ask<'_>, now: Instant) -> Option<Visitor<'a>> {
    let Guest { claim, peer } = ask.guest?;
    let is_on = ask.snapshot.config().admission.waiting_room;
    if !is_on || ask.bid.class != Class::Read || !navigates(ask.request) {
        return None;
    }
    Some(Visitor {
        claim,
        is_own: ask.address.is_some(),
        micros: parts.wall.micros(now),
        peer,
        program: ask.request.fields.get("user-agent").unwrap_or_default(),
    })
}

/// Whether somebody looks at the page that comes, and can load it again: a browser says so (Fetch, "Sec-
/// Fetch-Dest"), or asks as one.
fn navigates(request: &RequestHead) -> bool {
    let fields = &request.fields;
    let destination = fields.get("sec-fetch-dest");
    request.method == Method::GET
        && destination.is_none_or(|destination| destination == b"document")
        && Kind::of(destination, fields.get("accept")) == Kind::Document
}

/// What the gate thinks that the origin bears.
fn bearing(parts: &Parts, now: Instant) -> Bearing {
    let stats = parts.gate.stats(now);
    let service = stats.service_time.as_secs_f64();
    let at_gate = u32::try_from(stats.waiting.saturating_sub(stats.following)).unwrap_or(u32::MAX);
    Bearing {
        is_idle: at_gate <= stats.limit / 4,
        places: stats.limit,
        per_second: f64::from(stats.limit) / if service > 0.0 { service } else { 1.0 },
    }
}
