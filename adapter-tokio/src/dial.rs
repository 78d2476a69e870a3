//! Owns the way to the origin: name look-ups with a refresh, and trying several addresses.
//! Never waits longer than the session does: the session's timer ends a dial by dropping it.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use retter_core::report::Observer;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Age after which the addresses of a name are looked up again, in the background.
const REFRESH: Duration = Duration::from_secs(30);

/// The origin's addresses, for one worker.
pub(crate) struct Dialer {
    host: String,
    port: u16,
    observer: Arc<dyn Observer>,
    attempt_timeout: Duration,
    addresses: RefCell<Rc<[SocketAddr]>>,
    looked_up: Cell<Option<Instant>>,
    looking_up: Cell<bool>,
    failure: RefCell<Option<String>>,
    found: Notify,
    /// Index of the address that took the last connection.
    preferred: Cell<usize>,
    /// Whether the last dial of any worker failed, so that an outage is told once.
    unreachable: Arc<AtomicBool>,
}

impl Dialer {
    pub(crate) fn new(
        host: &str,
        port: u16,
        connect_timeout: Duration,
        observer: Arc<dyn Observer>,
        unreachable: Arc<AtomicBool>,
    ) -> Self {
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>();
        let fixed = literal.ok().map(|ip| SocketAddr::new(ip, port));
        Self {
            host: host.to_owned(),
            port,
            observer,
            // A little less than the session waits, so that the reason is told before the session
            // drops the dial.
            attempt_timeout: connect_timeout * 9 / 10,
            addresses: RefCell::new(fixed.into_iter().collect()),
            looked_up: Cell::new(None),
            looking_up: Cell::new(false),
            failure: RefCell::new(None),
            found: Notify::new(),
            preferred: Cell::new(0),
            unreachable,
        }
    }

    /// Connects to the first address that takes it, beginning with the one that did last time.
    pub(crate) async fn dial(self: Rc<Self>) -> io::Result<TcpStream> {
        let addresses = self.resolve().await?;
        let count = addresses.len();
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the origin's name has no address");
        // Each address gets its share of the time, so that one that never answers does not use
        // up the others' chance.
        let share = self.attempt_timeout / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        for turn in 0..count {
            let index = (self.preferred.get() + turn) % count;
            match tokio::time::timeout(share, TcpStream::connect(addresses[index])).await {
                Ok(Ok(stream)) => {
                    self.preferred.set(index);
                    self.unreachable.store(false, Ordering::Relaxed);
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        self.tell_unreachable(&last);
        Err(last)
    }

    /// Tells that no address takes a connection, once until one does.
    fn tell_unreachable(&self, error: &io::Error) {
        if !self.unreachable.swap(true, Ordering::Relaxed) {
            let Self { host, port, .. } = self;
            self.observer.on_trouble(&format!(
                "cannot connect to the application at {host}:{port}: {error}; \
                 is it running, and is RETTER_BACKEND_BASEURL right?"
            ));
        }
    }

    /// The addresses known, looked up when there are none; an old answer is used while a new one
    /// is being asked for, and kept when that fails.
    async fn resolve(self: &Rc<Self>) -> io::Result<Rc<[SocketAddr]>> {
        let known = Rc::clone(&self.addresses.borrow());
        if !known.is_empty() {
            if self
                .looked_up
                .get()
                .is_some_and(|at| at.elapsed() >= REFRESH)
            {
                self.look_up();
            }
            return Ok(known);
        }
        let found = self.found.notified();
        self.look_up();
        found.await;
        let known = Rc::clone(&self.addresses.borrow());
        if known.is_empty() {
            let text = self.failure.borrow().clone().unwrap_or_default();
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(known)
    }

    /// Starts a look-up unless one runs.
    fn look_up(self: &Rc<Self>) {
        if self.looking_up.replace(true) {
            return;
        }
        let dialer = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let answer = tokio::net::lookup_host((dialer.host.as_str(), dialer.port)).await;
            let error = match answer {
                Ok(addresses) => {
                    let addresses: Rc<[SocketAddr]> = addresses.collect();
                    if addresses.is_empty() {
                        Some("no address".to_owned())
                    } else {
                        *dialer.addresses.borrow_mut() = addresses;
                        None
                    }
                }
                Err(error) => Some(error.to_string()),
            };
            dialer.tell(error);
            dialer.looked_up.set(Some(Instant::now()));
            dialer.looking_up.set(false);
            dialer.found.notify_waiters();
        });
    }

    /// Tells of a failed look-up, once until it works again.
    fn tell(&self, error: Option<String>) {
        let before = self.failure.replace(error.clone());
        if let (Some(error), None) = (error, before) {
            let host = &self.host;
            self.observer.on_trouble(&format!(
                "cannot resolve the origin's name `{host}`: {error}; \
                 check RETTER_BACKEND_BASEURL and the name service"
            ));
        }
    }
}
