//! Owns what is told of a site beside its exchanges ([`Event`]): changes of state in their order, and of
//! what happens often the sum since somebody looked last. So it is bounded whoever looks how often.
//! Never waits, and nothing depends on whether somebody looks.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::refusal::Refusal;
use crate::event::{Event, RefusalCounts, RenewalCounts};
use crate::report::RefreshStats;
use crate::rules::label::Refused;
use crate::sync::{AtomicU64, Mutex};
use crate::time::Instant;

/// What happened and nobody has told, and what was told.
#[derive(Debug, Default)]
pub(super) struct Happened {
    circuit_open: AtomicU64,
    maintenance: AtomicU64,
    only_if_cached: AtomicU64,
    overload: AtomicU64,
    purged: AtomicU64,
    told: Mutex<Told>,
}

/// The numbers that were told last.
#[derive(Debug, Default)]
struct Told {
    /// `None` before the first look: where the limit begins is no change.
    limit: Option<u32>,
    renewals: RenewalCounts,
}

impl Happened {
    /// Counts a request that is refused, if it is for one of these reasons; gives the refusal back.
    pub(super) fn refused(&self, refusal: Refusal) -> Refusal {
        let count = match refusal.reason() {
            Some(Refused::CircuitOpen) => &self.circuit_open,
            Some(Refused::Maintenance) => &self.maintenance,
            Some(Refused::OnlyIfCached) => &self.only_if_cached,
            Some(Refused::Overload) => &self.overload,
            // It is no refusal but a place.
            Some(Refused::WaitingRoom) | None => return refusal,
        };
        count.fetch_add(1, Ordering::Relaxed);
        refusal
    }

    /// Counts copies that were dropped by hand.
    pub(super) fn purged(&self, copies: usize) {
        self.purged.fetch_add(copies as u64, Ordering::Relaxed);
    }

    /// The next thing that nobody was told, beside changes of circuits and pages that were no good:
    /// the limit now, and what was counted of renewals.
    pub(super) fn take(&self, limit: u32, renewals: &RefreshStats, now: Instant) -> Option<Event> {
        if let Some(from) = self.take_limit(limit) {
            return Some(Event::Limit {
                from,
                to: limit,
                at: now,
            });
        }
        if let Some(counts) = self.take_refused() {
            return Some(Event::Refused(counts));
        }
        if let Some(copies) = self.take_purged() {
            return Some(Event::Purged { copies });
        }
        self.take_renewals(renewals).map(Event::Renewed)
    }

    fn take_refused(&self) -> Option<RefusalCounts> {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        let counts = RefusalCounts {
            circuit_open: take(&self.circuit_open),
            maintenance: take(&self.maintenance),
            only_if_cached: take(&self.only_if_cached),
            overload: take(&self.overload),
        };
        (counts != RefusalCounts::default()).then_some(counts)
    }

    fn take_purged(&self) -> Option<u64> {
        let count = self.purged.swap(0, Ordering::Relaxed);
        (count > 0).then_some(count)
    }

    /// The limit that was told last, where it is another one now.
    fn take_limit(&self, limit: u32) -> Option<u32> {
        let told = self.told.lock();
        let mut told = told.unwrap_or_else(PoisonError::into_inner);
        let from = told.limit.replace(limit)?;
        (from != limit).then_some(from)
    }

    fn take_renewals(&self, stats: &RefreshStats) -> Option<RenewalCounts> {
        let now = RenewalCounts {
            renewed: stats.renewed,
            passed: stats.passed,
            failed: stats.failed,
        };
        let told = self.told.lock();
        let mut told = told.unwrap_or_else(PoisonError::into_inner);
        let new = now.since(std::mem::replace(&mut told.renewals, now));
        (new != RenewalCounts::default()).then_some(new)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::config::Settings;
    use crate::copies::Purge;
    use crate::message::{Fields, RequestHead};
    use crate::site::Site;

    const NOW: Instant = Instant::ZERO;

    #[test]
    fn what_happens_is_told_once_and_added_up() {
        let config = Settings::default().validate().unwrap();
        let site = Site::new(&config, 1, NOW);
        assert!(site.poll_event(NOW).is_none(), "a beginning is no event");
        let fields = [("host", &b"h"[..]), ("cache-control", b"only-if-cached")];
        let request = RequestHead::new(Method::GET, "/a", Fields::from_pairs(fields));
        let request = Arc::new(request);
        for _ in 0..3 {
            drop(site.decide(&request, NOW));
        }
        assert_eq!(site.purge(&Purge::All), 0);
        let told: Vec<_> = std::iter::from_fn(|| site.poll_event(NOW)).collect();
        let expected = RefusalCounts {
            only_if_cached: 3,
            ..RefusalCounts::default()
        };
        assert!(
            matches!(&told[..], [Event::Refused(counts)] if *counts == expected),
            "{told:?}"
        );
    }

    #[test]
    fn a_limit_is_told_where_it_differs_from_the_last_look() {
        let happened = Happened::default();
        let looks = [8, 8, 12, 9, 9].map(|limit| happened.take_limit(limit));
        assert_eq!(looks, [None, None, Some(8), Some(12), None]);
    }
}
