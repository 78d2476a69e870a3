//! Owns the judgement of an answer that may be an error page with a good status: whether it is read beside the
//! copy that it would replace, and what follows from the verdict.
//! Never decides what an error page looks like: `soft` does.

use std::sync::Arc;

use super::course::Course;
use super::soft::Judging;
use crate::admission::Flown;
use crate::breaker::Outcome;
use crate::copies::StoredResponse;
use crate::message::ResponseHead;
use crate::report::SoftVerdict;
use crate::rules::label::Cause;
use crate::time::Instant;

/// Begins to read the answer beside the copy, where it may turn out to be an error page.
pub(super) fn begin(course: &mut Course, head: &ResponseHead) {
    course.judging = course.copy.as_ref().and_then(|copy| {
        let answer = (head.status, &head.fields);
        let key = course.key.as_ref()?;
        Judging::begin(&course.snapshot, &course.request, answer, key, copy).map(Box::new)
    });
}

/// Whether the copy would answer if the answer turned out to be an error page.
pub(super) fn awaits(course: &Course) -> bool {
    let judging = course.judging.as_ref();
    judging.is_some_and(|judging| judging.may_rescue()) && course.can_rescue()
}

/// The answer is complete. What a verdict befalls is not kept, and those who wait for this fetch
/// are told; the origin has failed where it is a failure.
pub(super) fn judge(course: &mut Course, now: Instant) -> Option<SoftVerdict> {
    if std::mem::replace(&mut course.is_judged, true) {
        return None;
    }
    // Another request may have brought a copy since: it is not to be replaced either.
    let newer = beside_newer(course);
    let judging = course.judging.take();
    if judging.is_none() && newer.is_none() {
        return None;
    }
    let page = course.parts.page(course.key.as_ref()?);
    let judge = |judging: Box<Judging>| {
        let own = course.snapshot.failure_texts();
        let soft = &course.parts.soft;
        soft.judge(*judging, own, &course.request, page, now)
    };
    let mut verdict = judging.and_then(judge);
    if verdict.is_none()
        && let Some((judging, copy)) = newer
    {
        verdict = judge(judging);
        if verdict.is_some() && course.copy.is_some() {
            let age_max = course.snapshot.config().cache.rescue_age_max;
            course.may_rescue = copy.may_rescue(age_max, now);
            course.copy = Some(copy);
        }
    }
    match verdict? {
        SoftVerdict::Failed => {
            course.record(Outcome::Failure, now);
            course.outcome = Outcome::Failure;
            course.land(Flown::Failed(Cause::Soft));
        }
        SoftVerdict::Doubted => {}
    }
    course.discard();
    verdict
}

/// The answer beside the copy that it would replace, where that is not the one of its beginning.
fn beside_newer(course: &Course) -> Option<(Box<Judging>, Arc<StoredResponse>)> {
    let (collector, key) = course.collector.as_ref().zip(course.key.as_ref())?;
    let copy = course
        .parts
        .copies
        .look_up_good(key, &course.request.fields)?;
    let judging = course.judging.as_ref();
    if judging.is_some_and(|judging| judging.is_beside(&copy)) {
        return None;
    }
    let (answer, body) = collector.answer();
    let mut judging = Judging::begin(&course.snapshot, &course.request, answer, key, &copy)?;
    judging.push(body);
    Some((Box::new(judging), copy))
}
