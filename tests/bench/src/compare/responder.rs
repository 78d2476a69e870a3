//! Owns the origin of `compare`, which alone in front of clients is also its floor: a responder
//! that does nothing but wait for events, read, look a page up, and write.
//! Never parses more of a request than the floor needs: the first line, and whether it says gzip.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use memchr::memmem;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

/// Length of the body of `/body`.
pub const BODY_BYTES: usize = 100 << 20;
/// Length of the body of `/copy/N`.
pub const COPY_BYTES: usize = 1000;
/// Where it says how many requests it has seen.
pub const COUNT: &str = "/-/count";
/// Where it is told to answer pages with 500.
pub const FAIL: &str = "/-/fail";

const LISTENER: Token = Token(usize::MAX);
const BLOCK_BYTES: usize = 256 << 10;

/// Answers for ever.
///
/// # Errors
/// When it cannot listen or wait.
pub fn serve(address: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(address)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slab<Connection> = Slab::new();
    let mut responder = Responder::new()?;
    loop {
        if let Err(error) = poll.poll(&mut events, None)
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error);
        }
        for event in &events {
            let Token(place) = event.token();
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.set_nodelay(true);
                    let entry = connections.vacant_entry();
                    let both = Interest::READABLE | Interest::WRITABLE;
                    let token = Token(entry.key());
                    poll.registry().register(&mut stream, token, both)?;
                    entry.insert(Connection::new(stream));
                }
            } else if let Some(connection) = connections.get_mut(place)
                && connection
                    .advance(&mut responder, event.is_readable())
                    .is_err()
            {
                connections.remove(place);
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// The begin of a head whose end has not come.
    begun: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
    /// What is left of a large body.
    body_left: usize,
}

impl Connection {
    const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            begun: Vec::new(),
            unsent: Vec::new(),
            body_left: 0,
        }
    }

    /// Does what an event makes possible.
    fn advance(&mut self, responder: &mut Responder, is_readable: bool) -> io::Result<()> {
        self.flush(responder)?;
        if !is_readable {
            return Ok(());
        }
        loop {
            let count = match self.stream.read(&mut responder.input) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            responder.answer(count, &mut self.begun, &mut self.body_left);
            if self.unsent.is_empty() {
                let sent = self.send(&responder.output)?;
                self.unsent.extend_from_slice(&responder.output[sent..]);
            } else {
                self.unsent.extend_from_slice(&responder.output);
            }
            self.flush(responder)?;
            // A short read has emptied the socket: the next byte is an event of its own.
            if count < responder.input.len() {
                return Ok(());
            }
        }
    }

    fn flush(&mut self, responder: &Responder) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            let sent = self.send(&unsent)?;
            self.unsent.extend_from_slice(&unsent[sent..]);
        }
        while self.unsent.is_empty() && self.body_left > 0 {
            let length = self.body_left.min(BLOCK_BYTES);
            let sent = self.send(&responder.block[..length])?;
            self.body_left -= sent;
            if sent < length {
                break;
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }
}

struct Page {
    plain: Vec<u8>,
    gzip: Option<Vec<u8>>,
}

struct Responder {
    pages: HashMap<Vec<u8>, Page>,
    failure: Vec<u8>,
    fails: bool,
    count: u64,
    input: Vec<u8>,
    output: Vec<u8>,
    block: Vec<u8>,
}

impl Responder {
    fn new() -> io::Result<Self> {
        let mut pages = HashMap::new();
        for (size, length) in [("73", 73), ("10k", 10 << 10)] {
            let text = text(length);
            for (kind, fields) in [
                ("hit", "Cache-Control: max-age=86400\r\n"),
                (
                    "gzip",
                    "Cache-Control: max-age=86400\r\nVary: Accept-Encoding\r\n",
                ),
                ("forward", "Cache-Control: no-store\r\n"),
                // No word on caching, as most pages of most applications.
                ("renew", ""),
                ("rescue", ""),
            ] {
                let gzip = if kind == "gzip" {
                    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                    encoder.write_all(&text)?;
                    let fields = format!("{fields}Content-Encoding: gzip\r\n");
                    Some(response("200 OK", &fields, &encoder.finish()?))
                } else {
                    None
                };
                let plain = response("200 OK", fields, &text);
                pages.insert(format!("/{kind}/{size}").into_bytes(), Page { plain, gzip });
            }
        }
        Ok(Self {
            pages,
            failure: response("500 Internal Server Error", "", b"no"),
            fails: false,
            count: 0,
            input: vec![0; 64 << 10],
            output: Vec::new(),
            block: vec![b'x'; BLOCK_BYTES],
        })
    }

    /// Puts the answers to the first `count` bytes of `input` into `output`.
    fn answer(&mut self, count: usize, begun: &mut Vec<u8>, body_left: &mut usize) {
        self.output.clear();
        let input = std::mem::take(&mut self.input);
        if begun.is_empty() {
            let rest = self.answer_all(&input[..count], body_left);
            begun.extend_from_slice(rest);
        } else {
            begun.extend_from_slice(&input[..count]);
            let whole = std::mem::take(begun);
            begun.extend_from_slice(self.answer_all(&whole, body_left));
        }
        self.input = input;
    }

    /// What is left of `bytes` when every complete head is answered.
    fn answer_all<'a>(&mut self, mut bytes: &'a [u8], body_left: &mut usize) -> &'a [u8] {
        while let Some(end) = memmem::find(bytes, b"\r\n\r\n") {
            let (head, rest) = bytes.split_at(end + 4);
            bytes = rest;
            self.answer_one(head, body_left);
        }
        bytes
    }

    fn answer_one(&mut self, head: &[u8], body_left: &mut usize) {
        let mut words = head.split(|byte| *byte == b' ');
        let path = words.nth(1).unwrap_or_default();
        self.count += 1;
        if let Some(page) = self.pages.get(path) {
            let bytes = match &page.gzip {
                _ if self.fails => &self.failure,
                Some(gzip) if memmem::find(head, b"gzip").is_some() => gzip,
                Some(_) | None => &page.plain,
            };
            self.output.extend_from_slice(bytes);
        } else if let Some(number) = path.strip_prefix(b"/copy/") {
            let body = noise(number);
            let fields = "Cache-Control: max-age=86400\r\n";
            self.output
                .extend_from_slice(&response("200 OK", fields, &body));
        } else if path == b"/body" {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
            self.output.extend_from_slice(head.as_bytes());
            *body_left += BODY_BYTES;
        } else {
            self.fails |= path == FAIL.as_bytes();
            self.count -= 1;
            let count = self.count.to_string();
            self.output
                .extend_from_slice(&response("200 OK", "", count.as_bytes()));
        }
    }
}

fn response(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let date = httpdate::fmt_http_date(SystemTime::now());
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: bench\r\nDate: {date}\r\n\
         Content-Type: text/html\r\nContent-Length: {length}\r\n{fields}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Text that compresses about as a page does.
fn text(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 64);
    for number in 0_u64.. {
        if text.len() >= length {
            break;
        }
        let word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        text.extend_from_slice(format!("<li><a href=\"/item/{number}\">{word:x}</a>\n").as_bytes());
    }
    text.truncate(length);
    text
}

/// Letters that do not compress, other ones for each `seed`.
fn noise(seed: &[u8]) -> Vec<u8> {
    let mut state = seed.iter().fold(1_u64, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut letters = Vec::with_capacity(COPY_BYTES + 8);
    while letters.len() < COPY_BYTES {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        letters.extend((state >> 16).to_le_bytes().map(|byte| b'0' + byte % 75));
    }
    letters.truncate(COPY_BYTES);
    letters
}
