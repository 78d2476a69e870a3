//! Owns what the command lines of both benches share.
//! Never reads them.

use std::io::Write;

use clap::{Arg, ArgAction, value_parser};

/// An option that may be given several times, or once with commas.
#[must_use]
pub fn many(name: &'static str, help: String) -> Arg {
    let arg = Arg::new(name).long(name).help(help);
    arg.action(ArgAction::Append).value_delimiter(',')
}

/// An option.
#[must_use]
pub fn one(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

/// An option that is a number from 1 up.
#[must_use]
pub fn number(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    one(name, help)
        .default_value(default)
        .value_parser(value_parser!(u32).range(1..))
}

/// Prints a line or a table.
pub fn say(text: &str) {
    // Whoever reads it may have left.
    let _ = writeln!(std::io::stdout(), "{text}");
}
