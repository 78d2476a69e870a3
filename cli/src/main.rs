//! The `retter` program, on tokio. Everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    retter::run_on(retter::runtime::TOKIO)
}
