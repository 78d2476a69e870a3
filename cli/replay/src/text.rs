//! Owns the result of a replay in words and columns.
//! Never leaves out what was assumed.

use std::fmt::Write;
use std::time::Duration;

use retter_core::breaker::Transition;
use retter_log::escape;

use super::simulate::Simulation;
use super::summary::{Log, Summary};
use super::tally::{Ages, Tally, Verdicts};
use super::world::Span;

/// State changes of each kind that are shown; all are in the JSON form.
const CHANGES_SHOWN: usize = 12;
const LABEL_WIDTH: usize = 46;

/// The whole text.
pub(super) fn of(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = span(&mut out, summary);
    let _ = head(&mut out, &summary.log);
    let _ = table(&mut out, summary);
    for (name, run) in &summary.runs {
        let _ = changes(&mut out, &summary.log, name, run);
    }
    let _ = writeln!(out, "\nAssumed:");
    for assumed in &summary.assumed {
        let _ = writeln!(out, "  - {assumed}");
    }
    let _ = skipped(&mut out, &summary.log);
    out
}

/// What it comes to, by every reading of the log that is as good as the one assumed.
fn span(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let total = summary.log.requests;
    let percent = |span: &Span| match (share(span.least(), total), share(span.most(), total)) {
        (least, most) if least == most => least,
        (least, most) => format!("between {least} and {most}"),
    };
    writeln!(
        out,
        "Without RETTER {} of these requests were errors.",
        percent(&summary.without)
    )?;
    let unknown = match summary.is_json {
        true => {
            "what the application would have done where it was not asked, which the log does not tell
             (--assume-unasked)"
        }
        false => {
            "how many visitors see the same pages, which the log does not tell (--assume-sessions)"
        }
    };
    for ((name, _), span) in summary.runs.iter().zip(&summary.spans) {
        let with = match summary.runs.len() {
            1 => "it".to_owned(),
            _ => name.clone(),
        };
        let depends = match share(span.least(), total) == share(span.most(), total) {
            true => String::new(),
            false => format!(", depending on {unknown}"),
        };
        writeln!(out, "With {with} {}{depends}.", percent(span))?;
    }
    out.push('\n');
    Ok(())
}

fn head(out: &mut String, log: &Log) -> std::fmt::Result {
    let length = humantime::format_duration(Duration::from_secs(log.length().as_secs()));
    writeln!(
        out,
        "{} requests from {} to {} UTC ({length}), {} of them GET or HEAD.",
        number(log.requests),
        log.time(0),
        log.time(log.last.saturating_sub(log.first)),
        number(log.reads),
    )?;
    write!(
        out,
        "By the log the application failed on {} ({})",
        number(log.failed),
        share(log.failed, log.requests)
    )?;
    match log.not_asked {
        0 => writeln!(out, ".")?,
        count => writeln!(out, " and was not asked for {}.", number(count))?,
    }
    if log.soft == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "{} times a page with status 200 had less than a quarter of what it had before: perhaps an error \
         page. The replay\ntakes it for a good one, as a log does not tell what stands on a page; RETTER \
         looks (RETTER_BREAKER_SOFT).",
        number(log.soft)
    )
}

/// One row: a label, and a cell for each set of settings.
struct Table<'a> {
    out: &'a mut String,
    runs: &'a [(String, Simulation)],
    widths: Vec<usize>,
}

impl Table<'_> {
    fn row(&mut self, label: &str, cell: impl Fn(&Simulation) -> String) -> std::fmt::Result {
        write!(self.out, "{label:LABEL_WIDTH$}")?;
        for ((_, run), width) in self.runs.iter().zip(&self.widths) {
            write!(self.out, "  {:>width$}", cell(run))?;
        }
        self.out.push('\n');
        Ok(())
    }

    fn heading(&mut self, text: &str) -> std::fmt::Result {
        writeln!(self.out, "\n{text}")
    }

    fn count(&mut self, label: &str, count: impl Fn(&Simulation) -> u64) -> std::fmt::Result {
        self.row(label, |run| number(count(run)))
    }
}

