//! Owns a small blocking HTTP/1.1 server on threads, for the admin address and the demo: one
//! request per connection (RFC 9112 §9.6 `close`), bounded connections, head, body and time.
//! Never stands in the way of the clients that are to be rescued, and knows no runtime.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest request head. Browsers send about 1 KiB, with many cookies 8.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest request body; only the demo's forms have one.
const BODY_BYTES_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 100;
/// For one read or write.
const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole request, so that a client that drips bytes cannot keep a slot.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A parsed request.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Without `?`; empty when there is none.
    pub(crate) query: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Request {
    /// The value of the first field named `name`; empty when there is none.
    pub(crate) fn field(&self, name: &str) -> &str {
        let found = self
            .fields
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// An answer of the given media type.
    pub(crate) fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            fields: vec![("Content-Type", media_type.to_owned())],
            body: body.into(),
        }
    }

    /// A plain-text answer.
    pub(crate) fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body)
    }

    /// Adds a field.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }
}

/// What answers requests.
pub(crate) type Handler = dyn Fn(&Request) -> Response + Send + Sync;

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stopping: AtomicBool,
    /// Connections that may still be opened.
    free: Mutex<usize>,
    freed: Condvar,
    connections_max: usize,
}

impl Server {
    /// Answers connections of `listener` with `handler`, at most `connections_max` at one time;
    /// more wait in the listener's backlog.
    pub(crate) fn start(
        listener: TcpListener,
        connections_max: usize,
        handler: Arc<Handler>,
    ) -> io::Result<Self> {
        debug_assert!(connections_max > 0, "nobody would be answered");
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            stopping: AtomicBool::new(false),
            free: Mutex::new(connections_max),
            freed: Condvar::new(),
            connections_max,
        });
        let accepting = Arc::clone(&shared);
        let acceptor = std::thread::Builder::new()
            .name("web".to_owned())
            .spawn(move || accept(&listener, &accepting, &handler))?;
        Ok(Self {
            addr,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// The address it listens on.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the listener and gives open connections `patience` to end.
    pub(crate) fn stop(mut self, patience: Duration) {
        self.close_listener();
        let free = lock(&self.shared.free);
        // The connections end by themselves within their time limits; nothing waits for them.
        let _ended = self
            .shared
            .freed
            .wait_timeout_while(free, patience, |free| *free < self.shared.connections_max);
    }

    fn close_listener(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.freed.notify_all();
        // `accept` has no timeout: a connection of our own wakes it up.
        let mut addr = self.addr;
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        if TcpStream::connect_timeout(&addr, IO_TIMEOUT).is_ok() {
            let _ = acceptor.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.close_listener();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, handler: &Arc<Handler>) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::Acquire) {
            return;
        }
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, or the client is gone already; do not spin on it.
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        let Some(slot) = Slot::take(shared) else {
            return;
        };
        let handler = Arc::clone(handler);
        // When no thread can be had, stream and slot are dropped and the client sees a close.
        let _ = std::thread::Builder::new()
            .name("web-connection".to_owned())
            .spawn(move || {
                let _slot = slot;
                let _ = converse(stream, handler.as_ref());
            });
    }
}

/// The right to have one connection open; given back on drop.
struct Slot(Arc<Shared>);

impl Slot {
    /// Waits for a free slot; `None` when the server stops meanwhile.
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let mut free = lock(&shared.free);
        while *free == 0 {
            if shared.stopping.load(Ordering::Acquire) {
                return None;
            }
            let waited = shared.freed.wait_timeout(free, Duration::from_millis(100));
            free = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Some(Self(Arc::clone(shared)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.freed.notify_all();
    }
}

fn lock(free: &Mutex<usize>) -> std::sync::MutexGuard<'_, usize> {
    // A count is never half written.
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

fn converse(mut stream: TcpStream, handler: &Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(IO_TIMEOUT))?;
    stream.set_write_timeout(Some(IO_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let (response, with_body) = match read_request(&mut stream)? {
        Ok(request) => (handler(&request), request.method != "HEAD"),
        Err(status) => (
            Response::text(status, "This request cannot be read.\n"),
            true,
        ),
    };
    stream.write_all(&encode(&response, with_body))?;
    stream.shutdown(Shutdown::Write)
}

/// Reads head and body; the inner error is the status to refuse with.
fn read_request(stream: &mut TcpStream) -> io::Result<Result<Request, u16>> {
    let started = Instant::now();
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match parse(&bytes) {
            Ok(Some((request, 0))) => return Ok(Ok(request)),
            Ok(_) => {}
            Err(status) => return Ok(Err(status)),
        }
        if started.elapsed() > REQUEST_TIMEOUT {
            return Ok(Err(408));
        }
        let mut chunk = [0; 4096];
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..len]);
    }
}

