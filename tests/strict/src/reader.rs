//! Owns [`Reader`]: one direction of a connection, taken apart as it comes.
//! Never waits: it takes what has arrived.

use crate::head::{field, text};
use crate::{Fields, Framing, Head, Unfit};

const HEAD_BYTES_MAX: usize = 1 << 20;
const LINE_BYTES_MAX: usize = 64 * 1024;

/// More digits of a chunk's size than anybody sends.
const SIZE_DIGITS_MAX: usize = 15;

/// A piece of a message.
#[derive(Debug)]
pub enum Part {
    /// Some of the content, without transfer coding.
    Data(Vec<u8>),
    /// The end of the content, with the trailer fields.
    End(Fields),
    /// A head. Whoever takes it says how its body is framed, if it has one: [`Reader::begin`].
    Head(Head),
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// What was read of them.
    at: usize,
    /// How much of the rest has no end of a head in it.
    searched: usize,
    state: State,
    trailers: Fields,
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
    /// Takes bytes that have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// No more bytes will come.
    pub fn end(&mut self) {
        self.is_eof = true;
    }

    /// Whether a head has come whose end has not.
    #[must_use]
    pub fn is_in_body(&self) -> bool {
        self.state != State::Head
    }

    /// Says how the body of the head that was read is framed. Without a word it has none, and no end.
    pub fn begin(&mut self, framing: Framing) {
        self.state = match framing {
            Framing::Chunked => State::ChunkSize,
            Framing::Length(left) => State::Length(left),
            Framing::UntilClose => State::UntilClose,
        };
    }

    /// What has come and was not read.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Takes all that has come and was not read, for a tunnel.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.take(u64::MAX)
    }

    /// The next part that is there in full; `None` until more has come.
    ///
    /// # Errors
    /// See [`Unfit`].
    pub fn next_part(&mut self) -> Result<Option<Part>, Unfit> {
        loop {
            match self.state {
                State::Head => return Ok(self.head()?.map(Part::Head)),
                State::Length(0) => return Ok(Some(self.finish())),
                State::Length(left) => return Ok(self.data(left, State::Length)),
                State::UntilClose => {
                    if self.rest().is_empty() && self.is_eof {
                        return Ok(Some(self.finish()));
                    }
                    return Ok(self.data(u64::MAX, |_| State::UntilClose));
                }
                State::Chunk(0) => self.state = State::ChunkEnd,
                State::Chunk(left) => return Ok(self.data(left, State::Chunk)),
                State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let Some(line) = self.line()? else {
                        return Ok(None);
                    };
                    if self.on_line(&line)? {
                        return Ok(Some(self.finish()));
                    }
                }
            }
        }
    }

    fn head(&mut self) -> Result<Option<Head>, Unfit> {
        let rest = self.rest();
        let Some(found) = memchr::memmem::find(&rest[self.searched..], b"\r\n\r\n") else {
            if rest.len() > HEAD_BYTES_MAX {
                return Err(Unfit::new("an endless head"));
            }
            let bare = |end: usize| end == 0 || rest[end - 1] != b'\r';
            if memchr::memchr_iter(b'\n', rest).any(bare) {
                return Err(Unfit::new("a bare line feed"));
            }
            self.searched = rest.len().saturating_sub(3);
            return Ok(None);
        };
        let len = self.searched + found + 4;
        self.searched = 0;
        let raw = self.rest()[..len].to_vec();
        self.at += len;
        Head::parse(raw).map(Some)
    }

    /// What has come of `left` bytes of content.
    fn data(&mut self, left: u64, then: impl FnOnce(u64) -> State) -> Option<Part> {
        let data = self.take(left);
        self.state = then(left - data.len() as u64);
        (!data.is_empty()).then_some(Part::Data(data))
    }

    fn finish(&mut self) -> Part {
        self.state = State::Head;
        Part::End(std::mem::take(&mut self.trailers))
    }

    /// Takes a line between chunks or after them; whether it is the last of its body.
    fn on_line(&mut self, line: &str) -> Result<bool, Unfit> {
        match self.state {
            State::ChunkSize => {
                self.state = match chunk_size(line)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
            }
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => return Err(Unfit::new("a chunk longer than its size")),
            State::Trailers if line.is_empty() => return Ok(true),
            State::Chunk(_)
            | State::Head
            | State::Length(_)
            | State::Trailers
            | State::UntilClose => self.trailers.0.push(field(line)?),
        }
        Ok(false)
    }

    fn take(&mut self, max: u64) -> Vec<u8> {
        let len = usize::try_from(max).map_or(usize::MAX, |max| max);
        let len = len.min(self.rest().len());
        let taken = self.rest()[..len].to_vec();
        self.at += len;
        taken
    }

    fn line(&mut self) -> Result<Option<String>, Unfit> {
        let Some(end) = memchr::memchr(b'\n', self.rest()) else {
            return match self.rest().len() > LINE_BYTES_MAX {
                true => Err(Unfit::new("an endless line")),
                false => Ok(None),
            };
        };
        let line = self.rest()[..end].strip_suffix(b"\r").map(text);
        self.at += end + 1;
        line.map(Some).ok_or_else(|| Unfit::new("a bare line feed"))
    }
}

/// RFC 9112 §7.1, without extensions: nobody sends any.
fn chunk_size(line: &str) -> Result<u64, Unfit> {
    let unfit = || Unfit(format!("chunk size {line:?}"));
    let is_size = (1..=SIZE_DIGITS_MAX).contains(&line.len())
        && line.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_size {
        true => u64::from_str_radix(line, 16).map_err(|_| unfit()),
        false => Err(unfit()),
    }
}
