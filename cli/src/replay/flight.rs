//! Owns [`Flight`]: a request at the application, and which step of it comes next and when.
//! Never counts what users get.

use std::time::Duration;

use http::StatusCode;
use retter_core::config::OriginSettings;
use retter_core::limits::{HOLD_BYTES_MAX, WORK_BYTES_MAX};
use retter_core::policy::Fetch;
use retter_core::report::Failure;
use retter_core::time::Instant;

use super::line::{Answer, End, Origin};

/// A request at the application.
pub(super) struct Flight {
    /// What the application answers, or would have, by the log.
    pub(super) answer: Option<Box<Answer>>,
    /// When its user came; nobody waits for what was never sent by one, or was rescued.
    pub(super) came: Option<Instant>,
    pub(super) fetch: Box<Fetch>,
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
    /// It counts as slow, before the other step comes at its time.
    Slow(Instant, Box<Self>),
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

impl Flight {
    /// Whether the answer is held back until it is complete, as a session does with a short page
    /// that a copy could stand in for.
    pub(super) fn holds(&self, answer: &Answer) -> bool {
        let is_short = (1..=HOLD_BYTES_MAX as u64).contains(&answer.bytes);
        let is_page = answer.status == StatusCode::OK;
        is_short && is_page && self.came.is_some() && self.fetch.can_rescue()
    }

    /// Passes a body of so many bytes, as far as anybody looks at it.
    pub(super) fn feed(&mut self, bytes: u64, now: Instant) {
        static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(ZEROS.len() as u64);
            self.fetch
                .on_data(&ZEROS[..usize::try_from(length).unwrap_or(0)], now);
            left -= length;
            if !self.fetch.is_collecting() && bytes - left > WORK_BYTES_MAX {
                return;
            }
        }
    }
}
