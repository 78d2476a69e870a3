//! Owns the result of a replay, and its form for programs.
//! Never computes what the replay did not count.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use retter_log::escape;
use serde::Serialize;

use super::simulate::Simulation;
use super::tally::{Ages, Counts, Verdicts};
use super::timeline::Timeline;
use super::when::NANOS_PER_SEC;
use super::world::Span;

/// Enough to see what is wrong with a log.
const MALFORMED_SHOWN: usize = 5;
/// Bytes of a malformed line that are shown.
const MALFORMED_BYTES: usize = 80;

/// Everything that there is to tell.
pub(super) struct Summary {
    pub(super) assumed: Vec<String>,
    /// Whether the log, or a part of it, is this program's own.
    pub(super) is_json: bool,
    pub(super) log: Log,
    /// A name for the settings, and what happened under them.
    pub(super) runs: Vec<(String, Simulation)>,
    /// Errors of each run.
    pub(super) spans: Vec<Span>,
    /// Errors of the application alone.
    pub(super) without: Span,
}

/// What the log is.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The application failed, by the log.
    pub(super) failed: u64,
    /// When the first request came, in nanoseconds since 1970.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) late: u64,
    pub(super) lines: u64,
    pub(super) malformed: u64,
    pub(super) malformed_first: Vec<Malformed>,
    pub(super) not_asked: u64,
    /// GET and HEAD.
    pub(super) reads: u64,
    pub(super) requests: u64,
    /// Answers with status 200 that may be error pages: far shorter than the page before.
    pub(super) soft: u64,
    /// What users got by the log.
    pub(super) timeline: Timeline,
    pub(super) without_request: u64,
}

/// A line that cannot be read.
#[derive(Debug, Serialize)]
pub(super) struct Malformed {
    line: u64,
    log: String,
    reason: &'static str,
    text: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            log,
            reason,
            text,
        } = self;
        write!(f, "{log}:{line}: {reason}: {text}")
    }
}

impl Log {
    pub(super) fn malformed(&mut self, log: &str, line: u64, reason: &'static str, text: &[u8]) {
        self.malformed += 1;
        if self.malformed_first.len() < MALFORMED_SHOWN {
            let start = &text[..text.len().min(MALFORMED_BYTES)];
            self.malformed_first.push(Malformed {
                line,
                log: if log == "-" { "(standard input)" } else { log }.to_owned(),
                reason,
                text: escape(start),
            });
        }
    }

    pub(super) fn length(&self) -> Duration {
        Duration::from_nanos(self.last.saturating_sub(self.first))
    }

    /// A time of the log, UTC: `2026-01-31 12:34:56`.
    pub(super) fn time(&self, since_first: u64) -> String {
        let nanos = self.first.saturating_add(since_first);
        let at = UNIX_EPOCH.checked_add(Duration::from_secs(nanos / NANOS_PER_SEC));
        let text = humantime::format_rfc3339_seconds(at.unwrap_or(UNIX_EPOCH)).to_string();
        text.replace('T', " ").replace('Z', "")
    }
}

/// The result for programs.
#[derive(Serialize)]
pub(super) struct Json<'a> {
    log: JsonLog<'a>,
    assumed: &'a [String],
    runs: Vec<JsonRun<'a>>,
}

#[derive(Serialize)]
struct JsonLog<'a> {
    first: String,
    last: String,
    lines: u64,
    requests: u64,
    reads: u64,
    failed: u64,
    errors_without_retter: JsonSpan,
    maybe_soft_failures: u64,
    not_asked: u64,
    late: u64,
    without_request: u64,
    malformed: u64,
    malformed_first: &'a [Malformed],
}

#[derive(Serialize)]
struct JsonRun<'a> {
    settings: &'a str,
    errors_with_retter: JsonSpan,
    got: Counts,
    spared: u64,
    asked_in_background: u64,
    rescued_ages: Option<Ages>,
    fresh_while_answering: Verdicts,
    rescued_while_answering: Verdicts,
    refused_while_answering: u64,
    circuit_opened: u64,
    circuit_not_closed_s: f64,
    path_circuits_opened: u64,
    changes: Vec<JsonChange>,
    changes_untold: u64,
    slice_s: u64,
    slices: &'a [Counts],
}

/// Requests that ended in an error: as assumed, and by the best and the worst reading of the log.
#[derive(Serialize)]
struct JsonSpan {
    assumed: u64,
    least: u64,
    most: u64,
}

impl From<&Span> for JsonSpan {
    fn from(span: &Span) -> Self {
        Self {
            assumed: span.assumed(),
            least: span.least(),
            most: span.most(),
        }
    }
}

#[derive(Serialize)]
struct JsonChange {
    time: String,
    tier: String,
    path: Option<String>,
    from: &'static str,
    to: &'static str,
    reason: String,
}

/// The result for programs.
pub(super) fn json(summary: &Summary) -> Json<'_> {
    let log = &summary.log;
    Json {
        log: JsonLog {
            first: log.time(0),
            last: log.time(log.last.saturating_sub(log.first)),
            lines: log.lines,
            requests: log.requests,
            reads: log.reads,
            failed: log.failed,
            errors_without_retter: (&summary.without).into(),
            maybe_soft_failures: log.soft,
            not_asked: log.not_asked,
            late: log.late,
            without_request: log.without_request,
            malformed: log.malformed,
            malformed_first: &log.malformed_first,
        },
        assumed: &summary.assumed,
        runs: summary
            .runs
            .iter()
            .zip(&summary.spans)
            .map(|((name, run), span)| json_run(log, name, run, span))
            .collect(),
    }
}

fn json_run<'a>(log: &Log, settings: &'a str, run: &'a Simulation, span: &Span) -> JsonRun<'a> {
    let timeline = &run.timeline;
    let changes = timeline.changes.iter().chain(&timeline.path_changes);
    let end = log.last.saturating_sub(log.first);
    JsonRun {
        settings,
        errors_with_retter: span.into(),
        got: run.tally.counts,
        spared: run.tally.counts.spared(),
        asked_in_background: run.tally.renewals,
        rescued_ages: run.tally.ages(),
        fresh_while_answering: run.tally.fresh,
        rescued_while_answering: run.tally.rescued,
        refused_while_answering: run.tally.refused_needlessly,
        circuit_opened: timeline.opened[0],
        circuit_not_closed_s: Duration::from_nanos(timeline.open_nanos(end)).as_secs_f64(),
        path_circuits_opened: timeline.opened[1],
        changes: changes
            .map(|change| JsonChange {
                time: log.time(change.at.as_nanos()),
                tier: change.tier.to_string(),
                path: change.path.as_deref().map(|path| escape(path.as_bytes())),
                from: change.from.as_str(),
                to: change.to.as_str(),
                reason: change.reason.to_string(),
            })
            .collect(),
        changes_untold: timeline.untold,
        slice_s: timeline.slice / NANOS_PER_SEC,
        slices: &timeline.slices,
    }
}
