//! Owns the reading of bodies: by length, in chunks with trailers, and until the end of the stream.
//! Never copies body bytes and never holds more of a chunk's framing than its next byte.
//!
//! RFC 9112 §6 and §7.1.

use bytes::Bytes;

use super::body::Framing;
use super::fields::{LineRules, parse_fields};
use super::head::{Scan, Scanned};
use super::recv::RecvBuf;
use crate::limits::{CHUNK_EXT_BYTES_MAX, RECV_CHUNK, TRAILER_BYTES_MAX};
use crate::message::{Fields, ProtocolError};

// A trailer section is parsed when it is whole, so it must fit before reading pauses.
const _: () = assert!(TRAILER_BYTES_MAX <= RECV_CHUNK);

/// What a decoder found next.
#[derive(Debug)]
pub(super) enum Decoded {
    Data(Bytes),
    End(Fields),
    NeedData,
}

/// Reads one body.
#[derive(Debug)]
pub(super) enum Decoder {
    Chunked(Chunked),
    /// Bytes left.
    Length(u64),
    UntilClose,
}

impl Decoder {
    pub(super) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Length(0),
            Framing::Length(len) => Self::Length(len),
            Framing::Chunked => Self::Chunked(Chunked::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// The next piece of the body in `recv`; `eof` tells that nothing follows what is there.
    pub(super) fn next(
        &mut self,
        recv: &mut RecvBuf,
        eof: bool,
        rules: LineRules,
    ) -> Result<Decoded, ProtocolError> {
        let decoded = match self {
            Self::Chunked(chunked) => chunked.next(recv, rules)?,
            Self::Length(0) => Decoded::End(Fields::default()),
            Self::Length(left) => take_data(recv, left),
            Self::UntilClose if !recv.is_empty() => Decoded::Data(recv.take(recv.len())),
            // RFC 9112 §8: complete only as far as anyone can know.
            Self::UntilClose if eof => Decoded::End(Fields::default()),
            Self::UntilClose => Decoded::NeedData,
        };
        match decoded {
            // RFC 9112 §8: a length not reached or a last chunk not seen is an incomplete message.
            Decoded::NeedData if eof => Err(ProtocolError::UnexpectedEof),
            Decoded::Data(_) | Decoded::End(_) | Decoded::NeedData => Ok(decoded),
        }
    }
}

/// Reads the chunked coding.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: ChunkState,
    /// Bytes of extensions so far, and of zeros that make no size, over all chunks.
    ext_bytes: usize,
}

/// Where in `chunk-size [ chunk-ext ] CRLF chunk-data CRLF` the next byte is.
#[derive(Debug)]
enum ChunkState {
    Size {
        /// How many were read, up to one more than a size has.
        digits: u8,
        size: u64,
    },
    /// White space after the size, which only an extension may follow.
    SizeSpace {
        size: u64,
    },
    Ext {
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        left: u64,
    },
    DataCr,
    DataLf,
    Trailers(Scan),
}

impl Default for ChunkState {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunked {
    fn next(&mut self, recv: &mut RecvBuf, rules: LineRules) -> Result<Decoded, ProtocolError> {
        let framing_len = self.read_framing(recv.data())?;
        recv.advance(framing_len);
        match &mut self.state {
            ChunkState::Data { left } => {
                let decoded = take_data(recv, left);
                if *left == 0 {
                    self.state = ChunkState::DataCr;
                }
                Ok(decoded)
            }
            ChunkState::Trailers(scan) => read_trailers(scan, recv, rules),
            ChunkState::Size { .. }
            | ChunkState::SizeSpace { .. }
            | ChunkState::Ext { .. }
            | ChunkState::SizeLf { .. }
            | ChunkState::DataCr
            | ChunkState::DataLf => Ok(Decoded::NeedData),
        }
    }

    /// Reads up to the next data or trailers; returns how many bytes it consumed.
    fn read_framing(&mut self, data: &[u8]) -> Result<usize, ProtocolError> {
        let mut consumed = 0;
        for &byte in data {
            let next = match self.state {
                ChunkState::Data { .. } | ChunkState::Trailers(_) => break,
                ChunkState::Size { digits, size } => after_size(digits, size, byte)?,
                ChunkState::SizeSpace { size } => match byte {
                    b' ' | b'\t' => ChunkState::SizeSpace { size },
                    b';' => ChunkState::Ext { size },
                    _ => return Err(ProtocolError::InvalidChunk),
                },
                ChunkState::Ext { size } => match byte {
                    b'\r' => ChunkState::SizeLf { size },
                    b'\n' => return Err(ProtocolError::BareCrOrLf),
                    b'\t' | b' '..=b'~' | 0x80.. => ChunkState::Ext { size },
                    _ => return Err(ProtocolError::InvalidChunk),
                },
                ChunkState::SizeLf { size } => match (byte, size) {
                    (b'\n', 0) => ChunkState::Trailers(Scan::default()),
                    (b'\n', left) => ChunkState::Data { left },
                    _ => return Err(ProtocolError::BareCrOrLf),
                },
                ChunkState::DataCr if byte == b'\r' => ChunkState::DataLf,
                ChunkState::DataLf if byte == b'\n' => ChunkState::default(),
                ChunkState::DataCr | ChunkState::DataLf => {
                    return Err(ProtocolError::InvalidChunk);
                }
            };
            self.state = next;
            self.count_ext()?;
            consumed += 1;
        }
        Ok(consumed)
    }

