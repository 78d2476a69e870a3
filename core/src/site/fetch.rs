//! Owns [`Fetch`]: permission to ask the origin once, until the head of its answer is there, and
//! what that head means for breaker and copies.
//! Never sees a body: that is for what follows, [`Holding`] and [`Passing`](super::Passing).

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;

use super::ask::Ask;
use super::asks::Ended;
use super::course::{Course, Grant};
use super::failed::{self, Unanswered};
use super::parts::Parts;
use super::passing::Holding;
use super::refusal::Refusal;
use super::sake::Sake;
use super::served::Served;
use super::slow::{self, Slow};
use super::snapshot::Snapshot;
use super::unrescued::Unrescued;
use super::verdict;
use super::{handing, keep, outdated};
use crate::admission::Flown;
use crate::breaker::{Outcome, State};
use crate::canary::{Plant, is_planted};
use crate::key::SessionChange;
use crate::message::ResponseHead;
use crate::report::{Failure, Obstacle};
use crate::rules::conditional::Validators;
use crate::rules::forwarding;
use crate::rules::label::{Cause, Handling, Instead};
use crate::rules::login;
use crate::rules::media;
use crate::time::Instant;

/// Permission to ask the origin once, and the duty to say how it went.
///
/// Dropped without a word, it counts as abandoned: the breaker ignores it, nothing is kept.
#[derive(Debug)]
#[must_use = "say how it went with on_head or on_failure"]
pub struct Fetch {
    course: Box<Course>,
}

/// What to do with a response head.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, into the answer that it is"
)]
pub enum Verdict {
    /// The response is the answer. Until something of it goes out, a copy can stand in for it.
    Forward(Holding),
    /// Answer from this copy instead: the origin failed, or said that the copy is still right. The
    /// fetch has ended, and the response may be thrown away.
    Serve(Served),
}

impl Fetch {
    pub(super) fn new(
        parts: &Arc<Parts>,
        ask: Ask<'_>,
        grant: Grant,
        circuit: State,
        now: Instant,
    ) -> Self {
        let course = Course::new(parts, ask, grant, circuit, now);
        Self { course }
    }

    /// Makes it one for which no client waits.
    pub(super) fn is_for(&mut self, sake: Sake) {
        self.course.sake = sake;
    }

    /// Tells on whose behalf the origin is asked, so that what it answers can be renewed in the
    /// background for the same client.
    pub fn on_behalf_of(&mut self, peer: IpAddr) {
        self.course.peer = Some(peer);
    }

    /// The circuit when the request was let through.
    #[must_use]
    pub fn circuit(&self) -> State {
        self.course.circuit
    }

