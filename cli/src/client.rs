//! Owns one blocking request, for commands, messages and the demo's visitors: one request, one
//! connection, bounded in time and size.
//! Never parses HTTP itself: [`retter_core::h1`] does. Never reuses a connection, follows a
//! redirect or decodes a coding.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use http::Method;
use retter_core::h1::{ClientConn, Event, Framing, HeadWriter, ProtocolError, SendQueue};
use retter_core::limits::HEAD_BYTES_CEILING;
use retter_core::message::{Fields, RequestHead, ResponseHead};

use crate::stream::Stream;

/// Most bytes of one answer's content that are read.
const CONTENT_BYTES_MAX: usize = 1 << 20;

/// What to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a Method,
    pub(crate) to: Peer<'a>,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    /// Sent with it; empty for none.
    pub(crate) content: &'a [u8],
    /// Further fields.
    pub(crate) more: &'a [(&'a str, &'a str)],
    /// For everything together.
    pub(crate) timeout: Duration,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer<'a> {
    /// A host by its name or address, and its port.
    Host(&'a str, u16),
    /// A socket in the file system.
    Socket(&'a Path),
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Its content, or the beginning of it.
    pub(crate) body: Vec<u8>,
    fields: Fields,
}

impl Reply {
    /// The value of the first field named `name`; empty when there is none.
    pub(crate) fn field(&self, name: &str) -> String {
        let value = self.fields.get(name).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Error {
    /// No connection.
    Connect(io::Error),
    /// Connected, but the exchange broke or took too long.
    Exchange(io::Error),
    /// What came is not HTTP/1.1, or not complete.
    NotHttp(ProtocolError),
    /// The name has no address.
    Resolve(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Exchange(error) if is_timeout(error) => f.write_str("no answer in time"),
            Self::Exchange(error) => write!(f, "the connection broke: {error}"),
            Self::NotHttp(error) => {
                write!(
                    f,
                    "what came back is not a complete HTTP/1.1 answer: {error}"
                )
            }
            Self::Resolve(error) => write!(f, "the host name has no address: {error}"),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Exchange(error)
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::NotHttp(error)
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// Asks once.
///
/// # Errors
/// Names which part failed: the name, the connection, the exchange or what came back.
pub(crate) fn ask(question: Question<'_>) -> Result<Reply, Error> {
    ask_for(question, CONTENT_BYTES_MAX)
}

/// The same, and reads at most `bytes_max` bytes of the content.
///
/// # Errors
/// As of [`ask`].
pub(crate) fn ask_for(question: Question<'_>, bytes_max: usize) -> Result<Reply, Error> {
    let deadline = Instant::now() + question.timeout;
    let mut stream = connect(question.to, question.timeout)?;
    send(&mut stream, &question)?;
    let (head, body) = receive(&mut stream, Reads::Counted(bytes_max), deadline)?;
    Ok(Reply {
        status: head.status.as_u16(),
        body,
        fields: head.fields,
    })
}

/// Asks once with just this head, for `path`, and reads all of the content, or a little more than
/// `bytes_max`.
///
/// # Errors
/// Names which part failed: the name, the connection, the exchange or what came back.
pub(crate) fn ask_with(
    to: Peer<'_>,
    (head, path): (&RequestHead, &str),
    bytes_max: usize,
    timeout: Duration,
) -> Result<(ResponseHead, Vec<u8>), Error> {
    let deadline = Instant::now() + timeout;
    let mut stream = connect(to, timeout)?;
    let mut out = SendQueue::new();
    let mut writer = HeadWriter::request(&mut out, &head.method, path.as_bytes());
    for (name, value) in head.fields.iter() {
        writer.field(name, value);
    }
    writer.field("Connection", b"close");
    writer.finish();
    flush(&mut stream, out)?;
    receive(&mut stream, Reads::Whole(bytes_max), deadline)
}

/// How much of an answer is read.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// Content that is counted, as far as it is looked at. Other content is not waited for: what is
    /// asked is whether the answer came.
    Counted(usize),
    /// All of it, or a little more than this many bytes.
    Whole(usize),
}

fn connect(to: Peer<'_>, timeout: Duration) -> Result<Stream, Error> {
    let stream = dial(to, timeout)?;
    stream.set_write_timeout(timeout)?;
    Ok(stream)
}

fn dial(to: Peer<'_>, timeout: Duration) -> Result<Stream, Error> {
    match to {
        Peer::Host(host, port) => reach(host, port, timeout).map(Stream::Tcp),
        Peer::Socket(path) => {
            let stream = UnixStream::connect(path).map_err(Error::Connect)?;
            Ok(Stream::Unix(stream))
        }
    }
}

/// Connects to the first address of `host` that takes a connection, each within `timeout`.
///
/// # Errors
/// The name has no address, or none of them takes a connection.
pub(crate) fn reach(host: &str, port: u16, timeout: Duration) -> Result<TcpStream, Error> {
    let addrs = (host, port).to_socket_addrs().map_err(Error::Resolve)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for addr in addrs {
        match TcpStream::connect_timeout(&addr, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::Connect(last))
}

fn send(stream: &mut Stream, question: &Question<'_>) -> io::Result<()> {
    let mut out = SendQueue::new();
    let mut head = HeadWriter::request(&mut out, question.method, question.path.as_bytes());
    head.field("Host", question.authority.as_bytes())
        .field(
            "User-Agent",
            concat!("retter/", env!("CARGO_PKG_VERSION")).as_bytes(),
        )
        .field("Accept", b"*/*")
        .field("Connection", b"close");
    for (name, value) in question.more {
        head.field(name, value.as_bytes());
    }
    if !question.content.is_empty() {
        head.field_number("Content-Length", question.content.len() as u64);
    }
    head.finish();
    out.push(question.content.to_vec().into());
    flush(stream, out)
}

fn flush(stream: &mut Stream, mut out: SendQueue) -> io::Result<()> {
    while !out.is_empty() {
        let mut slices = [io::IoSlice::new(&[]); 2];
        let count = out.slices(&mut slices);
        let len = stream.write_vectored(&slices[..count])?;
        out.advance(len);
    }
    Ok(())
}

/// Reads the head, and as much of the content as is wanted.
fn receive(
    stream: &mut Stream,
    reads: Reads,
    deadline: Instant,
) -> Result<(ResponseHead, Vec<u8>), Error> {
    let bytes_max = match reads {
        Reads::Counted(bytes_max) | Reads::Whole(bytes_max) => bytes_max,
    };
    let mut conn = ClientConn::new(HEAD_BYTES_CEILING);
    conn.begin(&Method::GET, false);
    let mut answer: Option<(ResponseHead, Vec<u8>)> = None;
    loop {
        match (conn.next_event()?, &mut answer) {
            (Event::Head(head), _) if head.status.is_informational() => {}
            (Event::Head(head), _) => answer = Some((head, Vec::new())),
            (Event::Data(data), Some((_, body))) => {
                body.extend_from_slice(&data);
                if body.len() >= bytes_max {
                    break;
                }
            }
            (Event::End { .. }, _) => break,
            (Event::NeedData, Some(_))
                if matches!(reads, Reads::Counted(_))
                    && !matches!(conn.framing(), Framing::Length(_)) =>
            {
                break;
            }
            (Event::NeedData, _) => read(stream, &mut conn, deadline)?,
            (Event::Data(_), None) | (Event::Closed, _) => {
                return Err(Error::NotHttp(ProtocolError::UnexpectedEof));
            }
        }
    }
    answer.ok_or(Error::NotHttp(ProtocolError::UnexpectedEof))
}

fn read(stream: &mut Stream, conn: &mut ClientConn, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(left)?;
    let len = stream.read(conn.read_buf())?;
    conn.handle_read(len);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What is made of `bytes`, after which the connection stays open, or ends.
    fn answered(bytes: &str, ends: bool) -> (String, Result<Reply, Error>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::scope(|scope| {
            let asked = scope.spawn(move || {
                ask(Question {
                    method: &Method::GET,
                    to: Peer::Host("127.0.0.1", port),
                    authority: "shop.example",
                    path: "/a b",
                    content: b"",
                    more: &[("Cookie", "a=b"), ("X", "split\r\nme")],
                    timeout: Duration::from_secs(60),
                })
            });
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            while !request.ends_with("\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(char::from(byte[0]));
            }
            stream.write_all(bytes.as_bytes()).unwrap();
            if ends {
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            }
            (request, asked.join().unwrap())
        })
    }

    #[test]
    fn asks_once_and_reads_as_far_as_is_counted() {
        #[track_caller]
        fn check(bytes: &str, status: u16, body: &str) {
            let (request, answer) = answered(bytes, false);
            assert_eq!(
                request,
                format!(
                    "GET /a%20b HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: retter/{}\r\n\
                     Accept: */*\r\nConnection: close\r\nCookie: a=b\r\n\r\n",
                    env!("CARGO_PKG_VERSION")
                )
            );
            let answer = answer.unwrap();
            assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()));
        }
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi");
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, "");
        check(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.0 404 \r\nContent-Length: 0\r\n\r\n",
            404,
            "",
        );
        // Neither end would ever come.
        check("HTTP/1.1 200 OK\r\n\r\n", 200, "");
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            200,
            "",
        );
    }

    #[test]
    fn a_malformed_answer_is_an_error_with_its_reason() {
        #[track_caller]
        fn check(bytes: &str, reason: &str) {
            let (_, answer) = answered(bytes, true);
            let told = answer.unwrap_err().to_string();
            assert!(told.ends_with(reason), "{told}");
            assert!(told.starts_with("what came back is not a complete HTTP/1.1 answer: "));
        }
        check("", "connection ended inside a message");
        check("HTTP/1.1 200 OK\r\n", "connection ended inside a message");
        check(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh",
            "connection ended inside a message",
        );
        check("SSH-2.0-OpenSSH_9.2\r\n", "invalid status line");
        check("HTTP/1.1 200 OK\r\nno field\r\n\r\n", "invalid field line");
    }
}
