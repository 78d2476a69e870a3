//! Owns the way of bytes and time between sessions and blocking sockets, on plain threads.
//! Never decides anything: [`Drive`] asks for what a session needs, and this does it.
//!
//! A thread that runs a session must not block on one socket while the other has news. So each
//! socket has a thread that reads once when it is told to; and writes give up after a moment.

use std::cell::Cell;
use std::future::{Ready, ready};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Builder, Thread, current, park_timeout, sleep};
use std::time::{Duration, UNIX_EPOCH};

use retter_core::Gateway;
use retter_core::Session;
use retter_core::addresses::Dial;
use retter_core::drive::{self, Drive, Host};
use retter_core::event::Report;
use retter_core::pool::IdlePool;
use retter_core::time::Instant;

/// A write that waits longer lets the other side be read: an origin may answer before it has read
/// all, and then both would wait for each other.
const WRITE_PATIENCE: Duration = Duration::from_millis(10);
const READ_BYTES: usize = 16 * 1024;
const IDLE_MAX: usize = 32;
/// Shorter than the keep-alive time of usual applications.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// What all threads share.
struct Shared {
    epoch: std::time::Instant,
    origin: Vec<SocketAddr>,
    pool: Mutex<IdlePool<Socket>>,
    gateway: Arc<Gateway>,
}

/// Serves `listener` with this many sessions at one time; further clients wait in its queue.
pub(crate) fn start(
    listener: TcpListener,
    origin: Vec<SocketAddr>,
    gateway: Arc<Gateway>,
    sessions: usize,
) -> io::Result<()> {
    let shared = Arc::new(Shared {
        epoch: std::time::Instant::now(),
        origin,
        pool: Mutex::new(IdlePool::new(IDLE_MAX, IDLE_TIME)),
        gateway,
    });
    for _ in 0..sessions {
        let (shared, listener) = (Arc::clone(&shared), listener.try_clone()?);
        Builder::new().spawn(move || {
            loop {
                let accepted = listener.accept();
                let served = accepted.and_then(|(client, peer)| serve(&shared, client, peer));
                if served.is_err() {
                    // There are too many: there will be fewer.
                    sleep(WRITE_PATIENCE);
                }
            }
        })?;
    }
    Ok(())
}

fn serve(shared: &Arc<Shared>, client: TcpStream, peer: SocketAddr) -> io::Result<()> {
    let next = Rc::new(Cell::new(None));
    let place = ThreadHost(Rc::clone(&next), Arc::clone(shared));
    let session = Session::new(Arc::clone(&shared.gateway), peer, place.now());
    let mut drive = Drive::new(place, Socket::new(client)?, session);
    let waker = Waker::from(Arc::new(Unpark(current())));
    while drive.poll(&mut Context::from_waker(&waker)).is_pending() {
        // Until a socket has news, another session leaves its room, or a deadline has come.
        let now = drive.host().now();
        let left = next.take().map(|at| at.saturating_since(now));
        park_timeout(left.unwrap_or(IDLE_TIME));
    }
    Ok(())
}

/// One session's next deadline, and what it shares.
struct ThreadHost(Rc<Cell<Option<Instant>>>, Arc<Shared>);

impl Host for ThreadHost {
    type Alarm = Alarm;
    type Dial = Ready<io::Result<Socket>>;
    type Socket = Socket;

    /// The time, and by the way the wall clock for the site.
    fn now(&self) -> Instant {
        let now = Instant::from_epoch(self.1.epoch.elapsed());
        let since_1970 = UNIX_EPOCH.elapsed().unwrap_or_default();
        self.1.gateway.site().set_wall_clock(since_1970, now);
        now
    }

    fn checkout(&self, now: Instant) -> Option<Socket> {
        let next = || lock(&self.1.pool).checkout(now);
        std::iter::from_fn(next).find(Socket::is_silent)
    }

    fn park(&self, socket: Socket, now: Instant) {
        // One whose thread still reads for this session cannot serve another.
        if !socket.is_reading && lock(&socket.inbox).is_none() {
            let surplus = lock(&self.1.pool).checkin(socket, now);
            drop(surplus);
        }
    }

    fn dial(&self) -> Self::Dial {
        let limit = self.1.gateway.config().site().origin.connect_timeout;
        let mut dial = Dial::new(self.1.origin.clone(), limit);
        while let Some((address, share)) = dial.poll_next() {
            match TcpStream::connect_timeout(&address, share).and_then(Socket::new) {
                Ok(socket) => return ready(Ok(socket)),
                Err(error) => dial.failed(error),
            }
        }
        ready(Err(dial.into_error()))
    }

    fn alarm(&self) -> Alarm {
        Alarm(Rc::clone(&self.0))
    }

    /// A program that counts or logs would do it here.
    fn report(&self, _: Report) {}
}

/// Tells the thread until when it may sleep.
struct Alarm(Rc<Cell<Option<Instant>>>);

impl drive::Alarm for Alarm {
    fn poll_at(&mut self, deadline: Instant, _: Instant, _: &mut Context<'_>) -> Poll<()> {
        self.0.set(Some(deadline));
        Poll::Pending
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A connection of either side, and the thread that reads from it.
struct Socket {
    /// Each has the thread read once, and wake the session.
    demands: Sender<Waker>,
    /// What was read. No bytes are the end of the stream.
    inbox: Arc<Mutex<Option<io::Result<Vec<u8>>>>>,
    is_reading: bool,
    stream: TcpStream,
}

impl Socket {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_PATIENCE))?;
        let (demands, wanted) = channel::<Waker>();
        let inbox = Arc::new(Mutex::new(None));
        let (mut reader, to_inbox) = (stream.try_clone()?, Arc::clone(&inbox));
        Builder::new().spawn(move || {
            for session in wanted {
                let mut bytes = vec![0; READ_BYTES];
                let read = reader.read(&mut bytes).map(|len| bytes.truncate(len));
                *lock(&to_inbox) = Some(read.map(|()| bytes));
                session.wake();
            }
        })?;
        Ok(Self {
            demands,
            inbox,
            is_reading: false,
            stream,
        })
    }

    /// Whether an idle connection is still open, and nothing came that nobody asked for: it would
    /// be taken for the next answer.
    fn is_silent(&self) -> bool {
        // Nobody reads from it while it is parked.
        let peeked = self.stream.set_nonblocking(true);
        let peeked = peeked.and_then(|()| self.stream.peek(&mut [0]));
        let blocks = self.stream.set_nonblocking(false).is_ok();
        blocks && peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

impl drive::Socket for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut inbox = lock(&self.inbox);
        let Some(arrived) = inbox.take() else {
            if !self.is_reading {
                self.is_reading = self.demands.send(cx.waker().clone()).is_ok();
            }
            return Poll::Pending;
        };
        self.is_reading = false;
        Poll::Ready(arrived.map(|mut bytes| {
            let len = bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&bytes[..len]);
            let rest = bytes.split_off(len);
            *inbox = (!rest.is_empty()).then_some(Ok(rest));
            len
        }))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, out: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = self.stream.write_vectored(out);
        // Which of the two a time-out gives depends on the system.
        let is_late = |kind| matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock);
        if written.as_ref().is_err_and(|error| is_late(error.kind())) {
            // It has waited already.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(written)
    }

    fn shut_write(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn reset_on_close(&self) {
        // Without time to send what is left, closing is a reset.
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Wakes the reading thread, whose half of the socket would keep it open.
        let _ = self.stream.shutdown(Shutdown::Read);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
