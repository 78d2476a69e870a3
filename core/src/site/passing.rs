//! Owns [`Holding`] and [`Passing`]: what a fetch becomes with the head of its answer. While
//! nothing has gone out a copy can stand in for the response; from the first byte on none can.
//! Never holds up a byte: a body is collected while it passes.

use super::course::{Course, Slow};
use super::keep;
use super::labels::put_labels;
use super::refusal::Refusal;
use super::served::Served;
use crate::admission::Flown;
use crate::breaker::{Outcome, State};
use crate::canary::{Plant, is_planted};
use crate::copies::Collector;
use crate::report::Failure;
use crate::rules::label::Handling;
use crate::time::Instant;

/// A response of which nothing has gone out. Whoever holds it back until it is complete can answer
/// from the copy when it breaks off; whoever does not [passes it on](Self::pass_on) at once.
#[derive(Debug)]
#[must_use = "pass it on, or say how it ended"]
pub struct Holding {
    course: Box<Course>,
    handling: Handling,
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
    pub(super) const fn new(course: Box<Course>, handling: Handling) -> Self {
        Self { course, handling }
    }

    /// Something of the response goes out: the copy cannot rescue any more, and others may replace
    /// it.
    pub fn pass_on(self) -> Passing {
        let Self {
            mut course,
            handling,
        } = self;
        course.copy = None;
        Passing { course, handling }
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

    /// When to call [`on_slow`](Self::on_slow), unless the response is complete before; `None` for
    /// never.
    #[must_use]
    pub fn slow_at(&self) -> Option<Instant> {
        self.course.slow_at()
    }

    /// The response takes longer than it should, as with [`Fetch::on_slow`](super::Fetch::on_slow).
    pub fn on_slow(&mut self, now: Instant) -> Option<Slow> {
        self.course.on_slow(now)
    }

    /// The response broke off. The copy answers, where one may.
    ///
    /// # Errors
    /// The 502 or 504, where none may.
    pub fn on_failure(self, failure: Failure, now: Instant) -> Result<Served, Refusal> {
        let mut course = self.course;
        course.answer_failure(failure, now)
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
    /// Writes `X-Site`, `X-Circuit` and `Cache-Status` of the response.
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

    /// The response is complete.
    pub fn on_end(self, now: Instant) {
        let mut course = self.course;
        course.record(Outcome::Success, now);
        let page = if course.is_page {
            course.key.clone()
        } else {
            None
        };
        let stored = course.collector.take().zip(course.key.take());
        let kept = keep::is_current(&mut course)
            && stored
                .is_some_and(|(collector, key)| keep::keep(&mut course, key, collector.finish()));
        if let Some(page) = page {
            keep::want_public(&course, &page, kept, now);
        }
        // Kept first, so that those who are let in now find it.
        course.land(if kept { Flown::Kept } else { Flown::Unfit });
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
