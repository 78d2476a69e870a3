//! The `retter` program, on smol. Everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    retter::run_on(retter::runtime::SMOL)
}
