//! A proxy on blocking sockets and plain threads: `blocking LISTEN ORIGIN`, as in
//! `cargo run -p retter-core --example blocking -- 127.0.0.1:8089 127.0.0.1:8088`.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an adapter is where clocks, threads and sockets belong"
)]

mod adapter;

use std::net::{TcpListener, ToSocketAddrs};

use retter_core::Gateway;
use retter_core::config::Settings;
use retter_core::time::Instant;

/// Sessions at one time; each is two threads, and a third while it asks the origin.
const SESSIONS: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(origin)) = (args.next(), args.next()) else {
        return Err("usage: blocking LISTEN ORIGIN, both host:port".into());
    };
    let mut settings = Settings::default();
    settings.site.origin.authority.clone_from(&origin);
    let config = settings.validate()?;
    // A proxy for strangers takes a seed that they cannot guess.
    let gateway = Gateway::new(config, u64::from(std::process::id()), Instant::ZERO);
    let origin = origin.to_socket_addrs()?.collect();
    adapter::start(TcpListener::bind(listen)?, origin, gateway, SESSIONS)?;
    loop {
        std::thread::park();
    }
}
