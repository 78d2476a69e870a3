//! Owns the writing of heads and bodies. What it writes is one message, whatever it is given.
//! Never copies a body: framing is its own small part of the queue.
//!
//! RFC 9112 §3 to §7.

use std::fmt::Arguments;
use std::io::Write;

use bytes::Bytes;
use http::{Method, StatusCode};
use thiserror::Error;

use super::body::Framing;
use super::send::SendQueue;
use crate::message::known::{Is, dashed, is, is_forwarding, is_retter_field, look_up};
use crate::message::{Fields, Line, is_one_line, is_token};

/// Writes the head of an HTTP/1.1 message into a queue.
///
/// A field that would split the message (a name that is no token, a value with CR, LF or NUL) is
/// left out. Without [`finish`](Self::finish) the queue holds half a head.
#[derive(Debug)]
#[must_use = "finish the head"]
pub struct HeadWriter<'a> {
    buf: &'a mut Vec<u8>,
}

impl<'a> HeadWriter<'a> {
    /// Starts a request head. Bytes of `target` that would end it are percent-encoded; an empty
    /// one becomes `/`.
    pub fn request(out: &'a mut SendQueue, method: &Method, target: &[u8]) -> Self {
        let buf = out.tail();
        buf.extend_from_slice(method.as_str().as_bytes());
        buf.extend_from_slice(b" ");
        if target.is_empty() {
            buf.extend_from_slice(b"/");
        }
        for part in target.split_inclusive(|&byte| ends_target(byte)) {
            match part.split_last() {
                Some((&last, rest)) if ends_target(last) => {
                    buf.extend_from_slice(rest);
                    buf.extend_from_slice(&[b'%', hex_digit(last >> 4), hex_digit(last & 0xf)]);
                }
                _ => buf.extend_from_slice(part),
            }
        }
        buf.extend_from_slice(b" HTTP/1.1\r\n");
        Self { buf }
    }

    /// Starts a response head. An empty `reason`, or one with control characters, becomes the
    /// usual one of `status`.
    pub fn response(out: &'a mut SendQueue, status: StatusCode, reason: &[u8]) -> Self {
        let buf = out.tail();
        buf.extend_from_slice(b"HTTP/1.1 ");
        buf.extend_from_slice(status.as_str().as_bytes());
        // RFC 9112 §4: the space is sent even when the reason is absent.
        buf.extend_from_slice(b" ");
        if reason.is_empty() || !is_one_line(reason) {
            buf.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
        } else {
            buf.extend_from_slice(reason);
        }
        buf.extend_from_slice(b"\r\n");
        Self { buf }
    }

    /// Appends a field line.
    pub fn field(&mut self, name: &str, value: &[u8]) -> &mut Self {
        put_field(self.buf, name.as_bytes(), value);
        self
    }

    /// Appends a field line of another message.
    pub fn line(&mut self, line: Line<'_>) -> &mut Self {
        match line.as_written() {
            Some(written) => self.buf.extend_from_slice(written),
            None => put_field(self.buf, line.name, line.value),
        }
        self
    }

    /// Appends all lines of `fields`; at once where they are kept as they are written.
    pub fn fields(&mut self, fields: &Fields) -> &mut Self {
        match fields.as_written() {
            Some(lines) => self.buf.extend_from_slice(lines),
            None => {
                for line in fields.lines() {
                    self.line(line);
                }
            }
        }
        self
    }

    /// Appends a field line whose value is formatted in place.
    pub fn field_fmt(&mut self, name: &str, value: Arguments<'_>) -> &mut Self {
        let start = self.buf.len();
        if is_token(name.as_bytes()) {
            self.buf.extend_from_slice(name.as_bytes());
            self.buf.extend_from_slice(b": ");
            let value_start = self.buf.len();
            let is_written = self.buf.write_fmt(value).is_ok();
            if is_written && is_one_line(&self.buf[value_start..]) {
                self.buf.extend_from_slice(b"\r\n");
            } else {
                self.buf.truncate(start);
            }
        }
        self
    }

    /// Appends a field line with a decimal number.
    pub fn field_number(&mut self, name: &str, value: u64) -> &mut Self {
        self.field(name, itoa::Buffer::new().format(value).as_bytes())
    }

    /// Ends the head.
    pub fn finish(self) {
        self.buf.extend_from_slice(b"\r\n");
    }
}

