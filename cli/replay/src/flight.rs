//! Owns [`Flight`]: a request at the application, and which step of it comes next and when.
//! Never counts what users get.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use retter_core::config::OriginSettings;
use retter_core::limits::{HOLD_BYTES_MAX, WORK_BYTES_MAX};
use retter_core::message::RequestHead;
use retter_core::report::Failure;
use retter_core::time::Instant;
use retter_core::{Fetch, Holding, Passing, Served, Slow};

use super::line::{Answer, End, Origin};

/// A request at the application.
pub(super) struct Flight {
    /// What the application answers, or would have, by the log.
    pub(super) answer: Option<Box<Answer>>,
    /// When its user came; nobody waits for what was never sent by one, or was rescued.
    pub(super) came: Option<Instant>,
    pub(super) request: Arc<RequestHead>,
    pub(super) stage: Stage,
}

/// How far it is.
pub(super) enum Stage {
    /// No head has come.
    Asking(Fetch),
    /// Nothing of the answer has gone out.
    Holding(Holding),
    /// The answer is on its way.
    Passing(Passing),
}

impl Stage {
    /// When time changes something; `None` for never.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Asking(fetch) => fetch.poll_timeout(),
            Self::Holding(holding) => holding.poll_timeout(),
            Self::Passing(passing) => passing.poll_timeout(),
        }
    }

    /// The copy that answers instead, as it is slow.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Slow> {
        match self {
            Self::Asking(fetch) => fetch.handle_timeout(now),
            Self::Holding(holding) => holding.handle_timeout(now),
            Self::Passing(passing) => {
                passing.handle_timeout(now);
                None
            }
        }
    }

    /// The answer is complete.
    pub(super) fn end(self, now: Instant) {
        match self {
            Self::Asking(fetch) => fetch.abandon(now),
            Self::Holding(holding) => holding.pass_on().on_end(now),
            Self::Passing(passing) => passing.on_end(now),
        }
    }

    /// The copy that answers instead, as the application failed.
    pub(super) fn fail(self, failure: Failure, now: Instant) -> Option<Served> {
        match self {
            Self::Asking(fetch) => fetch.on_failure(failure, now).ok(),
            Self::Holding(holding) => holding.on_failure(failure, now).ok(),
            Self::Passing(passing) => {
                passing.on_broken_off(failure, now);
                None
            }
        }
    }

    /// Nobody wants it any more.
    pub(super) fn abandon(self, now: Instant) {
        match self {
            Self::Asking(fetch) => fetch.abandon(now),
            Self::Holding(holding) => holding.pass_on().abandon(now),
            Self::Passing(passing) => passing.abandon(now),
        }
    }
}

/// What happens next to a request at the application.
pub(super) enum Step {
    /// The whole answer has come.
    End,
    /// It fails.
    Fail(Failure),
    /// The head of its answer comes.
    Head,
    /// The client leaves.
    Leave,
    /// It takes long, or too long, before the other step comes at its time.
    Timeout(Instant, Box<Self>),
}

/// What a request comes to first, and after which time.
pub(super) fn first(origin: &Origin, settings: &OriginSettings) -> (Duration, Step) {
    let timeout = settings.head_timeout;
    let (after, step) = match origin {
        Origin::Answered(answer) => (answer.head, Step::Head),
        Origin::Failed { failure, took } => {
            let after = match failure {
                Failure::Connect => (*took).min(settings.connect_timeout),
                Failure::Protocol | Failure::Reset | Failure::Truncated => *took,
                // The log tells when another limit was over.
                Failure::Timeout => timeout,
            };
            (after, Step::Fail(*failure))
        }
        Origin::Left { took } => (*took, Step::Leave),
        Origin::NotAsked { .. } => (Duration::ZERO, Step::Leave),
    };
    if after > timeout {
        (timeout, Step::Fail(Failure::Timeout))
    } else {
        (after, step)
    }
}

/// Whether the request reaches the application: else it cannot be slow.
pub(super) fn is_sent(step: &Step) -> bool {
    !matches!(step, Step::Fail(Failure::Connect))
}

/// How an answer ends whose head has come.
pub(super) fn last(answer: &Answer) -> Step {
    match answer.end {
        End::ClientLeft => Step::Leave,
        End::Complete => Step::End,
        End::Truncated => Step::Fail(Failure::Truncated),
    }
}

/// Passes on, as far as anybody looks at it, an answer whose head has come at `now`: held back until
/// it is complete where `is_awaited`, as a session does with a short page that a copy could stand
/// in for. A body of which more than `looked_at` bytes came is in no copy.
pub(super) fn begin(
    mut holding: Holding,
    answer: &Answer,
    is_awaited: bool,
    looked_at: usize,
    now: Instant,
) -> Stage {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let is_short = (1..=HOLD_BYTES_MAX as u64).contains(&answer.bytes);
    let is_page = answer.status == StatusCode::OK;
    let is_held = is_short && is_page && is_awaited && holding.can_rescue();
    let looked_at = WORK_BYTES_MAX.max(looked_at as u64) + 1;
    let mut left = answer.bytes.min(looked_at);
    while left > 0 {
        let length = left.min(ZEROS.len() as u64);
        holding.on_data(&ZEROS[..usize::try_from(length).unwrap_or(0)], now);
        left -= length;
    }
    if is_held {
        Stage::Holding(holding)
    } else {
        Stage::Passing(holding.pass_on())
    }
}
