//! Owns the choice of the runtime under test: `TEST_RUNTIME` names it, tokio when it is not set.
//! Never differs from the real programs otherwise: all call the same library entry.

use std::env;
use std::process::ExitCode;

use retter::runtime;

fn main() -> ExitCode {
    let named = env::var("TEST_RUNTIME");
    let known = [runtime::TOKIO, runtime::SMOL, runtime::ASYNC_STD];
    let wanted = named.as_deref().unwrap_or(runtime::TOKIO.name);
    let found = known.into_iter().find(|runtime| runtime.name == wanted);
    retter::run_on(found.expect("TEST_RUNTIME is tokio, smol or async-std"))
}
