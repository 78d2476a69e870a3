//! Owns where log lines go: standard error, as text or JSON.
//! Never decides what is logged.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;

/// Sends the program's log lines of `level` and above to standard error.
pub(crate) fn init(level: LevelFilter, json: bool) {
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(colour);
    // A second call (several starts in one test process) keeps the first subscriber.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
}
