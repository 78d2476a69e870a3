//! Owns `retter replay`: which settings an access log is replayed under, and how the result is
//! shown.
//! Never replays: `retter_replay` does.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use retter_replay::replay;

use crate::settings::{Loaded, Problem, Sources};
use crate::{EXIT_SETTINGS, failed, out, report, settings};

pub(crate) use retter_replay::{Assumptions, Sessions, Unasked};

/// What to replay, and how to show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) replay: retter_replay::Options,
    /// Two settings files to put side by side.
    pub(crate) compare: Option<[String; 2]>,
    pub(crate) json: bool,
    pub(crate) plot: Option<String>,
}

/// Replays and shows the result. `sources` are those of the command line and the environment.
pub(crate) fn run(options: &Options, sources: &Sources) -> ExitCode {
    let loaded = match load(options, sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            report(&problems);
            return ExitCode::from(EXIT_SETTINGS);
        }
    };
    let settings = loaded
        .into_iter()
        .map(|(name, loaded)| (name, loaded.values.core));
    let mut progress = Progress::new();
    let outcome = replay(&options.replay, settings.collect(), &mut |lines| {
        progress.line(lines);
    });
    progress.end();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return failed(format_args!("{error}")),
    };
    if let Some(path) = &options.plot
        && let Err(error) = std::fs::write(path, outcome.svg())
    {
        return failed(format_args!("cannot write {path}: {error}"));
    }
    if options.json {
        out::line(format_args!("{}", outcome.json()));
    } else {
        out::text(&outcome.text());
    }
    ExitCode::SUCCESS
}

fn load(options: &Options, sources: &Sources) -> Result<Vec<(String, Loaded)>, Vec<Problem>> {
    let Some(files) = &options.compare else {
        return Ok(vec![(
            "these settings".to_owned(),
            settings::load(sources)?,
        )]);
    };
    let with = |file: &String| {
        let loaded = settings::load(&Sources {
            defaults: sources.defaults.clone(),
            environment: sources.environment.clone(),
            file: Some(file.clone()),
            flags: sources.flags.clone(),
        });
        loaded.map(|loaded| (file.clone(), loaded))
    };
    // All bad values of both files at once.
    match files.each_ref().map(with) {
        [Ok(first), Ok(second)] => Ok(vec![first, second]),
        [first, second] => {
            let problems = [first, second].into_iter().filter_map(Result::err);
            Err(problems.flatten().collect())
        }
    }
}

/// Tells on a terminal how far it is.
struct Progress {
    is_shown: bool,
    next: Instant,
    started: Instant,
}

impl Progress {
    fn new() -> Self {
        let started = Instant::now();
        Self {
            is_shown: io::stderr().is_terminal(),
            next: started + Duration::from_secs(1),
            started,
        }
    }

    fn line(&mut self, lines: u64) {
        // The clock is read rarely: it would be a tenth of the work.
        if !self.is_shown || !lines.is_multiple_of(4096) {
            return;
        }
        let now = Instant::now();
        if now >= self.next {
            self.next = now + Duration::from_secs(1);
            let seconds = self.started.elapsed().as_secs_f64();
            out::progress(format_args!("{lines} lines in {seconds:.0} s"));
        }
    }

    fn end(&self) {
        if self.is_shown {
            out::progress(format_args!(""));
        }
    }
}
