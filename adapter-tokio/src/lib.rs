//! Owns sockets, timers and tasks for RETTER's core on tokio: one current-thread runtime per
//! worker, one listening socket each (`SO_REUSEPORT`), an unlocked pool of origin connections.
//! Never parses a byte or makes a decision: [`retter_core::session::Session`] does.

mod dial;
mod listen;
mod socket;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};

use retter_core::addresses::Outage;
use retter_core::policy::Retter;
use retter_core::report::Observer;
use retter_core::time::{Instant, UnixTime};
use tokio::sync::watch;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Worker threads, each with a runtime of its own.
    pub workers: usize,
    /// Host name or address of the origin.
    pub origin_host: String,
    /// Port of the origin.
    pub origin_port: u16,
    /// Idle origin connections that each worker keeps.
    pub idle_connections_max: usize,
    /// Longest time an origin connection is kept idle.
    pub idle_timeout: Duration,
    /// Longest time that running exchanges get to finish after [`Server::drain`].
    pub drain_timeout: Duration,
    /// What [`Instant::ZERO`] is.
    pub epoch: std::time::Instant,
}

/// A running server.
pub struct Server {
    drain: watch::Sender<bool>,
    local_addrs: Vec<SocketAddr>,
    workers: Vec<JoinHandle<usize>>,
}

impl Server {
    /// Binds all addresses and starts the workers.
    ///
    /// # Errors
    /// An address that cannot be bound, or a thread or runtime that cannot be made.
    pub fn start(
        retter: Arc<Retter>,
        options: Options,
        observer: Arc<dyn Observer>,
    ) -> io::Result<Self> {
        set_wall_clock(&retter, options.epoch);
        let workers = options.workers.max(1);
        let (mut sets, local_addrs) = listen::bind(&options.listen, workers)?;
        let (drain, drained) = watch::channel(false);
        let options = Arc::new(options);
        let outage = Outage::default();
        let mut threads = Vec::with_capacity(workers);
        for index in (0..workers).rev() {
            let Some(listeners) = sets.pop() else { break };
            let shared = worker::Shared {
                drain: drained.clone(),
                is_first: index == 0,
                observer: Arc::clone(&observer),
                options: Arc::clone(&options),
                retter: Arc::clone(&retter),
                outage: outage.clone(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let name = format!("retter-{index}");
            let run = move || worker::run(&runtime, shared, listeners);
            threads.push(std::thread::Builder::new().name(name).spawn(run)?);
        }
        Ok(Self {
            drain,
            local_addrs,
            workers: threads,
        })
    }

    /// The addresses that are bound, with the ports that the system chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Stops accepting; what runs may finish within the drain timeout.
    pub fn drain(&self) {
        // Without receivers every worker has ended already.
        let _ = self.drain.send(true);
    }

    /// Waits until all workers have ended after [`drain`](Self::drain) and returns how many
    /// sessions the drain timeout cut off.
    #[must_use]
    pub fn join(self) -> usize {
        self.workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_default())
            .sum()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addrs", &self.local_addrs)
            .finish_non_exhaustive()
    }
}

/// The core's time: what passed since the epoch.
fn now(epoch: std::time::Instant) -> Instant {
    Instant::from_epoch(epoch.elapsed())
}

fn set_wall_clock(retter: &Retter, epoch: std::time::Instant) {
    let unix = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let unix = UnixTime(unix.map_or(0, |since| since.as_secs()));
    retter.set_wall_clock(now(epoch), unix);
}
