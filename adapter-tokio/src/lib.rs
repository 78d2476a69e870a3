//! Runs RETTER on tokio: one current-thread runtime per worker, one listening socket each
//! (`SO_REUSEPORT`), so that a session never leaves its thread and workers wait for nobody.
//! Never parses a byte or makes a decision: [`retter_core::Session`] does.

mod socket;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

pub use retter_adapter::{Observer, Options, Seats, Server};
use retter_adapter::{Runtime, Seat};
use retter_core::Gateway;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use socket::Socket;

/// Binds all addresses and starts the workers.
///
/// # Errors
/// An address that cannot be bound, or a thread or runtime that cannot be made.
pub fn start(
    gateway: &Arc<Gateway>,
    options: Options,
    observer: &Arc<dyn Observer>,
) -> io::Result<Server> {
    let workers = options.workers;
    Server::start(gateway, options, observer, workers, |seat: Seat| {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let name = format!("retter-{}", seat.index());
        thread::Builder::new().name(name).spawn(move || {
            let cut = runtime.block_on(seat.serve(Tokio));
            // A look-up that still blocks is left to itself.
            runtime.shutdown_background();
            cut
        })
    })
}

struct Tokio;

impl Runtime for Tokio {
    type Listener = TcpListener;
    type Socket = Socket;

    fn listen(&self, listener: StdListener) -> io::Result<TcpListener> {
        TcpListener::from_std(listener)
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(Socket, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        Ok((Socket(stream), peer))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        TcpStream::connect(address).await.map(Socket)
    }

    async fn look_up(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep(time)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(task);
    }
}
