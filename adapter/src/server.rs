//! Owns the life of a server: binding, starting the workers, draining and waiting for them.
//! Never runs a worker: the runtime's threads do.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;
use std::{fmt, io};

use retter_core::Gateway;
use retter_core::addresses::Outage;
use retter_core::time::Instant;

use crate::doors::Doors;
use crate::observer::Observer;
use crate::runtime::Runtime;
use crate::tasks::{Stage, Tasks};
use crate::{Options, listen, worker};

/// A running server. Dropping it drains it.
pub struct Server {
    local_addrs: Vec<SocketAddr>,
    tasks: Vec<Arc<Tasks>>,
    threads: Vec<JoinHandle<usize>>,
}

impl Server {
    /// Binds all addresses once for each of `workers` and lets `run` start a thread for each;
    /// the thread runs [`Seat::serve`] and returns what that returns.
    ///
    /// # Errors
    /// An address that cannot be bound, or what `run` fails with.
    pub fn start(
        gateway: &Arc<Gateway>,
        options: Options,
        observer: &Arc<dyn Observer>,
        workers: usize,
        run: impl Fn(Seat) -> io::Result<JoinHandle<usize>>,
    ) -> io::Result<Self> {
        set_wall_clock(gateway, options.epoch);
        let workers = workers.max(1);
        let (sets, local_addrs) = listen::bind(&options.listen, workers)?;
        let doors = Doors::new(options.seats, gateway.client().trusted_proxies.clone());
        let options = Arc::new(options);
        let outage = Outage::default();
        let mut server = Self {
            local_addrs,
            tasks: Vec::with_capacity(workers),
            threads: Vec::with_capacity(workers),
        };
        for (index, listeners) in sets.into_iter().enumerate() {
            let tasks = Tasks::new();
            server.tasks.push(Arc::clone(&tasks));
            server.threads.push(run(Seat {
                doors: Arc::clone(&doors),
                idle_connections_max: options.idle_connections_max.div_ceil(workers),
                index,
                listeners,
                observer: Arc::clone(observer),
                options: Arc::clone(&options),
                outage: outage.clone(),
                gateway: Arc::clone(gateway),
                tasks,
            })?);
        }
        Ok(server)
    }

    /// The addresses that are bound, with the ports that the system chose.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Stops accepting; what runs may finish within the drain timeout. May be called again.
    pub fn drain(&self) {
        for tasks in &self.tasks {
            tasks.reach(Stage::LastCall);
        }
    }

    /// Waits until all workers have ended after [`drain`](Self::drain) and returns how many
    /// sessions the drain timeout cut off.
    #[must_use]
    pub fn join(mut self) -> usize {
        std::mem::take(&mut self.threads)
            .into_iter()
            .map(|thread| thread.join().unwrap_or_default())
            .sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addrs", &self.local_addrs)
            .finish_non_exhaustive()
    }
}

/// What one worker is given.
pub struct Seat {
    pub(crate) doors: Arc<Doors>,
    pub(crate) idle_connections_max: usize,
    pub(crate) index: usize,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) options: Arc<Options>,
    pub(crate) outage: Outage,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) tasks: Arc<Tasks>,
}

impl Seat {
    /// Which worker it is, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Runs the worker on `runtime` until it is drained; returns how many sessions were cut off.
    pub fn serve<R: Runtime>(self, runtime: R) -> impl Future<Output = usize> + Send {
        worker::serve(self, runtime)
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// The core's time: what passed since the epoch.
pub(crate) fn now(epoch: std::time::Instant) -> Instant {
    Instant::from_epoch(epoch.elapsed())
}

pub(crate) fn set_wall_clock(gateway: &Gateway, epoch: std::time::Instant) {
    let since_1970 = SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    gateway
        .site()
        .set_wall_clock(since_1970.unwrap_or_default(), now(epoch));
}
