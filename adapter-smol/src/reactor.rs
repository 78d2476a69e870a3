//! Owns what async-io does for a worker: sockets and time, for whichever executor.
//! Never runs a task.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::pin::Pin;
use std::time::Duration;

use async_io::{Async, Timer};
use retter_adapter::Runtime;

use crate::socket::Socket;

/// Who runs the tasks: all that differs between smol and async-std.
pub(crate) trait Spawn: Send + Sync + 'static {
    /// Runs a task beside the caller.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
}

/// async-io and an executor.
pub(crate) struct AsyncIo<S>(pub(crate) S);

impl<S: Spawn> Runtime for AsyncIo<S> {
    type Listener = Async<TcpListener>;
    type Socket = Socket;

    fn listen(&self, listener: TcpListener) -> io::Result<Async<TcpListener>> {
        Async::new(listener)
    }

    async fn accept(&self, listener: &Async<TcpListener>) -> io::Result<(Socket, SocketAddr)> {
        let (stream, peer) = listener.accept().await?;
        Ok((Socket::new(stream), peer))
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        Async::<TcpStream>::connect(address).await.map(Socket::new)
    }

    async fn look_up(&self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        blocking::unblock(move || Ok((host, port).to_socket_addrs()?.collect())).await
    }

    fn sleep(&self, time: Duration) -> impl Future<Output = ()> + Send + 'static {
        let mut timer = Timer::after(time);
        poll_fn(move |cx| Pin::new(&mut timer).poll(cx).map(drop))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}
