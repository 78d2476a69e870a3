//! Owns where log lines go: standard error, as text or JSON.
//! Never decides what is logged, and never blocks the logging thread on a slow reader.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;

use super::lines::Lines;

/// There is one standard error, and one subscriber for all of the process.
static LINES: OnceLock<Arc<Lines>> = OnceLock::new();

/// The log, while it is in use. Its end gives the reader a moment to take what is left.
#[derive(Debug)]
#[must_use = "dropped, what was logged last is waited for"]
pub(crate) struct Log(());

impl Log {
    /// Sends the program's log lines of `level` and above to standard error.
    pub(crate) fn start(level: LevelFilter, json: bool) -> io::Result<Self> {
        let lines = Arc::new(Lines::start("log", io::stderr())?);
        let colour = io::stderr().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let writer = Arc::clone(&lines);
        let builder = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(move || Line(Arc::clone(&writer)))
            .with_target(false)
            .with_ansi(colour);
        let started = if json {
            builder.json().flatten_event(true).try_init()
        } else {
            builder.try_init()
        };
        // A second call (several starts in one test process) keeps the first subscriber.
        if started.is_ok() {
            let _ = LINES.set(lines);
        }
        Ok(Self(()))
    }

    /// Gives the reader a moment to take what is left.
    pub(crate) fn flush() {
        if let Some(lines) = LINES.get() {
            lines.flush();
        }
    }

    /// Lines dropped because nobody took them in time.
    pub(crate) fn dropped() -> u64 {
        LINES.get().map_or(0, |lines| lines.dropped())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        Self::flush();
    }
}

/// One line, which comes in one piece.
struct Line(Arc<Lines>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.put(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
