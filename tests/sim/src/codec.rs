//! Owns the reading of HTTP/1.1 by the simulated clients and origin: a second, strict reader,
//! which shares no code with the one under test.
//! Never waits: it takes what has arrived.

use crate::head::{Fields, Framing, Head};

/// A piece of a message.
#[derive(Debug)]
pub(crate) enum Part {
    Data(Vec<u8>),
    End,
    Head(Head),
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    state: State,
    is_eof: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    Chunk(u64),
    ChunkEnd,
    ChunkSize,
    #[default]
    Head,
    Length(u64),
    Trailers,
    UntilClose,
}

impl Reader {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn end(&mut self) {
        self.is_eof = true;
    }

    /// Whether a head has come whose end has not.
    pub(crate) fn is_in_body(&self) -> bool {
        self.state != State::Head
    }

    /// Says how the body of the head that was read is framed; `None` for no body and no end.
    pub(crate) fn begin(&mut self, framing: Framing) {
        self.state = match framing {
            Framing::Chunked => State::ChunkSize,
            Framing::Length(left) => State::Length(left),
            Framing::UntilClose => State::UntilClose,
        };
    }

    /// Takes all that came behind a head, for a tunnel.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The next part that is there in full.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, String> {
        loop {
            match self.state {
                State::Head => {
                    let Some(at) = find(&self.bytes, b"\r\n\r\n") else {
                        return Ok(None);
                    };
                    let raw: Vec<u8> = self.bytes.drain(..at + 4).collect();
                    return Head::parse(&raw[..at]).map(|head| Some(Part::Head(head)));
                }
                State::Length(0) => {
                    self.state = State::Head;
                    return Ok(Some(Part::End));
                }
                State::Length(left) => {
                    let data = self.take(left);
                    self.state = State::Length(left - data.len() as u64);
                    return Ok((!data.is_empty()).then_some(Part::Data(data)));
                }
                State::UntilClose => {
                    let data = self.take(u64::MAX);
                    if data.is_empty() && self.is_eof {
                        self.state = State::Head;
                        return Ok(Some(Part::End));
                    }
                    return Ok((!data.is_empty()).then_some(Part::Data(data)));
                }
                State::Chunk(0) => self.state = State::ChunkEnd,
                State::Chunk(left) => {
                    let data = self.take(left);
                    self.state = State::Chunk(left - data.len() as u64);
                    return Ok((!data.is_empty()).then_some(Part::Data(data)));
                }
                State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let Some(line) = self.line()? else {
                        return Ok(None);
                    };
                    if let Some(end) = self.on_line(&line)? {
                        return Ok(Some(end));
                    }
                }
            }
        }
    }

    fn on_line(&mut self, line: &str) -> Result<Option<Part>, String> {
        let is_end = match self.state {
            State::ChunkSize => {
                let size = line.split(';').next().unwrap_or_default();
                let size =
                    u64::from_str_radix(size, 16).map_err(|_| format!("chunk size {line:?}"))?;
                self.state = match size {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
                false
            }
            State::ChunkEnd if line.is_empty() => {
                self.state = State::ChunkSize;
                false
            }
            State::ChunkEnd => {
                return Err("no line end after a chunk".to_owned());
            }
            State::Chunk(_)
            | State::Head
            | State::Length(_)
            | State::Trailers
            | State::UntilClose => line.is_empty(),
        };
        if is_end {
            self.state = State::Head;
        }
        Ok(is_end.then_some(Part::End))
    }

    fn take(&mut self, max: u64) -> Vec<u8> {
        let len = usize::try_from(max).map_or(usize::MAX, |max| max);
        let len = len.min(self.bytes.len());
        self.bytes.drain(..len).collect()
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        let Some(at) = find(&self.bytes, b"\r\n") else {
            return Ok(None);
        };
        let line: Vec<u8> = self.bytes.drain(..at + 2).take(at).collect();
        String::from_utf8(line)
            .map(Some)
            .map_err(|error| error.to_string())
    }
}

/// A head as bytes.
pub(crate) fn head(start: &str, fields: &Fields) -> Vec<u8> {
    let mut head = format!("{start}\r\n");
    for (name, value) in &fields.0 {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    head.into_bytes()
}

/// A body as chunks of about this size.
pub(crate) fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 64);
    for chunk in body.chunks(size.max(1)) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
