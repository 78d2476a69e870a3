//! Owns the parsing of heads and trailer sections: where they end, their first line, their fields.
//! Never is lenient: httparse is, so line ends are checked before it and first lines without it.
//!
//! RFC 9112 §2 to §5.

use bytes::Bytes;
use http::{Method, StatusCode};
use httparse::Status;

use super::error::ProtocolError;
use super::target;
use crate::limits::FIELDS_MAX;
use crate::message::{Fields, RequestHead, ResponseHead, Version};

/// Fields that most heads stay below; parsing those does not prepare room for [`FIELDS_MAX`].
const FIELDS_USUAL: usize = 32;

/// What a [`Scan`] found.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Scanned {
    /// The empty line is not there yet.
    Partial,
    /// The empty line is not within the limit; `lines` other lines are.
    TooLong { lines: usize },
    /// The section is `len` bytes with its empty line, and has `lines` other lines.
    Whole { len: usize, lines: usize },
}

/// Finds the empty line that ends a section, resuming where the last call stopped.
#[derive(Debug, Default)]
pub(super) struct Scan {
    at: usize,
    line_start: usize,
    lines: usize,
}

impl Scan {
    /// Scans `data`, which begins with what earlier calls saw. Any CR or LF that is not part of a
    /// CRLF is an error: RFC 9112 §2.2 lets a lone LF pass, and smugglers live on that.
    pub(super) fn run(&mut self, data: &[u8], len_max: usize) -> Result<Scanned, ProtocolError> {
        let window = &data[..data.len().min(len_max)];
        while let Some(rest) = window.get(self.at..)
            && let Some(offset) = memchr::memchr2(b'\r', b'\n', rest)
        {
            let found = self.at + offset;
            match (window.get(found), window.get(found + 1)) {
                (Some(b'\r'), Some(b'\n')) => {}
                (Some(b'\r'), None) => {
                    self.at = found;
                    return Ok(self.starved(window.len() == len_max));
                }
                _ => return Err(ProtocolError::BareCrOrLf),
            }
            let next_line = found + 2;
            if found == self.line_start {
                let lines = self.lines;
                return Ok(Scanned::Whole {
                    len: next_line,
                    lines,
                });
            }
            self.lines += 1;
            self.line_start = next_line;
            self.at = next_line;
        }
        self.at = window.len();
        Ok(self.starved(window.len() == len_max))
    }

    fn starved(&self, is_full: bool) -> Scanned {
        if is_full {
            Scanned::TooLong { lines: self.lines }
        } else {
            Scanned::Partial
        }
    }
}

/// Parses a whole request head of `lines` lines and checks its target and `Host`.
pub(super) fn parse_request(raw: &Bytes, lines: usize) -> Result<RequestHead, ProtocolError> {
    let (line, block) = split_line(raw);
    // RFC 9112 §3: method SP request-target SP HTTP-version, and single spaces only.
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ProtocolError::InvalidRequestLine);
    };
    let version = parse_version(version, ProtocolError::InvalidRequestLine)?;
    let head = RequestHead {
        method: Method::from_bytes(method).map_err(|_| ProtocolError::InvalidRequestLine)?,
        target: raw.slice_ref(target),
        version,
        fields: parse_fields(raw, block, lines.saturating_sub(1))?,
    };
    target::check(&head)?;
    Ok(head)
}

/// Parses a whole response head of `lines` lines.
pub(super) fn parse_response(raw: &Bytes, lines: usize) -> Result<ResponseHead, ProtocolError> {
    const INVALID: ProtocolError = ProtocolError::InvalidStatusLine;
    let (line, block) = split_line(raw);
    // RFC 9112 §4: HTTP-version SP status-code SP [ reason-phrase ]; the last SP is often missing.
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let version = parse_version(parts.next().unwrap_or_default(), INVALID)?;
    let status = parts.next().unwrap_or_default();
    let reason = parts.next().unwrap_or_default();
    if reason.iter().any(|&byte| byte != b'\t' && is_control(byte)) {
        return Err(INVALID);
    }
    let status = StatusCode::from_bytes(status).map_err(|_| INVALID)?;
    Ok(ResponseHead {
        status,
        reason: match status.canonical_reason() {
            Some(usual) if usual.as_bytes() == reason => Bytes::from_static(usual.as_bytes()),
            Some(_) | None => raw.slice_ref(reason),
        },
        version,
        fields: parse_fields(raw, block, lines.saturating_sub(1))?,
    })
}

/// Parses `block`, a part of `raw` with `lines` field lines and an empty line, checked by [`Scan`].
pub(super) fn parse_fields(
    raw: &Bytes,
    block: &[u8],
    lines: usize,
) -> Result<Fields, ProtocolError> {
    if lines == 0 {
        Ok(Fields::default())
    } else if lines <= FIELDS_USUAL {
        parse_up_to::<FIELDS_USUAL>(raw, block)
    } else if lines <= FIELDS_MAX {
        parse_up_to::<FIELDS_MAX>(raw, block)
    } else {
        Err(ProtocolError::TooManyFields)
    }
}

/// httparse refuses white space in and after names, folded lines and controls (RFC 9112 §5).
fn parse_up_to<const N: usize>(raw: &Bytes, block: &[u8]) -> Result<Fields, ProtocolError> {
    let mut room = [httparse::EMPTY_HEADER; N];
    let Ok(Status::Complete((len, found))) = httparse::parse_headers(block, &mut room) else {
        return Err(ProtocolError::InvalidField);
    };
    debug_assert_eq!(len, block.len(), "the scan and httparse see the same end");
    let slices = found
        .iter()
        .map(|field| (field.name.as_bytes(), field.value));
    Fields::from_parsed(raw, slices).ok_or(ProtocolError::HeadTooLarge)
}

/// RFC 9112 §2.3. `malformed` is the error for what is no version at all.
fn parse_version(bytes: &[u8], malformed: ProtocolError) -> Result<Version, ProtocolError> {
    match bytes {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        // RFC 9110 §2.5: a higher minor version is read as the highest one known.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(ProtocolError::UnsupportedVersion)
        }
        _ => Err(malformed),
    }
}

/// Splits a section at its first CRLF.
fn split_line(raw: &[u8]) -> (&[u8], &[u8]) {
    // The scan has found no CR but before an LF.
    match memchr::memchr(b'\r', raw) {
        Some(end) => (&raw[..end], raw.get(end + 2..).unwrap_or_default()),
        None => (raw, &[]),
    }
}

fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}
