//! Owns what the program's drive loop needs of a runtime, over the simulated network: sockets,
//! timers, dialling, the pool, wakers.
//! Never decides what happens: it only carries it out.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use retter_core::Session;
use retter_core::addresses::{Addresses, Dial, Outage, is_want};
use retter_core::drive::{Alarm, Host, Socket};
use retter_core::event::Report;
use retter_core::pool::IdlePool;
use retter_core::session::Standing;
use retter_core::time::Instant;

use crate::attempts::AttemptId;
use crate::doors::{Doors, Pass};
use crate::net::{Close, End, Event, LinkId, Net};

/// Sessions that were woken.
#[derive(Debug, Default)]
pub(crate) struct RunQueue(Mutex<Vec<usize>>);

impl RunQueue {
    pub(crate) fn push(&self, task: usize) {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !queue.contains(&task) {
            queue.push(task);
        }
    }

    /// Takes one of them: `choose` is given how many there are.
    pub(crate) fn take(&self, choose: impl FnOnce(usize) -> usize) -> Option<usize> {
        let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.len();
        (count > 0).then(|| queue.swap_remove(choose(count)))
    }
}

struct TaskWaker {
    queue: Arc<RunQueue>,
    task: usize,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.queue.push(self.task);
    }
}

/// What the sessions of the simulated program share.
pub(crate) struct Hub {
    pub(crate) net: Rc<RefCell<Net>>,
    pub(crate) pool: RefCell<IdlePool<SimSocket>>,
    pub(crate) addresses: RefCell<Addresses>,
    pub(crate) waiting: RefCell<Vec<Waker>>,
    pub(crate) draining: Cell<bool>,
    pub(crate) reports: RefCell<Vec<Report>>,
    /// Sessions that go on without their client.
    pub(crate) detached: RefCell<Vec<(Session, SimSocket)>>,
    pub(crate) queue: Arc<RunQueue>,
    pub(crate) origin: RefCell<Reach>,
    pub(crate) doors: Rc<Doors>,
}

/// How the origin's addresses take connections now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Reach {
    /// It answers nothing.
    Lost,
    #[default]
    Open,
    /// It refuses.
    Refused,
    /// It is not asked, as there is no socket.
    Wanting,
}

impl Hub {
    pub(crate) fn new(net: Rc<RefCell<Net>>) -> Self {
        let (idle_max, idle_timeout, places) = {
            let net = &mut *net.borrow_mut();
            let idle_max = net.chance.below(6);
            let idle_timeout = net.chance.time(Duration::from_secs(8));
            (idle_max, idle_timeout, net.swarm.places)
        };
        Self {
            net,
            pool: RefCell::new(IdlePool::new(idle_max, idle_timeout)),
            addresses: RefCell::new(Addresses::new("origin.example", 80, Outage::default())),
            waiting: RefCell::default(),
            draining: Cell::new(false),
            reports: RefCell::default(),
            detached: RefCell::default(),
            queue: Arc::default(),
            origin: RefCell::default(),
            doors: Doors::new(places),
        }
    }

    /// The program is gone, with all that its sessions have shared; where the origin is, is looked up anew when
    /// that is due.
    pub(crate) fn lose(&self, now: Instant) {
        self.pool
            .borrow_mut()
            .expire(now + Duration::from_secs(86_400));
        self.waiting.borrow_mut().clear();
        self.reports.borrow_mut().clear();
        self.detached.borrow_mut().clear();
    }

    pub(crate) fn waker(&self, task: usize) -> Waker {
        let queue = Arc::clone(&self.queue);
        Waker::from(Arc::new(TaskWaker { queue, task }))
    }
}

/// The hub as one session sees it.
pub(crate) struct SessionHost {
    hub: Rc<Hub>,
    task: usize,
    /// `None` for a session without a client.
    pass: Option<Pass>,
    /// The last attempt of this session at the origin.
    attempt: Cell<Option<AttemptId>>,
}

impl SessionHost {
    pub(crate) fn new(hub: &Rc<Hub>, task: usize, pass: Option<Pass>) -> Self {
        Self {
            hub: Rc::clone(hub),
            task,
            pass,
            attempt: Cell::default(),
        }
    }

