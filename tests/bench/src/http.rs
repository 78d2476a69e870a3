//! Owns one side of an HTTP/1.1 connection as the benches need it: it reads whole messages.
//! Never forgives: what cannot be framed is an error, and the connection is given up.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A message that was read.
#[derive(Debug, Default)]
pub struct Message {
    /// The method of a request, empty for a response.
    pub method: String,
    /// The target of a request, empty for a response.
    pub target: String,
    /// The status of a response, 0 for a request.
    pub status: u16,
    /// Names in lower case, and values.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl Message {
    /// The value of the first field `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    fn says_close(&self) -> bool {
        self.field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Whether another message can follow.
    pub is_open: bool,
}

impl Connection {
    /// Speaks on `stream`.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            input: Vec::new(),
            is_open: true,
        }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// When nobody accepts.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::new(TcpStream::connect(address).await?))
    }

    /// Connects to `address` from an address of this machine, which is all of 127.0.0.0/8.
    ///
    /// # Errors
    /// When nobody accepts.
    pub async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(source.into(), 0))?;
        Ok(Self::new(socket.connect(address).await?))
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// When the connection breaks; of kind `NotConnected` when that was before the first byte of
    /// a response.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<Message> {
        let unanswered = |error| io::Error::new(ErrorKind::NotConnected, error);
        self.send(request).await.map_err(unanswered)?;
        if self.input.is_empty() && self.more().await.map_err(unanswered)? == 0 {
            return Err(ErrorKind::NotConnected.into());
        }
        self.message(false)
            .await?
            .ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads a request; `None` when the client ended the connection instead.
    ///
    /// # Errors
    /// When the connection breaks, or it is not HTTP.
    pub async fn request(&mut self) -> io::Result<Option<Message>> {
        self.message(true).await
    }

    async fn message(&mut self, is_request: bool) -> io::Result<Option<Message>> {
        let mut message = loop {
            if let Some((length, message)) = parse(&self.input, is_request)? {
                self.input.drain(..length);
                break message;
            }
            if self.more().await? == 0 {
                return Ok(None);
            }
        };
        self.is_open = !message.says_close();
        let length = message.field("content-length").map(str::parse);
        if message.field("transfer-encoding").is_some() {
            message.body = self.chunks().await?;
        } else if let Some(length) = length {
            message.body = self
                .take(length.map_err(|_| ErrorKind::InvalidData)?)
                .await?;
        } else if !is_request && message.status != 204 && message.status != 304 {
            // RFC 9112 §6.3 rule 8: until the connection ends.
            self.is_open = false;
            while self.more().await? > 0 {}
            message.body = std::mem::take(&mut self.input);
        }
        Ok(Some(message))
    }

    /// Reads a chunked body; trailers are dropped.
    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).map_err(|_| ErrorKind::InvalidData)?;
            if length == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            body.extend_from_slice(&self.take(length).await?);
            self.line().await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.input, b"\r\n") {
                let line = String::from_utf8_lossy(&self.input[..end]).into_owned();
                self.input.drain(..end + 2);
                return Ok(line);
            }
            self.must_have_more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < length {
            self.must_have_more().await?;
        }
        let rest = self.input.split_off(length);
        Ok(std::mem::replace(&mut self.input, rest))
    }

    async fn must_have_more(&mut self) -> io::Result<()> {
        match self.more().await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.input.reserve(4096);
        self.stream.read_buf(&mut self.input).await
    }
}

/// The head at the start of `bytes` and its length, when it is complete.
fn parse(bytes: &[u8], is_request: bool) -> io::Result<Option<(usize, Message)>> {
    const FIELDS_MAX: usize = 64;
    let invalid = |error| io::Error::new(ErrorKind::InvalidData, format!("{error}"));
    let mut headers = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut message = Message::default();
    let status;
    let parsed: &[httparse::Header<'_>];
    let mut request = httparse::Request::new(&mut []);
    let mut response = httparse::Response::new(&mut []);
    if is_request {
        request.headers = &mut headers;
        status = request.parse(bytes).map_err(invalid)?;
        message.method = request.method.unwrap_or_default().to_owned();
        message.target = request.path.unwrap_or_default().to_owned();
        parsed = request.headers;
    } else {
        response.headers = &mut headers;
        status = response.parse(bytes).map_err(invalid)?;
        message.status = response.code.unwrap_or_default();
        parsed = response.headers;
    }
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let pair = |field: &httparse::Header<'_>| (field.name.to_lowercase(), text(field.value));
    message.fields = parsed.iter().map(pair).collect();
    Ok(Some((length, message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// What a client reads when a server sends `bytes`, all at once and byte by byte, then closes.
    fn check(bytes: &'static [u8], body: &[u8], is_open: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        for step in [bytes.len(), 1] {
            runtime.as_ref().expect("a runtime").block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("it is bound");
                tokio::spawn(async move {
                    let (stream, _) = listener.accept().await.expect("a client");
                    let mut server = Connection::new(stream);
                    server.request().await.expect("a request");
                    for piece in bytes.chunks(step) {
                        server.send(piece).await.expect("the client reads");
                    }
                });
                let mut client = Connection::connect(address).await.expect("it listens");
                let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
                let message = client.ask(request).await.expect("a response");
                assert_eq!(message.body, body);
                assert_eq!((message.status, client.is_open), (200, is_open));
            });
        }
    }

    #[test]
    fn every_framing_is_read() {
        check(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
            b"hi",
            true,
        );
        check(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;a\r\ni\r\n0\r\n\r\n",
            b"hi",
            true,
        );
        check(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            b"",
            false,
        );
        check(b"HTTP/1.1 200 OK\r\n\r\nhi", b"hi", false);
    }
}
