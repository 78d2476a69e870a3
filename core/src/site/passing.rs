//! Owns [`Holding`] and [`Passing`]: what a fetch becomes with the head of its answer. While
//! nothing has gone out a copy can stand in for the response; from the first byte on none can.
//! Never holds up a byte: a body is collected while it passes.

use std::task::Waker;

use super::course::Course;
use super::failed;
use super::keep;
use super::labels::put_labels;
use super::refusal::Refusal;
use super::seek::Seek;
use super::served::Served;
use super::slow::{self, Slow};
use super::verdict;
use crate::admission::Flown;
use crate::breaker::{Outcome, State};
use crate::canary::{Plant, is_planted};
use crate::copies::Collector;
use crate::key::CacheKey;
use crate::report::{Failure, SoftVerdict};
use crate::rules::label::{Cause, Handling};
use crate::time::Instant;

/// A response of which nothing has gone out. Whoever holds it back until it is complete can answer
/// from the copy when it breaks off; whoever does not [passes it on](Self::pass_on) at once.
#[derive(Debug)]
#[must_use = "pass it on, or say how it ended"]
pub struct Holding {
    course: Box<Course>,
    handling: Handling,
    /// Copies of other instances, which may answer in its place.
    seek: Option<Box<Seek>>,
}

/// What a response is, now that it is complete and nothing of it has gone out.
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::large_enum_variant,
    reason = "moved once, into the answer that it is"
)]
pub enum Completed {
    /// It is the answer: pass all of it on, then say [`Passing::on_end`].
    PassOn(Passing),
    /// It is an error page whatever its status says: answer from this copy instead. The fetch has
    /// ended.
    Serve(Served),
}

/// A response on its way to the client.
///
/// Dropped without a word, it counts as abandoned: the breaker ignores it, nothing is kept.
#[derive(Debug)]
#[must_use = "say how it ended"]
pub struct Passing {
    course: Box<Course>,
    handling: Handling,
}

impl Holding {
    pub(super) const fn new(
        course: Box<Course>,
        handling: Handling,
        seek: Option<Box<Seek>>,
    ) -> Self {
        Self {
            course,
            handling,
            seek,
        }
    }

    /// Until when it pays to hold back a failure, as another instance may have a copy; `None` where it does
    /// not, or that was [asked](Self::poll_seek) already.
    pub(crate) fn seeks_until(&self) -> Option<Instant> {
        self.seek.as_ref().map(|seek| seek.deadline())
    }

    /// Asks whether another instance had a copy that answers in the place of this failure. While that is not
    /// known, `waker` is called when it is, but not at the [deadline](Self::seeks_until).
    ///
    /// # Errors
    /// The response itself, where none answers yet.
    pub(crate) fn poll_seek(mut self, waker: &Waker, now: Instant) -> Result<Served, Self> {
        let is_over = |seek: &mut Box<Seek>| seek.is_over(waker, now);
        if self.seek.take_if(is_over).is_some()
            && let Handling::Forwarded { status, .. } = self.handling
            && let Some(served) = failed::rescue_sought(&mut self.course, status, now)
        {
            self.course.free(now);
            return Ok(served);
        }
        Err(self)
    }

    /// Something of the response goes out: the copy cannot rescue any more, and others may replace
    /// it.
    pub fn pass_on(self) -> Passing {
        let Self {
            mut course,
            handling,
            ..
        } = self;
        course.copy = None;
        Passing { course, handling }
    }

    /// Whether the response may turn out to be an error page that comes with status 200, so that it
    /// pays to hold it back until it is complete, for a short time.
    #[must_use]
    pub fn awaits_verdict(&self) -> bool {
        verdict::awaits(&self.course)
    }

    /// The response is complete, and all of it is held back. The copy answers where it turns out to
    /// be an error page.
    pub fn complete(self, now: Instant) -> Completed {
        let Self {
            mut course,
            handling,
            ..
        } = self;
        let verdict = verdict::judge(&mut course, now);
        if verdict == Some(SoftVerdict::Failed)
            && let Some(served) = course.rescue(Cause::Soft, now)
        {
            course.free(now);
            return Completed::Serve(served);
        }
        // Kept first, so that its labels can say whether it was.
        let mut passing = Self::new(course, handling, None).pass_on();
        let kept = keep_collected(&mut passing.course, now);
        if let Handling::Forwarded { stored, .. } = &mut passing.handling {
            *stored = kept;
        }
        Completed::PassOn(passing)
    }

    /// Whether a copy would answer if the response broke off now.
    #[must_use]
    pub fn can_rescue(&self) -> bool {
        self.course.can_rescue()
    }

