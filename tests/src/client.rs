//! Owns a small blocking HTTP/1.1 client that checks every response it reads.
//! Never retries, follows or repairs anything: what RETTER sends is what a test sees.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;

use flate2::bufread::GzDecoder;

use crate::DEADLINE;
use crate::wire::{Broken, Fields, Framing, Head, Wire};

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    host: Option<String>,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Makes a request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            host: Some("shop.example".to_owned()),
            fields: Vec::new(),
            body: None,
        }
    }

    /// Makes a GET request.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Makes a POST request of a form.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target)
            .field("Content-Type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// Adds a field line.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a body, with its Content-Length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the Host field, or leaves it out.
    #[must_use]
    pub fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    /// Speaks HTTP/1.0.
    #[must_use]
    pub const fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// The bytes to send.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        if let Some(host) = &self.host {
            head += &format!("Host: {host}\r\n");
        }
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// The head of a final response, with the interim ones that came before.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status code.
    pub status: u16,
    /// The fields.
    pub fields: Fields,
    /// How the body is framed; `None` when the response has no body (RFC 9112 §6.3 rules 1, 2).
    pub framing: Option<Framing>,
    /// Status codes of the interim responses before it.
    pub interim: Vec<u16>,
    /// The bytes of the final head.
    pub raw: Vec<u8>,
}

impl ResponseHead {
    /// The only value of the field `name`.
    #[track_caller]
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.one(name)
    }

    /// Where RETTER says the response came from.
    #[track_caller]
    #[must_use]
    pub fn source(&self) -> &str {
        self.field("x-retter").unwrap_or("(no X-Retter)")
    }

    /// How RETTER says the circuit stands.
    #[track_caller]
    #[must_use]
    pub fn circuit(&self) -> &str {
        self.field("x-circuit").unwrap_or("(no X-Circuit)")
    }

    /// Whether the connection ends after this response.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.framing == Some(Framing::UntilClose)
            || self.fields.lists("connection", "close")
            || self.raw.starts_with(b"HTTP/1.0") && !self.fields.lists("connection", "keep-alive")
    }
}

/// A response that was read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its head.
    pub head: ResponseHead,
    /// Its body, without transfer coding.
    pub body: Vec<u8>,
    /// Its trailer fields.
    pub trailers: Fields,
}

impl Response {
    /// The body, with the gzip coding taken off if it has one.
    ///
    /// # Panics
    /// If the coding is broken or unknown.
    #[track_caller]
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        match self.field("content-encoding") {
            None => self.body.clone(),
            Some("gzip") => gunzip(&self.body),
            Some(other) => panic!("content coding {other}"),
        }
    }

    /// The body as text, with the gzip coding taken off if it has one.
    ///
    /// # Panics
    /// If it is not text.
    #[track_caller]
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8(self.content()).expect("the body is UTF-8")
    }
}

impl Deref for Response {
    type Target = ResponseHead;

    fn deref(&self) -> &ResponseHead {
        &self.head
    }
}

