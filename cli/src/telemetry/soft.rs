//! Owns what is logged of error pages that come with status 200: at most one line in a minute.
//! Never counts: the site does.

use retter_core::report::{SoftFailure, SoftVerdict};
use retter_core::seldom::Seldom;
use retter_core::time::Instant;

use super::escape;

/// What was told last, and what was not.
#[derive(Debug, Default)]
pub(crate) struct Soft {
    /// One line a minute tells that it goes on, and does not fill the log.
    line: Seldom,
    untold: u64,
}

impl Soft {
    /// What to log now of those that came since the last call.
    pub(crate) fn note(
        &mut self,
        failures: impl IntoIterator<Item = SoftFailure>,
        now: Instant,
    ) -> Option<String> {
        let mut told = None;
        for failure in failures {
            // A failure says more than a doubt.
            let is_more = |told: &SoftFailure| {
                told.verdict == SoftVerdict::Doubted && failure.verdict == SoftVerdict::Failed
            };
            self.untold += 1;
            if told.as_ref().is_none_or(is_more) {
                told = Some(failure);
            }
        }
        let SoftFailure {
            path,
            signs,
            verdict,
        } = told?;
        if !self.line.is_due(now) {
            return None;
        }
        let others = std::mem::take(&mut self.untold) - 1;
        let path = escape(path.as_bytes());
        let what = match verdict {
            SoftVerdict::Failed => "is an error page though its status is 200",
            SoftVerdict::Doubted => "may be an error page though its status is 200",
        };
        Some(format!(
            "{path} {what} ({signs}): the copy held before stays; {others} more pages since the last \
             such line"
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use retter_core::report::Sign;

    use super::*;

    fn page(path: &str, verdict: SoftVerdict) -> SoftFailure {
        SoftFailure {
            path: path.into(),
            signs: [Sign::Text, Sign::Cut].into_iter().collect(),
            verdict,
        }
    }

    #[test]
    fn one_line_in_a_minute_names_a_page_its_signs_and_how_many_more() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let mut soft = Soft::default();
        assert_eq!(soft.note([], at(1)), None);
        let pages = [
            page("/a", SoftVerdict::Doubted),
            page("/b\n", SoftVerdict::Failed),
            page("/c", SoftVerdict::Failed),
        ];
        let told = soft.note(pages, at(1)).unwrap();
        assert!(
            told.starts_with("/b\\x0A is an error page though its status is 200 (text+cut)"),
            "{told}"
        );
        assert!(told.contains("; 2 more pages"), "{told}");
        assert_eq!(soft.note([page("/a", SoftVerdict::Failed)], at(60)), None);
        let told = soft
            .note([page("/a", SoftVerdict::Doubted)], at(61))
            .unwrap();
        assert!(told.starts_with("/a may be an error page") && told.contains("; 1 more"));
    }
}
