//! Owns one worker: its accept loops, its sessions, its pool, and its end.
//! Never shares anything with another worker but the policy.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use retter_core::Gateway;
use retter_core::Session;
use retter_core::addresses::Addresses;
use retter_core::connections::Full;
use retter_core::drive::{Alarm as _, Drive, Host};
use retter_core::event::Report;
use retter_core::pool::IdlePool;
use retter_core::session::Standing;
use retter_core::site::ConnectProbe;
use retter_core::time::Instant;

use crate::alarm::Alarm;
use crate::dial::{self, Dialer};
use crate::doors::{Doors, Pass};
use crate::observer::{Observer, Trouble};
use crate::runtime::{Runtime, within};
use crate::server::{Seat, now, set_wall_clock};
use crate::socket::{bound_unsent, is_alive, reset_on_close, send_at_once};
use crate::tasks::{Member, Stage, Tasks};

/// How long accepting rests after an error such as "too many open files": long enough not to
/// spin, short enough that nobody notices.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How long a drain waits before it begins: connections that the kernel took and requests that
/// lie in sockets would get a reset. Enough for a turn of a busy worker, short for an operator.
const LAST_CALL: Duration = Duration::from_millis(20);

/// How often the wall clock is set and old idle connections are closed.
const TICK: Duration = Duration::from_secs(1);

/// What the sessions of a worker share.
pub(crate) struct Worker<R: Runtime> {
    pub(crate) dialer: Dialer,
    doors: Arc<Doors>,
    epoch: std::time::Instant,
    observer: Arc<dyn Observer>,
    pool: Mutex<IdlePool<R::Socket>>,
    gateway: Arc<Gateway>,
    pub(crate) runtime: Arc<R>,
    tasks: Arc<Tasks>,
}

impl<R: Runtime> Worker<R> {
    /// The only clock read.
    pub(crate) fn now(&self) -> Instant {
        now(self.epoch)
    }

    pub(crate) fn tell(&self, trouble: &Trouble) {
        self.observer.on_trouble(trouble);
    }

    fn pool(&self) -> MutexGuard<'_, IdlePool<R::Socket>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker as one session sees it.
struct SessionHost<R: Runtime>(Arc<Worker<R>>, Option<Pass>);

/// A client's seat, which tells that it is there.
struct Visit<R: Runtime>(Arc<Worker<R>>);

impl<R: Runtime> Visit<R> {
    fn new(worker: &Arc<Worker<R>>) -> Self {
        worker.observer.on_connect();
        Self(Arc::clone(worker))
    }
}

impl<R: Runtime> Host for SessionHost<R> {
    type Alarm = Alarm<R>;
    type Dial = Pin<Box<dyn Future<Output = io::Result<R::Socket>> + Send>>;
    type Socket = R::Socket;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn checkout(&self, now: Instant) -> Option<R::Socket> {
        // The lock ends before a dead one is dropped.
        let next = || self.0.pool().checkout(now);
        std::iter::from_fn(next).find(|socket| self.is_alive(socket))
    }

    fn is_alive(&self, socket: &R::Socket) -> bool {
        is_alive(socket) && self.0.dialer.is_origin(socket)
    }

    fn park(&self, socket: R::Socket, now: Instant) {
        let surplus = self.0.pool().checkin(socket, now);
        drop(surplus);
    }

    fn dial(&self) -> Self::Dial {
        Box::pin(dial::dial(Arc::clone(&self.0)))
    }

    fn alarm(&self) -> Alarm<R> {
        Alarm::new(Arc::clone(&self.0.runtime))
    }

    fn is_draining(&self) -> bool {
        self.0.tasks.has_reached(Stage::Draining)
    }

    fn detach(&self, session: Session, origin: R::Socket) {
        run_background(&self.0, Some(origin), session);
    }

    fn must_leave(&self) -> bool {
        self.1.as_ref().is_some_and(|pass| pass.seat().must_leave())
    }

