//! Owns what is logged of single failures of the application: each kind at most once a minute.
//! Never counts: the counters do.

use retter_core::event::Report;
use retter_core::report::Failure;
use retter_core::seldom::Seldom;

use super::asked::asked;

/// When each kind was told last: one line a minute tells that it goes on, and does not fill the log.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    protocol: Seldom,
    reset: Seldom,
    timeout: Seldom,
    truncated: Seldom,
}

impl Failures {
    /// What to log of this exchange. Connect failures are not told here: the adapter tells them
    /// with the system's reason.
    pub(crate) fn note(&self, report: &Report) -> Option<String> {
        let origin = report.origin.as_ref()?;
        let failure = origin.failure?;
        let told = match failure {
            Failure::Connect => return None,
            // Told with what was broken.
            Failure::Protocol if origin.broken.is_some() => return None,
            Failure::Protocol => &self.protocol,
            Failure::Reset => &self.reset,
            Failure::Timeout => &self.timeout,
            Failure::Truncated => &self.truncated,
        };
        if !told.is_due(report.ended) {
            return None;
        }
        let asked = asked(report).map_or_else(String::new, |asked| format!(" {asked}"));
        let advice = advice(failure, origin.head.is_some());
        Some(format!(
            "{failure} (asked for{asked}): {advice}; told at most once a minute"
        ))
    }
}

/// What an operator can look at or set.
const fn advice(failure: Failure, has_head: bool) -> &'static str {
    match failure {
        Failure::Timeout if has_head => "RETTER_BACKEND_TIMEOUT_BODY allows longer pauses",
        Failure::Timeout => "RETTER_BACKEND_TIMEOUT_HEAD allows longer",
        Failure::Connect | Failure::Protocol => "is RETTER_BACKEND_BASEURL right?",
        Failure::Reset | Failure::Truncated => {
            "a worker of the application crashed or was ended while it answered; the application's \
             own log says why"
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use retter_core::event::OriginReport;
    use retter_core::message::{Fields, RequestHead};
    use retter_core::report::Source;
    use retter_core::request_id::RequestId;
    use retter_core::time::Instant;

    use super::*;
    use crate::telemetry::sample;

    fn failed(failure: Failure, secs: u64) -> Report {
        let request = RequestHead::new(http::Method::GET, "/half?secret", Fields::default());
        Report {
            ended: Instant::from_epoch(Duration::from_secs(secs)),
            origin: Some(OriginReport {
                failure: Some(failure),
                ..sample::origin()
            }),
            request: Some(Arc::new(request)),
            request_id: RequestId::clean(b"f3a9"),
            source: Source::NoCache,
            ..sample::report()
        }
    }

    #[test]
    fn each_kind_is_told_once_a_minute() {
        let failures = Failures::default();
        let told = failures.note(&failed(Failure::Timeout, 5)).unwrap();
        assert!(
            told.contains("GET /half [request f3a9])") && !told.contains("secret"),
            "{told}"
        );
        assert_eq!(failures.note(&failed(Failure::Timeout, 64)), None);
        assert!(failures.note(&failed(Failure::Truncated, 64)).is_some());
        assert!(failures.note(&failed(Failure::Timeout, 65)).is_some());
        assert_eq!(failures.note(&failed(Failure::Connect, 65)), None);
    }
}
