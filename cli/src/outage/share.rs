//! Owns [`Share`]: what was counted of an outage, of one thread since it was last taken, or in all.
//! Never locks and never reads a clock.

use std::time::Duration;

use retter_core::event::Report;
use retter_core::report::{Failure, Source};
use retter_core::rules::label::Handling;
use retter_core::time::Instant;
use serde::{Deserialize, Serialize};

use super::pages::Pages;
use super::sketch::Sketch;

/// Answers to visitors while the application was down.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Answers {
    /// By the application, or from a copy that needed none.
    pub(crate) fresh: u64,
    /// From a copy in the application's place.
    pub(crate) rescued: u64,
    /// Errors of this program's own.
    pub(crate) refused: u64,
    /// Errors of the application that were passed on.
    pub(crate) failed: u64,
    /// Those of all answers that were waited for in a queue.
    pub(crate) waited: u64,
    /// Visitors who left before there was an answer.
    pub(crate) left: u64,
    /// Writes among the errors: not sent, or failed.
    pub(crate) writes_lost: u64,
    /// Those of them that may have arrived all the same.
    pub(crate) writes_unsure: u64,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    pub(super) answers: Answers,
    /// The first answer of the application that was good, since it failed last.
    pub(super) first_good: Option<Instant>,
    last_bad: Option<Instant>,
    /// The age of the oldest copy that was given.
    pub(super) oldest_copy: Duration,
    /// Pages with errors.
    pub(super) pages: Pages,
    pub(super) visitors: Sketch,
}

impl Share {
    /// Counts an exchange with a client. `visitor` is a hash of the client's address.
    pub(super) fn count(&mut self, report: &Report, visitor: u64) {
        self.visitors.add(visitor);
        let answers = &mut self.answers;
        answers.waited += u64::from(report.waited);
        let Some(status) = report.status else {
            answers.left += 1;
            return;
        };
        let rescue = report.handling.and_then(|handling| handling.rescue());
        if rescue.is_some() {
            answers.rescued += 1;
            self.oldest_copy = self.oldest_copy.max(report.copy_age.unwrap_or_default());
            return;
        }
        if !status.is_server_error() {
            answers.fresh += 1;
            self.note_good(report);
            return;
        }
        // A good answer before was none that lasts.
        self.first_good = None;
        self.last_bad = self.last_bad.max(Some(report.ended));
        match report.source {
            Source::NoCache => answers.refused += 1,
            Source::Backend | Source::Cache | Source::LastKnownSuccess | Source::Refresh => {
                answers.failed += 1;
            }
        }
        if let Some(request) = &report.request {
            self.pages.add(request.path());
            if !request.method.is_safe() {
                answers.writes_lost += 1;
                answers.writes_unsure += u64::from(may_have_arrived(report));
            }
        }
    }

    /// Takes note of a good answer of the application, without counting it.
    pub(super) fn note_good(&mut self, report: &Report) {
        if report.source == Source::Backend {
            self.first_good.get_or_insert(report.ended);
        }
    }

    /// Adds what another has counted.
    pub(super) fn merge(&mut self, other: Self) {
        let (own, more) = (&mut self.answers, other.answers);
        own.fresh += more.fresh;
        own.rescued += more.rescued;
        own.refused += more.refused;
        own.failed += more.failed;
        own.waited += more.waited;
        own.left += more.left;
        own.writes_lost += more.writes_lost;
        own.writes_unsure += more.writes_unsure;
        self.last_bad = self.last_bad.max(other.last_bad);
        let good = [self.first_good, other.first_good].into_iter().flatten();
        self.first_good = good.filter(|good| Some(*good) > self.last_bad).min();
        self.oldest_copy = self.oldest_copy.max(other.oldest_copy);
        self.pages.merge(other.pages);
        self.visitors.merge(&other.visitors);
    }
}

/// Whether the application may have got a write that was answered with an error.
fn may_have_arrived(report: &Report) -> bool {
    match report.handling {
        Some(Handling::NoCopy { .. }) => false,
        Some(Handling::Failed { failure, .. }) => failure != Failure::Connect,
        // The application said so itself, or it is not known.
        Some(
            Handling::Behind { .. }
            | Handling::CircuitOpen { .. }
            | Handling::Collapsed { .. }
            | Handling::Forwarded { .. }
            | Handling::Fresh { .. }
            | Handling::MaxStale { .. }
            | Handling::Overload { .. }
            | Handling::Public { .. }
            | Handling::Rescued { .. }
            | Handling::Validated { .. },
        )
        | None => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode};
    use retter_core::message::{Fields, RequestHead};
    use retter_core::rules::label::{ForwardReason, Refused};

    use super::*;
    use crate::telemetry::sample;

    fn report(method: Method, status: u16, source: Source, handling: Handling) -> Report {
        Report {
            handling: Some(handling),
            request: Some(Arc::new(RequestHead::new(
                method,
                "/a?secret",
                Fields::default(),
            ))),
            source,
            status: Some(StatusCode::from_u16(status).unwrap()),
            ..sample::report()
        }
    }

    /// A hash, well mixed.
    fn visitor(number: u64) -> u64 {
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[test]
    fn each_answer_is_of_one_kind() {
        let why = ForwardReason::Method;
        let refused = Handling::NoCopy {
            why,
            refused: Refused::CircuitOpen,
        };
        let failed = |failure| Handling::Failed { why, failure };
        let own = Source::NoCache;
        let mut share = Share::default();
        share.count(&report(Method::GET, 503, own, refused), visitor(1));
        share.count(
            &report(Method::POST, 502, own, failed(Failure::Connect)),
            visitor(2),
        );
        share.count(
            &report(Method::POST, 504, own, failed(Failure::Timeout)),
            visitor(2),
        );
        let rescued = Report {
            copy_age: Some(Duration::from_secs(9)),
            waited: true,
            ..report(
                Method::GET,
                200,
                Source::Cache,
                Handling::CircuitOpen { ttl: -4 },
            )
        };
        share.count(&rescued, visitor(3));
        share.count(
            &Report {
                status: None,
                ..rescued
            },
            visitor(3),
        );
        let passed = Handling::Forwarded {
            why,
            status: StatusCode::OK,
            stored: false,
            collapsed: false,
        };
        share.count(
            &report(Method::GET, 200, Source::Backend, passed),
            visitor(4),
        );
        assert!(share.first_good.is_some());
        share.count(
            &report(Method::POST, 500, Source::Backend, passed),
            visitor(4),
        );
        assert_eq!(share.first_good, None, "it did not last");
        let mut all = Share::default();
        all.merge(share.clone());
        all.merge(share);
        let expected = Answers {
            fresh: 2,
            rescued: 2,
            refused: 6,
            failed: 2,
            waited: 4,
            left: 2,
            writes_lost: 6,
            writes_unsure: 4,
        };
        assert_eq!(all.answers, expected);
        assert_eq!(all.oldest_copy, Duration::from_secs(9));
        assert_eq!(all.visitors.estimate(), 4, "each once");
        assert_eq!(all.pages.worst(5), [("/a".to_owned(), 8)]);
    }
}
