//! Owns the loop that moves bytes, actions and time between two sockets and one `Session`.
//! Never looks at a byte.

use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use retter_core::limits::IOVECS_MAX;
use retter_core::session::{Action, Input, Session, Side};
use retter_core::time::Instant;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::worker::Worker;

/// Rounds of one poll before other sessions get their turn.
const STEPS_MAX: usize = 64;

type Dial = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// One session with its sockets; the future ends when the session is done.
pub(crate) struct Drive {
    client: Option<TcpStream>,
    origin: Origin,
    session: Session,
    slot: usize,
    timer: Option<Timer>,
    told_to_drain: bool,
    worker: Rc<Worker>,
}

enum Origin {
    Connected(TcpStream),
    Dialing(Dial),
    None,
}

struct Timer {
    armed: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Drive {
    pub(crate) fn new(worker: &Rc<Worker>, client: TcpStream, peer: SocketAddr) -> Self {
        worker.observer.on_connect();
        let retter = std::sync::Arc::clone(&worker.retter);
        Self {
            client: Some(client),
            origin: Origin::None,
            session: Session::new(retter, peer, worker.now()),
            slot: worker.sessions.borrow_mut().insert(Waker::noop().clone()),
            timer: None,
            told_to_drain: false,
            worker: Rc::clone(worker),
        }
    }

    fn apply(&mut self, action: Action, now: Instant) {
        match action {
            Action::Abort(side) => {
                if let Some(socket) = self.socket(side) {
                    // Failing to set it leaves an ordinary close.
                    let _ = SockRef::from(&*socket).set_linger(Some(Duration::ZERO));
                }
                self.close(side);
            }
            Action::Close(side) => self.close(side),
            Action::Connect { fresh } => self.connect(fresh, now),
            Action::Park => {
                if let Origin::Connected(socket) = std::mem::replace(&mut self.origin, Origin::None)
                {
                    drop(self.worker.pool.borrow_mut().checkin(socket, now));
                }
            }
            Action::Shutdown(side) => {
                if let Some(socket) = self.socket(side) {
                    // A socket that is gone is found gone by the next read.
                    let _ = SockRef::from(&*socket).shutdown(Shutdown::Write);
                }
            }
        }
    }

    fn connect(&mut self, fresh: bool, now: Instant) {
        if !fresh {
            while let Some(socket) = self.checkout(now) {
                if is_alive(&socket) {
                    self.origin = Origin::Connected(socket);
                    return self
                        .session
                        .handle_input(Input::Connected { reused: true }, now);
                }
            }
        }
        self.origin = Origin::Dialing(Box::pin(Rc::clone(&self.worker.dialer).dial()));
    }

    fn checkout(&self, now: Instant) -> Option<TcpStream> {
        self.worker.pool.borrow_mut().checkout(now)
    }

    fn close(&mut self, side: Side) {
        match side {
            Side::Client => self.client = None,
            Side::Origin => self.origin = Origin::None,
        }
    }

    fn socket(&mut self, side: Side) -> Option<&mut TcpStream> {
        match (side, &mut self.origin) {
            (Side::Client, _) => self.client.as_mut(),
            (Side::Origin, Origin::Connected(socket)) => Some(socket),
            (Side::Origin, Origin::Dialing(_) | Origin::None) => None,
        }
    }

    /// One round; `true` when anything moved.
    fn step(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(action) = self.session.poll_action() {
            self.apply(action, now);
            progress = true;
        }
        while let Some(report) = self.session.poll_report() {
            self.worker.observer.on_report(report);
        }
        progress |= self.poll_dial(now, cx).is_ready();
        for side in [Side::Origin, Side::Client] {
            progress |= self.poll_write(side, now, cx).is_ready();
            progress |= self.poll_read(side, now, cx).is_ready();
        }
        progress | self.poll_timer(now, cx).is_ready()
    }

    fn poll_dial(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Origin::Dialing(dial) = &mut self.origin else {
            return Poll::Pending;
        };
        let input = match ready!(dial.as_mut().poll(cx)) {
            Ok(socket) => {
                self.origin = Origin::Connected(socket);
                Input::Connected { reused: false }
            }
            Err(_) => {
                self.origin = Origin::None;
                Input::ConnectFailed
            }
        };
        self.session.handle_input(input, now);
        Poll::Ready(())
    }

    fn poll_write(&mut self, side: Side, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut slices = [IoSlice::new(&[]); IOVECS_MAX];
        let count = self.session.write_slices(side, &mut slices);
        if count == 0 {
            return Poll::Pending;
        }
        let socket = match (side, &mut self.origin) {
            (Side::Client, _) => self.client.as_mut(),
            (Side::Origin, Origin::Connected(socket)) => Some(socket),
            (Side::Origin, Origin::Dialing(_) | Origin::None) => None,
        };
        let Some(socket) = socket else {
            return Poll::Pending;
        };
        match ready!(Pin::new(socket).poll_write_vectored(cx, &slices[..count])) {
            Ok(len) => self.session.handle_written(side, len, now),
            Err(_) => self.session.handle_input(Input::WriteFailed(side), now),
        }
        Poll::Ready(())
    }

    fn poll_read(&mut self, side: Side, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let socket = match (side, &mut self.origin) {
            (Side::Client, _) => self.client.as_mut(),
            (Side::Origin, Origin::Connected(socket)) => Some(socket),
            (Side::Origin, Origin::Dialing(_) | Origin::None) => None,
        };
        let Some(socket) = socket else {
            return Poll::Pending;
        };
        let room = self.session.read_buf(side);
        if room.is_empty() {
            return Poll::Pending;
        }
        let mut buf = ReadBuf::new(room);
        let read = ready!(Pin::new(socket).poll_read(cx, &mut buf));
        let len = buf.filled().len();
        match read {
            Ok(()) => self.session.handle_read(side, len, now),
            Err(_) => self.session.handle_input(Input::ReadFailed(side), now),
        }
        Poll::Ready(())
    }

    /// Re-arms the timer only when the deadline came earlier: most move later.
    fn poll_timer(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.session.poll_timeout() else {
            return Poll::Pending;
        };
        if deadline <= now {
            self.session.handle_timeout(now);
            return Poll::Ready(());
        }
        let at = || tokio::time::Instant::now() + deadline.saturating_since(now);
        match &mut self.timer {
            Some(timer) if timer.armed <= deadline => {}
            Some(timer) => {
                timer.armed = deadline;
                timer.sleep.as_mut().reset(at());
            }
            None => {
                let sleep = Box::pin(tokio::time::sleep_until(at()));
                self.timer = Some(Timer {
                    armed: deadline,
                    sleep,
                });
            }
        }
        let Some(timer) = &mut self.timer else {
            return Poll::Pending;
        };
        ready!(timer.sleep.as_mut().poll(cx));
        // It fired for a deadline that has moved: arm it anew in the next round.
        self.timer = None;
        Poll::Ready(())
    }

    fn note_waker(&self, cx: &Context<'_>) {
        if let Some(waker) = self.worker.sessions.borrow_mut().get_mut(self.slot) {
            waker.clone_from(cx.waker());
        }
    }
}

impl Future for Drive {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        this.note_waker(cx);
        for _ in 0..STEPS_MAX {
            let now = this.worker.now();
            if this.worker.draining.get() && !std::mem::replace(&mut this.told_to_drain, true) {
                this.session.handle_input(Input::Drain, now);
            }
            let progress = this.step(now, cx);
            if this.session.is_done() {
                return Poll::Ready(());
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Drive {
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

/// Whether an idle connection is still open and silent: a byte that nobody asked for makes it as
/// useless as its end does.
fn is_alive(socket: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(socket).peek(&mut byte);
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
