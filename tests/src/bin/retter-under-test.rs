//! Owns nothing: it is the `retter` program, built where the tests can find it.
//! Never differs from the real one: both call the same library entry.

use std::process::ExitCode;

fn main() -> ExitCode {
    retter::run()
}
