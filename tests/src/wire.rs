//! Owns one end of a connection of a test: [`retter_strict`] on a socket with deadlines.
//! Never forgives: whatever RFC 9112 does not allow a sender is a [`Broken::Framing`], because
//! here the sender is either RETTER or a mistake in a test.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

pub use retter_strict::{Fields, Framing, Head};
use retter_strict::{Part, Reader, Unfit};

use crate::DEADLINE;

/// How reading a message went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The connection ended before the first byte of a message.
    #[error("the connection ended before a message")]
    Closed,
    /// The bytes are not what RFC 9112 allows.
    #[error("framing: {0}")]
    Framing(String),
    /// The socket failed, or nothing came before the deadline.
    #[error("socket: {0}")]
    Io(io::Error),
    /// The connection ended inside a message.
    #[error("the connection ended inside a message")]
    Truncated,
}

impl From<Unfit> for Broken {
    fn from(Unfit(text): Unfit) -> Self {
        Self::Framing(text)
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    reader: Reader,
}

impl Wire {
    /// Takes a connected stream and puts a deadline on everything it does.
    ///
    /// # Panics
    /// If the socket refuses its options.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(DEADLINE))
            .and_then(|()| stream.set_write_timeout(Some(DEADLINE)))
            .and_then(|()| stream.set_nodelay(true))
            .expect("a connected socket takes its options");
        Self {
            stream,
            reader: Reader::default(),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the peer is gone, or takes nothing before the deadline.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one head; bare line feeds, folded lines and odd field names are refused.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn head(&mut self) -> Result<Head, Broken> {
        loop {
            match self.reader.next_part()? {
                Some(Part::Head(head)) => return Ok(head),
                Some(Part::End(_)) => continue,
                Some(Part::Data(_)) => {
                    return Err(Broken::Framing("a body that was not read".to_owned()));
                }
                None => {}
            }
            let is_first = self.unread().is_empty();
            match self.fill() {
                Ok(0) | Err(Broken::Truncated) if is_first => return Err(Broken::Closed),
                Ok(0) => return Err(Broken::Truncated),
                read => read?,
            };
        }
    }

    /// Says how the body that follows is framed.
    pub fn begin(&mut self, framing: Framing) {
        self.reader.begin(framing);
    }

    /// Reads the next piece of the body as soon as any byte of it is there; `None` at its end.
    /// Trailer fields are put into `trailers`.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn piece(&mut self, trailers: &mut Fields) -> Result<Option<Vec<u8>>, Broken> {
        while self.reader.is_in_body() {
            match self.reader.next_part()? {
                Some(Part::Data(piece)) => return Ok(Some(piece)),
                Some(Part::End(fields)) => *trailers = fields,
                Some(Part::Head(_)) => unreachable!("a body comes before the next head"),
                None if self.fill()? > 0 => {}
                // What lasts until the end of the connection ends with it.
                None => match self.reader.next_part()? {
                    Some(Part::End(_)) => {}
                    Some(Part::Data(_) | Part::Head(_)) | None => return Err(Broken::Truncated),
                },
            }
        }
        Ok(None)
    }

    /// Reads whatever comes next, without framing; `None` at the end of the stream.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn raw(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        if self.unread().is_empty() {
            match self.fill() {
                Ok(0) | Err(Broken::Truncated) => return Ok(None),
                read => read?,
            };
        }
        Ok(Some(self.reader.take_rest()))
    }

    /// Bytes that were received and not asked for yet.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.reader.rest()
    }

    /// The socket.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Ends the sending direction; the peer reads to the end of what was sent.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection with a reset (RFC 9293 §3.10.7) instead of a regular end.
    pub fn reset(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO));
    }

    /// Reads more; 0 at the end. A reset is the end of a connection, but never the regular end of a
    /// message.
    fn fill(&mut self) -> Result<usize, Broken> {
        const READ_BYTES: usize = 64 * 1024;
        let mut buffer = vec![0; READ_BYTES];
        let read = loop {
            match self.stream.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let is_reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
        let len = read.map_err(|error| match is_reset(&error) {
            true => Broken::Truncated,
            false => Broken::Io(error),
        })?;
        self.reader.push(&buffer[..len]);
        if len == 0 {
            self.reader.end();
        }
        Ok(len)
    }
}
