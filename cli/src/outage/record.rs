//! Owns [`Record`]: an outage as it is told, in JSON and in words.
//! Never counts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::share::Answers;

/// An outage, over or not.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Record {
    /// RFC 3339; it names the outage.
    pub(crate) began: String,
    /// `None` while it goes on.
    pub(crate) ended: Option<String>,
    /// Its length so far.
    pub(crate) seconds: u64,
    /// Why the circuit opened, in words.
    pub(crate) cause: String,
    /// How often the circuit opened again soon after it had closed.
    pub(crate) relapses: u32,
    /// When a visitor got a good answer of the application again.
    pub(crate) first_good: Option<String>,
    pub(crate) answers: Answers,
    /// About how many visitors there were.
    pub(crate) visitors: u64,
    pub(crate) oldest_copy_seconds: u64,
    /// Those with the most errors.
    pub(crate) worst_pages: Vec<Page>,
    /// The program ended before the outage did.
    pub(crate) is_cut_off: bool,
}

/// A page with errors.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) errors: u64,
}

/// What there is to tell of an outage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    /// The application answers again; it is seen whether that lasts.
    Back(Record),
    Began(Record),
    /// It is told once a minute.
    GoesOn(Record),
    Over(Record),
}

impl News {
    pub(crate) const fn record(&self) -> &Record {
        match self {
            Self::Back(record)
            | Self::Began(record)
            | Self::GoesOn(record)
            | Self::Over(record) => record,
        }
    }

    /// One line.
    pub(crate) fn words(&self) -> String {
        let record = self.record();
        let length = length(record.seconds);
        match self {
            Self::Back(_) => format!(
                "outage: the application answers again after {length}; {}",
                record.counts()
            ),
            Self::Began(_) => format!(
                "outage: circuit of the origin opened: {}; answering from copies where there are any",
                record.cause
            ),
            Self::GoesOn(_) => format!("outage for {length}: {}", record.counts()),
            Self::Over(_) => {
                format!("outage over, it lasted {length}: {}", record.counts())
            }
        }
    }
}

impl Record {
    /// What became of the answers, in words.
    pub(crate) fn counts(&self) -> String {
        let Answers {
            rescued,
            refused,
            failed,
            waited,
            writes_lost,
            writes_unsure,
            ..
        } = self.answers;
        let mut words = format!(
            "{rescued} answers rescued, {refused} refused, {failed} errors of the application, {waited} \
             waited; about {} visitors",
            self.visitors
        );
        if writes_lost > 0 {
            words.push_str(&format!("; {writes_lost} writes lost"));
            if writes_unsure > 0 {
                words.push_str(&format!(" ({writes_unsure} of them may have arrived)"));
            }
        }
        if rescued > 0 {
            let age = length(self.oldest_copy_seconds);
            words.push_str(&format!("; oldest copy {age}"));
        }
        let worst = self.worst_pages.iter().take(3);
        let worst: Vec<_> = worst
            .map(|page| format!("{} ({})", page.path, page.errors))
            .collect();
        if !worst.is_empty() {
            words.push_str(&format!("; most errors: {}", worst.join(", ")));
        }
        words
    }
}

/// `4m 10s`.
pub(crate) fn length(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}
