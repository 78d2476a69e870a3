//! The `retter` program, on async-std. Everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    retter::run_on(retter::runtime::ASYNC_STD)
}
