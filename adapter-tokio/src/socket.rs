//! Owns what a tokio stream and a tokio timer are to the core's drive loop.
//! Never decides when they are used.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use retter_core::drive;
use retter_core::time::Instant;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A connection of either side.
pub(crate) struct Socket(pub(crate) TcpStream);

impl Socket {
    /// Whether an idle connection is still open and silent: a byte that nobody asked for makes it
    /// as useless as its end does.
    pub(crate) fn is_alive(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = SockRef::from(&self.0).peek(&mut byte);
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl drive::Socket for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn shut_write(&self) {
        let _ = SockRef::from(&self.0).shutdown(Shutdown::Write);
    }

    fn reset_on_close(&self) {
        // Failing to set it leaves an ordinary close.
        let _ = SockRef::from(&self.0).set_linger(Some(Duration::ZERO));
    }
}

/// A timer that is armed anew only when its deadline comes earlier: most move later.
#[derive(Default)]
pub(crate) struct Alarm(Option<Armed>);

struct Armed {
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl drive::Alarm for Alarm {
    fn poll_at(&mut self, deadline: Instant, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let at = || tokio::time::Instant::now() + deadline.saturating_since(now);
        loop {
            let armed = self.0.get_or_insert_with(|| Armed {
                deadline,
                sleep: Box::pin(tokio::time::sleep_until(at())),
            });
            if armed.deadline > deadline {
                armed.deadline = deadline;
                armed.sleep.as_mut().reset(at());
            }
            ready!(armed.sleep.as_mut().poll(cx));
            let was_moved = armed.deadline < deadline;
            self.0 = None;
            if !was_moved {
                return Poll::Ready(());
            }
        }
    }
}
