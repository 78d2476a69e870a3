//! Owns the command line of what a running instance is told to do.
//! Never tells it.

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};

use crate::command::Order;

fn time() -> Arg {
    Arg::new("for")
        .long("for")
        .value_name("DURATION")
        .help("When it ends by itself [default: 30m]")
}

fn flag(id: &'static str, help: &'static str) -> Arg {
    Arg::new(id).long(id).action(ArgAction::SetTrue).help(help)
}

/// The commands.
pub(super) fn commands() -> [Command; 9] {
    [
        Command::new("status")
            .about("Say how the instance that runs is")
            .arg(flag("json", "Everything, as JSON")),
        Command::new("copies")
            .about("Say which copies there are, how old they are, and what they are good for")
            .arg(
                Arg::new("prefix")
                    .value_name("PATH")
                    .help("Only those whose path begins so"),
            )
            .arg(
                Arg::new("limit")
                    .long("limit")
                    .value_name("NUMBER")
                    .help("So many lines at most [default: 100]"),
            ),
        Command::new("open")
            .about("Answer from copies what is only read, for a time; writes go to the application")
            .arg(time()),
        Command::new("close")
            .about("Refuse nothing for a time, whatever the circuits say; copies rescue what fails")
            .arg(time()),
        Command::new("auto").about("End `open`, `close` or `maintenance`: the circuits decide again"),
        Command::new("probe").about("Find out at once whether what is open works again"),
        maintenance_command(),
        purge_command(),
        Command::new("reload")
            .about(
                "Let the instance that runs read its settings file again (as SIGHUP does), and say \
                 what changed",
            )
            .arg(flag(
                "drop-copies",
                "Also where pages get other keys while the application is down, so that all copies go",
            )),
    ]
}

fn maintenance_command() -> Command {
    Command::new("maintenance")
        .about(
            "Work on the application: copies answer, writes are refused with a page of their own",
        )
        .arg(
            Arg::new("state")
                .value_name("on|off")
                .value_parser(["on", "off"])
                .required(true),
        )
        .arg(time())
        .arg(
            Arg::new("message")
                .long("message")
                .value_name("TEXT")
                .help("What visitors are told in place of the usual words"),
        )
}

fn purge_command() -> Command {
    Command::new("purge")
        .about("Drop copies, and say how many")
        .arg(
            Arg::new("url")
                .value_name("URL")
                .help("A path with its query on every host, or http://host/path"),
        )
        .arg(
            Arg::new("prefix")
                .long("prefix")
                .value_name("URL")
                .help("All that begins so"),
        )
        .arg(
            Arg::new("session")
                .long("session")
                .value_name("COOKIE")
                .help("What a browser with this whole Cookie line sees alone"),
        )
        .arg(flag("all", "Everything"))
        .group(
            ArgGroup::new("what")
                .args(["url", "prefix", "session", "all"])
                .required(true),
        )
}

fn text(matches: &ArgMatches, id: &str) -> Option<String> {
    matches.get_one::<String>(id).cloned()
}

/// What `open`, `close` and `auto` tell.
pub(super) fn circuit(state: &'static str, matches: &ArgMatches) -> Order {
    let time = matches.try_get_one::<String>("for").ok().flatten().cloned();
    Order::Circuit { state, time }
}

/// What `copies` asks for.
pub(super) fn copies(matches: &ArgMatches) -> Order {
    Order::Copies {
        limit: text(matches, "limit"),
        prefix: text(matches, "prefix"),
    }
}

/// What `maintenance` tells.
pub(super) fn maintenance(matches: &ArgMatches) -> Order {
    Order::Maintenance {
        is_on: text(matches, "state").as_deref() == Some("on"),
        message: text(matches, "message"),
        time: text(matches, "for"),
    }
}

/// What `purge` tells.
pub(super) fn purge(matches: &ArgMatches) -> Order {
    let by = ["url", "prefix", "session"];
    let chosen = by.into_iter().find_map(|by| Some((by, text(matches, by)?)));
    match chosen {
        Some((by, value)) => Order::Purge {
            by,
            value: Some(value),
        },
        None => Order::Purge {
            by: "all",
            value: None,
        },
    }
}
