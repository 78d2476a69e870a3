//! Owns the sockets, the clock and the threads of a [`Server`]: one thread has all connections,
//! and a few answer requests.
//! Never lets a connection wait for a silent or slow one: that has a place, and no thread.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::Connection;
use super::{Handler, Limits, Request, Response};
use crate::stream::{Listener, Stream};

/// Connections that the system holds until they are accepted. The standard library's 128 are too
/// few for a burst: a client that finds no room tries again after a second.
const BACKLOG: i32 = 1024;
/// How long nothing is accepted after that failed: usually there are no more files to be had.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Reads and writes on one connection before it is the others' turn.
const TURNS_MAX: usize = 16;
/// New connections before it is the others' turn.
const ACCEPTS_MAX: usize = 64;
/// Parts of one vectored write; an answer has two.
const SLICES_MAX: usize = 8;

/// A running server. Dropping it closes the listener and every connection that has sent no whole
/// request; answers on their way still leave.
#[derive(Debug)]
pub(crate) struct Server {
    addr: Option<SocketAddr>,
    /// One message when the listener is closed; disconnected when the last connection is.
    ended: Receiver<()>,
    signal: Arc<Signal>,
}

impl Server {
    /// Answers requests on connections of `listener` with `handler`.
    ///
    /// # Errors
    /// The operating system gives no thread or socket.
    pub(crate) fn start(
        listener: impl Into<Listener>,
        limits: Limits,
        handler: Arc<Handler>,
    ) -> io::Result<Self> {
        let listener = listener.into();
        debug_assert!(
            limits.connections_max > 0 && limits.workers > 0,
            "{limits:?}"
        );
        listener.set_nonblocking()?;
        rustix::net::listen(&listener, BACKLOG)?;
        let addr = listener.addr()?;
        let (wake, waked) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        waked.set_nonblocking(true)?;
        let signal = Arc::new(Signal {
            is_stopping: AtomicBool::new(false),
            wake,
        });
        let (jobs, queue) = channel();
        let (answers, answered) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..limits.workers {
            let worker = Worker {
                answers: answers.clone(),
                handler: Arc::clone(&handler),
                queue: Arc::clone(&queue),
                signal: Arc::clone(&signal),
            };
            spawn("web-worker", move || worker.run())?;
        }
        let (end, ended) = channel();
        let connections = Connections {
            accept_from: Instant::now(),
            answered,
            end,
            jobs,
            limits,
            links: BTreeMap::new(),
            listener: Some(listener),
            next: 0,
            signal: Arc::clone(&signal),
            waked,
        };
        spawn("web", move || connections.run())?;
        Ok(Self {
            addr,
            ended,
            signal,
        })
    }

    /// The address it listens on, where that is one.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Closes the listener and gives answers `patience` to leave.
    pub(crate) fn stop(self, patience: Duration) {
        self.close_listener();
        // Nothing is ever sent a second time: this ends with the thread, or with the patience.
        let _ = self.ended.recv_timeout(patience);
    }