    /// The settings by which it was allowed, and by which it ends.
    pub(crate) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.course.snapshot
    }

    /// Whether a copy would answer if the origin failed now.
    #[must_use]
    pub fn can_rescue(&self) -> bool {
        self.course.can_rescue()
    }

    /// What was in the way of an answer from a copy when the origin was about to be asked, as it is
    /// counted; `None` where nothing was, and for what is no client's GET.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        self.course.unrescued.as_ref().and_then(Unrescued::why)
    }

    /// The conditions to ask the origin with, in place of the client's own `If-None-Match` and
    /// `If-Modified-Since` (RFC 9111 §4.3.1): with them a 304 is about the copy.
    #[must_use]
    pub fn validators(&self) -> Option<Validators<'_>> {
        self.course.validators()
    }

    /// A new connection to the origin came about. Nothing depends on this call, but an outage is
    /// known to be over sooner.
    pub fn on_connected(&mut self, now: Instant) {
        self.course.last = now;
        self.course.parts.connected(now);
    }

    /// The request is on its way as a whole: from now on the origin is at work. Without this call
    /// it is from the start, and never slow.
    pub fn on_sent(&mut self, now: Instant) {
        self.course.on_sent(now);
    }

    /// The client takes long to send the request's content, for which the origin can only wait: its
    /// slot is free.
    pub(crate) fn on_late_content(&mut self, now: Instant) {
        self.course.on_late_content(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless a final head comes before; `None`
    /// for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.course.poll_timeout()
    }

    /// The answer is not here yet. Where others are answered meanwhile, the request only waits at the
    /// origin, as a long poll does, and its place is for others. Where it takes longer than it should,
    /// the copy answers, if one may; without one the wait goes on.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Slow> {
        slow::handle_timeout(&mut self.course, now)
    }

    /// When to call [`on_late`](Self::on_late), unless the exchange has ended before; `None` for never.
    pub(crate) fn late_at(&self) -> Option<Instant> {
        self.course.late_at()
    }

    /// The request is still at the origin. Where others are answered meanwhile it only waits there, as
    /// a long poll does, and its place is for others.
    pub(crate) fn on_late(&mut self, now: Instant) {
        self.course.on_late(now);
    }

    /// Whether it may take longer than others to be answered: it only waits at the origin, or may,
    /// and the origin is well.
    pub(crate) fn may_wait_on(&self, now: Instant) -> bool {
        self.course.may_wait_on(now)
    }

    /// Whether it counts as a request at the origin.
    pub(crate) fn has_slot(&self) -> bool {
        self.course.has_slot()
    }

    /// When to call [`on_slow`](Self::on_slow), unless a final head comes before; `None` for never.
    pub(crate) fn slow_at(&self) -> Option<Instant> {
        self.course.slow_at()
    }

    /// The response takes longer than it should. The copy answers, where one may; without one the
    /// wait goes on.
    pub(crate) fn on_slow(&mut self, now: Instant) -> Option<Slow> {
        slow::answer(&mut self.course, now)
    }

    /// An interim response came (RFC 9110 §15.2). What it hands out is for its client only, and so is
    /// what follows.
    pub fn on_interim(&mut self, head: &ResponseHead) {
        let now = self.course.last;
        handing::note_cookies(&mut self.course, head, now);
    }

    /// Takes the final response head.
    pub fn on_head(self, head: &ResponseHead, now: Instant) -> Verdict {
        let mut course = self.course;
        course.last = now;
        if course.slow_at().is_some_and(|at| at <= now) {
            slow::record(&mut course, now);
        }
        course.note_retry_after(head, now);
        if login::binds_connection(&head.fields) && head.status != StatusCode::NOT_MODIFIED {
            course.parts.logins.store(true, Ordering::Relaxed);
            course.keep_nothing();
        }
        let fails = &course.snapshot.config().breaker.failure_statuses;
        let fails = fails.contains(head.status);
        let kept = course.keeps;
        let session = match course.visit_mut() {
            // Its cookies are thrown away.
            Some(_) => {
                handing::note_visit(&mut course, head, now);
                SessionChange::None
            }
            None => {
                let reaches = !fails || !course.can_rescue();
                handing::take(&mut course, head, reaches, now)
            }
        };
        outdated::note_visitor(&mut course, head, now);
        course.drop_ended(now);
        let instead = if fails {
            on_failing(&mut course, head.status, now)
        } else {
            on_good(&mut course, head, session, now)
        };
        if let Some(served) = instead {
            course.free(now);
            return Verdict::Serve(served);
        }
        let is_stream = forwarding::is_event_stream(&head.fields);
        if course.is_page {
            course.is_page = !is_stream && !media::is_data(&head.fields);
        }
        if !is_stream {
            let collected = keep::collect(&course, head, session, now);
            if let Err(why) = &collected {
                course.note_unkept(*why, kept);
                if *why == Obstacle::Vary && keep::differs_by_language(&course, &head.fields) {
                    course.note_unfit(Ended::InLanguages);
                }
            }
            course.collector = collected.ok();
            verdict::begin(&mut course, head);
        }
        course.note_answered(head.status, fails);
        let is_anybodys = session == SessionChange::None || is_planted(Plant::KeptWithCookie);
        if course.collector.is_none() || !is_anybodys {
            course.land(Flown::Unfit);
        }
        if is_stream || head.status == StatusCode::SWITCHING_PROTOCOLS {
            // It lasts as long as its client wants: that is no work and no sign of trouble.
            course.record(Outcome::Success, now);
            course.free(now);
        }
        let handling = Handling::Forwarded {
            why: course.why,
            status: head.status,
            stored: false,
            collapsed: false,
        };
        let seek = fails
            .then(|| failed::seek_beside(&course, head.status))
            .flatten();
        Verdict::Forward(Holding::new(course, handling, seek))
    }

    /// The origin failed below HTTP. The copy answers, where one may.
    ///
    /// # Errors
    /// The 502 or 504, where none may.
    pub fn on_failure(mut self, failure: Failure, now: Instant) -> Result<Served, Refusal> {
        failed::answer(&mut self.course, failure, now)
    }

    /// As [`on_failure`](Self::on_failure), for a caller that lets a request wait: where no connection
    /// came about, until the origin is back, and nothing of it must have been sent then; else until
    /// other instances were asked for a copy.
    pub fn on_unanswered(self, failure: Failure, now: Instant) -> Unanswered {
        match failure {
            Failure::Connect => failed::answer_unreached(self.course, now),
            Failure::Protocol | Failure::Reset | Failure::Timeout | Failure::Truncated => {
                failed::answer_broken(self.course, failure, now)
            }
        }
    }

    /// This side has no socket, port or memory left to ask the origin with. The copy answers, where
    /// one may, as it does when the origin is full; else the client is told to come back.
    ///
    /// The breaker learns nothing from it, and whoever waits for this fetch looks for another.
    ///
    /// # Errors
    /// The refusal, where no copy may answer.
    pub fn unasked(mut self, now: Instant) -> Result<Served, Refusal> {
        let course = &mut self.course;
        let answer = match course.take_copy() {
            Some((copy, key)) => {
                let ttl = copy.ttl_seconds(now);
                let copies = &course.parts.overload_copies;
                copies.fetch_add(1, Ordering::Relaxed);
                Ok(course.serve(key, copy, Handling::Overload { ttl }, now))
            }
            None => course
                .stand_in(Instead::Overload, now)
                .ok_or_else(|| Refusal::unasked(course.why, course.circuit)),
        };
        course.give_up(now);
        answer
    }

    /// Whether it may be sent again, as the circuits are what they were when it was allowed.
    pub(crate) fn is_allowed(&self, now: Instant) -> bool {
        self.course.is_allowed(now)
    }

    /// What it holds.
    pub(super) fn into_course(self) -> Box<Course> {
        self.course
    }

    /// The client went away: the breaker learns nothing from it.
    pub fn abandon(mut self, now: Instant) {
        self.course.give_up(now);
    }
}