    /// Takes a piece of the response body that is held back.
    pub fn on_data(&mut self, data: &[u8], now: Instant) {
        self.course.on_data(data, now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless the response is complete before;
    /// `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.course.poll_timeout()
    }

    /// The response is not complete yet, as with
    /// [`Fetch::handle_timeout`](super::Fetch::handle_timeout).
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Slow> {
        slow::handle_timeout(&mut self.course, now)
    }

    pub(crate) fn slow_at(&self) -> Option<Instant> {
        self.course.slow_at()
    }

    pub(crate) fn on_slow(&mut self, now: Instant) -> Option<Slow> {
        slow::answer(&mut self.course, now)
    }

    /// The response broke off. The copy answers, where one may.
    ///
    /// # Errors
    /// The 502 or 504, where none may.
    pub fn on_failure(self, failure: Failure, now: Instant) -> Result<Served, Refusal> {
        let mut course = self.course;
        failed::answer(&mut course, failure, now)
    }

    pub(crate) fn late_at(&self) -> Option<Instant> {
        self.course.late_at()
    }

    pub(crate) fn on_late(&mut self, now: Instant) {
        self.course.on_late(now);
    }

    pub(crate) fn circuit(&self) -> State {
        self.course.circuit
    }

    pub(crate) fn is_collecting(&self) -> bool {
        self.course.collector.is_some()
    }

    pub(crate) fn has_slot(&self) -> bool {
        self.course.has_slot()
    }

    pub(crate) fn on_sent(&mut self, now: Instant) {
        self.course.on_sent(now);
    }

    pub(crate) fn on_late_content(&mut self, now: Instant) {
        self.course.on_late_content(now);
    }
}

impl Passing {
    /// Writes `X-Retter`, `X-Circuit` and `Cache-Status` of the response.
    pub fn put_labels(&self, put: &mut dyn FnMut(&str, &[u8])) {
        put_labels(self.course.circuit, &self.handling, None, put);
    }

    /// What [`put_labels`](Self::put_labels) writes, for later.
    pub(crate) fn labels(&self) -> (State, Handling) {
        (self.course.circuit, self.handling)
    }

    /// Takes a piece of the response body.
    pub fn on_data(&mut self, data: &[u8], now: Instant) {
        self.course.on_data(data, now);
    }

    /// The client does not read, so the rest of the body may be long in coming. Clients that stall
    /// may hold half of the memory in which copies are made, not more: the rest is for those who
    /// read.
    ///
    /// Nor does the origin work for a client that does not read: its slot is free.
    pub fn on_pause(&mut self, now: Instant) {
        self.course.free(now);
        if self
            .course
            .collector
            .as_ref()
            .is_some_and(Collector::is_short)
        {
            self.course.discard();
        }
    }

    /// The response is complete. One that turns out to be an error page is not kept.
    pub fn on_end(self, now: Instant) {
        let mut course = self.course;
        let _ = verdict::judge(&mut course, now);
        course.record(Outcome::Success, now);
        // Kept first, so that those who are let in now find it.
        keep_collected(&mut course, now);
        course.free(now);
    }

    /// The response broke off: too late to rescue from it, but the outcome counts.
    pub fn on_broken_off(mut self, failure: Failure, now: Instant) {
        if is_planted(Plant::TruncatedCopy) {
            return self.on_end(now);
        }
        self.course.failed(failure, now);
    }

    /// The client went away, or made the origin give up: the breaker learns nothing from it.
    pub fn abandon(mut self, now: Instant) {
        self.course.give_up(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), unless the response is complete before;
    /// `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.course.late_at()
    }

    /// The response is not complete yet. Where others are answered meanwhile, its request only waits
    /// at the origin, and its place is for others. No copy answers any more.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.course.on_late(now);
    }

    pub(crate) fn late_at(&self) -> Option<Instant> {
        self.course.late_at()
    }

    pub(crate) fn on_late(&mut self, now: Instant) {
        self.course.on_late(now);
    }

    pub(crate) fn circuit(&self) -> State {
        self.course.circuit
    }

    pub(crate) fn is_collecting(&self) -> bool {
        self.course.collector.is_some()
    }

    pub(crate) fn has_slot(&self) -> bool {
        self.course.has_slot()
    }

    pub(crate) fn on_sent(&mut self, now: Instant) {
        self.course.on_sent(now);
    }

    pub(crate) fn on_late_content(&mut self, now: Instant) {
        self.course.on_late_content(now);
    }
}

/// Keeps what was collected, once; whether it is kept now.
fn keep_collected(course: &mut Course, now: Instant) -> bool {
    let page = if course.is_page {
        course.key.clone()
    } else {
        None
    };
    let after = course.keep_as.take();
    let is_visitors = after.is_some();
    let asked = course.key.take();
    if is_visitors {
        // Its request has not the cookies of the key; and it may be of a session that is over.
        course.peer = None;
        let is_outdated = |key: &CacheKey| course.parts.copies.is_outdated(key, course.mark);
        if asked.as_ref().is_some_and(is_outdated) {
            course.collector = None;
        }
    }
    let stored = course.collector.take().zip(after.or(asked));
    let kept = keep::is_current(course)
        && stored.is_some_and(|(collector, key)| keep::keep(course, key, collector.finish(), now));
    if let Some(page) = page {
        keep::want_public(course, &page, kept && !is_visitors, now);
    }
    course.land(if kept { Flown::Kept } else { Flown::Unfit });
    kept
}
