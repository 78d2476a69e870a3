//! Runs RETTER on smol: one executor, whose threads share the sessions, the listening sockets
//! and the pool of origin connections. async-std (feature `async-std`) has the same reactor,
//! async-io, and differs in who runs the tasks.
//! Never parses a byte or makes a decision: [`retter_core::Session`] does.

#[cfg(feature = "async-std")]
pub mod async_std;
mod reactor;
mod socket;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::{Arc, Weak};
use std::thread;

use async_channel::Receiver;
use async_executor::Executor;
use async_io::block_on;
use retter_adapter::Seat;
pub use retter_adapter::{Observer, Options, Seats, Server};
use retter_core::Gateway;

use reactor::{AsyncIo, Spawn};

/// Binds all addresses and starts the workers.
///
/// # Errors
/// An address that cannot be bound, or a thread that cannot be made.
pub fn start(
    gateway: &Arc<Gateway>,
    options: Options,
    observer: &Arc<dyn Observer>,
) -> io::Result<Server> {
    let workers = options.workers.max(1);
    Server::start(gateway, options, observer, 1, |seat: Seat| {
        let executor = Arc::new(Executor::new());
        // Nothing is sent: its end is the word.
        let (serving, end) = async_channel::bounded::<Infallible>(1);
        let helpers = (1..workers)
            .map(|index| {
                let run = help(Arc::clone(&executor), end.clone());
                thread::Builder::new()
                    .name(format!("retter-{index}"))
                    .spawn(run)
            })
            .collect::<io::Result<Vec<_>>>()?;
        let runtime = AsyncIo(Smol(Arc::downgrade(&executor)));
        thread::Builder::new()
            .name("retter-0".to_owned())
            .spawn(move || {
                let cut = block_on(executor.run(seat.serve(runtime)));
                drop(serving);
                for helper in helpers {
                    // A helper that panicked has told so already.
                    let _ = helper.join();
                }
                cut
            })
    })
}

fn help(executor: Arc<Executor<'static>>, end: Receiver<Infallible>) -> impl FnOnce() + Send {
    move || {
        let _ = block_on(executor.run(end.recv()));
    }
}

/// Tasks run on an executor. It owns them, so that they must not own it.
struct Smol(Weak<Executor<'static>>);

impl Spawn for Smol {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Without threads that run it nothing is left to do.
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(task).detach();
        }
    }
}
