//! Owns how a test of many seeds is told which ones, and tells what came of each.
//! Never runs one.

use std::io::Write;

/// The number in an environment variable, where that is set.
///
/// # Panics
/// If it is no number.
#[must_use]
pub fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// Prints past the capture of the test runner, which shows nothing of a test that passes.
pub fn print(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
