//! Owns the way to the origin on tokio: looking its name up and trying its addresses.
//! Never decides which, or when: [`Addresses`] does.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use retter_core::addresses::Addresses;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::worker::Worker;

/// The origin, as one worker sees it.
pub(crate) struct Dialer {
    addresses: RefCell<Addresses>,
    found: Notify,
    timeout: Duration,
}

impl Dialer {
    pub(crate) fn new(addresses: Addresses, connect_timeout: Duration) -> Self {
        Self {
            addresses: RefCell::new(addresses),
            found: Notify::new(),
            // A little less than the session waits, so that the reason is told before the
            // session drops the dial.
            timeout: connect_timeout * 9 / 10,
        }
    }
}

/// Connects to the first address that takes it.
pub(crate) async fn dial(worker: Rc<Worker>) -> io::Result<TcpStream> {
    let addresses = resolve(&worker).await;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    // Each address gets its share of the time, so that one that never answers does not use up
    // the others' chance.
    let share = worker.dialer.timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                worker.dialer.addresses.borrow_mut().connected(address);
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        }
    }
    let told = worker
        .dialer
        .addresses
        .borrow_mut()
        .unreachable(&last.to_string());
    worker.tell(told);
    Err(last)
}

/// The addresses that are known, or those of a first look-up.
async fn resolve(worker: &Rc<Worker>) -> Vec<SocketAddr> {
    let found = worker.dialer.found.notified();
    if worker
        .dialer
        .addresses
        .borrow_mut()
        .start_look_up(worker.now())
    {
        tokio::task::spawn_local(look_up(Rc::clone(worker)));
    }
    let known = worker.dialer.addresses.borrow().in_order();
    if !known.is_empty() {
        return known;
    }
    found.await;
    worker.dialer.addresses.borrow().in_order()
}

async fn look_up(worker: Rc<Worker>) {
    let (host, port) = {
        let addresses = worker.dialer.addresses.borrow();
        let (host, port) = addresses.name();
        (host.to_owned(), port)
    };
    let answer = tokio::net::lookup_host((host, port)).await;
    let answer = answer
        .map(Iterator::collect)
        .map_err(|error| error.to_string());
    let told = worker
        .dialer
        .addresses
        .borrow_mut()
        .found(answer, worker.now());
    worker.tell(told);
    worker.dialer.found.notify_waiters();
}
