//! Owns the command line: which command, with which flags. The flags come from the settings
//! table.
//! Never reads the environment or a file.

mod orders;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::command::Order;
use crate::copies::Wish;
use crate::replay::{self, Assumptions, Sessions, Unasked};
use crate::settings::{self, CONFIG_VARIABLE, specs};
use orders::{circuit, copies, maintenance, purge, wish};

/// What the operator asked for.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) action: Action,
    /// The value of `--config`.
    pub(crate) config: Option<String>,
    /// Settings given as flags, by key.
    pub(crate) flags: Vec<(&'static str, String)>,
}

/// A command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Show the settings, all or those that somebody gave, and ask the origin once.
    Check { all: bool },
    /// Do something with single copies.
    Copies(Wish),
    /// Show what the program does, with a sample application.
    Demo(DemoOptions),
    /// Send a test message to whoever is told of outages.
    NotifyTest,
    /// Tell the instance that runs to do something.
    Order(Order),
    /// Show what this program would have done to the requests of an access log.
    Replay(replay::Options),
    /// Protect the application.
    Serve,
    /// Say which version this is.
    Version,
    /// Print the table of settings as Markdown.
    SettingsMarkdown,
}

/// How the demo goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DemoOptions {
    /// Its length relative to the usual.
    pub(crate) duration_scale: f64,
    /// Leave everything running afterwards.
    pub(crate) keep: bool,
    /// Start over when it has ended.
    pub(crate) repeat: bool,
}

/// Parses the command line.
///
/// # Errors
/// What clap says; also its answers to `--help` and `--version`.
pub(crate) fn parse(
    args: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<Args, clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    // Global flags appear in the matches of the innermost command.
    let (name, inner) = matches.subcommand().unwrap_or(("serve", &matches));
    let action = match name {
        "check" => Action::Check {
            all: inner.get_flag("all"),
        },
        "version" => Action::Version,
        "demo" => Action::Demo(DemoOptions {
            duration_scale: inner.get_one("duration-scale").copied().unwrap_or(1.0),
            keep: inner.get_flag("keep"),
            repeat: inner.get_flag("loop"),
        }),
        "auto" => Action::Order(circuit("auto", inner)),
        "close" => Action::Order(circuit("closed", inner)),
        "notify" => Action::NotifyTest,
        "maintenance" => Action::Order(maintenance(inner)),
        "open" => Action::Order(circuit("open", inner)),
        "probe" => Action::Order(Order::Probe),
        "purge" => Action::Order(purge(inner)),
        "reload" => Action::Order(Order::Reload {
            drops_copies: inner.get_flag("drop-copies"),
        }),
        "copies" => match wish(inner) {
            Some(wish) => Action::Copies(wish),
            None => Action::Order(copies(inner)),
        },
        "status" => Action::Order(Order::Status {
            json: inner.get_flag("json"),
        }),
        "replay" => Action::Replay(replay_options(inner)),
        "settings" => Action::SettingsMarkdown,
        _ => Action::Serve,
    };
    let text = |matches: &ArgMatches, id: &str| matches.get_one::<String>(id).cloned();
    let mut flags: Vec<_> = specs()
        .filter_map(|spec| text(inner, spec.key).map(|value| (spec.key, value)))
        .collect();
    // `retter http://localhost:8088`
    let application = inner.try_get_one::<String>("application").ok().flatten();
    flags.extend(application.map(|url| ("backend.baseurl", url.clone())));
    Ok(Args {
        action,
        config: text(inner, "config"),
        flags,
    })
}

/// The settings of which somebody thinks first: `-h` shows these alone.
const MATTER: [&str; 5] = [
    "backend.baseurl",
    "backend.timeout_head",
    "server.listen",
    "server.trusted_proxies",
    "admin.listen",
];

/// Below the short help.
const AFTER: &str = "\
Examples:
  retter http://localhost:8088            protect the application there, for visitors on port 8089
  retter check                            what is set, and whether it works
  retter maintenance on --for 20m         work on the application while readers get copies

`--help` shows all settings, `retter demo` in a minute what this program does.";

/// The application, without a word before it.
fn application() -> Arg {
    Arg::new("application")
        .value_name("URL")
        .value_parser(|text: &str| match text.starts_with("http") {
            true => Ok(text.to_owned()),
            false => Err("it is neither a command nor an address that begins with http://"),
        })
        .help("The application to protect, as --backend-baseurl")
}

/// Commands with few flags of their own.
fn plain_commands() -> [Command; 4] {
    let switch = |id: &'static str, help: &'static str| {
        let arg = Arg::new(id).long(id).action(ArgAction::SetTrue);
        arg.help(help)
    };
    [
        Command::new("serve")
            .about("Protect the application (the default command)")
            .arg(application()),
        Command::new("check")
            .about(
                "Show the settings that differ from the defaults, whether the addresses are free, and \
                 whether the application answers",
            )
            .arg(switch("all", "Show all settings")),
        Command::new("notify")
            .about("Send a test message to whoever is told of outages, and say how that went")
            .arg(switch("test", "Send a test message").required(true)),
        Command::new("version").about("Say which version this is"),
    ]
}

fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .global(true)
        .help(format!(
            "Settings file (TOML) [variable: {CONFIG_VARIABLE}]"
        ));
    let root = Command::new("retter")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "A reverse proxy that keeps a web application's users served when it is overwhelmed \
             or down",
        )
        .after_help(AFTER)
        .after_long_help(
            "A setting is taken from its flag, else its variable, else the settings file, else \
             its default.\n`retter demo` shows in a minute what this program does.",
        )
        .arg(application())
        .subcommands(plain_commands())
        .subcommands(orders::commands())
        .subcommand(demo())
        .subcommand(replay())
        .subcommand(
            Command::new("settings")
                .hide(true)
                .about("Print the table of settings")
                .arg(
                    Arg::new("markdown")
                        .long("markdown")
                        .action(ArgAction::SetTrue)
                        .required(true),
                ),
        )
        .arg(config);
    specs().fold(root, |command, spec| {
        command.arg(
            Arg::new(spec.key)
                .long(spec.flag())
                .value_name("VALUE")
                .help_heading(spec.heading())
                .hide_short_help(!MATTER.contains(&spec.key))
                .global(true)
                .allow_hyphen_values(true)
                .help(format!(
                    "{} [default: {}] [variable: {}]",
                    spec.help,
                    spec.default,
                    spec.variable()
                )),
        )
    })
}

fn demo() -> Command {
    let scale = |text: &str| {
        let scale = text.parse::<f64>().ok();
        scale
            .filter(|scale| (0.1..=100.0).contains(scale))
            .ok_or("a number from 0.1 to 100")
    };
    Command::new("demo")
        .about("Show in a minute what this program does, with a sample application")
        .long_about(
            "Starts a sample shop, this program in front of it, and a few visitors; then the shop \
             becomes slow, fails, and goes down. Takes settings from flags only.",
        )
        .arg(
            Arg::new("duration-scale")
                .long("duration-scale")
                .value_name("NUMBER")
                .value_parser(scale)
                .help("Length relative to the usual 48 seconds"),
        )
        .arg(
            Arg::new("keep")
                .long("keep")
                .action(ArgAction::SetTrue)
                .help("Leave everything running afterwards, for a look with the browser"),
        )
        .arg(
            Arg::new("loop")
                .long("loop")
                .action(ArgAction::SetTrue)
                .conflicts_with("keep")
                .help("Start over until interrupted"),
        )
}

fn replay() -> Command {
    let value = |id: &'static str, name: &'static str| Arg::new(id).long(id).value_name(name);
    Command::new("replay")
        .about("Show what this program would have done to the requests of an access log")
        .long_about(
            "Replays an access log through breaker, gate and copies in the time of the log, with \
             the settings of the command line, the environment and the settings file, and shows \
             when the circuit would have opened, and what users would have got. Nothing is asked \
             and nothing listens.",
        )
        .arg(
            Arg::new("log")
                .value_name("ACCESS_LOG")
                .required(true)
                .num_args(1..)
                .help(
                    "Combined Log Format, or RETTER_LOG_ACCESS=json; also gzip; `-` is standard \
                     input. Several files, of one server or of many, are merged by time",
                ),
        )
        .arg(
            value("compare", "FILE")
                .num_args(2)
                .conflicts_with("config")
                .help("Two settings files to put side by side"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the result as JSON, with all times"),
        )
        .arg(value("plot", "FILE").help("Draw the timeline to this file, as SVG"))
        .arg(
            value("seed", "NUMBER")
                .value_parser(clap::value_parser!(u64))
                .help("Seed of the random part of open times [default: 1]"),
        )
        .args(assumptions())
}

/// What `replay` takes for granted where a log says nothing.
fn assumptions() -> [Arg; 5] {
    let assume = |id: &'static str, name: &'static str| {
        let arg = Arg::new(id).long(id).value_name(name);
        arg.help_heading("Where the log is silent")
    };
    [
        assume("assume-origin-time", "DURATION")
            .value_parser(settings::duration)
            .help("How long an answer takes [default: 100ms]"),
        assume("assume-sessions", "WHO")
            .value_parser(Sessions::NAMES)
            .help(
                "`visitor`: each address with each user agent is a user with pages of their \
                     own; `none`: everybody sees the same pages [default: visitor]",
            ),
        assume("assume-cache-control", "VALUE")
            .help("Cache-Control of every answer [default: none]"),
        assume("assume-gateway-errors", "BOOLEAN")
            .value_parser(clap::value_parser!(bool))
            .help(
                "502 and 504 come from a proxy before the application: no connection, and a \
                     timeout [default: true]",
            ),
        assume("assume-unasked", "WHAT")
            .value_parser(Unasked::NAMES)
            .help(
                "What the application would have done where it was not asked: as when it was \
                     asked `last`, `fails`, or `works` [default: last]",
            ),
    ]
}

fn replay_options(matches: &ArgMatches) -> replay::Options {
    let text = |id: &str| matches.get_one::<String>(id);
    let given = Assumptions::default();
    let compare = matches.get_many::<String>("compare").map(Iterator::cloned);
    let assumptions = Assumptions {
        cache_control: text("assume-cache-control").cloned(),
        gateway_errors: *matches
            .get_one("assume-gateway-errors")
            .unwrap_or(&given.gateway_errors),
        origin_time: *matches
            .get_one("assume-origin-time")
            .unwrap_or(&given.origin_time),
        sessions: text("assume-sessions")
            .and_then(|text| Sessions::parse(text))
            .unwrap_or(given.sessions),
        unasked: text("assume-unasked")
            .and_then(|text| Unasked::parse(text))
            .unwrap_or(given.unasked),
    };
    replay::Options {
        compare: compare.and_then(|files| files.collect::<Vec<_>>().try_into().ok()),
        json: matches.get_flag("json"),
        plot: text("plot").cloned(),
        replay: retter_replay::Options {
            assumptions,
            logs: matches
                .get_many::<String>("log")
                .map(|logs| logs.cloned().collect())
                .unwrap_or_default(),
            seed: matches.get_one("seed").copied().unwrap_or(1),
        },
    }
}
