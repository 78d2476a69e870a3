//! Owns the form of `tests/corpus/suites`: for each case of a public suite, the rows of our corpus
//! that ask the same (names, paths and lengths are ours), and which verdicts the suite takes.
//! Never runs anything: the rows are run by the runners of the corpus.
//!
//! - `# text`: for readers.
//! - `VERDICT... | case | class/name; class/name`: what the suite takes, what it calls the case,
//!   and our rows. A verdict is one of the corpus, `4xx`, `5xx`, or `close`: any that ends the
//!   connection. `pass` takes `pass+close` too, and with `~` the suite takes it with a warning.
//! - `  -- text`: our verdict for the case above is another, and this is why.

use std::collections::HashMap;

use crate::corpus::{self, Verdict};

/// One case of a suite.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    /// The verdicts that the suite takes.
    pub accepted: Vec<String>,
    /// What the suite calls it.
    pub case: String,
    /// Our rows: `class/name`.
    pub rows: Vec<String>,
    /// Why we differ.
    pub why: Option<String>,
}

/// How the rows stand to the cases of a suite.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// What the suite takes without a word.
    pub agreed: usize,
    /// What it takes with a warning.
    pub tolerated: usize,
    /// What it does not take, with a reason why.
    pub differ: usize,
}

/// Reads all suites, by name.
///
/// # Panics
/// If a file cannot be read or is not in the form.
#[must_use]
pub fn read() -> Vec<(String, Vec<Entry>)> {
    let suites = corpus::files("suites").into_iter();
    suites.map(|(name, text)| (name, parse(&text))).collect()
}

/// Reads one suite.
///
/// # Panics
/// At the first line that is not in the form.
#[must_use]
pub fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(why) = line.strip_prefix("  -- ") {
            let entry = entries.last_mut().expect("a reason belongs to a case");
            entry.why = Some(why.to_owned());
            continue;
        }
        let parts: Vec<_> = line.split(" | ").collect();
        let [accepted, case, rows] = parts[..] else {
            panic!("not three parts: {line}");
        };
        entries.push(Entry {
            accepted: accepted.split(' ').map(str::to_owned).collect(),
            case: case.to_owned(),
            rows: rows.split("; ").map(str::to_owned).collect(),
            why: None,
        });
    }
    entries
}

/// The verdicts of the corpus by `class/name`, those on responses by `response class/name`.
///
/// # Panics
/// If two rows of a class share a name.
#[must_use]
pub fn verdicts() -> HashMap<String, Verdict> {
    let mut verdicts = HashMap::new();
    for (kind, prefix) in [("requests", ""), ("responses", "response ")] {
        for case in corpus::read(kind) {
            let (_, name) = case.name.split_once(' ').expect("a line number and a name");
            let key = format!("{prefix}{}/{name}", case.class);
            let twin = verdicts.insert(key, case.verdict);
            assert!(twin.is_none(), "two rows: {}", case.name);
        }
    }
    verdicts
}

/// Compares what `entries` take with `verdicts`.
///
/// # Errors
/// A line for each entry that names no row, or an unknown one, or that differs without a reason or
/// has one without a difference.
pub fn judge(entries: &[Entry], verdicts: &HashMap<String, Verdict>) -> Result<Tally, Vec<String>> {
    let mut tally = Tally::default();
    let mut failed = Vec::new();
    for entry in entries {
        let taken = |row: &String| {
            let verdict = verdicts.get(row).ok_or_else(|| format!("no row {row}"))?;
            Ok::<_, String>(takes(&entry.accepted, *verdict))
        };
        let worst = entry.rows.iter().map(taken).collect::<Result<Vec<_>, _>>();
        let worst = worst.map(|all| all.into_iter().min().unwrap_or(Taken::No));
        match (worst, &entry.why) {
            (Err(why), _) => failed.push(format!("{}: {why}", entry.case)),
            (Ok(Taken::Yes), None) => tally.agreed += 1,
            (Ok(Taken::Warned), None) => tally.tolerated += 1,
            (Ok(Taken::No), Some(_)) => tally.differ += 1,
            (Ok(Taken::No), None) => failed.push(format!("{}: differs", entry.case)),
            (Ok(_), Some(_)) => failed.push(format!("{}: does not differ", entry.case)),
        }
    }
    if failed.is_empty() {
        Ok(tally)
    } else {
        Err(failed)
    }
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Taken {
    No,
    Warned,
    Yes,
}

fn takes(accepted: &[String], verdict: Verdict) -> Taken {
    let best = accepted.iter().map(|word| match word.strip_prefix('~') {
        Some(word) if is(word, verdict) => Taken::Warned,
        None if is(word, verdict) => Taken::Yes,
        _ => Taken::No,
    });
    best.max().unwrap_or(Taken::No)
}

/// Whether `verdict` is what `word` says.
///
/// # Panics
/// If there is no such word.
fn is(word: &str, verdict: Verdict) -> bool {
    let family = |hundreds| {
        verdict
            .status
            .is_some_and(|status| status / 100 == hundreds)
    };
    match word {
        "close" => verdict.closes,
        "wait" => verdict == Verdict::default(),
        "pass" => verdict.passes && !verdict.cut && verdict.status.is_none(),
        "pass+close" => is("pass", verdict) && verdict.closes,
        "4xx" => family(4) && !verdict.passes,
        "5xx" => family(5) && !verdict.passes,
        status => {
            let status: u16 = status.parse().expect("a status");
            verdict.status == Some(status) && !verdict.passes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> HashMap<String, Verdict> {
        let cases = corpus::parse("c", "400 a: 1\npass b: 2\n  -> 2\nwait c:\npass+400 d: 3\n");
        let key = |case: &corpus::Case| format!("c/{}", &case.name[4..]);
        cases.iter().map(|case| (key(case), case.verdict)).collect()
    }

    #[test]
    fn each_way_to_stand_is_counted() {
        let text = "# why\n4xx | one: 1 | c/a\n\n400 ~pass | two | c/a; c/b\nwait | three | c/c\n\
                    400 | four | c/b\n  -- because\n400 close | five | c/d\n";
        let tally = judge(&parse(text), &rows());
        let wanted = Tally {
            agreed: 3,
            tolerated: 1,
            differ: 1,
        };
        assert_eq!(tally, Ok(wanted));
    }

    #[test]
    fn what_the_table_must_not_say_is_told() {
        for (line, wanted) in [
            ("400 | x | c/none", "x: no row c/none"),
            ("400 | x | ", "x: no row "),
            ("400 | x | c/b", "x: differs"),
            ("400 | x | c/a; c/b", "x: differs"),
            ("400 | x | c/d", "x: differs"),
            ("pass | x | c/d", "x: differs"),
            ("wait | x | c/a", "x: differs"),
            ("400 | x | c/a\n  -- because", "x: does not differ"),
        ] {
            assert_eq!(judge(&parse(line), &rows()), Err(vec![wanted.to_owned()]));
        }
    }
}
