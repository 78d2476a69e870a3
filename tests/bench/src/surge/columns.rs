//! Owns the tables of `surge`: which columns a scenario has, and how a figure is written in them.
//! Never computes a figure.

use std::time::Duration;

use super::origin::capacity;
use super::outcome::{Outcome, Row};
use super::scenario::{Event, Scenario};
use crate::table::{Table, figure};

/// A heading, and what stands below it.
type Column = (&'static str, fn(&Row) -> String);

const CONTENDER: Column = ("", |row| row.contender.clone());
const GOOD: Column = ("good %", |row| figure(row.good));
const LATE: Column = ("late %", |row| figure(row.late));
const BROKEN: Column = ("broken %", |row| figure(row.broken));
const P50: Column = ("p50 ms", |row| figure(row.p50));
const P99: Column = ("p99 ms", |row| figure(row.p99));
const POSTS: Column = ("POSTs good %", |row| figure(row.posts));
const PEAK: Column = ("peak in flight", |row| row.peak.to_string());
const AFTER: Column = ("good after %", |row| figure(row.after));
const LAG: Column = ("lag ms", |row| figure(row.lag));
/// Where no page is of one user, a wrong page is an error like others.
const NOT_GOOD: Column = ("error %", |row| figure(row.error + row.wrong));

/// Of a surge or an outage.
const ALL: &[Column] = &[
    CONTENDER,
    GOOD,
    ("good/s", |row| figure(row.good_per_second)),
    ("× capacity", |row| {
        figure(row.good_per_second / capacity())
    }),
    ("made/s", |row| figure(row.made_per_second)),
    ("wrong %", |row| figure(row.wrong)),
    ("error %", |row| figure(row.error)),
    LATE,
    BROKEN,
    P50,
    P99,
    ("oldest s", |row| figure(row.age)),
    POSTS,
    PEAK,
    AFTER,
    ("recovered s", |row| seconds(row.recovered)),
    ("fresh page s", |row| seconds(row.fresh)),
    LAG,
];

/// Of a scenario with a crowd beside the visitors.
const BESIDE: &[Column] = &[
    CONTENDER,
    GOOD,
    ("second half %", |row| figure(row.later)),
    POSTS,
    NOT_GOOD,
    LATE,
    BROKEN,
    P50,
    ("p95 ms", |row| figure(row.p95)),
    ("others good/s", |row| figure(row.others.0)),
    ("others refused %", |row| figure(row.others.1)),
    PEAK,
    AFTER,
    LAG,
];

/// Of a restart.
const RESTART: &[Column] = &[
    CONTENDER,
    GOOD,
    NOT_GOOD,
    LATE,
    BROKEN,
    P50,
    P99,
    ("POSTs", |row| row.orders.sent.to_string()),
    ("never sent", |row| row.orders.lost.to_string()),
    ("sent, no answer", |row| row.orders.unanswered.to_string()),
    ("doubled", |row| row.orders.doubled.to_string()),
    AFTER,
    LAG,
];

/// The table of a scenario.
#[must_use]
pub fn table(scenario: &Scenario, outcomes: &[Outcome]) -> Table {
    let columns = match scenario.event {
        Event::Beside(_) => BESIDE,
        Event::Restart => RESTART,
        Event::Bursts | Event::Outage(_) | Event::Strict(_) | Event::Surge => ALL,
    };
    let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
    let mut table = Table::new(&headings);
    for outcome in outcomes {
        let row = outcome.row();
        table.row(columns.iter().map(|(_, cell)| cell(&row)).collect());
    }
    table
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| figure(time.as_secs_f64()))
}
