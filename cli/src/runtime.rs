//! Owns the choice of a runtime: what the program starts on.
//! Never knows what a command is.

use std::io;
use std::sync::Arc;

pub use retter_adapter::{Observer, Options, Seats, Server, Trouble};
pub use retter_core::{Gateway, Site};

/// Binds, starts the worker threads and returns.
pub type Start = fn(&Arc<Gateway>, Options, &Arc<dyn Observer>) -> io::Result<Server>;

/// An adapter as the command line sees it.
#[derive(Clone, Copy, Debug)]
pub struct Adapter {
    /// Its name, for the log.
    pub name: &'static str,
    /// Starts it.
    pub start: Start,
}

/// The tokio adapter.
#[cfg(feature = "tokio")]
pub const TOKIO: Adapter = Adapter {
    name: "tokio",
    start: retter_tokio::start,
};

/// The smol adapter.
#[cfg(feature = "smol")]
pub const SMOL: Adapter = Adapter {
    name: "smol",
    start: retter_smol::start,
};

/// The smol adapter on the executor of async-std, which is discontinued.
#[cfg(feature = "async-std")]
pub const ASYNC_STD: Adapter = Adapter {
    name: "async-std",
    start: retter_smol::async_std::start,
};
