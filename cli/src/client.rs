//! Owns one blocking GET, for `retter check` and the demo's visitors: one request, one
//! connection, bounded in time and size.
//! Never reuses a connection, follows a redirect or decodes a coding.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Most bytes that are read of one answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) authority: &'a str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// Further field lines, each with its end.
    pub(crate) more: &'a str,
    /// The `Cookie` value; empty for none.
    pub(crate) cookie: &'a str,
    /// For everything together.
    pub(crate) timeout: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its body, or the beginning of it.
    pub(crate) body: Vec<u8>,
    fields: Vec<(String, String)>,
}

impl Answer {
    /// The value of the first field named `name`; empty when there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self
            .fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
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
    NotHttp,
    /// The name has no address.
    Resolve(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "no connection: {error}"),
            Self::Exchange(error) if is_timeout(error) => f.write_str("no answer in time"),
            Self::Exchange(error) => write!(f, "the connection broke: {error}"),
            Self::NotHttp => f.write_str("what came back is not a complete HTTP/1.1 answer"),
            Self::Resolve(error) => write!(f, "the host name has no address: {error}"),
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// Asks once.
pub(crate) fn ask(question: Question<'_>) -> Result<Answer, Error> {
    let deadline = Instant::now() + question.timeout;
    let mut stream = connect(&question)?;
    exchange(&mut stream, &question, deadline).map_err(Error::Exchange)?
}

fn connect(question: &Question<'_>) -> Result<TcpStream, Error> {
    let addrs = (question.host, question.port)
        .to_socket_addrs()
        .map_err(Error::Resolve)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for addr in addrs {
        match TcpStream::connect_timeout(&addr, question.timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(Error::Connect(last))
}

fn exchange(
    stream: &mut TcpStream,
    question: &Question<'_>,
    deadline: Instant,
) -> io::Result<Result<Answer, Error>> {
    let Question {
        authority,
        method,
        path,
        cookie,
        more,
        ..
    } = question;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: retter/{}\r\n\
         Accept: */*\r\nConnection: close\r\n{more}",
        env!("CARGO_PKG_VERSION")
    );
    if !cookie.is_empty() {
        request.push_str(&format!("Cookie: {cookie}\r\n"));
    }
    if *method == "POST" {
        request.push_str("Content-Length: 0\r\n");
    }
    request.push_str("\r\n");
    stream.set_write_timeout(Some(question.timeout))?;
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    loop {
        if let Some(answer) = parse(&bytes) {
            return Ok(answer);
        }
        if bytes.len() >= ANSWER_BYTES_MAX {
            return Ok(Err(Error::NotHttp));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 4096];
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return Ok(Err(Error::NotHttp));
        }
        bytes.extend_from_slice(&chunk[..len]);
    }
}

/// The answer, when head and counted body are there, or as much of it as is looked at. A body
/// without a count is not waited for: what is asked here is whether the answer came.
fn parse(bytes: &[u8]) -> Option<Result<Answer, Error>> {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Response::new(&mut fields);
    let head_len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some(Err(Error::NotHttp)),
    };
    let answer = Answer {
        status: head.code.unwrap_or_default(),
        body: bytes.get(head_len..).unwrap_or_default().to_vec(),
        fields: head
            .headers
            .iter()
            .map(|field| {
                let value = String::from_utf8_lossy(field.value).into_owned();
                (field.name.to_owned(), value)
            })
            .collect(),
    };
    let body_len: usize = answer.field("content-length").parse().unwrap_or_default();
    let whole = head_len.saturating_add(body_len).min(ANSWER_BYTES_MAX);
    (bytes.len() >= whole).then_some(Ok(answer))
}
