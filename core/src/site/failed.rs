//! Owns what answers a request of which the origin has failed: a copy, one of another instance, a wait for the
//! origin's return, or the 502 or 504 ([`Unanswered`]).
//! Never decides whether the origin has failed.

use std::sync::Arc;

use http::StatusCode;

use super::course::Course;
use super::delayed::Delayed;
use super::refusal::Refusal;
use super::seek::Seek;
use super::served::Served;
use crate::breaker::Outcome;
use crate::report::Failure;
use crate::rules::label::{Cause, Instead};
use crate::time::Instant;

/// What becomes of a request that the origin has not answered: nothing of it was sent, as no connection came
/// about, or the origin failed on it.
#[derive(Debug)]
#[must_use]
pub enum Unanswered {
    /// The 502 or 504.
    Refuse(Refusal),
    /// Answer from this copy.
    Serve(Served),
    /// It may be sent yet, as the origin may be back soon, or another instance may have a copy.
    Wait(Box<Delayed>),
}

impl From<Result<Served, Refusal>> for Unanswered {
    fn from(answer: Result<Served, Refusal>) -> Self {
        match answer {
            Ok(served) => Self::Serve(served),
            Err(refusal) => Self::Refuse(refusal),
        }
    }
}

/// As [`Course::failed`]; the copy answers, where one may, or else the 502 or 504.
pub(super) fn answer(
    course: &mut Course,
    failure: Failure,
    now: Instant,
) -> Result<Served, Refusal> {
    let status = failure_status(course, failure);
    let was_sent = failure != Failure::Connect;
    let refusal = match was_sent && !course.request.method.is_safe() {
        true => Refusal::may_have_arrived(course.why, failure, status, course.circuit),
        false => Refusal::origin_failed(course.why, failure, status, course.circuit),
    };
    course.failed(failure, now);
    course.rescue(Cause::Failure(failure), now).ok_or(refusal)
}

/// As [`Course::failed`]; the copy answers, where one may, or else one of another instance, for
/// which the request waits, or else the 502 or 504.
pub(super) fn answer_broken(mut course: Box<Course>, failure: Failure, now: Instant) -> Unanswered {
    if let Some(delayed) = seek(&mut course, failure, now) {
        course.failed(failure, now);
        return Unanswered::Wait(delayed);
    }
    answer(&mut course, failure, now).into()
}

/// Asks other instances for a copy, where the origin has failed on a client's request that none here can
/// answer.
fn seek(course: &mut Course, failure: Failure, now: Instant) -> Option<Box<Delayed>> {
    course.parts.copies.sharing()?;
    if !course.is_clients() || course.can_rescue() {
        return None;
    }
    let (parts, request) = (Arc::clone(&course.parts), Arc::clone(&course.request));
    let status = failure_status(course, failure);
    let refusal = Refusal::origin_failed(course.why, failure, status, course.circuit);
    let ask = course.ask(&request);
    let instead = Instead::Rescued(Cause::Failure(failure));
    Delayed::new(&parts, ask, refusal, (instead, false), now).ok()
}

/// The same for a response that is there and is a failure.
pub(super) fn seek_beside(course: &Course, status: StatusCode) -> Option<Box<Seek>> {
    let instead = Instead::Rescued(Cause::Status(status));
    let seek = || Seek::begin(&course.wanting(), course.may_share, instead, course.last);
    course.is_clients().then(seek).flatten()
}

/// What other instances had is here: the copy that answers in the place of this status.
pub(super) fn rescue_sought(
    course: &mut Course,
    status: StatusCode,
    now: Instant,
) -> Option<Served> {
    course.last = now;
    let seen = course.key.as_ref().filter(|_| course.may_share);
    let fields = &course.request.fields;
    let age_max = course.snapshot.config().cache.rescue_age_max;
    let copy = seen.and_then(|key| course.parts.copies.look_up_good(key, fields));
    course.may_rescue = copy
        .as_ref()
        .is_some_and(|copy| copy.may_rescue(age_max, now));
    course.copy = copy;
    course.rescue(Cause::Status(status), now)
}

/// No connection to the origin came about. Where no copy answers, and it is of use, the request
/// waits for one; whoever waits for this fetch looks for another.
pub(super) fn answer_unreached(mut course: Box<Course>, now: Instant) -> Unanswered {
    course.parts.refused(now);
    if course.is_clients() && !course.can_rescue() {
        let (parts, request) = (Arc::clone(&course.parts), Arc::clone(&course.request));
        let status = failure_status(&course, Failure::Connect);
        let refusal = Refusal::origin_failed(course.why, Failure::Connect, status, course.circuit);
        let ask = course.ask(&request);
        let instead = Instead::Rescued(Cause::Failure(Failure::Connect));
        if let Ok(delayed) = Delayed::new(&parts, ask, refusal, (instead, true), now) {
            course.drop_ended(now);
            course.record(Outcome::ConnectFailure, now);
            course.outcome = Outcome::ConnectFailure;
            course.free(now);
            course.lead = None;
            return Unanswered::Wait(delayed);
        }
    }
    answer(&mut course, Failure::Connect, now).into()
}

fn failure_status(course: &Course, failure: Failure) -> StatusCode {
    match &course.copy {
        // RFC 9111 §5.2.2.2: "the cache MUST generate an error response rather than reuse a
        // stale response. The generated response SHOULD have a 504".
        Some(copy) if copy.lifetimes().forbids_stale() => StatusCode::GATEWAY_TIMEOUT,
        Some(_) | None => failure.status_hint(),
    }
}
