//! Owns the replay of access logs: what RETTER would have done to their requests, under given
//! settings.
//! Never asks an application or opens an address: the log tells what the application did. Never
//! prints: an [`Outcome`] is text.

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
mod world;

use std::fmt;
use std::io;

use retter_core::config::{ConfigErrors, Settings};

use assume::Forms;
use input::Lines;
use line::{Line, Origin, Skipped};
use order::Order;
use summary::{Log, Summary};
use tally::Got;
use world::{Span, World};

pub use assume::{Assumptions, Sessions, Unasked};

/// What to replay.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What is taken for granted where a log says nothing.
    pub assumptions: Assumptions,
    /// Files in any order; `-` is standard input.
    pub logs: Vec<String>,
    /// Of the random part of open times.
    pub seed: u64,
}

/// Why there is no result.
#[derive(Debug)]
pub enum ReplayError {
    /// The logs have no request.
    NoRequests {
        /// How many lines there are.
        lines: u64,
        /// The first of those that cannot be read, and why.
        malformed: Vec<String>,
    },
    /// A log cannot be read.
    Read {
        /// Its path.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Settings cannot work.
    Settings {
        /// Their name.
        name: String,
        /// Why.
        errors: ConfigErrors,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
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
            Self::Read { path, error } => write!(f, "cannot read {path}: {error}"),
            Self::Settings { name, errors } => write!(f, "{name} cannot work: {errors}"),
        }
    }
}

impl std::error::Error for ReplayError {}

/// What users would have got.
pub struct Outcome(Summary);

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Outcome").field(&self.0.log).finish()
    }
}

impl Outcome {
    /// In words and columns, with what was assumed.
    #[must_use]
    pub fn text(&self) -> String {
        text::of(&self.0)
    }

    /// As JSON, for programs.
    ///
    /// # Panics
    /// Never: texts and numbers always serialise.
    #[must_use]
    pub fn json(&self) -> String {
        let json = serde_json::to_string_pretty(&summary::json(&self.0));
        json.expect("texts and numbers always serialise")
    }

    /// Over time, as a picture in SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        plot::svg(&self.0)
    }
}

/// Replays the logs under each of `settings`, which have names. `progress` is told how many lines
/// were read, after each.
///
/// # Errors
/// A log cannot be read, has no request, or settings cannot work.
pub fn replay(
    options: &Options,
    settings: Vec<(String, Settings)>,
    progress: &mut dyn FnMut(u64),
) -> Result<Outcome, ReplayError> {
    let mut replay = Replay::new(options, settings, progress);
    replay.read_all(&options.logs)?;
    let summary = replay.summary();
    if summary.log.requests == 0 {
        let malformed = summary.log.malformed_first.iter();
        return Err(ReplayError::NoRequests {
            lines: summary.log.lines,
            malformed: malformed.map(ToString::to_string).collect(),
        });
    }
    Ok(Outcome(summary))
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
    progress: &'a mut dyn FnMut(u64),
    settings: Vec<(String, Settings)>,
    /// The reading that was asked for, and then the others. Made with the first line, as that tells when
    /// they begin.
    worlds: Vec<World>,
}

impl<'a> Replay<'a> {
    fn new(
        options: &'a Options,
        settings: Vec<(String, Settings)>,
        progress: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            forms: Forms::default(),
            log: Log::default(),
            options,
            order: Order::default(),
            progress,
            settings,
            worlds: Vec::new(),
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
                self.ask(&line)?;
            }
        }
        while let Some(line) = self.order.pop_last() {
            self.ask(&line)?;
        }
        self.worlds.iter_mut().for_each(World::finish);
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
        (self.progress)(self.log.lines);
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

    fn ask(&mut self, line: &Line) -> Result<(), ReplayError> {
        if self.worlds.is_empty() {
            self.log.first = line.at;
            self.start(line.at)?;
        }
        self.log.last = line.at;
        self.log.requests += 1;
        self.log.reads += u64::from(line.reads());
        let is_unasked = matches!(line.origin, Origin::NotAsked { .. });
        self.log.not_asked += u64::from(is_unasked);
        self.forms.unasked |= is_unasked;
        let mut told = None;
        for world in &mut self.worlds {
            let by_this = world.ask(line);
            told.get_or_insert(by_this);
        }
        if let Some(told) = told {
            self.log.soft += u64::from(told.soft);
            self.log.failed += u64::from(told.failed);
            let at = line.at.saturating_sub(self.log.first);
            self.log.timeline.add(at, got(line, told.failed));
        }
        Ok(())
    }

    /// Starts all readings at `at`.
    fn start(&mut self, at: u64) -> Result<(), ReplayError> {
        let assumed = &self.options.assumptions;
        let others = world::others(assumed, self.forms.json);
        for assumed in std::iter::once(assumed).chain(&others) {
            let world = World::new(assumed, &self.settings, self.options.seed, at)?;
            self.worlds.push(world);
        }
        Ok(())
    }

    fn summary(self) -> Summary {
        let mut log = self.log;
        log.late = self.order.late;
        let without = Span::of(self.worlds.iter().map(|world| world.failed));
        let errors = |index: usize| {
            let of = |world: &World| {
                let run = world.simulations.get(index);
                run.map_or(0, |run| run.tally.counts.failed())
            };
            Span::of(self.worlds.iter().map(of))
        };
        let spans: Vec<_> = (0..self.settings.len()).map(errors).collect();
        let asked_for = self.worlds.into_iter().next();
        let runs = asked_for.map_or_else(Vec::new, |world| world.simulations);
        let names = self.settings.into_iter().map(|(name, _)| name);
        Summary {
            assumed: self.options.assumptions.told(self.forms),
            is_json: self.forms.json,
            log,
            runs: names.zip(runs).collect(),
            spans,
            without,
        }
    }
}

/// What a user got by the log.
fn got(line: &Line, failed: bool) -> Got {
    match line.origin {
        _ if failed => Got::Error,
        Origin::Left { .. } => Got::Left,
        Origin::NotAsked { well: true, .. } => Got::Fresh,
        Origin::NotAsked { well: false, .. } => Got::RescuedOpen,
        Origin::Answered(_) | Origin::Failed { .. } => Got::Answer,
    }
}
