//! Owns `retter replay`: what this program would have done, under given settings, to the requests
//! of an access log.
//! Never asks an application or opens an address: the log tells what the application did.

mod assume;
mod combined;
mod flight;
mod input;
mod json;
mod line;
mod message;
mod order;
mod plot;
mod simulate;
mod summary;
mod tally;
mod text;
mod timeline;
mod truth;
mod when;

use std::fmt;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use retter_core::config::Settings;

use crate::settings::{Loaded, Problem, Sources};
use crate::{EXIT_SETTINGS, failed, out, report, settings};
use assume::Forms;
use input::Lines;
use line::{Line, Origin, Skipped};
use order::Order;
use simulate::Simulation;
use summary::{Log, Malformed, Summary};
use truth::Truth;

pub(crate) use assume::{Assumptions, Sessions, Unasked};

/// What to replay, and how to show it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) assumptions: Assumptions,
    /// Two settings files to put side by side.
    pub(crate) compare: Option<[String; 2]>,
    pub(crate) json: bool,
    /// Files in any order; `-` is standard input.
    pub(crate) logs: Vec<String>,
    pub(crate) plot: Option<String>,
    /// Of the random part of open times.
    pub(crate) seed: u64,
}

/// Why there is no result.
#[derive(Debug)]
enum ReplayError {
    Read {
        path: String,
        error: io::Error,
    },
    NoRequests {
        lines: u64,
        malformed: Vec<Malformed>,
    },
    Write {
        path: String,
        error: io::Error,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "cannot read {path}: {error}"),
            Self::NoRequests { lines: 0, .. } => f.write_str("the log is empty"),
            Self::NoRequests { lines, malformed } => {
                write!(
                    f,
                    "none of {lines} lines is a request in the Combined Log Format or of \
                     RETTER_LOG_ACCESS=json"
                )?;
                malformed
                    .iter()
                    .try_for_each(|line| write!(f, "\n  {line}"))
            }
            Self::Write { path, error } => write!(f, "cannot write {path}: {error}"),
        }
    }
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
    match show(options, settings.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(format_args!("{error}")),
    }
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

fn show(options: &Options, settings: Vec<(String, Settings)>) -> Result<(), ReplayError> {
    let mut replay = Replay::new(options, settings);
    let result = replay.read_all(&options.logs);
    replay.progress.end();
    result?;
    let summary = replay.summary();
    if summary.log.requests == 0 {
        return Err(ReplayError::NoRequests {
            lines: summary.log.lines,
            malformed: summary.log.malformed_first,
        });
    }
    if let Some(path) = &options.plot {
        let write = std::fs::write(path, plot::svg(&summary));
        write.map_err(|error| ReplayError::Write {
            path: path.clone(),
            error,
        })?;
    }
    if options.json {
        let json = serde_json::to_string_pretty(&summary::json(&summary));
        out::line(format_args!(
            "{}",
            json.expect("texts and numbers always serialise")
        ));
    } else {
        out::text(&text::of(&summary));
    }
    Ok(())
}

/// A file on its way into the order of time.
struct Source {
    lines: Lines,
    /// Its next request.
    next: Option<Line>,
    /// Of the last line that was read.
    number: u64,
    path: String,
}

impl Source {
    fn open(path: &str) -> Result<Self, ReplayError> {
        let lines = Lines::open(path).map_err(|error| ReplayError::Read {
            path: path.to_owned(),
            error,
        })?;
        Ok(Self {
            lines,
            next: None,
            number: 0,
            path: path.to_owned(),
        })
    }
}

/// A log on its way through one or two sets of settings.
struct Replay<'a> {
    forms: Forms,
    log: Log,
    options: &'a Options,
    order: Order,
    progress: Progress,
    settings: Vec<(String, Settings)>,
    /// Made with the first line, as that tells when they begin.
    simulations: Vec<Simulation>,
    truth: Truth,
}

impl<'a> Replay<'a> {
    fn new(options: &'a Options, settings: Vec<(String, Settings)>) -> Self {
        Self {
            forms: Forms::default(),
            log: Log::default(),
            options,
            order: Order::default(),
            progress: Progress::new(),
            settings,
            simulations: Vec::new(),
            truth: Truth::new(&options.assumptions),
        }
    }

    fn read_all(&mut self, paths: &[String]) -> Result<(), ReplayError> {
        let mut sources = Vec::new();
        for path in paths {
            let mut source = Source::open(path)?;
            self.read_next(&mut source)?;
            sources.push(source);
        }
        // The oldest of all files is the next, of two of one time that of the first file.
        let with_line = |source: &&mut Source| source.next.is_some();
        let time = |source: &&mut Source| source.next.as_ref().map(|line| line.at);
        while let Some(source) = sources.iter_mut().filter(with_line).min_by_key(time) {
            if let Some(line) = source.next.take() {
                self.order.push(line);
            }
            self.read_next(source)?;
            while let Some(line) = self.order.pop() {
                self.ask(&line);
            }
        }
        while let Some(line) = self.order.pop_last() {
            self.ask(&line);
        }
        for simulation in &mut self.simulations {
            simulation.finish();
        }
        Ok(())
    }

    /// Reads up to the next request of a file.
    fn read_next(&mut self, source: &mut Source) -> Result<(), ReplayError> {
        let Source { lines, number, .. } = source;
        while source.next.is_none() {
            let read = lines.next().map_err(|error| ReplayError::Read {
                path: source.path.clone(),
                error,
            });
            let Some(text) = read? else {
                break;
            };
            *number += 1;
            source.next = self.parse(text, &source.path, *number);
        }
        Ok(())
    }

    fn parse(&mut self, text: &[u8], path: &str, number: u64) -> Option<Line> {
        self.log.lines += 1;
        self.progress.line(self.log.lines);
        if text.trim_ascii().is_empty() {
            return None;
        }
        match Line::parse(text, &self.options.assumptions) {
            Ok(line) => {
                let is_json = text.trim_ascii_start().first() == Some(&b'{');
                self.forms.json |= is_json;
                self.forms.combined |= !is_json;
                return Some(line);
            }
            Err(Skipped::NoRequest) => self.log.without_request += 1,
            Err(Skipped::Malformed(reason)) => self.log.malformed(path, number, reason, text),
        }
        None
    }

    fn ask(&mut self, line: &Line) {
        if self.simulations.is_empty() {
            self.log.first = line.at;
            let start = |(_, settings): &(String, Settings)| {
                Simulation::new(settings.clone(), self.options.seed, line.at)
                    .expect("the settings were checked when they were loaded")
            };
            self.simulations = self.settings.iter().map(start).collect();
        }
        self.log.last = line.at;
        self.log.requests += 1;
        self.log.reads += u64::from(line.reads());
        for simulation in &mut self.simulations {
            simulation.advance(line.at, &self.truth);
        }
        let request = Arc::new(message::request(line));
        let origin = self.truth.of(line, &request);
        self.log.failed += u64::from(self.truth.failed(&line.origin));
        let is_unasked = matches!(line.origin, Origin::NotAsked { .. });
        self.log.not_asked += u64::from(is_unasked);
        self.forms.unasked |= is_unasked;
        for simulation in &mut self.simulations {
            simulation.ask(&request, line.at, &origin);
        }
    }

    fn summary(self) -> Summary {
        let mut log = self.log;
        log.late = self.order.late;
        let names = self.settings.into_iter().map(|(name, _)| name);
        Summary {
            assumed: self.options.assumptions.told(self.forms),
            log,
            runs: names.zip(self.simulations).collect(),
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