/// One connection to RETTER or, to test the tests, straight to an origin.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    trailers: Fields,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// If nobody accepts.
    #[track_caller]
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connect {address}: {error}"))
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    /// When nobody accepts before the deadline.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        TcpStream::connect_timeout(&address, DEADLINE).map(Self::over)
    }

    /// Takes over a connected socket.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        Self {
            wire: Wire::new(stream),
            trailers: Fields::default(),
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the peer is gone or takes nothing.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes)
            .unwrap_or_else(|error| panic!("send: {error}"));
    }

    /// Sends bytes as they are, or says why not.
    ///
    /// # Errors
    /// When the peer is gone, or takes nothing before the deadline.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.wire.send(bytes)
    }

    /// Sends a request and reads its response.
    ///
    /// # Panics
    /// If there is no complete and correct response.
    #[track_caller]
    pub fn ask(&mut self, request: &Request) -> Response {
        self.try_ask(request)
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.target))
    }

    /// Sends a request and reads its response, or says what went wrong.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn try_ask(&mut self, request: &Request) -> Result<Response, Broken> {
        if !self.wire.unread().is_empty() {
            let unread = String::from_utf8_lossy(self.wire.unread());
            return Err(Broken::Framing(format!("unasked bytes {unread:?}")));
        }
        match self.try_send(&request.to_bytes()) {
            Ok(()) => self.try_response(&request.method),
            // The peer may have answered and closed without reading all: the answer counts.
            Err(error) => self
                .try_response(&request.method)
                .map_err(|_| Broken::Io(error)),
        }
    }

    /// Reads the response to a request with `method`.
    ///
    /// # Panics
    /// If there is no complete and correct response.
    #[track_caller]
    pub fn response(&mut self, method: &str) -> Response {
        self.try_response(method)
            .unwrap_or_else(|error| panic!("response to {method}: {error}"))
    }

    /// Reads the response to a request with `method`, or says what went wrong.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn try_response(&mut self, method: &str) -> Result<Response, Broken> {
        let head = self.try_head(method)?;
        let mut body = Vec::new();
        while let Some(piece) = self.try_piece()? {
            body.extend_from_slice(&piece);
        }
        let trailers = std::mem::take(&mut self.trailers);
        Ok(Response {
            head,
            body,
            trailers,
        })
    }

    /// Reads the head of the response to a request with `method`, past interim responses.
    ///
    /// # Panics
    /// If there is no correct head.
    #[track_caller]
    pub fn head(&mut self, method: &str) -> ResponseHead {
        self.try_head(method)
            .unwrap_or_else(|error| panic!("response head to {method}: {error}"))
    }

    /// Reads the head of the response to a request with `method`, or says what went wrong.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn try_head(&mut self, method: &str) -> Result<ResponseHead, Broken> {
        let mut interim = Vec::new();
        loop {
            let head = self.wire.head()?;
            let status = parse_status(&head)?;
            // RFC 9110 §15.2: 1xx are interim, except that 101 ends HTTP on the connection.
            if (100..200).contains(&status) && status != 101 {
                if head.fields.framing()?.is_some() {
                    return Err(Broken::Framing(format!("framing in {:?}", head.start)));
                }
                interim.push(status);
                continue;
            }
            let framing = response_framing(method, status, &head)?;
            self.trailers = Fields::default();
            self.wire.begin(framing.unwrap_or(Framing::Length(0)));
            return Ok(ResponseHead {
                status,
                fields: head.fields,
                framing,
                interim,
                raw: head.raw,
            });
        }
    }

    /// Reads the next piece of the body as soon as any byte of it is there; `None` at its end.
    ///
    /// # Panics
    /// If the body is broken.
    #[track_caller]
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        self.try_piece()
            .unwrap_or_else(|error| panic!("body: {error}"))
    }

    /// Reads the next piece of the body, or says what went wrong.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn try_piece(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        self.wire.piece(&mut self.trailers)
    }

    /// Checks that the peer ends the connection without another byte.
    ///
    /// # Panics
    /// If it sends something, or does not end it before the deadline.
    #[track_caller]
    pub fn expect_end(&mut self) {
        match self.wire.raw() {
            Ok(None) => {}
            Ok(Some(bytes)) => panic!("unasked bytes {:?}", String::from_utf8_lossy(&bytes)),
            Err(error) => panic!("the connection does not end: {error}"),
        }
    }

    /// The bare connection, for protocols after an upgrade and for raw bytes.
    #[must_use]
    pub const fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}

/// Sends one request on a connection of its own.
///
/// # Panics
/// If there is no complete and correct response.
#[track_caller]
#[must_use]
pub fn ask(address: SocketAddr, request: &Request) -> Response {
    Client::connect(address).ask(request)
}

/// Takes the gzip coding off.
///
/// # Panics
/// If it is broken, or something follows it.
#[track_caller]
#[must_use]
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut decoder = GzDecoder::new(bytes);
    let mut content = Vec::new();
    decoder
        .read_to_end(&mut content)
        .expect("the gzip coding is whole");
    assert!(decoder.into_inner().is_empty(), "bytes after the gzip end");
    content
}

fn parse_status(head: &Head) -> Result<u16, Broken> {
    let bad = || Broken::Framing(format!("status line {:?}", head.start));
    let rest = head
        .start
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| head.start.strip_prefix("HTTP/1.0 "))
        .ok_or_else(bad)?;
    // RFC 9112 §4: three digits, a space even when no reason follows.
    let (code, _reason) = rest.split_once(' ').ok_or_else(bad)?;
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    code.parse().map_err(|_| bad())
}

/// RFC 9112 §6.3, as a client reads it.
fn response_framing(method: &str, status: u16, head: &Head) -> Result<Option<Framing>, Broken> {
    let declared = head.fields.framing()?;
    if head.raw.starts_with(b"HTTP/1.0") && declared == Some(Framing::Chunked) {
        return Err(Broken::Framing("chunked in HTTP/1.0".to_owned()));
    }
    if matches!(status, 101 | 204) && declared.is_some() {
        // RFC 9110 §8.6 and RFC 9112 §6.1: neither field in 1xx and 204.
        return Err(Broken::Framing(format!("{declared:?} in a {status}")));
    }
    if method == "HEAD" || matches!(status, 101 | 204 | 304) {
        return Ok(None);
    }
    Ok(Some(declared.unwrap_or(Framing::UntilClose)))
}