/// The request and how much of its body is missing; `None` when the head is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Request, usize)>, u16> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let head_len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_BYTES_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() <= HEAD_BYTES_MAX => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(431),
        Err(_) => return Err(400),
    };
    let target = head.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        fields: head
            .headers
            .iter()
            .map(|field| {
                let value = String::from_utf8_lossy(field.value).into_owned();
                (field.name.to_owned(), value)
            })
            .collect(),
    };
    if !request.field("transfer-encoding").is_empty() {
        return Err(411); // RFC 9112 §6.1 lets a server insist on Content-Length.
    }
    let body_len = match request.field("content-length") {
        "" => 0,
        text => text.parse::<usize>().map_err(|_| 400_u16)?,
    };
    if body_len > BODY_BYTES_MAX {
        return Err(413);
    }
    let received = bytes.len().saturating_sub(head_len);
    Ok(Some((request, body_len.saturating_sub(received))))
}

fn encode(response: &Response, with_body: bool) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(response.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", response.status);
    for (name, value) in &response.fields {
        // A value never splits the message.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    let len = response.body.len();
    out.push_str(&format!(
        "Content-Length: {len}\r\nConnection: close\r\n\r\n"
    ));
    let mut out = out.into_bytes();
    if with_body {
        out.extend_from_slice(&response.body);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let handler = |request: &Request| {
            let text = format!("{} {} {}", request.method, request.path, request.query);
            Response::text(200, text).with("X-Host", request.field("HOST"))
        };
        Server::start(listener, 2, Arc::new(handler)).unwrap()
    }

    fn ask(server: &Server, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn answers_and_refuses() {
        let server = start();
        #[track_caller]
        fn check(server: &Server, request: &str, status: &str, body: &str) {
            let answer = ask(server, request.as_bytes());
            let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(head.ends_with("Connection: close"), "{head}");
            assert_eq!(rest, body);
        }
        let refused = "This request cannot be read.\n";
        check(
            &server,
            "GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n",
            "200",
            "GET /a b",
        );
        check(&server, "HEAD / HTTP/1.1\r\n\r\n", "200", "");
        check(
            &server,
            "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
            "200",
            "POST / ",
        );
        check(&server, "nonsense\r\n\r\n", "400", refused);
        check(
            &server,
            "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            "413",
            refused,
        );
        let answer = ask(&server, b"GET / HTTP/1.1\r\nHost: here\r\n\r\n");
        assert!(answer.contains("X-Host: here\r\n"));
    }

    #[test]
    fn more_connections_than_slots_are_all_answered() {
        let server = start();
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    let answer = ask(&server, b"GET / HTTP/1.1\r\n\r\n");
                    assert!(answer.starts_with("HTTP/1.1 200 "));
                });
            }
        });
    }

    #[test]
    fn a_stopped_server_frees_its_port() {
        let server = start();
        let addr = server.addr();
        server.stop(Duration::from_secs(5));
        assert!(TcpStream::connect(addr).is_err());
        TcpListener::bind(addr).unwrap();
    }

    #[test]
    fn a_value_never_splits_the_message() {
        let response = Response::text(200, "").with("X", "a\r\nSet-Cookie: b");
        let bytes = String::from_utf8(encode(&response, true)).unwrap();
        assert!(bytes.contains("X: aSet-Cookie: b\r\n"));
    }
}
