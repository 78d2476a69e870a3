//! Owns the seam between the command line and an adapter: what is asked of any runtime.
//! Never knows what a command is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use retter_core::report::Observer;

pub use retter_core::policy::Retter;

/// What an adapter needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses to listen on; `[::]` means IPv4 too.
    pub listen: Vec<SocketAddr>,
    /// Worker threads.
    pub workers: usize,
    /// Host of the origin; IPv6 without brackets.
    pub origin_host: String,
    /// Port of the origin.
    pub origin_port: u16,
    /// Idle origin connections kept per worker.
    pub idle_connections_max: usize,
    /// How long they are kept.
    pub idle_timeout: Duration,
    /// How long running exchanges may take after [`Running::drain`].
    pub drain_timeout: Duration,
    /// The zero of the core's time.
    pub epoch: Instant,
}

/// A started server.
pub trait Running: Send {
    /// The addresses it listens on, with real ports.
    fn local_addrs(&self) -> &[SocketAddr];

    /// Stops listening and lets running exchanges end. May be called more than once.
    fn drain(&self);

    /// Waits for the end after [`Running::drain`]; returns how many sessions were cut by the
    /// drain timeout.
    fn join(self: Box<Self>) -> usize;
}

/// Binds, starts the worker threads and returns.
pub type Start = fn(Arc<Retter>, Options, Arc<dyn Observer>) -> io::Result<Box<dyn Running>>;

/// An adapter as the command line sees it.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// Its name, for the log.
    pub name: &'static str,
    /// Starts it.
    pub start: Start,
}

/// The tokio adapter.
pub const TOKIO: Runtime = Runtime {
    name: "tokio",
    start: start_tokio,
};

fn start_tokio(
    retter: Arc<Retter>,
    options: Options,
    observer: Arc<dyn Observer>,
) -> io::Result<Box<dyn Running>> {
    let options = retter_tokio::Options {
        listen: options.listen,
        workers: options.workers,
        origin_host: options.origin_host,
        origin_port: options.origin_port,
        idle_connections_max: options.idle_connections_max,
        idle_timeout: options.idle_timeout,
        drain_timeout: options.drain_timeout,
        epoch: options.epoch,
    };
    let server = retter_tokio::Server::start(retter, options, observer)?;
    Ok(Box::new(server))
}

impl Running for retter_tokio::Server {
    fn local_addrs(&self) -> &[SocketAddr] {
        self.local_addrs()
    }

    fn drain(&self) {
        self.drain();
    }

    fn join(self: Box<Self>) -> usize {
        (*self).join()
    }
}
