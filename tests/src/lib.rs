//! Owns what the end-to-end tests share: a strict client, a scriptable model origin, programs
//! started as real processes, and the scenario that every real application is put through.
//! Never looks inside RETTER: the tests speak bytes on sockets, environment variables and
//! signals, as its users do.

use std::time::Duration;

pub mod admission;
pub mod application;
pub mod bench;
pub mod browser;
pub mod client;
pub mod corpus;
pub mod coverage;
pub mod crowd;
pub mod embed;
pub mod names;
pub mod namespace;
pub mod nginx;
pub mod origin;
pub mod page;
pub mod port;
pub mod program;
pub mod recorder;
pub mod redis;
pub mod reply;
pub mod retter;
pub mod scenario;
pub mod seeds;
pub mod signal;
pub mod source;
pub mod suites;
pub mod wire;
mod woken;

/// How long anything may take before a test is called stuck. It is a guard only: no test waits
/// for it to pass, so it is generous enough for a loaded machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The path of the program under test; only known where an integration test is compiled.
#[macro_export]
macro_rules! retter_program {
    () => {
        env!("CARGO_BIN_EXE_retter-under-test")
    };
}
