//! Owns the way of bytes and time between sessions and blocking sockets, on plain threads.
//! Never decides anything: it does what [`Session`] says, in the order of its contract.
//!
//! A thread that runs a session must not block on one socket while the other has news. So each
//! socket has a thread that reads once when it is told to; and writes give up after a moment.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "an adapter is where clocks, threads and sockets belong"
)]

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{Builder, Thread, current, park_timeout, sleep};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use retter_core::policy::Retter;
use retter_core::pool::IdlePool;
use retter_core::session::{Action, Input, Session, Side};
use retter_core::time::{Instant, UnixTime};

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
    retter: Arc<Retter>,
}

/// Serves `listener` with so many sessions at one time; further clients wait in its queue.
pub(crate) fn start(
    listener: TcpListener,
    origin: Vec<SocketAddr>,
    retter: Arc<Retter>,
    sessions: usize,
) -> io::Result<()> {
    let shared = Arc::new(Shared {
        epoch: std::time::Instant::now(),
        origin,
        pool: Mutex::new(IdlePool::new(IDLE_MAX, IDLE_TIME)),
        retter,
    });
    for _ in 0..sessions {
        let (shared, listener) = (Arc::clone(&shared), listener.try_clone()?);
        Builder::new().spawn(move || {
            loop {
                // An error ends this session, or says that there are too many: there will be fewer.
                let accepted = listener.accept();
                if accepted
                    .and_then(|(client, peer)| shared.serve(client, peer))
                    .is_err()
                {
                    sleep(WRITE_PATIENCE);
                }
            }
        })?;
    }
    Ok(())
}

impl Shared {
    /// The time, and by the way the wall clock for the policy.
    fn now(&self) -> Instant {
        let now = Instant::from_epoch(self.epoch.elapsed());
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        let unix = UnixTime(unix.unwrap_or_default().as_secs());
        self.retter.set_wall_clock(now, unix);
        now
    }

    fn serve(&self, client: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let mut run = Run {
            is_blocked: false,
            session: Session::new(Arc::clone(&self.retter), peer, self.now()),
            shared: self,
            waker: Arc::new(Unpark(current())).into(),
            sockets: [Some(Socket::new(client)?), None],
        };
        while !run.session.is_done() {
            if !run.step()? {
                run.wait();
            }
        }
        Ok(())
    }

    fn dial(&self) -> Option<Socket> {
        let limit = self.retter.config().origin.connect_timeout;
        let connect = |address| TcpStream::connect_timeout(address, limit).and_then(Socket::new);
        self.origin.iter().find_map(|address| connect(address).ok())
    }
}

/// One session at work.
struct Run<'a> {
    is_blocked: bool,
    session: Session,
    shared: &'a Shared,
    waker: Waker,
    /// By [`Side`].
    sockets: [Option<Socket>; 2],
}