    /// The session is about to ask the origin: anew, or once more what it has just asked in vain.
    fn begin(&self, reused: bool) -> AttemptId {
        let net = &mut *self.hub.net.borrow_mut();
        let now = net.now;
        let last = self.attempt.get();
        let again = last.filter(|last| !reused && net.attempts.repeat(*last, now));
        let begin = || net.attempts.begin(self.pass.is_none(), reused, now);
        let attempt = again.unwrap_or_else(begin);
        self.attempt.set(Some(attempt));
        attempt
    }
}

impl Host for SessionHost {
    type Alarm = SimAlarm;
    type Dial = SimDial;
    type Socket = SimSocket;

    fn now(&self) -> Instant {
        self.hub.net.borrow().now
    }

    fn checkout(&self, now: Instant) -> Option<SimSocket> {
        let next = || self.hub.pool.borrow_mut().checkout(now);
        let socket = std::iter::from_fn(next).find(SimSocket::is_alive)?;
        let attempt = self.begin(true);
        self.hub.net.borrow_mut().carries(socket.link, attempt);
        Some(socket)
    }

    fn is_alive(&self, socket: &SimSocket) -> bool {
        self.hub.net.borrow_mut().left(socket.link);
        let is_alive = socket.is_alive();
        if is_alive {
            // The next request on a client's own connection is an attempt of its own.
            let attempt = self.begin(true);
            self.hub.net.borrow_mut().carries(socket.link, attempt);
        }
        is_alive
    }

    fn park(&self, socket: SimSocket, now: Instant) {
        self.hub.net.borrow_mut().left(socket.link);
        let surplus = self.hub.pool.borrow_mut().checkin(socket, now);
        drop(surplus);
    }

    fn dial(&self) -> SimDial {
        SimDial {
            hub: Rc::clone(&self.hub),
            task: self.task,
            attempt: self.begin(false),
            dial: None,
            trial: None,
            is_over: false,
        }
    }

    fn alarm(&self) -> SimAlarm {
        SimAlarm {
            armed: None,
            net: Rc::clone(&self.hub.net),
            task: self.task,
        }
    }

    fn must_leave(&self) -> bool {
        self.pass.as_ref().is_some_and(Pass::must_leave)
    }

    fn note(&self, standing: Standing) {
        if let Some(pass) = &self.pass {
            pass.note(standing);
        }
    }

    fn is_draining(&self) -> bool {
        self.hub.draining.get()
    }

    fn detach(&self, session: Session, origin: SimSocket) {
        let mut detached = self.hub.detached.borrow_mut();
        detached.push((session, origin));
    }

    fn report(&self, report: Report) {
        self.hub.reports.borrow_mut().push(report);
    }
}

/// A socket of the program.
pub(crate) struct SimSocket {
    link: LinkId,
    net: Rc<RefCell<Net>>,
    resets: Cell<bool>,
}

impl SimSocket {
    pub(crate) fn new(net: &Rc<RefCell<Net>>, link: LinkId) -> Self {
        Self {
            link,
            net: Rc::clone(net),
            resets: Cell::new(false),
        }
    }

    fn is_alive(&self) -> bool {
        self.net.borrow().is_silent(self.link, End::Retter)
    }
}

