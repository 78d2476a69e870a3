//! Owns [`Opened`]: which pages pass a circuit that failures have opened.
//! Never asks the circuit anything.

use std::time::Duration;

use crate::breaker::{Change, Reason, State};
use crate::time::Instant;

/// So many of them fail until none passes any more: what had succeeded before says nothing then.
const FAILED_MAX: u32 = 3;

/// When failures have opened a circuit that is not closed again; nothing where it was opened by what
/// concerns all pages alike: no connection comes about, or nothing is answered.
#[derive(Debug, Default)]
pub(super) struct Opened(Option<Since>);

#[derive(Clone, Copy, Debug)]
struct Since {
    /// What has succeeded from then on passes.
    good_from: Instant,
    failed: u32,
}

impl Opened {
    /// The circuit has changed, which looks back for `window`.
    pub(super) fn note(&mut self, change: &Change, window: Duration) {
        let is_by_failures = matches!(
            change.reason,
            Reason::Consecutive { .. } | Reason::FailureRate { .. }
        );
        match change.to {
            State::HalfOpen => {}
            State::Open if is_by_failures => {
                let since = change.at.saturating_since(Instant::ZERO);
                let good_from = Instant::from_epoch(since.saturating_sub(window));
                self.0 = Some(Since {
                    good_from,
                    failed: 0,
                });
            }
            State::Open if matches!(change.reason, Reason::ProbeFailed { .. }) => {}
            State::Closed | State::Open => self.0 = None,
        }
    }

    /// From when on a page must have succeeded to pass; `None` where none passes.
    pub(super) fn good_from(&self) -> Option<Instant> {
        let since = self.0.filter(|since| since.failed < FAILED_MAX)?;
        Some(since.good_from)
    }

    /// One that has passed has failed.
    pub(super) const fn failed(&mut self) {
        if let Some(since) = &mut self.0 {
            since.failed = since.failed.saturating_add(1);
        }
    }
}
