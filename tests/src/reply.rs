//! Owns the responses of a model origin, in every framing and with every fault.
//! Never decides when to send one: that is the script of the test.

use std::io;

use crate::page::Blocks;
use crate::signal::Gate;
use crate::wire::Wire;

/// How a reply breaks off after some bytes of its body.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection ends.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing more comes until the gate opens; then the rest does.
    Stall(Gate),
}

/// How a reply shows its end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Style {
    /// Chunked.
    Chunked,
    /// Content-Length.
    #[default]
    Length,
    /// The connection ends.
    UntilClose,
}

/// A response of the origin.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    interim: Vec<u8>,
    body: Body,
    style: Style,
    trailers: Vec<(String, String)>,
    fault: Option<(usize, Fault)>,
}

#[derive(Clone, Debug)]
enum Body {
    Blocks(u64),
    Bytes(Vec<u8>),
}

impl Reply {
    /// Makes a 200 of a text body with a Content-Length.
    #[must_use]
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::status(200, body).field("Content-Type", "text/html; charset=utf-8")
    }

    /// Makes a reply with `status` and a body with a Content-Length.
    #[must_use]
    pub fn status(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            fields: Vec::new(),
            interim: Vec::new(),
            body: Body::Bytes(body.into()),
            style: Style::Length,
            trailers: Vec::new(),
            fault: None,
        }
    }

    /// Makes a 200 of `len` bytes of noise, see [`Blocks`].
    #[must_use]
    pub fn blocks(len: u64) -> Self {
        let mut reply = Self::status(200, "").field("Content-Type", "application/octet-stream");
        reply.body = Body::Blocks(len);
        reply
    }

    /// Adds a field line.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shows the end of the body by `style`.
    #[must_use]
    pub const fn style(mut self, style: Style) -> Self {
        self.style = style;
        self
    }

    /// Sends these bytes, an interim response, first.
    #[must_use]
    pub fn interim(mut self, bytes: &str) -> Self {
        self.interim.extend_from_slice(bytes.as_bytes());
        self
    }

    /// Sends the body in chunks, with this field after it.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.style = Style::Chunked;
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Breaks off after `len` bytes of the body.
    #[must_use]
    pub fn fault(mut self, len: usize, fault: Fault) -> Self {
        self.fault = Some((len, fault));
        self
    }

    /// Sends it to a request with `method`; how the connection ends, when it does.
    pub(crate) fn send(&self, wire: &mut Wire, method: &str) -> io::Result<Option<End>> {
        let mut start = self.interim.clone();
        start.extend_from_slice(self.head().as_bytes());
        let end = (self.style == Style::UntilClose).then_some(End::Regular);
        if method == "HEAD" || matches!(self.status, 204 | 304) {
            wire.send(&start)?;
            return Ok(end);
        }
        match &self.body {
            Body::Blocks(len) => {
                wire.send(&start)?;
                let mut blocks = Blocks::new(*len);
                while let Some(block) = blocks.next_block() {
                    send_piece(wire, self.style, block)?;
                }
            }
            Body::Bytes(bytes) => {
                let (len, fault) = match &self.fault {
                    Some((len, fault)) => (*len, Some(fault)),
                    None => (bytes.len(), None),
                };
                let (first, rest) = bytes.split_at(len.min(bytes.len()));
                add_piece(&mut start, self.style, first);
                wire.send(&start)?;
                match fault {
                    Some(Fault::Close) => return Ok(Some(End::Regular)),
                    Some(Fault::Reset) => return Ok(Some(End::Reset)),
                    Some(Fault::Stall(gate)) => gate.wait(),
                    None => {}
                }
                send_piece(wire, self.style, rest)?;
            }
        }
        if self.style == Style::Chunked {
            let mut last = "0\r\n".to_owned();
            for (name, value) in &self.trailers {
                last += &format!("{name}: {value}\r\n");
            }
            wire.send((last + "\r\n").as_bytes())?;
        }
        Ok(end)
    }

    fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Model\r\n", self.status);
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        let len = match &self.body {
            Body::Blocks(len) => *len,
            Body::Bytes(bytes) => bytes.len() as u64,
        };
        match self.style {
            Style::Chunked => head += "Transfer-Encoding: chunked\r\n",
            Style::Length if matches!(self.status, 204 | 304) => {}
            Style::Length => head += &format!("Content-Length: {len}\r\n"),
            Style::UntilClose => head += "Connection: close\r\n",
        }
        head + "\r\n"
    }
}

/// How the origin ends a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Regular,
    Reset,
}

fn send_piece(wire: &mut Wire, style: Style, piece: &[u8]) -> io::Result<()> {
    match style {
        Style::Chunked => {
            let mut chunk = Vec::with_capacity(piece.len() + 16);
            add_piece(&mut chunk, style, piece);
            wire.send(&chunk)
        }
        Style::Length | Style::UntilClose => wire.send(piece),
    }
}

/// Appends a piece of a body, as one chunk where the style is chunked. An empty chunk would be
/// the end of the body, so there is none.
fn add_piece(bytes: &mut Vec<u8>, style: Style, piece: &[u8]) {
    let chunked = style == Style::Chunked && !piece.is_empty();
    if chunked {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
    }
    bytes.extend_from_slice(piece);
    if chunked {
        bytes.extend_from_slice(b"\r\n");
    }
}
