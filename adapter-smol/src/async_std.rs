//! Owns the way onto async-std's executor, for programs that still live on it: async-std is
//! discontinued (RUSTSEC-2025-0052) in favour of smol.
//! Never owns its threads: the process has one such executor.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread;

use async_global_executor::GlobalExecutorConfig;
use async_std::task::spawn;
use futures_lite::future::block_on;
use retter_adapter::{Observer, Options, Seat, Server};
use retter_core::Gateway;

use crate::reactor::{AsyncIo, Spawn};

/// Binds all addresses and starts the workers. The first call in a process decides how many
/// threads async-std has, unless it runs already.
///
/// # Errors
/// An address that cannot be bound, or a thread that cannot be made.
pub fn start(
    gateway: &Arc<Gateway>,
    options: Options,
    observer: &Arc<dyn Observer>,
) -> io::Result<Server> {
    let workers = options.workers.max(1);
    let config = GlobalExecutorConfig::default()
        .with_min_threads(workers)
        .with_max_threads(workers)
        .with_thread_name_fn(|| "retter-async-std".to_owned());
    async_global_executor::init_with_config(config);
    Server::start(gateway, options, observer, 1, |seat: Seat| {
        // This thread only waits for the end; it takes no part in reactor or tasks.
        let run = || block_on(spawn(seat.serve(AsyncIo(AsyncStd))));
        thread::Builder::new()
            .name("retter-0".to_owned())
            .spawn(run)
    })
}

struct AsyncStd;

impl Spawn for AsyncStd {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(spawn(task));
    }
}