/// The status says that the origin failed: the copy that answers, if one may.
fn on_failing(course: &mut Course, status: StatusCode, now: Instant) -> Option<Served> {
    course.record(Outcome::Failure, now);
    course.outcome = Outcome::Failure;
    course.land(Flown::Failed(Cause::Status(status)));
    course.rescue(Cause::Status(status), now)
}

/// The origin did not fail: the copy that answers, if the origin said that it is still right.
fn on_good(
    course: &mut Course,
    head: &ResponseHead,
    session: SessionChange,
    now: Instant,
) -> Option<Served> {
    outdated::drop_refused(course, head.status, now);
    if let Some(sent_at) = course.sent_at {
        let (kind, took) = (course.kind, now.saturating_since(sent_at));
        course
            .parts
            .change_circuits(now, |tiers| tiers.took(kind, took, now));
    }
    outdated::invalidate(course, head, now);
    if head.status == StatusCode::NOT_MODIFIED
        && course.validators().is_some()
        && let Some(served) = keep::validated(course, head, session, now)
    {
        course.record(Outcome::Success, now);
        return Some(served);
    }
    keep::note_head(course, head, session, now);
    keep::note_preflight(course, head, now);
    None
}

#[cfg(test)]
impl Verdict {
    /// The response on its way, for tests in which it is the answer.
    pub(crate) fn passed_on(self) -> super::Passing {
        match self {
            Self::Forward(holding) => holding.pass_on(),
            Self::Serve(served) => panic!("a copy answers: {served:?}"),
        }
    }

    /// The copy in its place, for tests in which there is one.
    pub(crate) fn served(self) -> Served {
        match self {
            Self::Forward(_) => panic!("no copy answers"),
            Self::Serve(served) => served,
        }
    }
}