impl Run<'_> {
    /// Does what can be done at once; whether that was anything.
    fn step(&mut self) -> io::Result<bool> {
        let mut progress = false;
        while let Some(action) = self.session.poll_action() {
            self.apply(action)?;
            progress = true;
        }
        // A program that counts or logs would do it here.
        while self.session.poll_report().is_some() {}
        self.is_blocked = false;
        for side in [Side::Origin, Side::Client] {
            progress |= self.write(side) | self.read(side);
        }
        let now = self.shared.now();
        progress |= self.session.poll_room(&self.waker, now);
        if self
            .session
            .poll_timeout()
            .is_some_and(|deadline| deadline <= now)
        {
            self.session.handle_timeout(now);
            progress = true;
        }
        Ok(progress)
    }

    fn apply(&mut self, action: Action) -> io::Result<()> {
        match action {
            Action::Abort(side) => {
                if let Some(socket) = self.sockets[side as usize].take() {
                    // Without time to send what is left, closing is a reset.
                    socket2::SockRef::from(&socket.stream).set_linger(Some(Duration::ZERO))?;
                }
            }
            Action::Close(side) => self.sockets[side as usize] = None,
            Action::Connect { fresh } => {
                // A dead one shows at once, and then the session asks for a fresh one.
                let idle = |now| lock(&self.shared.pool).checkout(now);
                let idle = if fresh { None } else { idle(self.shared.now()) };
                let reused = idle.is_some();
                let socket = idle.or_else(|| self.shared.dial());
                let input = match socket {
                    Some(_) => Input::Connected { reused },
                    None => Input::ConnectFailed,
                };
                self.sockets[Side::Origin as usize] = socket;
                self.session.handle_input(input, self.shared.now());
            }
            Action::Detach => {
                // Nothing runs here without a client: what would renew the copy is given up.
                drop(self.session.poll_detached());
                self.sockets[Side::Origin as usize] = None;
            }
            Action::Park => {
                // One whose thread still reads for this session cannot serve another.
                let socket = self.sockets[Side::Origin as usize].take();
                if let Some(socket) = socket.filter(|socket| !socket.is_reading) {
                    let surplus = lock(&self.shared.pool).checkin(socket, self.shared.now());
                    drop(surplus);
                }
            }
            Action::Shutdown(side) => {
                // A socket that is gone is found gone by the next read.
                let socket = self.sockets[side as usize].as_ref();
                let _ = socket.map(|socket| socket.stream.shutdown(Shutdown::Write));
            }
        }
        Ok(())
    }

    fn write(&mut self, side: Side) -> bool {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = self.session.write_slices(side, &mut slices);
        let Some(socket) = self.sockets[side as usize].as_mut().filter(|_| count > 0) else {
            return false;
        };
        let written = socket.stream.write_vectored(&slices[..count]);
        let now = self.shared.now();
        match written.map_err(|error| error.kind()) {
            Ok(len) => self.session.handle_written(side, len, now),
            // Which of the two a timeout gives depends on the system.
            Err(ErrorKind::TimedOut | ErrorKind::WouldBlock) => {
                self.is_blocked = true;
                return false;
            }
            Err(_) => self.session.handle_input(Input::WriteFailed(side), now),
        }
        true
    }

    /// Passes on what has arrived, or asks for more.
    fn read(&mut self, side: Side) -> bool {
        let room = self.session.read_buf(side);
        let Some(socket) = self.sockets[side as usize]
            .as_mut()
            .filter(|_| !room.is_empty())
        else {
            return false;
        };
        let arrived = lock(&socket.inbox).take();
        let Some(arrived) = arrived else {
            if !socket.is_reading {
                socket.is_reading = socket.demands.send(current()).is_ok();
            }
            return false;
        };
        socket.is_reading = false;
        let now = self.shared.now();
        match arrived {
            Ok(mut bytes) => {
                let len = bytes.len().min(room.len());
                room[..len].copy_from_slice(&bytes[..len]);
                let rest = bytes.split_off(len);
                *lock(&socket.inbox) = (!rest.is_empty()).then_some(Ok(rest));
                self.session.handle_read(side, len, now);
            }
            Err(_) => self.session.handle_input(Input::ReadFailed(side), now),
        }
        true
    }

    /// Sleeps until a socket has news or a deadline has come.
    fn wait(&self) {
        let deadline = self.session.poll_timeout();
        let limit = deadline.map_or(IDLE_TIME, |at| at.saturating_since(self.shared.now()));
        // A write that did not go waited already.
        park_timeout(if self.is_blocked {
            Duration::ZERO
        } else {
            limit
        });
    }
}

/// Wakes a session that waits for room at the origin.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A connection of either side, and the thread that reads from it.
struct Socket {
    /// Each has the thread read once, and wake the thread that it names.
    demands: Sender<Thread>,
    inbox: Arc<Mutex<Option<Arrived>>>,
    is_reading: bool,
    stream: TcpStream,
}

/// No bytes are the end of the stream.
type Arrived = io::Result<Vec<u8>>;

impl Socket {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_PATIENCE))?;
        let (demands, wanted) = channel::<Thread>();
        let inbox = Arc::new(Mutex::new(None));
        let (mut reader, to_inbox) = (stream.try_clone()?, Arc::clone(&inbox));
        Builder::new().spawn(move || {
            for session in wanted {
                let mut bytes = vec![0; READ_BYTES];
                let read = reader.read(&mut bytes).map(|len| bytes.truncate(len));
                *lock(&to_inbox) = Some(read.map(|()| bytes));
                session.unpark();
            }
        })?;
        Ok(Self {
            demands,
            inbox,
            is_reading: false,
            stream,
        })
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