    /// RFC 9112 §7.1.1: "a recipient ought to limit the total length of chunk extensions". Zeros
    /// before a size say as little.
    fn count_ext(&mut self) -> Result<(), ProtocolError> {
        if let ChunkState::Ext { .. }
        | ChunkState::SizeSpace { .. }
        | ChunkState::Size {
            digits: SIZE_DIGITS_OVER,
            ..
        } = self.state
        {
            self.ext_bytes += 1;
            if self.ext_bytes > CHUNK_EXT_BYTES_MAX {
                return Err(ProtocolError::ChunkExtTooLong);
            }
        }
        Ok(())
    }
}

/// Looks for the end of a chunked body before any of it is taken, resuming where the last look
/// stopped.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    at: usize,
    chunked: Chunked,
}

impl Ahead {
    /// Whether `data`, which begins with what earlier looks saw, has all of the body, or what makes
    /// it none.
    pub(super) fn sees_end(&mut self, data: &[u8]) -> bool {
        loop {
            let rest = data.get(self.at..).unwrap_or_default();
            let Ok(framing_len) = self.chunked.read_framing(rest) else {
                return true;
            };
            self.at += framing_len;
            let rest = data.get(self.at..).unwrap_or_default();
            match &mut self.chunked.state {
                ChunkState::Data { left } => {
                    let there = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    self.at += there;
                    *left -= there as u64;
                    if *left > 0 {
                        return false;
                    }
                    self.chunked.state = ChunkState::DataCr;
                }
                ChunkState::Trailers(scan) => {
                    return !matches!(scan.run(rest, TRAILER_BYTES_MAX), Ok(Scanned::Partial));
                }
                ChunkState::Size { .. }
                | ChunkState::SizeSpace { .. }
                | ChunkState::Ext { .. }
                | ChunkState::SizeLf { .. }
                | ChunkState::DataCr
                | ChunkState::DataLf => return false,
            }
        }
    }
}

/// One more hexadecimal digit than 64 bits have: the first of them can only be a zero.
const SIZE_DIGITS_OVER: u8 = 17;

/// The state after `byte` behind `digits` digits of a chunk size.
fn after_size(digits: u8, size: u64, byte: u8) -> Result<ChunkState, ProtocolError> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ if digits == 0 => return Err(ProtocolError::InvalidChunk),
        b'\r' => return Ok(ChunkState::SizeLf { size }),
        b'\n' => return Err(ProtocolError::BareCrOrLf),
        b';' => return Ok(ChunkState::Ext { size }),
        b' ' | b'\t' => return Ok(ChunkState::SizeSpace { size }),
        _ => return Err(ProtocolError::InvalidChunk),
    };
    // RFC 9112 §7.1: "Recipients MUST anticipate potentially large hexadecimal numerals and prevent
    // parsing errors due to integer conversion overflows".
    if size > u64::MAX >> 4 {
        return Err(ProtocolError::InvalidChunk);
    }
    Ok(ChunkState::Size {
        digits: SIZE_DIGITS_OVER.min(digits + 1),
        size: (size << 4) | u64::from(value),
    })
}

fn read_trailers(
    scan: &mut Scan,
    recv: &mut RecvBuf,
    rules: LineRules,
) -> Result<Decoded, ProtocolError> {
    match scan.run(recv.data(), TRAILER_BYTES_MAX)? {
        Scanned::Partial => Ok(Decoded::NeedData),
        Scanned::TooLong { .. } => Err(ProtocolError::TrailersTooLarge),
        Scanned::Whole { len, lines } => {
            let raw = recv.take(len);
            Ok(Decoded::End(parse_fields(raw, 0, lines, rules)?))
        }
    }
}

/// Takes what is there of the `left` bytes to come.
fn take_data(recv: &mut RecvBuf, left: &mut u64) -> Decoded {
    let data = recv.take(usize::try_from(*left).unwrap_or(usize::MAX));
    *left = left.saturating_sub(data.len() as u64);
    if data.is_empty() {
        Decoded::NeedData
    } else {
        Decoded::Data(data)
    }
}
