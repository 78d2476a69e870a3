//! Owns the reading of fuzz inputs: numbers from bytes, fields from lines.
//! Never fails: what is missing is zero or empty.

use crate::message::{Fields, FieldsBuilder};

/// Takes an input apart from its front.
#[derive(Clone, Debug)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl Input<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u8) -> u8 {
        self.byte() % bound
    }

    /// Two bytes, the first is the high one.
    pub(super) fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A duration in nanoseconds: mostly short, sometimes as long as can be. One byte.
    pub(super) fn nanos(&mut self) -> u64 {
        let byte = self.byte();
        let mantissa = u64::from(byte & 0x0f);
        mantissa << (u32::from(byte >> 4) * 4)
    }
}

/// The fields of lines `Name: value`; what is no field is left out, as the builder does it.
pub(super) fn fields<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Fields {
    let mut builder = FieldsBuilder::default();
    for line in lines {
        if let Some(colon) = memchr::memchr(b':', line)
            && let Ok(name) = std::str::from_utf8(&line[..colon])
        {
            builder.push(name, &line[colon + 1..]);
        }
    }
    builder.build()
}

/// The lines of a text.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
}

/// Splits at the first `mark`; without one everything is before it.
pub(super) fn split_at_byte(bytes: &[u8], mark: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(mark, bytes) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, b""),
    }
}