    fn close_listener(&self) {
        if !self.signal.is_stopping.swap(true, Ordering::AcqRel) {
            self.signal.wake();
            let _ = self.ended.recv();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close_listener();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(run).map(drop)
}

/// What the other threads tell the one that waits for sockets.
#[derive(Debug)]
struct Signal {
    is_stopping: AtomicBool,
    wake: UnixStream,
}

impl Signal {
    fn wake(&self) {
        // Where there is no room for a byte, one is there that wakes.
        let _ = (&self.wake).write(&[1]);
    }
}

/// A connection and its requests; never used for two connections.
type Id = u64;

/// Answers requests, one at a time.
struct Worker {
    answers: Sender<(Id, Response)>,
    handler: Arc<Handler>,
    queue: Arc<Mutex<Receiver<(Id, Request)>>>,
    signal: Arc<Signal>,
}

impl Worker {
    fn run(self) {
        loop {
            let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let next = queue.recv();
            drop(queue);
            let Ok((id, request)) = next else {
                return;
            };
            // A bug in one page takes no worker away. What it holds locked is poisoned as ever.
            let answered = catch_unwind(AssertUnwindSafe(|| (self.handler)(&request)));
            let response = answered.unwrap_or_else(|_| {
                Response::text(500, "This page failed; standard error has the reason.\n")
            });
            if self.answers.send((id, response)).is_err() {
                return;
            }
            self.signal.wake();
        }
    }
}

/// All connections, and what they wait for.
struct Connections {
    /// Nothing is accepted before.
    accept_from: Instant,
    answered: Receiver<(Id, Response)>,
    end: Sender<()>,
    jobs: Sender<(Id, Request)>,
    limits: Limits,
    links: BTreeMap<Id, Link>,
    /// `None` when stopping.
    listener: Option<Listener>,
    next: Id,
    signal: Arc<Signal>,
    waked: UnixStream,
}

/// What a wait has found.
#[derive(Default)]
struct Ready {
    can_accept: bool,
    links: Vec<Id>,
}

impl Connections {
    fn run(mut self) {
        loop {
            if self.signal.is_stopping.load(Ordering::Acquire) && self.listener.take().is_some() {
                self.links
                    .values_mut()
                    .for_each(|link| link.conn.handle_drain());
                self.links.retain(|_, link| !link.conn.is_closed());
                let _ = self.end.send(());
            }
            if self.listener.is_none() && self.links.is_empty() {
                return;
            }
            let mut ready = self.wait();
            let now = Instant::now();
            while self.waked.read(&mut [0; 64]).is_ok_and(|len| len > 0) {}
            while let Ok((id, response)) = self.answered.try_recv() {
                if let Some(link) = self.links.get_mut(&id) {
                    link.conn.handle_response(response, now);
                    ready.links.push(id);
                }
            }
            for (id, link) in &mut self.links {
                if link.conn.poll_timeout().is_some_and(|due| due <= now) {
                    link.conn.handle_timeout(now);
                    ready.links.push(*id);
                }
            }
            for id in ready.links {
                self.drive(id, now);
            }
            if ready.can_accept {
                self.accept(now);
            }
        }
    }

    /// Waits until a socket, an answer or a deadline asks for something.
    fn wait(&self) -> Ready {
        let now = Instant::now();
        let mut deadline = self
            .links
            .values()
            .filter_map(|l| l.conn.poll_timeout())
            .min();
        let mut fds = Vec::with_capacity(self.links.len() + 2);
        fds.push(PollFd::new(&self.waked, PollFlags::IN));
        fds.extend(self.links.values().map(Link::poll_fd));
        if let Some(listener) = &self.listener {
            if now < self.accept_from {
                deadline = Some(deadline.map_or(self.accept_from, |at| at.min(self.accept_from)));
            } else if self.has_place() {
                fds.push(PollFd::new(listener, PollFlags::IN));
            }
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ready::default(),
            Err(error) => {
                tracing::warn!("the admin address cannot wait for its clients: {error}");
                std::thread::sleep(ACCEPT_PAUSE);
                return Ready::default();
            }
        }
        let is_ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        let (links, listener) = fds[1..].split_at(self.links.len());
        let links = self.links.keys().zip(links);
        Ready {
            can_accept: listener.iter().any(is_ready),
            links: links
                .filter_map(|(id, fd)| is_ready(fd).then_some(*id))
                .collect(),
        }
    }

    /// Whether a new connection could be taken: there is room, or another one gives way.
    fn has_place(&self) -> bool {
        self.links.len() < self.limits.connections_max
            || self
                .links
                .values()
                .any(|link| link.conn.gives_way().is_some())
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS_MAX {
            let Some(listener) = self.listener.as_ref().filter(|_| self.has_place()) else {
                return;
            };
            let stream = match listener.accept() {
                Ok(stream) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The client is gone already.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(_) => {
                    self.accept_from = now + ACCEPT_PAUSE;
                    // Where there are no more files, the place of another one is a file.
                    self.give_way();
                    return;
                }
            };
            if stream.set_nonblocking().is_err() {
                continue;
            }
            if self.links.len() >= self.limits.connections_max {
                self.give_way();
            }
            let (id, conn) = (self.next, Connection::new(self.limits, now));
            self.next += 1;
            self.links.insert(id, Link { conn, stream });
            self.drive(id, now);
        }
    }

    /// Closes the connection that has owed a whole request for the longest.
    fn give_way(&mut self) {
        let links = self.links.iter();
        let way = links.filter_map(|(id, link)| Some((link.conn.gives_way()?, *id)));
        if let Some((_, id)) = way.min() {
            self.links.remove(&id);
        }
    }

    /// Moves what can be moved on one connection.
    fn drive(&mut self, id: Id, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let is_alive = link.drive(now, |request| {
            // Workers live as long as this sender.
            let _ = self.jobs.send((id, request));
        });
        if !is_alive {
            self.links.remove(&id);
        }
    }
}

/// A connection with its socket.
struct Link {
    conn: Connection,
    stream: Stream,
}

impl Link {
    fn poll_fd(&self) -> PollFd<'_> {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.conn.wants_read());
        flags.set(PollFlags::OUT, self.conn.has_bytes());
        PollFd::new(&self.stream, flags)
    }

    /// Writes and reads until the socket has nothing more, and hands on whole requests. Returns
    /// false when the connection is over.
    fn drive(&mut self, now: Instant, mut ask: impl FnMut(Request)) -> bool {
        for _ in 0..TURNS_MAX {
            let moved = if self.conn.has_bytes() {
                self.write(now)
            } else if self.conn.wants_read() {
                self.read()
            } else {
                // Being answered: the only news of a socket that was asked for nothing is its end.
                return !self.conn.is_closed() && !matches!(self.stream.take_error(), Ok(Some(_)));
            };
            match moved {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
            if let Some(request) = self.conn.poll_request(now) {
                ask(request);
            }
        }
        self.conn.lend_buffer();
        !self.conn.is_closed()
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.conn.write_slices(&mut slices);
        let len = self.stream.write_vectored(&slices[..count])?;
        if self.conn.handle_written(len, now) {
            self.stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut unread = [0; 4096];
        let buf = self.conn.read_buf().unwrap_or(&mut unread);
        debug_assert!(!buf.is_empty(), "what was received is taken first");
        let len = self.stream.read(buf)?;
        self.conn.handle_read(len);
        Ok(())
    }
}
