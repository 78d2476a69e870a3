//! `compare`: see `tests/bench/README.md`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use retter_bench::arguments::{many, number, one, say};
use retter_bench::compare::{self, Options, responder};
use retter_bench::contender::setting;
use retter_bench::{Result, chart};

fn main() -> ExitCode {
    match run(&command().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("compare: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let path = || value_parser!(PathBuf);
    Command::new("compare")
        .about("Measures RETTER beside nginx, HAProxy, Varnish and a bare responder")
        .args_conflicts_with_subcommands(true)
        .args([
            many(
                "scenario",
                format!("of {}", compare::scenarios().join(", ")),
            ),
            many("contender", "only these".to_owned()),
            one(
                "set",
                "RETTER_NAME=VALUE, a setting of RETTER; may come several times",
            )
            .action(ArgAction::Append)
            .value_parser(setting),
            number("rounds", "5", "how often each contender is measured"),
            number("seconds", "3", "how long each measurement takes"),
            number("copies", "1000000", "copies in the scenario `growth`"),
            one("programs", "folder with the binaries of RETTER").value_parser(path()),
            one("retter", "another binary of RETTER on tokio").value_parser(path()),
            one("json", "writes every figure to this file").value_parser(path()),
            one("chart", "draws the medians into this file (SVG)").value_parser(path()),
        ])
        .subcommand(
            Command::new("responder")
                .hide(true)
                .arg(Arg::new("address").required(true)),
        )
}

fn run(arguments: &ArgMatches) -> Result<()> {
    if let Some(("responder", arguments)) = arguments.subcommand() {
        let address = arguments
            .get_one::<String>("address")
            .expect("it is required");
        return Ok(responder::serve(address.parse()?)?);
    }
    let names = |name: &str| {
        arguments
            .get_many::<String>(name)
            .unwrap_or_default()
            .cloned()
            .collect()
    };
    let number = |name: &str| *arguments.get_one::<u32>(name).expect("it has a default");
    let path = |name: &str| arguments.get_one::<PathBuf>(name).cloned();
    let settings = arguments
        .get_many::<(String, String)>("set")
        .unwrap_or_default();
    let options = Options {
        scenarios: names("scenario"),
        contenders: names("contender"),
        rounds: number("rounds"),
        seconds: number("seconds"),
        copies: number("copies").into(),
        programs: path("programs").unwrap_or_else(|| PathBuf::from("target/release")),
        retter: path("retter"),
        settings: settings.cloned().collect(),
        directory: std::env::temp_dir().join(format!("retter-compare-{}", std::process::id())),
    };
    let mut all = Vec::new();
    let outcome = compare::run(&options, |figures| {
        say(&figures.markdown());
        all.push(figures.clone());
        if let Some(file) = path("json") {
            let values = all.iter().map(compare::figures::Figures::json).collect();
            std::fs::write(file, serde_json::Value::Array(values).to_string())?;
        }
        if let Some(file) = path("chart") {
            std::fs::write(file, chart::bars(&all))?;
        }
        Ok(())
    });
    // Left behind when something failed: the logs of the contenders are in it.
    if outcome.is_ok() {
        std::fs::remove_dir_all(&options.directory)?;
    }
    outcome
}
