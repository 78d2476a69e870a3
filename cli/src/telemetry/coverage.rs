//! Owns the words in which an operator is told which share of the pages could be rescued, and what is in
//! the way of the others.
//! Never counts, and never judges a request: the core does.

use retter_core::report::{CoverageCounts, Obstacle};

/// Why a page cannot be rescued, as the end of a sentence.
pub(crate) const fn words(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Bound => "their visitors sign in by the connection (NTLM, Negotiate)",
        Obstacle::Closed => "the application shows the page to no stranger",
        Obstacle::Content => "the requests have content",
        Obstacle::Credentials => "the answers carry credentials",
        Obstacle::Data => "it is data, of which the visitor has no copy yet",
        Obstacle::Directives => "the application's Cache-Control forbids it",
        Obstacle::Evicted => "the copy gave way to others (RETTER_CACHE_BYTES)",
        Obstacle::Excluded => "the path is excluded (RETTER_CACHE_EXCLUDE)",
        Obstacle::Identity => "a request field says who asks, and that visitor has no copy yet",
        Obstacle::InBody => "the page holds its visitor's session",
        Obstacle::Logout => "the address ends a session",
        Obstacle::NotAsked => "the application has not been asked for the page as a stranger yet",
        Obstacle::NotSeen => "nobody has had the page yet who could share it",
        Obstacle::Personal => "the visitor is signed in and has not seen the page yet",
        Obstacle::Refused => "the application refused the page to that visitor",
        Obstacle::Several => "the application gave several visitors the same session",
        Obstacle::SetsCookie => "the answer sets a cookie",
        Obstacle::TooLarge => "the answer is too large (RETTER_CACHE_OBJECT_BYTES)",
        Obstacle::TooOld => "the copy is too old (RETTER_CACHE_RESCUE_AGE_MAX)",
        Obstacle::Unasked => {
            "the address does something, is meant for one person, or leads elsewhere: no stranger asks"
        }
        Obstacle::Unnamed => "the address is too long, or fields of the request are missing",
        Obstacle::Vary => {
            "the answer differs by request fields that differ from visitor to visitor"
        }
        Obstacle::Written => "the visitor is signed in and has written since the page was seen",
    }
}

/// Which share of the pages could be rescued, and what is mostly in the way of the others.
pub(crate) fn sentence(counts: &CoverageCounts) -> String {
    let (all, rescuable) = (counts.all(), counts.rescuable());
    if all == 0 {
        return "No page was asked for in the last hour.".to_owned();
    }
    // Rounded down: never all of them while one is missing.
    let share = rescuable * 100 / all;
    let first = format!("{share} % of the pages asked for in the last hour could be rescued.");
    match counts.worst() {
        None => first,
        Some((why, count)) => {
            let of_missing = count * 100 / (all - rescuable);
            format!(
                "{first} What is in the way of {of_missing} % of the others: {}.",
                words(why)
            )
        }
    }
}

/// What to set where a field of which nothing is known keeps visitors apart; `share` is that of the
/// requests in whose way fields are.
pub(crate) fn of_field(counts: &CoverageCounts, (name, share): &(String, f64)) -> Option<String> {
    /// Below that it is some visitor's, and no proxy's.
    const SHARE_MIN: f64 = 0.2;
    #[expect(clippy::cast_precision_loss, reason = "counts of an hour")]
    let share = counts.without(Obstacle::Identity) as f64 * share / counts.all().max(1) as f64;
    if share < SHARE_MIN {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share"
    )]
    let percent = (share * 100.0) as u64;
    let name = super::escape(name.as_bytes());
    Some(format!(
        "{percent} % of the requests cannot be rescued, as each has a field {name} of its own, of which \
         RETTER does not know what it says. If it does not say who asks, set \
         RETTER_CACHE_HARMLESS_FIELDS=known,{name}."
    ))
}

#[cfg(test)]
mod tests {
    use retter_core::report::{CoverageStats, Way};

    use super::*;

    #[test]
    fn nothing_is_said_of_an_hour_without_requests() {
        let counts = CoverageStats::default().hour;
        assert_eq!(sentence(&counts), "No page was asked for in the last hour.");
        assert_eq!(counts.by(Way::Own), 0);
        assert_eq!(of_field(&counts, &("X-Foo".to_owned(), 1.0)), None);
    }
}
