//! Owns what is logged of the copies that instances share: who is there, and what is wrong.
//! Never counts: whoever shares them does.

use std::time::Duration;

use retter_core::seldom::Seldom;
use retter_core::time::Instant;
use retter_shared::{Stats, Trouble};

use super::news::Line;

/// A Redis that fails now and then is told of once in this time.
const REST: Duration = Duration::from_secs(600);

/// How long one fails before it is told: a restart of it is nobody's business.
const LASTS: Duration = Duration::from_secs(3);

/// What was told.
#[derive(Debug)]
pub(crate) struct InstanceNews {
    has_told_begun: bool,
    /// Whether it was told that something is wrong, and not yet that it is over.
    is_troubled: bool,
    trouble: Seldom,
    troubled_since: Option<Instant>,
}

impl Default for InstanceNews {
    fn default() -> Self {
        Self {
            has_told_begun: false,
            is_troubled: false,
            trouble: Seldom::every(REST),
            troubled_since: None,
        }
    }
}

impl InstanceNews {
    /// What to log now; to be asked about once a second.
    pub(crate) fn note(&mut self, stats: &Stats, now: Instant) -> Option<Line> {
        let Some(trouble) = &stats.trouble else {
            self.troubled_since = None;
            if !stats.is_current {
                return None;
            }
            let was_troubled = std::mem::replace(&mut self.is_troubled, false);
            let has_begun = std::mem::replace(&mut self.has_told_begun, true);
            let instances = stats.instances;
            return match (has_begun, was_troubled) {
                (false, _) => Some(Line::Good(format!(
                    "copies are shared over the Redis; instances there: {instances}"
                ))),
                (true, true) => Some(Line::Good(format!(
                    "the Redis answers again: copies are shared; instances there: {instances}"
                ))),
                (true, false) => None,
            };
        };
        let since = *self.troubled_since.get_or_insert(now);
        if now.saturating_since(since) < LASTS || !self.trouble.is_due(now) {
            return None;
        }
        self.is_troubled = true;
        Some(Line::Bad(words(trouble)))
    }
}

fn words(trouble: &Trouble) -> String {
    let remedy = match trouble {
        Trouble::Refused(why) if why.starts_with("OOM") => {
            "set its `maxmemory-policy` to allkeys-lru, or give it more memory"
        }
        Trouble::Refused(why) if why.contains("PASS") || why.contains("AUTH") => {
            "look after user and password in RETTER_CACHE_SHARED"
        }
        Trouble::Refused(_) | Trouble::Slow | Trouble::Unreachable(_) | Trouble::Unreadable => {
            "look after it, or RETTER_CACHE_SHARED"
        }
    };
    format!(
        "copies are not shared for now: the Redis is not well, {trouble}; {remedy}. Until then copies answer \
         without the application for a moment only, and rescue as always"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_once_and_so_is_its_end() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let mut news = InstanceNews::default();
        let mut stats = Stats::default();
        assert_eq!(news.note(&stats, at(1)), None, "nothing is known yet");
        (stats.is_current, stats.instances) = (true, 2);
        let Some(Line::Good(told)) = news.note(&stats, at(2)) else {
            panic!("it has begun");
        };
        assert!(told.ends_with("there: 2"), "{told}");
        assert_eq!(news.note(&stats, at(3)), None);
        stats.trouble = Some(Trouble::Refused("OOM command not allowed".to_owned()));
        assert_eq!(news.note(&stats, at(4)), None, "it may be over in a moment");
        assert_eq!(news.note(&stats, at(6)), None);
        let Some(Line::Bad(told)) = news.note(&stats, at(7)) else {
            panic!("it lasts");
        };
        assert!(
            told.contains("OOM") && told.contains("allkeys-lru"),
            "{told}"
        );
        assert_eq!(news.note(&stats, at(100)), None);
        stats.trouble = None;
        let Some(Line::Good(told)) = news.note(&stats, at(101)) else {
            panic!("it is over");
        };
        assert!(told.contains("again"), "{told}");
        stats.trouble = Some(Trouble::Slow);
        assert_eq!(news.note(&stats, at(102)), None);
        assert_eq!(news.note(&stats, at(110)), None, "told of late");
    }
}