/// Why a body does not fit its framing. What was promised in the head cannot be kept: the
/// connection must be closed, so that the peer sees an incomplete message.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BodyError {
    /// More data than the head announced, or data after the end.
    #[error("body longer than announced")]
    Excess,
    /// The end before the announced length.
    #[error("body shorter than announced")]
    Short,
}

/// Writes the body of one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BodyEncoder {
    /// No body, or its end is written.
    Empty,
    /// This many bytes are left to write.
    Length(u64),
    /// Writes chunks.
    Chunked,
    /// Writes bytes as they are; closing the connection ends the body.
    UntilClose,
}

impl From<Framing> for BodyEncoder {
    fn from(framing: Framing) -> Self {
        match framing {
            Framing::Empty => Self::Empty,
            Framing::Length(len) => Self::Length(len),
            Framing::Chunked => Self::Chunked,
            Framing::UntilClose => Self::UntilClose,
        }
    }
}

impl BodyEncoder {
    /// Queues `data` with its framing; empty data is ignored.
    ///
    /// # Errors
    /// [`BodyError::Excess`]; nothing is queued then.
    pub fn data(&mut self, data: Bytes, out: &mut SendQueue) -> Result<(), BodyError> {
        self.put(data, false, out)
    }

    /// As [`data`](Self::data), for bytes that somebody else holds in memory in any case.
    ///
    /// # Errors
    /// [`BodyError::Excess`]; nothing is queued then.
    pub fn shared_data(&mut self, data: Bytes, out: &mut SendQueue) -> Result<(), BodyError> {
        self.put(data, true, out)
    }

    fn put(&mut self, data: Bytes, is_shared: bool, out: &mut SendQueue) -> Result<(), BodyError> {
        let push = if is_shared {
            SendQueue::push_shared
        } else {
            SendQueue::push
        };
        // An empty chunk would be the last one (RFC 9112 §7.1).
        if data.is_empty() {
            return Ok(());
        }
        match self {
            Self::Empty => return Err(BodyError::Excess),
            Self::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(BodyError::Excess)?;
                push(out, data);
            }
            Self::Chunked => {
                push_chunk_size(data.len(), out);
                push(out, data);
                out.push_slice(b"\r\n");
            }
            Self::UntilClose => push(out, data),
        }
        Ok(())
    }

    /// Queues the end of the body. Of `trailers`, only a chunked body carries any, and only those
    /// that RFC 9110 §6.5.1 lets pass.
    ///
    /// # Errors
    /// [`BodyError::Short`] when announced bytes are missing.
    pub fn end(&mut self, trailers: &Fields, out: &mut SendQueue) -> Result<(), BodyError> {
        match self {
            Self::Length(1..) => return Err(BodyError::Short),
            Self::Chunked => push_last_chunk(trailers, out),
            Self::Empty | Self::Length(0) | Self::UntilClose => {}
        }
        *self = Self::Empty;
        Ok(())
    }
}

fn may_be_trailer(name: &str) -> bool {
    // Spelled with `_`, a name is the same variable to many applications (RFC 3875 §4.1.18).
    let dashed = dashed(name.as_bytes());
    let name = dashed.as_deref().unwrap_or(name.as_bytes());
    !is(look_up(name), Is::NoTrailer) && !is_retter_field(name) && !is_forwarding(name)
}

fn push_last_chunk(trailers: &Fields, out: &mut SendQueue) {
    let section = out.tail();
    section.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.iter().filter(|(name, _)| may_be_trailer(name)) {
        put_field(section, name.as_bytes(), value);
    }
    section.extend_from_slice(b"\r\n");
}

fn push_chunk_size(len: usize, out: &mut SendQueue) {
    let mut line = [0; 18];
    let mut left = len;
    let mut start = line.len() - 2;
    line[start..].copy_from_slice(b"\r\n");
    while left > 0 {
        start -= 1;
        line[start] = hex_digit(left.to_le_bytes()[0] & 0xf);
        left >>= 4;
    }
    out.push_slice(&line[start..]);
}

fn put_field(buf: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !is_token(name) || !is_one_line(value) {
        return;
    }
    buf.reserve(name.len().saturating_add(value.len()).saturating_add(4));
    buf.extend_from_slice(name);
    buf.extend_from_slice(b": ");
    buf.extend_from_slice(value);
    buf.extend_from_slice(b"\r\n");
}

fn ends_target(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// The lower four bits as a hexadecimal digit.
fn hex_digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble & 0xf)]
}
