//! Owns what an async-io stream is to the core's drive loop.
//! Never decides when it is used.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use async_io::Async;
use retter_adapter::socket;
use retter_core::drive;

/// A connection of either side.
pub(crate) struct Socket {
    /// Whether a read finds something, as far as one can tell: the last one left it behind, or
    /// the reactor said so.
    has_more: bool,
    stream: Async<TcpStream>,
}

impl Socket {
    pub(crate) fn new(stream: Async<TcpStream>) -> Self {
        Self {
            has_more: false,
            stream,
        }
    }
}

impl drive::Socket for Socket {
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_more {
            // An error shows in the read.
            let _ = ready!(self.stream.poll_readable(cx));
            self.has_more = true;
        }
        Poll::Ready(())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            // First the reactor, then the read: the next request has rarely come already, and
            // three reads for one would be the price (a read, what is found, and a read that
            // finds nothing). A read that filled its buffer is the exception.
            if !std::mem::take(&mut self.has_more) {
                ready!(self.stream.poll_readable(cx))?;
            }
            match self.stream.get_ref().read(buf) {
                Err(error) if is_transient(&error) => {}
                read => {
                    self.has_more = matches!(read, Ok(len) if len == buf.len());
                    return Poll::Ready(read);
                }
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut stream = self.stream.get_ref();
        loop {
            let written = match slices {
                // The kernel has less to do for it.
                [slice] => stream.write(slice),
                _ => stream.write_vectored(slices),
            };
            match written {
                Err(error) if is_transient(&error) => ready!(self.stream.poll_writable(cx))?,
                written => return Poll::Ready(written),
            }
        }
    }

    fn shut_write(&self) {
        socket::shut_write(&self.stream);
    }

    fn reset_on_close(&self) {
        socket::reset_on_close(&self.stream);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Nothing came or went; asking the reactor again costs at most one more round.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}