fn table(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let widths = summary
        .runs
        .iter()
        .map(|(name, _)| name.chars().count().max(14));
    let mut table = Table {
        out,
        runs: &summary.runs,
        widths: widths.collect(),
    };
    write!(table.out, "\n{:LABEL_WIDTH$}", "Users would have got")?;
    for ((name, _), width) in summary.runs.iter().zip(&table.widths) {
        write!(table.out, "  {name:>width$}")?;
    }
    table.out.push('\n');
    table.count("  the application's answer", |run| {
        run.tally.counts.answered
    })?;
    table.count("  a copy, as it was fresh", |run| run.tally.counts.fresh)?;
    table.count("  a copy, as the application failed", |run| {
        run.tally.counts.rescued_failed
    })?;
    table.count("  a copy, as its answer took too long", |run| {
        run.tally.counts.rescued_slow
    })?;
    table.count("  a copy, as the circuit was open", |run| {
        run.tally.counts.rescued_circuit_open
    })?;
    table.count("  a copy, as the application was full", |run| {
        run.tally.counts.rescued_full
    })?;
    table.count("  an error of the application, or 502, 504", |run| {
        run.tally.counts.errors
    })?;
    table.count("  503, as the circuit was open without a copy", |run| {
        run.tally.counts.refused_circuit_open
    })?;
    table.count("  503, as the application was full", |run| {
        run.tally.counts.refused_full
    })?;
    table.count("  nothing: they left first", |run| run.tally.counts.left)?;
    table.row("  errors and 503 together", |run| {
        let counts = &run.tally.counts;
        share(counts.failed(), counts.total())
    })?;
    rescues(&mut table)?;
    table.heading("The application")?;
    table.count("  was spared this many requests", |run| {
        run.tally.counts.spared()
    })?;
    table.count("  was asked in the background so often", |run| {
        run.tally.renewals
    })?;
    let end = summary.log.last.saturating_sub(summary.log.first);
    table.count("  its circuit opened so often", |run| {
        run.timeline.opened[0]
    })?;
    table.row("  its circuit was not closed for", |run| {
        age(Duration::from_nanos(run.timeline.open_nanos(end)).as_secs_f64())
    })?;
    table.count("  circuits of single pages opened so often", |run| {
        run.timeline.opened[1]
    })
}

/// One number of the ages, in seconds.
type Of = fn(&Ages) -> f64;

fn rescues(table: &mut Table<'_>) -> std::fmt::Result {
    table.heading("The copies that rescued")?;
    table.count("  all", |run| run.tally.counts.rescued())?;
    let rows: [(&str, Of); 4] = [
        ("  half were younger than", |ages| ages.p50_s),
        ("  90 % were younger than", |ages| ages.p90_s),
        ("  99 % were younger than", |ages| ages.p99_s),
        ("  the oldest", |ages| ages.max_s),
    ];
    for (label, of) in rows {
        table.row(label, |run| {
            run.tally
                .ages()
                .map_or_else(|| "-".to_owned(), |ages| age(of(&ages)))
        })?;
    }
    table.heading("Where the application did answer at that time, by the log")?;
    type Kind = fn(&Tally) -> &Verdicts;
    let kinds: [(&str, Kind); 2] = [
        ("fresh copy", |tally| &tally.fresh),
        ("rescue", |tally| &tally.rescued),
    ];
    for (kind, of) in kinds {
        table.count(&format!("  {kind}, wrong: it answered otherwise"), |run| {
            of(&run.tally).wrong
        })?;
        table.count(&format!("  {kind}, right: it answered the same"), |run| {
            of(&run.tally).same
        })?;
        table.count(
            &format!("  {kind}, of which the log tells nothing"),
            |run| of(&run.tally).unknown,
        )?;
    }
    table.count("  503 was needless", |run| run.tally.refused_needlessly)
}

fn changes(out: &mut String, log: &Log, name: &str, run: &Simulation) -> std::fmt::Result {
    let timeline = &run.timeline;
    let kinds = [
        ("The application's circuit", &timeline.changes),
        ("Circuits of single pages", &timeline.path_changes),
    ];
    for (kind, changes) in kinds {
        writeln!(out, "\n{kind}, with {name}:")?;
        if changes.is_empty() {
            writeln!(out, "  stayed closed")?;
        }
        for change in changes.iter().take(CHANGES_SHOWN) {
            writeln!(out, "  {}", one_change(log, change))?;
        }
        if changes.len() > CHANGES_SHOWN {
            writeln!(out, "  ... (--json has more)")?;
        }
    }
    Ok(())
}

fn one_change(log: &Log, change: &Transition) -> String {
    let path = change
        .path
        .as_deref()
        .map_or_else(String::new, |path| format!(" {}", escape(path.as_bytes())));
    format!(
        "{} {} -> {}{path}: {}",
        log.time(change.at.as_nanos()),
        change.from,
        change.to,
        change.reason
    )
}

fn skipped(out: &mut String, log: &Log) -> std::fmt::Result {
    if log.without_request > 0 {
        let count = number(log.without_request);
        writeln!(
            out,
            "\nLines without a request (empty, or not HTTP): {count}"
        )?;
    }
    if log.late > 0 {
        let count = number(log.late);
        writeln!(
            out,
            "\nLines out of order by more than a minute (or 64 MiB), replayed where they stand: {count}"
        )?;
    }
    if log.malformed > 0 {
        let count = number(log.malformed);
        writeln!(
            out,
            "\nLines that cannot be read, and were passed over: {count}"
        )?;
        for line in &log.malformed_first {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

/// `1234567` as `1,234,567`.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn share(part: u64, whole: u64) -> String {
    format!("{:.2} %", 100.0 * part as f64 / whole.max(1) as f64)
}

fn age(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1} s"),
        ..120.0 => format!("{seconds:.0} s"),
        ..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let shown = [0, 999, 1000, 1_234_567].map(number);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
        let shown = [0.25, 59.6, 600.0, 9000.0].map(age);
        assert_eq!(shown, ["0.2 s", "60 s", "10 min", "2.5 h"]);
        assert_eq!(share(1, 8), "12.50 %");
        assert_eq!(share(0, 0), "0.00 %");
    }
}
