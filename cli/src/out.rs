//! Owns the writing of results to standard output and of failures to standard error.
//! Never used for log lines: those go through `telemetry`.

use std::fmt::Arguments;
use std::io::{IsTerminal, Write};

/// Writes one line to standard output.
pub(crate) fn line(text: Arguments<'_>) {
    // A reader that went away (`retter check | head`) is no failure of ours.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes a text that ends its own lines to standard output.
pub(crate) fn text(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes one line to standard error, with the program's name.
pub(crate) fn failure(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "retter: {text}");
}

/// Writes over the last line of progress on standard error, which is a terminal.
pub(crate) fn progress(text: Arguments<'_>) {
    let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
}

/// Whether standard output takes colours: a terminal, and nobody set `NO_COLOR`.
pub(crate) fn is_colourful() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
