//! Owns what happens where an answer takes longer than it should: a copy answers, and the request goes on to
//! renew it ([`Slow`]).
//! Never decides what is slow: the breaker does.

use std::sync::Arc;

use super::course::Course;
use super::errand::{self, Errand};
use super::sake::Sake;
use super::served::Served;
use crate::breaker::Outcome;
use crate::rules::label::{Cause, Handling, Instead};
use crate::rules::media;
use crate::time::Instant;

/// The copy that answers a slow request.
#[derive(Debug)]
#[must_use]
pub struct Slow {
    /// What the client gets.
    pub served: Served,
    /// The fetch goes on to renew the copy, though nobody waits any more; else it is to be dropped.
    pub goes_on: bool,
}

/// Lets time pass: it may be late, or slow, and a copy answers.
pub(super) fn handle_timeout(course: &mut Course, now: Instant) -> Option<Slow> {
    let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
    if is_due(course.slow_at()) {
        return answer(course, now);
    }
    if is_due(course.late_at()) {
        course.on_late(now);
    }
    None
}

/// The response takes longer than it should: the copy that answers, where one may.
pub(super) fn answer(course: &mut Course, now: Instant) -> Option<Slow> {
    course.last = now;
    if course.late_at().is_some_and(|at| at <= now) {
        course.on_late(now);
    }
    record(course, now);
    match &course.sake {
        Sake::Client => {}
        Sake::Renewal(renewal) => {
            let retry_at = course.parts.retry_at(&course.request, now);
            course.parts.renewals.is_slow(renewal, retry_at, now);
            return None;
        }
        Sake::Stranger(visit) => {
            // Nobody waits for it, and no circuit is left unprobed for it.
            course.parts.visit_is_slow(visit.number, course.asked, now);
            return None;
        }
    }
    if is_old_news(course) {
        return None;
    }
    let key = course.key.clone()?;
    let is_old = course.copy.as_ref().is_some_and(|copy| {
        let (keyer, fields) = (course.snapshot.keyer(), &course.request.fields);
        course
            .parts
            .is_before_own_write(keyer, (copy, &key), fields, now)
    });
    let served = if course.has_own() {
        if is_old {
            return None;
        }
        // A 304 may still renew it.
        let (copy, key) = (course.copy.clone()?, key.clone());
        let handling = Handling::Rescued {
            ttl: copy.ttl_seconds(now),
            cause: Cause::Slow,
        };
        course.serve(key, copy, handling, now)
    } else {
        let instead = Instead::Rescued(Cause::Slow);
        course.wanting().serve(instead, course.circuit, now)?
    };
    if let Some(peer) = course.peer
        && course.keeps
        && errand::renews(&course.request)
    {
        let request = Arc::clone(&course.request);
        let errand = Errand { key, peer, request };
        if let Some(renewal) = course.parts.adopt(&errand, now) {
            course.sake = Sake::Renewal(renewal);
        }
    }
    Some(Slow {
        served,
        goes_on: !course.is_clients(),
    })
}

pub(super) fn record(course: &mut Course, now: Instant) {
    if std::mem::replace(&mut course.is_never_slow, true) {
        return;
    }
    let slot = course.slot.as_ref();
    if slot.is_some_and(|slot| slot.is_patient()) {
        return;
    }
    let Some(permit) = &mut course.permit else {
        return;
    };
    if permit.slow_after().is_some() && permit.is_probe() && course.sake.count() {
        course.parts.renewals.count_probe(Outcome::Failure);
    }
    course
        .parts
        .change_circuits(now, |tiers| tiers.record_slow(permit, now));
}

/// Whether its copy is data of a page whose requests wait at the origin, as those of a long poll:
/// until there is news, nothing is the answer.
fn is_old_news(course: &Course) -> bool {
    let copy = course.copy.as_ref();
    copy.is_some_and(|copy| media::is_data(copy.fields()))
        && course.parts.gate.may_park(&course.bid)
}
