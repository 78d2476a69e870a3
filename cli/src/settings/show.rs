//! Owns how settings are shown: the effective ones for `retter check`, all of them as a
//! Markdown table for docs/src/settings.md.
//! Never reads any.

use std::fmt::Write;

use retter_core::config::NamePatterns;

use super::{Given, Layer, specs};

/// The effective settings, one a line: variable, text, layer; all, or those that somebody gave.
pub(crate) fn effective(shown: &[Given], all: bool) -> String {
    let shown = shown.iter();
    let shown: Vec<_> = shown
        .filter(|given| all || given.layer != Layer::Default)
        .collect();
    let names: Vec<_> = shown.iter().map(|given| given.spec.variable()).collect();
    let name_width = names.iter().map(String::len).max().unwrap_or_default();
    let text_width = shown
        .iter()
        .map(|given| given.spec.shown(&given.text).chars().count())
        .max()
        .unwrap_or_default()
        .min(32);
    let mut out = String::new();
    for (name, given) in names.iter().zip(&shown) {
        let text = if given.text.is_empty() {
            "(empty)"
        } else {
            given.spec.shown(&given.text)
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "  {name:name_width$}  {text:text_width$}  {}",
            given.layer
        );
    }
    out
}

/// All settings as a Markdown table, with the built-in cookie lists below.
pub(crate) fn markdown() -> String {
    let mut out = String::from("| variable | default | meaning | accepted |\n|---|---|---|---|\n");
    for spec in specs() {
        let (variable, default) = (spec.variable(), spec.default);
        let (help, accepted) = (spec.help, spec.accepted);
        let _ = writeln!(out, "| `{variable}` | `{default}` | {help} | {accepted} |");
    }
    let lists = [
        ("session", NamePatterns::session_cookies()),
        ("ignored", NamePatterns::ignored_cookies()),
    ];
    for (name, list) in lists {
        let list = list.to_string().replace(',', "`, `");
        let _ = write!(out, "\nKnown {name} cookies: `{list}`\n");
    }
    out
}
