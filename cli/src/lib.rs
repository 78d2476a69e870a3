//! The `retter` program as a library: settings, commands, telemetry, the admin address and the
//! demo, for any runtime.
//!
//! A program for another runtime is one line: [`run_on`] with its [`runtime::Adapter`].
//! Never decides how a request is answered: that is the core's part.

mod admin;
mod application;
mod args;
mod check;
mod client;
mod clock;
mod command;
mod copies;
mod demo;
mod error_pages;
mod files;
mod instance;
mod keeping;
mod notify;
mod out;
mod outage;
mod reload;
mod replay;
pub mod runtime;
mod serve;
mod settings;
mod sharing;
mod socket;
mod stream;
mod telemetry;
mod web;

use std::process::ExitCode;

use args::Action;
use runtime::Adapter;
use settings::{Loaded, Problem, Sources};

/// The settings cannot work; also what clap exits with for a bad command line.
const EXIT_SETTINGS: u8 = 2;
/// Something failed that is no setting.
const EXIT_FAILURE: u8 = 1;

/// Runs the program of this process's command line on `runtime`.
///
/// Exit codes: 0 done, 1 failure, 2 bad settings or command line, 130 and 143 when a second
/// signal cut the shutdown short.
#[must_use]
pub fn run_on(runtime: Adapter) -> ExitCode {
    let args = match args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_SETTINGS));
        }
    };
    let from_flags = Sources {
        flags: args.flags,
        ..Sources::default()
    };
    let sources = |flags| Sources {
        environment: std::env::vars_os().collect(),
        file: args.config.clone(),
        ..flags
    };
    match args.action {
        Action::Check { all } => {
            with_settings(&sources(from_flags), |loaded| check::run(loaded, all))
        }
        Action::Copies(wish) => {
            with_settings(&sources(from_flags), |loaded| copies::run(&loaded, &wish))
        }
        Action::Demo(options) => demo::run(runtime, from_flags, options),
        Action::NotifyTest => with_settings(&sources(from_flags), |loaded| {
            command::test_messages(&loaded)
        }),
        Action::Replay(options) => replay::run(&options, &sources(from_flags)),
        Action::Order(order) => {
            with_settings(&sources(from_flags), |loaded| command::run(&loaded, &order))
        }
        Action::Serve => {
            let sources = sources(from_flags);
            with_settings(&sources, |loaded| serve::run(runtime, &sources, loaded))
        }
        Action::Version => {
            out::line(format_args!("retter {}", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Action::SettingsMarkdown => {
            out::text(&settings::markdown());
            ExitCode::SUCCESS
        }
    }
}

fn with_settings(sources: &Sources, run: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    match settings::load(sources) {
        Ok(loaded) => run(loaded),
        Err(problems) => {
            report(&problems);
            ExitCode::from(EXIT_SETTINGS)
        }
    }
}

fn report(problems: &[Problem]) {
    let count = match problems.len() {
        1 => "1 setting".to_owned(),
        count => format!("{count} settings"),
    };
    let texts: Vec<_> = problems.iter().map(Problem::to_string).collect();
    out::failure(format_args!(
        "{count} cannot work:\n\n{}\n",
        texts.join("\n\n")
    ));
}

fn failed(text: std::fmt::Arguments<'_>) -> ExitCode {
    out::failure(text);
    ExitCode::from(EXIT_FAILURE)
}
