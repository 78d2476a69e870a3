//! `surge`: see `tests/bench/README.md`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use retter_bench::arguments::{many, number, one, say};
use retter_bench::contender::setting;
use retter_bench::surge::{self, Options, columns, origin, outcome, scenario};
use retter_bench::{Result, chart};
use serde_json::{Value, json};

fn main() -> ExitCode {
    match run(&command().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("surge: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let path = || value_parser!(PathBuf);
    let names: Vec<&str> = scenario::ALL.iter().map(|scenario| scenario.name).collect();
    Command::new("surge")
        .about("Puts a fragile application under a surge, behind RETTER and behind its peers")
        .args_conflicts_with_subcommands(true)
        .args([
            many("scenario", format!("of {}", names.join(", "))),
            many("contender", "only these".to_owned()),
            one(
                "set",
                "RETTER_NAME=VALUE, a setting of RETTER; may come several times",
            )
            .action(ArgAction::Append)
            .value_parser(setting),
            one(
                "multiple",
                "visitors in a surge, as a multiple of the capacity",
            )
            .default_value("5")
            .value_parser(value_parser!(f64)),
            number(
                "seconds",
                "20",
                "how long a surge is; an outage is half of that",
            ),
            number("seed", "1", "which visitors come"),
            one("retter", "the binary of RETTER").value_parser(path()),
            one("json", "writes every figure to this file").value_parser(path()),
            one(
                "charts",
                "draws a chart for each scenario (SVG) in this folder",
            )
            .value_parser(path()),
        ])
        .subcommand(
            Command::new("origin")
                .hide(true)
                .args(["address", "control"].map(|name| Arg::new(name).required(true))),
        )
}

fn run(arguments: &ArgMatches) -> Result<()> {
    if let Some(("origin", arguments)) = arguments.subcommand() {
        let address = |name| {
            arguments
                .get_one::<String>(name)
                .expect("it is required")
                .parse()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        return Ok(runtime.block_on(origin::serve(address("address")?, address("control")?))?);
    }
    let names = |name| {
        arguments
            .get_many::<String>(name)
            .unwrap_or_default()
            .cloned()
            .collect()
    };
    let number = |name| *arguments.get_one::<u32>(name).expect("it has a default");
    let path = |name| arguments.get_one::<PathBuf>(name).cloned();
    let settings = arguments
        .get_many::<(String, String)>("set")
        .unwrap_or_default();
    let options = Options {
        scenarios: names("scenario"),
        contenders: names("contender"),
        multiple: *arguments.get_one("multiple").expect("it has a default"),
        seconds: number("seconds"),
        seed: number("seed").into(),
        retter: path("retter").unwrap_or_else(|| PathBuf::from("target/release/retter")),
        settings: settings.cloned().collect(),
        directory: std::env::temp_dir().join(format!("retter-surge-{}", std::process::id())),
    };
    let mut all: Vec<Value> = Vec::new();
    let outcome = surge::run(&options, |scenario, outcomes| {
        let table = columns::table(scenario, outcomes);
        say(&format!(
            "## {}: {}\n\n{table}",
            scenario.name, scenario.text
        ));
        all.push(json!({
            "scenario": scenario.name,
            "text": scenario.text,
            "rows": outcomes.iter().map(outcome::Outcome::json).collect::<Vec<_>>(),
        }));
        if let Some(file) = path("json") {
            std::fs::write(file, Value::Array(all.clone()).to_string())?;
        }
        if let Some(folder) = path("charts") {
            std::fs::create_dir_all(&folder)?;
            let file = folder.join(format!("surge-{}.svg", scenario.name));
            std::fs::write(file, chart::seconds(scenario, outcomes))?;
        }
        Ok(())
    });
    // Left behind when something failed: the logs of the contenders are in it.
    if outcome.is_ok() {
        std::fs::remove_dir_all(&options.directory)?;
    }
    outcome
}
