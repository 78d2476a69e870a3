//! Owns what is logged of single failures of the application: each kind at most once a minute.
//! Never counts: the counters do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use retter_core::event::Report;
use retter_core::report::Failure;

use super::escape;

/// One line a minute tells that it goes on, and does not fill the log.
const REST: Duration = Duration::from_secs(60);

/// When each kind was told last, in nanoseconds of the program's clock; 0 for never.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    protocol: AtomicU64,
    reset: AtomicU64,
    timeout: AtomicU64,
    truncated: AtomicU64,
}

impl Failures {
    /// What to log of this exchange. Connect failures are not told here: the adapter tells them
    /// with the system's reason.
    pub(crate) fn note(&self, report: &Report) -> Option<String> {
        let failure = report.origin.as_ref()?.failure?;
        let told = match failure {
            Failure::Connect => return None,
            Failure::Protocol => &self.protocol,
            Failure::Reset => &self.reset,
            Failure::Timeout => &self.timeout,
            Failure::Truncated => &self.truncated,
        };
        let now = report.ended.as_nanos().max(1);
        let rest = u64::try_from(REST.as_nanos()).unwrap_or(u64::MAX);
        let due = |last: u64| (last == 0 || now.saturating_sub(last) >= rest).then_some(now);
        told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due)
            .ok()?;
        let asked = report.request.as_ref().map_or_else(String::new, |request| {
            format!(" {} {}", request.method, escape(request.path()))
        });
        Some(format!(
            "{failure} (asked for{asked}); told at most once a minute"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use retter_core::event::OriginReport;
    use retter_core::message::{Fields, RequestHead};
    use retter_core::report::Source;
    use retter_core::time::Instant;

    use super::*;
    use crate::telemetry::sample;

    fn failed(failure: Failure, secs: u64) -> Report {
        let request = RequestHead::new(http::Method::GET, "/half?secret", Fields::default());
        Report {
            ended: Instant::from_epoch(Duration::from_secs(secs)),
            origin: Some(OriginReport {
                bytes: 0,
                failure: Some(failure),
                head: None,
                is_stream: false,
                status: None,
                time: Duration::ZERO,
            }),
            request: Some(Arc::new(request)),
            source: Source::NoCache,
            ..sample::report()
        }
    }

    #[test]
    fn each_kind_is_told_once_a_minute() {
        let failures = Failures::default();
        let told = failures.note(&failed(Failure::Timeout, 5)).unwrap();
        assert!(
            told.contains("GET /half)") && !told.contains("secret"),
            "{told}"
        );
        assert_eq!(failures.note(&failed(Failure::Timeout, 64)), None);
        assert!(failures.note(&failed(Failure::Truncated, 64)).is_some());
        assert!(failures.note(&failed(Failure::Timeout, 65)).is_some());
        assert_eq!(failures.note(&failed(Failure::Connect, 65)), None);
    }
}
