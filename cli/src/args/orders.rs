//! Owns the command line of what a running instance is told to do.
//! Never tells it.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command, value_parser};

use crate::command::Order;
use crate::copies::Wish;

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
        copies_command(),
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

fn copies_command() -> Command {
    let file = || {
        Arg::new("file")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .required(true)
    };
    let key = |help: &'static str| {
        Arg::new("key")
            .long("key")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(help)
    };
    Command::new("copies")
        .about("Say which copies there are, how old they are, and what they are good for")
        .args_conflicts_with_subcommands(true)
        .arg(
            Arg::new("prefix")
                .value_name("PATH")
                .help("Only those whose path begins so"),
        )
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("NUMBER")
                .value_parser(value_parser!(u32).range(1..))
                .help("How many lines at most [default: 100]; with --from, how many pages [default: 10000]"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("SITEMAP")
                .conflicts_with("prefix")
                .help(
                    "Ask for the pages of a sitemap, by its address or file, through the instance that \
                     runs, one after another, so that there are copies before the first visitor",
                ),
        )
        .subcommand(
            Command::new("show")
                .about("Show one copy of those that everybody may see: its head and its content")
                .arg(
                    Arg::new("url")
                        .value_name("URL")
                        .required(true)
                        .help("A path with its query on whatever host, or http://host/path"),
                )
                .arg(
                    Arg::new("number")
                        .long("number")
                        .value_name("NUMBER")
                        .value_parser(value_parser!(u32).range(1..))
                        .help("Which of several"),
                )
                .arg(flag("head", "Only its head")),
        )
        .subcommand(
            Command::new("export")
                .about("Write the copies that everybody may see to a file, for another machine")
                .arg(file().help("A new file, which only you can read"))
                .arg(key("Seal them with the 64 hexadecimal digits in this file")),
        )
        .subcommand(
            Command::new("import")
                .about("Take the copies of such a file over: visitors will see them")
                .arg(file().help("What `export` has written, by the same settings"))
                .arg(key("What they were sealed with")),
        )
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
        limit: matches.get_one("limit").map(u32::to_string),
        prefix: text(matches, "prefix"),
    }
}

/// What is wanted of single copies; `None` where they are to be listed.
pub(super) fn wish(matches: &ArgMatches) -> Option<Wish> {
    let path = |matches: &ArgMatches, id: &str| matches.get_one::<PathBuf>(id).cloned();
    match matches.subcommand() {
        Some(("show", inner)) => Some(Wish::Show {
            url: text(inner, "url").unwrap_or_default(),
            number: inner.get_one::<u32>("number").copied(),
            head_only: inner.get_flag("head"),
        }),
        Some(("export", inner)) => Some(Wish::Export {
            file: path(inner, "file").unwrap_or_default(),
            key: path(inner, "key"),
        }),
        Some(("import", inner)) => Some(Wish::Import {
            file: path(inner, "file").unwrap_or_default(),
            key: path(inner, "key"),
        }),
        _ => text(matches, "from").map(|sitemap| Wish::Fetch {
            sitemap,
            pages_max: matches.get_one::<u32>("limit").copied(),
        }),
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
