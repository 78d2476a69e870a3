//! What the adapters share: a runtime implements [`Runtime`] in a few lines and calls
//! [`Server::start`]; accepting, dialling, pooling, draining and cutting off happen here.
//! Never parses a byte or makes a decision: [`retter_core::Session`] does. Never knows
//! which runtime it runs on.

mod alarm;
mod dial;
mod doors;
mod listen;
mod observer;
mod runtime;
mod server;
pub mod socket;
mod tasks;
mod worker;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use observer::{Observer, Trouble};
pub use retter_core::connections::Seats;
pub use runtime::Runtime;
pub use server::{Seat, Server};

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses to listen on; `[::]` means IPv4 too.
    pub listen: Vec<SocketAddr>,
    /// Worker threads.
    pub workers: usize,
    /// Host name or address of the origin; IPv6 with or without brackets.
    pub origin_host: String,
    /// Port of the origin.
    pub origin_port: u16,
    /// Idle origin connections that are kept, shared out over the pools.
    pub idle_connections_max: usize,
    /// Longest time an origin connection is kept idle.
    pub idle_timeout: Duration,
    /// How many client connections there may be.
    pub seats: Seats,
    /// Longest time that running exchanges get to finish after [`Server::drain`].
    pub drain_timeout: Duration,
    /// The zero of the core's time.
    pub epoch: Instant,
}
