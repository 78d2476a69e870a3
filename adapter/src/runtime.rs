//! Owns the seam between what adapters share and a runtime: sockets, time and tasks.
//! Never says how many threads a runtime has.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use retter_core::drive;

/// What a runtime does for a worker. Everything is `Send`, so that sessions can move between
/// threads where the runtime moves tasks; one that does not pays only for uncontended locks.
pub trait Runtime: Send + Sync + 'static {
    /// A listening socket.
    type Listener: Send + Sync + 'static;
    /// A connected socket.
    type Socket: drive::Socket + AsFd + Send + 'static;

    /// Takes over a non-blocking listening socket.
    ///
    /// # Errors
    /// The reactor takes no more.
    fn listen(&self, listener: TcpListener) -> io::Result<Self::Listener>;

    /// Waits for the next connection.
    fn accept(
        &self,
        listener: &Self::Listener,
    ) -> impl Future<Output = io::Result<(Self::Socket, SocketAddr)>> + Send;

    /// Connects.
    fn connect(&self, address: SocketAddr)
    -> impl Future<Output = io::Result<Self::Socket>> + Send;

    /// Looks a name up, on a thread where blocking harms nobody.
    fn look_up(
        &self,
        host: String,
        port: u16,
    ) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;

    /// Waits.
    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static;

    /// Runs a task beside the caller.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// Runs `future` for at most `limit`; `None` when it took longer.
pub(crate) async fn within<R: Runtime, F: Future>(
    runtime: &R,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = pin!(runtime.sleep(limit));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}
