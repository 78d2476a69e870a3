//! Owns one worker: its accept loops, its sessions' tasks, its pool, and its end.
//! Never shares anything with another worker but the policy.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use retter_core::addresses::{Addresses, Outage};
use retter_core::drive::{Drive, Host};
use retter_core::policy::Retter;
use retter_core::pool::IdlePool;
use retter_core::report::{Observer, Report};
use retter_core::session::Session;
use retter_core::time::Instant;
use slab::Slab;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, LocalSet};

use crate::dial::{self, Dialer};
use crate::socket::{Alarm, Socket};
use crate::{Options, now, set_wall_clock};

/// How long accepting rests after an error such as "too many open files": long enough not to
/// spin, short enough that nobody notices.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How long a drain waits before it begins: connections that the kernel took and requests that
/// lie in sockets would get a reset. Enough for a turn of a busy worker, short for an operator.
const LAST_CALL: Duration = Duration::from_millis(20);

/// What a worker is given.
pub(crate) struct Shared {
    pub(crate) drain: watch::Receiver<bool>,
    pub(crate) is_first: bool,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) options: Arc<Options>,
    pub(crate) retter: Arc<Retter>,
    pub(crate) outage: Outage,
}

/// What the sessions of a worker share.
pub(crate) struct Worker {
    pub(crate) dialer: Dialer,
    draining: Cell<bool>,
    epoch: std::time::Instant,
    observer: Arc<dyn Observer>,
    pool: RefCell<IdlePool<Socket>>,
    retter: Arc<Retter>,
    session_ended: Notify,
    /// One waker for each session, to tell them of the drain.
    sessions: RefCell<Slab<Waker>>,
}

impl Worker {
    /// The only clock read.
    pub(crate) fn now(&self) -> Instant {
        now(self.epoch)
    }

    pub(crate) fn tell(&self, trouble: Option<String>) {
        if let Some(text) = trouble {
            self.observer.on_trouble(&text);
        }
    }
}

/// The worker as one session sees it, and the session's place among the others.
struct Place {
    slot: usize,
    worker: Rc<Worker>,
}

impl Place {
    fn new(worker: &Rc<Worker>) -> Self {
        worker.observer.on_connect();
        let slot = worker.sessions.borrow_mut().insert(Waker::noop().clone());
        Self {
            slot,
            worker: Rc::clone(worker),
        }
    }

    fn note_waker(&self, waker: &Waker) {
        if let Some(noted) = self.worker.sessions.borrow_mut().get_mut(self.slot) {
            noted.clone_from(waker);
        }
    }
}

impl Host for Place {
    type Alarm = Alarm;
    type Socket = Socket;

    fn now(&self) -> Instant {
        self.worker.now()
    }

    fn checkout(&self, now: Instant) -> Option<Socket> {
        let mut pool = self.worker.pool.borrow_mut();
        std::iter::from_fn(|| pool.checkout(now)).find(Socket::is_alive)
    }

    fn park(&self, socket: Socket, now: Instant) {
        drop(self.worker.pool.borrow_mut().checkin(socket, now));
    }

    fn dial(&self) -> Pin<Box<dyn Future<Output = io::Result<Socket>>>> {
        let worker = Rc::clone(&self.worker);
        Box::pin(async { dial::dial(worker).await.map(Socket) })
    }

    fn alarm(&self) -> Alarm {
        Alarm::default()
    }

    fn is_draining(&self) -> bool {
        self.worker.draining.get()
    }

    fn report(&self, report: Report) {
        self.worker.observer.on_report(report);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = "a session ended by a panic, which is a bug of this program: please report";
            self.worker.observer.on_trouble(text);
        }
        drop(self.worker.sessions.borrow_mut().try_remove(self.slot));
        self.worker.session_ended.notify_one();
        self.worker.observer.on_disconnect();
    }
}

/// Runs one session.
async fn run_session(worker: Rc<Worker>, client: Socket, peer: SocketAddr) {
    let session = Session::new(Arc::clone(&worker.retter), peer, worker.now());
    let mut drive = Drive::new(Place::new(&worker), client, session);
    poll_fn(|cx| {
        drive.host().note_waker(cx.waker());
        drive.poll(cx)
    })
    .await;
}

/// Runs a worker until it is drained; returns how many sessions were cut off.
pub(crate) fn run(runtime: &Runtime, shared: Shared, listeners: Vec<StdListener>) -> usize {
    let local = LocalSet::new();
    local.block_on(runtime, serve(shared, listeners))
}

async fn serve(shared: Shared, listeners: Vec<StdListener>) -> usize {
    let Shared {
        mut drain,
        is_first,
        observer,
        options,
        retter,
        outage,
    } = shared;
    let connect_timeout = retter.config().origin.connect_timeout;
    let addresses = Addresses::new(&options.origin_host, options.origin_port, outage);
    let worker = Rc::new(Worker {
        dialer: Dialer::new(addresses, connect_timeout),
        draining: Cell::new(false),
        observer,
        pool: RefCell::new(IdlePool::new(
            options.idle_connections_max,
            options.idle_timeout,
        )),
        retter,
        sessions: RefCell::new(Slab::new()),
        session_ended: Notify::new(),
        epoch: options.epoch,
    });
    let mut tasks: Vec<JoinHandle<()>> = listeners
        .into_iter()
        .map(|listener| tokio::task::spawn_local(accept(Rc::clone(&worker), listener)))
        .collect();
    tasks.push(tokio::task::spawn_local(tick(Rc::clone(&worker), is_first)));
    // An error means that the server itself is gone: that is a drain too.
    let _ = drain.wait_for(|draining| *draining).await;
    tokio::time::sleep(LAST_CALL).await;
    for task in &tasks {
        task.abort();
    }
    finish(&worker, options.drain_timeout).await
}

async fn accept(worker: Rc<Worker>, listener: StdListener) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            worker
                .observer
                .on_trouble(&format!("cannot listen: {error}"));
            return;
        }
    };
    let mut in_trouble = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                in_trouble = false;
                // A socket that died between accept and here ends at its first read.
                let _ = stream.set_nodelay(true);
                tokio::task::spawn_local(run_session(Rc::clone(&worker), Socket(stream), peer));
            }
            Err(error) => {
                if !std::mem::replace(&mut in_trouble, true) {
                    worker.observer.on_trouble(&format!(
                        "cannot accept connections: {error}; \
                         raise the limit of open files (ulimit -n) if that is the cause"
                    ));
                }
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Once a second: the wall clock, and idle connections that are too old.
async fn tick(worker: Rc<Worker>, is_first: bool) {
    let mut interval = tokio::time::interval(Duration::from_secs(1));
    loop {
        interval.tick().await;
        if is_first {
            set_wall_clock(&worker.retter, worker.epoch);
        }
        worker.pool.borrow_mut().expire(worker.now());
    }
}

/// Tells all sessions to finish and waits for them.
async fn finish(worker: &Worker, drain_timeout: Duration) -> usize {
    worker.draining.set(true);
    let wakers: Vec<Waker> = worker
        .sessions
        .borrow()
        .iter()
        .map(|(_, waker)| waker.clone())
        .collect();
    for waker in wakers {
        waker.wake();
    }
    let all_ended = async {
        while !worker.sessions.borrow().is_empty() {
            worker.session_ended.notified().await;
        }
    };
    // Either way the count tells.
    let _ = tokio::time::timeout(drain_timeout, all_ended).await;
    worker.sessions.borrow().len()
}