impl Socket for SimSocket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let net = &mut *self.net.borrow_mut();
        match net.read(self.link, End::Retter, buf) {
            Ok(Some(len)) => Poll::Ready(Ok(len)),
            Ok(None) => {
                net.register(self.link, End::Retter, true, cx.waker());
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let net = &mut *self.net.borrow_mut();
        let parts: Vec<&[u8]> = slices.iter().map(|slice| &slice[..]).collect();
        match net.write(self.link, End::Retter, &parts) {
            Ok(Some(len)) => Poll::Ready(Ok(len)),
            Ok(None) => {
                net.register(self.link, End::Retter, false, cx.waker());
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn shut_write(&self) {
        self.net.borrow_mut().shut(self.link, End::Retter);
    }

    fn reset_on_close(&self) {
        self.resets.set(true);
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        let how = if self.resets.get() {
            Close::Reset
        } else {
            Close::End
        };
        // While a failed run unwinds, the net may be borrowed: then nothing matters any more.
        if let Ok(mut net) = self.net.try_borrow_mut() {
            net.close(self.link, End::Retter, how);
        }
    }
}

/// A timer of the program, armed anew only when its deadline comes earlier.
pub(crate) struct SimAlarm {
    armed: Option<Instant>,
    net: Rc<RefCell<Net>>,
    task: usize,
}

impl Alarm for SimAlarm {
    fn poll_at(&mut self, deadline: Instant, now: Instant, _: &mut Context<'_>) -> Poll<()> {
        if deadline <= now {
            return Poll::Ready(());
        }
        let is_armed = self.armed.is_some_and(|at| at > now && at <= deadline);
        if !is_armed {
            self.armed = Some(deadline);
            let task = Event::Wakes(self.task);
            self.net.borrow_mut().at(deadline, task);
        }
        Poll::Pending
    }
}

/// An attempt to reach the origin, one address after the other, each with its share of the time.
pub(crate) struct SimDial {
    hub: Rc<Hub>,
    task: usize,
    attempt: AttemptId,
    /// `None` while the name is looked up.
    dial: Option<Dial>,
    trial: Option<Trial>,
    /// It has led to a connection.
    is_over: bool,
}

/// The address that is tried, and how that ends when.
#[derive(Clone, Copy)]
struct Trial {
    address: SocketAddr,
    reach: Reach,
    ends_at: Instant,
}

impl SimDial {
    fn look_up(&self) -> Option<Dial> {
        let mut addresses = self.hub.addresses.borrow_mut();
        let net = &mut *self.hub.net.borrow_mut();
        if addresses.start_look_up(net.now) {
            let wait = net.chance.time(Duration::from_millis(800));
            net.after(wait, Event::LookedUp);
        }
        let is_settled = addresses.is_known() || !addresses.is_looking_up();
        is_settled.then(|| addresses.dial(Duration::from_millis(900)))
    }

    fn begin(&self, address: SocketAddr, share: Duration) -> Trial {
        let net = &mut *self.hub.net.borrow_mut();
        let reach = if net.is_calm {
            Reach::Open
        } else {
            match net.chance.weighted(&net.swarm.dials) {
                0 => *self.hub.origin.borrow(),
                1 => Reach::Refused,
                2 => Reach::Lost,
                _ => Reach::Wanting,
            }
        };
        let takes = match reach {
            Reach::Open | Reach::Refused => {
                let latency_max = net.swarm.latency_max * 2;
                net.chance.time(latency_max).min(share)
            }
            Reach::Lost => share,
            Reach::Wanting => Duration::ZERO,
        };
        let ends_at = net.now + takes;
        net.at(ends_at, Event::Wakes(self.task));
        Trial {
            address,
            reach,
            ends_at,
        }
    }

    fn connected(&mut self, address: SocketAddr) -> SimSocket {
        self.is_over = true;
        self.hub.addresses.borrow_mut().connected(address);
        let net = &mut *self.hub.net.borrow_mut();
        let link = net.connect(None);
        net.carries(link, self.attempt);
        SimSocket::new(&self.hub.net, link)
    }

    fn not_connected(&self, error: io::Error) -> io::Error {
        let mut addresses = self.hub.addresses.borrow_mut();
        let net = &mut *self.hub.net.borrow_mut();
        if is_want(&error) {
            net.attempts.lacked(self.attempt);
        }
        let told = addresses.not_connected(&error, net.now).is_some();
        net.note(format_args!("no connection: {error}, told {told}"));
        error
    }
}

impl Future for SimDial {
    type Output = io::Result<SimSocket>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut dial) = self.dial.take().or_else(|| self.look_up()) else {
            self.hub.waiting.borrow_mut().push(cx.waker().clone());
            return Poll::Pending;
        };
        loop {
            if let Some(trial) = self.trial {
                if trial.ends_at > self.hub.net.borrow().now {
                    self.dial = Some(dial);
                    return Poll::Pending;
                }
                match trial.reach {
                    Reach::Open => return Poll::Ready(Ok(self.connected(trial.address))),
                    Reach::Lost => dial.timed_out(),
                    Reach::Refused => dial.failed(io::ErrorKind::ConnectionRefused.into()),
                    Reach::Wanting => dial.failed(io::ErrorKind::AddrNotAvailable.into()),
                }
            }
            let Some((address, share)) = dial.poll_next() else {
                return Poll::Ready(Err(self.not_connected(dial.into_error())));
            };
            self.trial = Some(self.begin(address, share));
        }
    }
}

impl Drop for SimDial {
    fn drop(&mut self) {
        // Given up, or in vain. As for sockets, a failed run does not care.
        if !self.is_over
            && let Ok(mut net) = self.hub.net.try_borrow_mut()
        {
            let now = net.now;
            net.attempts.done(self.attempt, now);
        }
    }
}