    fn note(&self, standing: Standing) {
        if let Some(pass) = &self.1 {
            pass.seat().note(standing);
        }
    }

    fn report(&self, report: Report) {
        self.0.observer.on_report(report);
    }
}

impl<R: Runtime> Drop for Visit<R> {
    fn drop(&mut self) {
        self.0.observer.on_disconnect();
    }
}

/// Runs the worker of `seat` until it is drained; returns how many sessions were cut off.
pub(crate) async fn serve<R: Runtime>(seat: Seat, runtime: R) -> usize {
    let options = &seat.options;
    let connect_timeout = seat.gateway.config().site().origin.connect_timeout;
    let addresses = Addresses::new(&options.origin_host, options.origin_port, seat.outage);
    let worker = Arc::new(Worker {
        dialer: Dialer::new(addresses, connect_timeout),
        doors: seat.doors,
        epoch: options.epoch,
        observer: seat.observer,
        pool: Mutex::new(IdlePool::new(
            seat.idle_connections_max,
            options.idle_timeout,
        )),
        gateway: seat.gateway,
        runtime: Arc::new(runtime),
        tasks: seat.tasks,
    });
    let tasks = &worker.tasks;
    for listener in seat.listeners {
        let accept = accept(tasks.enter(), Arc::clone(&worker), listener);
        worker.runtime.spawn(accept);
    }
    if seat.index == 0 {
        let refresh = refresh(tasks.enter(), Arc::clone(&worker));
        worker.runtime.spawn(refresh);
    }
    // Before anybody comes: so each worker knows what the name stood for when it is lost, and
    // the log tells at once of one that is wrong.
    dial::keep_known(&worker);
    let tick = tick(tasks.enter(), Arc::clone(&worker), seat.index == 0);
    worker.runtime.spawn(tick);
    let mut member = tasks.enter();
    let _: Option<()> = member.until(Stage::LastCall, pending()).await;
    drop(member);
    worker.runtime.sleep(LAST_CALL).await;
    tasks.reach(Stage::Draining);

    // Either way the count tells.
    let _ = within(&*worker.runtime, options.drain_timeout, tasks.all_ended()).await;
    tasks.reach(Stage::Cut);
    tasks.all_ended().await;
    tasks.cut()
}

/// Accepts connections. The member comes first, here and below, so that it is dropped last: who
/// waits for it finds everything else gone.
async fn accept<R: Runtime>(mut member: Member, worker: Arc<Worker<R>>, listener: TcpListener) {
    let listener = match worker.runtime.listen(listener) {
        Ok(listener) => listener,
        Err(error) => return worker.tell(&Trouble::Listen(error)),
    };
    let endless = async {
        loop {
            match worker.runtime.accept(&listener).await {
                Ok((socket, peer)) => {
                    send_at_once(&socket);
                    bound_unsent(&socket);
                    let member = worker.tasks.enter();
                    let bell = member.bell();
                    match worker.doors.enter(peer.ip(), bell, worker.now()) {
                        Ok(pass) => {
                            let session =
                                run_session(member, Arc::clone(&worker), pass, socket, peer);
                            worker.runtime.spawn(session);
                        }
                        // Not worth a line for each: it is the client's own doing.
                        Err(Full::Address) => reset_on_close(&socket),
                        Err(Full::Total) => {
                            reset_on_close(&socket);
                            if worker.doors.full.is_due(worker.now()) {
                                worker.tell(&Trouble::Full);
                            }
                        }
                    }
                }
                Err(error) => {
                    worker.doors.make_room(worker.now());
                    if worker.doors.trouble.is_due(worker.now()) {
                        worker.tell(&Trouble::Accept(error));
                    }
                    worker.runtime.sleep(ACCEPT_REST).await;
                }
            }
        }
    };
    let _: Option<()> = member.until(Stage::Draining, endless).await;
}

async fn run_session<R: Runtime>(
    mut member: Member,
    worker: Arc<Worker<R>>,
    pass: Pass,
    client: R::Socket,
    peer: SocketAddr,
) {
    let visit = Visit::new(&worker);
    let session = Session::new(Arc::clone(&worker.gateway), peer, worker.now());
    let mut drive = Drive::new(
        SessionHost(Arc::clone(&worker), Some(pass)),
        client,
        session,
    );
    run(&mut member, &worker, &mut drive).await;
    drop(drive);
    drop(visit);
}

/// Runs a session to its end.
async fn run<R: Runtime>(
    member: &mut Member,
    worker: &Worker<R>,
    drive: &mut Drive<SessionHost<R>>,
) {
    let ended = poll_fn(|cx| {
        // Runtimes differ in what becomes of a task that panics, and some end the thread. After
        // the panic nothing of the session is used but its sockets, to close them.
        catch_unwind(AssertUnwindSafe(|| drive.poll(cx))).unwrap_or_else(|_| {
            worker.tell(&Trouble::Panicked);
            Poll::Ready(())
        })
    });
    if member.until(Stage::Cut, ended).await.is_none() && drive.cut() {
        worker.tasks.count_cut();
    }
}

/// Asks the origin in the background for what the site wants renewed, and connects to one that
/// takes no connections.
async fn refresh<R: Runtime>(mut member: Member, worker: Arc<Worker<R>>) {
    let mut alarm = Alarm::new(Arc::clone(&worker.runtime));
    let endless = poll_fn(|cx| {
        let gateway = &worker.gateway;
        loop {
            let now = worker.now();
            gateway.site().set_refresh_waker(cx.waker());
            if let Some(probe) = gateway.site().poll_connect(now) {
                let connect = connect(worker.tasks.enter(), Arc::clone(&worker), probe);
                worker.runtime.spawn(connect);
            }
            while let Some(refresh) = gateway.site().poll_refresh(now) {
                let session = Session::background(Arc::clone(gateway), refresh, now);
                run_background(&worker, None, session);
            }
            let Some(deadline) = gateway.site().poll_refresh_timeout(now) else {
                return Poll::<()>::Pending;
            };
            ready!(alarm.poll_at(deadline, now, cx));
        }
    });
    let _: Option<()> = member.until(Stage::Draining, endless).await;
}

/// Connects to the origin and closes the connection again.
async fn connect<R: Runtime>(mut member: Member, worker: Arc<Worker<R>>, probe: ConnectProbe) {
    let dialled = member
        .until(Stage::Draining, dial::dial(Arc::clone(&worker)))
        .await;
    match dialled {
        Some(Ok(_)) => probe.on_connected(worker.now()),
        Some(Err(_)) => probe.on_failed(worker.now()),
        None => {}
    }
}

/// Runs a session without a client beside the caller.
fn run_background<R: Runtime>(
    worker: &Arc<Worker<R>>,
    origin: Option<R::Socket>,
    session: Session,
) {
    let drive = Drive::background(SessionHost(Arc::clone(worker), None), origin, session);
    let task = run_drive(worker.tasks.enter(), Arc::clone(worker), drive);
    worker.runtime.spawn(task);
}

async fn run_drive<R: Runtime>(
    mut member: Member,
    worker: Arc<Worker<R>>,
    mut drive: Drive<SessionHost<R>>,
) {
    run(&mut member, &worker, &mut drive).await;
}

/// Sets the wall clock, and closes idle connections that are too old.
async fn tick<R: Runtime>(mut member: Member, worker: Arc<Worker<R>>, is_first: bool) {
    let endless = async {
        loop {
            worker.runtime.sleep(TICK).await;
            if is_first {
                set_wall_clock(&worker.gateway, worker.epoch);
            }
            worker.pool().expire(worker.now());
            dial::keep_known(&worker);
        }
    };
    let _: Option<()> = member.until(Stage::Draining, endless).await;
}
