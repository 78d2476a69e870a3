//! Owns HTTP/1.1 framing for both ends of a test: heads and bodies read strictly, byte for byte.
//! Never forgives: whatever RFC 9112 does not allow a sender is a [`Broken::Framing`], because
//! here the sender is either RETTER or a mistake in a test.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};

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

/// How the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// By chunked transfer coding.
    Chunked,
    /// By a length.
    Length(u64),
    /// By the end of the connection.
    UntilClose,
}

/// Field lines in the order and spelling in which they came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The only value of the field `name`.
    ///
    /// # Panics
    /// If there is more than one line of it.
    #[track_caller]
    #[must_use]
    pub fn one(&self, name: &str) -> Option<&str> {
        let mut lines = self
            .0
            .iter()
            .filter(|(line, _)| line.eq_ignore_ascii_case(name));
        let first = lines.next().map(|(_, value)| value.as_str());
        assert!(lines.next().is_none(), "repeated {name} in {self:?}");
        first
    }

    /// The values of all lines of the field `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(line, _)| line.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether the comma-separated list in the field `name` has the member `token`.
    #[must_use]
    pub fn lists(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|member| member.trim().eq_ignore_ascii_case(token))
    }
}

/// A start line and its fields.
#[derive(Clone, Debug)]
pub struct Head {
    /// The bytes as they came, with the empty line.
    pub raw: Vec<u8>,
    /// The start line.
    pub start: String,
    /// The fields.
    pub fields: Fields,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    at: usize,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Chunk { left: u64 },
    ChunkSize,
    Done,
    Length { left: u64 },
    UntilClose,
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
            buffer: Vec::new(),
            at: 0,
            body: Body::Done,
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
        const HEAD_BYTES_MAX: usize = 1 << 20;
        let mut searched = 0;
        let len = loop {
            let unread = &self.buffer[self.at..];
            if let Some(found) = find(&unread[searched..], b"\r\n\r\n") {
                break searched + found + 4;
            }
            searched = unread.len().saturating_sub(3);
            if unread.len() > HEAD_BYTES_MAX {
                return Err(Broken::Framing("endless head".to_owned()));
            }
            let empty = unread.is_empty();
            match self.fill() {
                Ok(0) | Err(Broken::Truncated) if empty => return Err(Broken::Closed),
                Ok(0) => return Err(Broken::Truncated),
                read => read?,
            };
        };
        let raw = self.buffer[self.at..self.at + len].to_vec();
        self.at += len;
        parse_head(raw)
    }

    /// Says how the body that follows is framed.
    pub fn begin(&mut self, framing: Framing) {
        self.body = match framing {
            Framing::Chunked => Body::ChunkSize,
            Framing::Length(0) => Body::Done,
            Framing::Length(left) => Body::Length { left },
            Framing::UntilClose => Body::UntilClose,
        };
    }

    /// Reads the next piece of the body as soon as any byte of it is there; `None` at its end.
    /// Trailer fields are put into `trailers`.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn piece(&mut self, trailers: &mut Fields) -> Result<Option<Vec<u8>>, Broken> {
        loop {
            match self.body {
                Body::Done => return Ok(None),
                Body::Length { left } => {
                    let piece = self.take(left)?.ok_or(Broken::Truncated)?;
                    let left = left - piece.len() as u64;
                    self.body = if left == 0 {
                        Body::Done
                    } else {
                        Body::Length { left }
                    };
                    return Ok(Some(piece));
                }
                Body::UntilClose => {
                    let piece = self.take(u64::MAX)?;
                    if piece.is_none() {
                        self.body = Body::Done;
                    }
                    return Ok(piece);
                }
                Body::ChunkSize => match self.chunk_size()? {
                    0 => {
                        *trailers = self.trailers()?;
                        self.body = Body::Done;
                    }
                    left => self.body = Body::Chunk { left },
                },
                Body::Chunk { left } => {
                    let piece = self.take(left)?.ok_or(Broken::Truncated)?;
                    let left = left - piece.len() as u64;
                    self.body = Body::Chunk { left };
                    if left == 0 {
                        if !self.line()?.is_empty() {
                            return Err(Broken::Framing("no line end after a chunk".to_owned()));
                        }
                        self.body = Body::ChunkSize;
                    }
                    return Ok(Some(piece));
                }
            }
        }
    }

    /// Reads whatever comes next, without framing; `None` at the end of the stream.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn raw(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        match self.take(u64::MAX) {
            Err(Broken::Truncated) => Ok(None),
            piece => piece,
        }
    }

    /// Bytes that were received and not asked for yet.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.buffer[self.at..]
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

    fn chunk_size(&mut self) -> Result<u64, Broken> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default();
        // RFC 9112 §7.1: 1*HEXDIG and nothing else; 15 digits are more than any test sends.
        if size.is_empty() || size.len() > 15 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Broken::Framing(format!("chunk size {line:?}")));
        }
        u64::from_str_radix(size, 16).map_err(|error| Broken::Framing(error.to_string()))
    }

    fn trailers(&mut self) -> Result<Fields, Broken> {
        let mut trailers = Fields::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.0.push(parse_field(&line)?);
        }
    }

    fn line(&mut self) -> Result<String, Broken> {
        const LINE_BYTES_MAX: usize = 64 * 1024;
        loop {
            let unread = &self.buffer[self.at..];
            if let Some(len) = find(unread, b"\n") {
                let line = unread[..len].to_vec();
                self.at += len + 1;
                return match line.split_last() {
                    Some((b'\r', line)) => text(line),
                    _ => Err(Broken::Framing("bare line feed".to_owned())),
                };
            }
            if unread.len() > LINE_BYTES_MAX {
                return Err(Broken::Framing("endless line".to_owned()));
            }
            if self.fill()? == 0 {
                return Err(Broken::Truncated);
            }
        }
    }

    fn take(&mut self, len_max: u64) -> Result<Option<Vec<u8>>, Broken> {
        if self.unread().is_empty() && self.fill()? == 0 {
            return Ok(None);
        }
        let len = usize::try_from(len_max).map_or(usize::MAX, |max| max);
        let len = len.min(self.unread().len());
        let piece = self.unread()[..len].to_vec();
        self.at += len;
        Ok(Some(piece))
    }

    /// Reads more. A reset is the end of a connection, but never the regular end of a message.
    fn fill(&mut self) -> Result<usize, Broken> {
        const READ_BYTES: usize = 64 * 1024;
        self.buffer.drain(..self.at);
        self.at = 0;
        let old = self.buffer.len();
        self.buffer.resize(old + READ_BYTES, 0);
        let read = loop {
            match self.stream.read(&mut self.buffer[old..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer
            .truncate(old + read.as_ref().map_or(0, |len| *len));
        read.map_err(|error| {
            if error.kind() == io::ErrorKind::ConnectionReset {
                Broken::Truncated
            } else {
                Broken::Io(error)
            }
        })
    }
}

/// The framing that the fields of a message declare; `None` when they declare none.
///
/// # Errors
/// When they declare it in a way that RFC 9112 §6 does not allow a sender.
pub fn framing(fields: &Fields) -> Result<Option<Framing>, Broken> {
    let mut lengths = fields.all("content-length");
    let mut codings = fields.all("transfer-encoding");
    let (length, coding) = (lengths.next(), codings.next());
    if lengths.next().is_some() || codings.next().is_some() {
        return Err(Broken::Framing(format!("repeated framing in {fields:?}")));
    }
    match (length, coding) {
        (None, None) => Ok(None),
        (None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => {
            Ok(Some(Framing::Chunked))
        }
        (Some(length), None) if length.bytes().all(|byte| byte.is_ascii_digit()) => length
            .parse()
            .map(|length| Some(Framing::Length(length)))
            .map_err(|error| Broken::Framing(format!("length {length:?}: {error}"))),
        (length, coding) => Err(Broken::Framing(format!("{length:?} and {coding:?}"))),
    }
}

fn parse_head(raw: Vec<u8>) -> Result<Head, Broken> {
    let all = text(&raw[..raw.len() - 4])?;
    let mut lines = all.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let fields = lines.map(parse_field).collect::<Result<_, _>>()?;
    if start.is_empty() || all.replace("\r\n", "").contains(['\r', '\n', '\0']) {
        return Err(Broken::Framing(format!("head {all:?}")));
    }
    Ok(Head {
        raw,
        start,
        fields: Fields(fields),
    })
}

fn parse_field(line: &str) -> Result<(String, String), Broken> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| Broken::Framing(format!("field {line:?}")))?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Err(Broken::Framing(format!("field name {name:?}")));
    }
    let value = value.trim_matches([' ', '\t']);
    Ok((name.to_owned(), value.to_owned()))
}

fn text(bytes: &[u8]) -> Result<String, Broken> {
    String::from_utf8(bytes.to_vec()).map_err(|error| Broken::Framing(error.to_string()))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
