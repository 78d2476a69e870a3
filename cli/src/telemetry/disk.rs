//! Owns what is logged of the copies on a disk: that those of before are here again, and what is wrong.
//! Never counts: the disk does.

use std::time::Duration;

use retter_core::seldom::Seldom;
use retter_core::time::Instant;
use retter_disk::{Stats, Trouble};

use super::news::Line;

/// A disk that fails now and then is told of once in this time.
const REST: Duration = Duration::from_secs(600);

/// What was told.
#[derive(Debug)]
pub(crate) struct DiskNews {
    has_told_loaded: bool,
    trouble: Seldom,
}

impl Default for DiskNews {
    fn default() -> Self {
        Self {
            has_told_loaded: false,
            trouble: Seldom::every(REST),
        }
    }
}

impl DiskNews {
    /// What to log now; to be asked about once a second.
    pub(crate) fn note(&mut self, stats: &Stats, now: Instant) -> Option<Line> {
        if let Some(trouble) = &stats.trouble
            && self.trouble.is_due(now)
        {
            return Some(Line::Bad(words(trouble)));
        }
        let took = stats.loading_took?;
        if std::mem::replace(&mut self.has_told_loaded, true) || stats.loaded == 0 {
            return None;
        }
        let (loaded, took) = (stats.loaded, humantime::format_duration(rounded(took)));
        Some(Line::Good(format!(
            "{loaded} copies of before are here again, after {took}; until the application \
             confirms them they only rescue"
        )))
    }
}

fn rounded(took: Duration) -> Duration {
    Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
}

fn words(trouble: &Trouble) -> String {
    let what = match trouble {
        Trouble::Hangs => "the disk does not answer",
        Trouble::InUse => {
            return "copies are in memory only for now: another process has the folder of \
                    RETTER_STATE_DIR; it is tried again twice a second"
                .to_owned();
        }
        Trouble::Failed(error) => error,
    };
    format!(
        "new copies are in memory only for now: {what}; look after RETTER_STATE_DIR, or set \
         RETTER_CACHE_DISK=off"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_once_in_ten_minutes_and_what_was_loaded_once() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let mut news = DiskNews::default();
        let mut stats = Stats::default();
        assert_eq!(news.note(&stats, at(1)), None);
        stats.trouble = Some(Trouble::Failed("no space".to_owned()));
        let Some(Line::Bad(told)) = news.note(&stats, at(2)) else {
            panic!("somebody has to make room");
        };
        assert!(told.contains("no space"), "{told}");
        assert_eq!(news.note(&stats, at(3)), None);
        stats.trouble = None;
        stats.loaded = 7;
        stats.loading_took = Some(Duration::from_micros(12_345));
        let Some(Line::Good(told)) = news.note(&stats, at(4)) else {
            panic!("they are here");
        };
        assert!(
            told.starts_with("7 copies") && told.contains("after 12ms"),
            "{told}"
        );
        assert_eq!(news.note(&stats, at(5)), None);
        stats.trouble = Some(Trouble::Hangs);
        assert_eq!(news.note(&stats, at(600)), None);
        assert!(matches!(news.note(&stats, at(602)), Some(Line::Bad(_))));
    }
}
