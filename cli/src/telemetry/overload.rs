//! Owns what is logged of a full application: how much it bears, and what became of the rest.
//! Never counts: the gate does.

use retter_core::admission::Holder;
use retter_core::report::{ShedCounts, Stats};
use retter_core::seldom::Seldom;
use retter_core::time::Instant;

use super::escape;

/// What was told last.
#[derive(Debug, Default)]
pub(crate) struct Overload {
    /// One line a minute tells that it goes on, and does not fill the log.
    line: Seldom,
    shed: ShedCounts,
}

impl Overload {
    /// What to log now; to be asked about once a second. `holder` is the page that keeps the application
    /// longest, if there is one.
    pub(crate) fn note(
        &mut self,
        stats: &Stats,
        holder: impl FnOnce() -> Option<Holder>,
        now: Instant,
    ) -> Option<String> {
        let waiting = stats.waiting.waiting;
        let stats = &stats.admission;
        let copies = stats.shed.copy - self.shed.copy;
        let refused = stats.shed.refused() - self.shed.refused();
        if copies + refused == 0 || !self.line.is_due(now) {
            return None;
        }
        self.shed = stats.shed;
        let longest = holder().map_or_else(String::new, |holder| {
            format!(
                "; {} keeps it longest: {} requests, the first of them for {} s",
                escape(holder.page.as_bytes()),
                holder.requests,
                holder.longest.as_secs()
            )
        });
        let in_room = match waiting {
            0 => String::new(),
            count => format!("; {count} visitors are in the waiting room"),
        };
        Some(format!(
            "the application is full: it works on {} requests at one time, {} ms each (as measured: \
             quicker pages or more workers of it raise that); since the last such line {copies} were \
             answered from copies, {refused} refused{in_room}{longest}",
            stats.limit,
            stats.service_time.as_millis(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_application_is_told_every_minute_while_it_is() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let mut overload = Overload::default();
        let mut stats = Stats::default();
        stats.admission.limit = 12;
        stats.admission.service_time = Duration::from_millis(25);
        assert_eq!(overload.note(&stats, || None, at(1)), None);
        stats.admission.shed.copy = 3;
        stats.admission.shed.early = 1;
        let told = overload.note(&stats, || None, at(2)).unwrap();
        assert!(
            told.contains("12 requests at one time, 25 ms each"),
            "{told}"
        );
        assert!(
            told.ends_with("3 were answered from copies, 1 refused"),
            "{told}"
        );
        stats.admission.shed.deadline = 4;
        stats.waiting.waiting = 90;
        assert_eq!(overload.note(&stats, || None, at(61)), None);
        let holder = Holder {
            page: "/poll".into(),
            requests: 7,
            parked: 2,
            longest: Duration::from_secs(12),
        };
        let told = overload.note(&stats, || Some(holder), at(62)).unwrap();
        assert!(
            told.ends_with(
                "0 were answered from copies, 4 refused; 90 visitors are in the waiting room; /poll \
                 keeps it longest: 7 requests, the first of them for 12 s"
            ),
            "{told}"
        );
        assert_eq!(overload.note(&stats, || None, at(200)), None, "it is over");
    }
}
