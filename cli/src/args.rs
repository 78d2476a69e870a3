//! Owns the command line: which command, with which flags. The flags come from the settings
//! table.
//! Never reads the environment or a file.

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::settings::{CONFIG_VARIABLE, SPECS};

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// Show the settings and ask the origin once.
    Check,
    /// Show what the program does, with a sample application.
    Demo(DemoOptions),
    /// Protect the application.
    Serve,
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
        "check" => Action::Check,
        "demo" => Action::Demo(DemoOptions {
            duration_scale: inner.get_one("duration-scale").copied().unwrap_or(1.0),
            keep: inner.get_flag("keep"),
            repeat: inner.get_flag("loop"),
        }),
        "settings" => Action::SettingsMarkdown,
        _ => Action::Serve,
    };
    let text = |matches: &ArgMatches, id: &str| matches.get_one::<String>(id).cloned();
    let flags = SPECS
        .iter()
        .filter_map(|spec| text(inner, spec.key).map(|value| (spec.key, value)))
        .collect();
    Ok(Args {
        action,
        config: text(inner, "config"),
        flags,
    })
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
        .after_help(
            "A setting is taken from its flag, else its variable, else the settings file, else \
             its default.\n`retter demo` shows in a minute what this program does.",
        )
        .subcommand(Command::new("serve").about("Protect the application (the default command)"))
        .subcommand(
            Command::new("check").about("Show the settings in effect and ask the application once"),
        )
        .subcommand(demo())
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
    SPECS.iter().fold(root, |command, spec| {
        command.arg(
            Arg::new(spec.key)
                .long(spec.flag())
                .value_name("VALUE")
                .help_heading(spec.heading())
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
                .help("Length relative to the usual 40 seconds"),
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
