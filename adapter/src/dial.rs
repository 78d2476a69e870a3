//! Owns the way to the origin: looking its name up and trying its addresses.
//! Never decides which, or when: [`Addresses`] does.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use retter_core::addresses::{Addresses, Dial};

use crate::observer::Trouble;
use crate::runtime::{Runtime, within};
use crate::socket::{peer_of, send_at_once};
use crate::worker::Worker;

/// The origin, as one worker sees it.
pub(crate) struct Dialer {
    known: Mutex<Known>,
    timeout: Duration,
}

struct Known {
    addresses: Addresses,
    /// The requests that wait for the first look-up.
    waiting: Vec<Waker>,
}

impl Dialer {
    pub(crate) fn new(addresses: Addresses, connect_timeout: Duration) -> Self {
        Self {
            known: Mutex::new(Known {
                addresses,
                waiting: Vec::new(),
            }),
            // A little less than the session waits, so that the reason is told before the
            // session drops the dial.
            timeout: connect_timeout * 9 / 10,
        }
    }

    /// Whether a connection that was made earlier is still one to the origin.
    pub(crate) fn is_origin(&self, socket: &impl AsFd) -> bool {
        self.lock().addresses.is_origin(|| peer_of(socket))
    }

    /// What is known, or what the look-up that runs will have found.
    fn poll_known(&self, cx: &Context<'_>) -> Poll<Dial> {
        let mut known = self.lock();
        if known.addresses.is_known() || !known.addresses.is_looking_up() {
            return Poll::Ready(known.addresses.dial(self.timeout));
        }
        if !known
            .waiting
            .iter()
            .any(|known| known.will_wake(cx.waker()))
        {
            known.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks the name up again beside the caller, where its time has come.
pub(crate) fn keep_known<R: Runtime>(worker: &Arc<Worker<R>>) {
    if worker.dialer.lock().addresses.start_look_up(worker.now()) {
        worker.runtime.spawn(look_up(Arc::clone(worker)));
    }
}

/// Connects to the first address that takes it.
pub(crate) async fn dial<R: Runtime>(worker: Arc<Worker<R>>) -> io::Result<R::Socket> {
    keep_known(&worker);
    let mut dial = poll_fn(|cx| worker.dialer.poll_known(cx)).await;
    while let Some((address, share)) = dial.poll_next() {
        match within(&*worker.runtime, share, worker.runtime.connect(address)).await {
            Some(Ok(socket)) => {
                worker.dialer.lock().addresses.connected(address);
                send_at_once(&socket);
                return Ok(socket);
            }
            Some(Err(error)) => dial.failed(error),
            None => dial.timed_out(),
        }
    }
    let error = dial.into_error();
    let now = worker.now();
    let told = worker.dialer.lock().addresses.not_connected(&error, now);
    if let Some(trouble) = told {
        worker.tell(&Trouble::Origin(trouble));
    }
    Err(error)
}

async fn look_up<R: Runtime>(worker: Arc<Worker<R>>) {
    let (host, port) = {
        let known = worker.dialer.lock();
        let (host, port) = known.addresses.name();
        (host.to_owned(), port)
    };
    let answer = worker.runtime.look_up(host, port).await;
    let answer = answer.map_err(|error| error.to_string());
    let (told, waiting) = {
        let mut known = worker.dialer.lock();
        let told = known.addresses.found(answer, worker.now());
        (told, std::mem::take(&mut known.waiting))
    };
    if let Some(trouble) = told {
        worker.tell(&Trouble::Origin(trouble));
    }
    for waker in waiting {
        waker.wake();
    }
}
