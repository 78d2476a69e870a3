//! Owns the parsing of heads: where they, and trailer sections, end, and their first line.
//! Never is lenient. Their fields are `fields`' affair.
//!
//! RFC 9112 §2 to §4.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::fields::{LineRules, parse_fields};
use super::target;
use crate::message::{ProtocolError, RequestHead, ResponseHead, Version};

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
pub(super) fn parse_request(
    raw: Bytes,
    lines: usize,
    rules: LineRules,
) -> Result<RequestHead, ProtocolError> {
    let line = first_line(&raw);
    // RFC 9112 §3: method SP request-target SP HTTP-version, and single spaces only.
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ProtocolError::InvalidRequestLine);
    };
    let version = parse_version(version, ProtocolError::InvalidRequestLine)?;
    let method = Method::from_bytes(method).map_err(|_| ProtocolError::InvalidRequestLine)?;
    let (target, start) = (raw.slice_ref(target), line.len() + 2);
    let head = RequestHead {
        method,
        target,
        version,
        fields: parse_fields(raw, start, lines.saturating_sub(1), rules)?,
    };
    target::check(&head)?;
    Ok(head)
}

/// Parses a whole response head of `lines` lines.
pub(super) fn parse_response(
    raw: Bytes,
    lines: usize,
    rules: LineRules,
) -> Result<ResponseHead, ProtocolError> {
    const INVALID: ProtocolError = ProtocolError::InvalidStatusLine;
    let line = first_line(&raw);
    // RFC 9112 §4: HTTP-version SP status-code SP [ reason-phrase ]; the last SP is often missing.
    let mut parts = line.splitn(3, |&byte| byte == b' ');
    let version = parse_version(parts.next().unwrap_or_default(), INVALID)?;
    let status = parts.next().unwrap_or_default();
    let reason = parts.next().unwrap_or_default();
    if reason.iter().any(|&byte| byte != b'\t' && is_control(byte)) {
        return Err(INVALID);
    }
    let status = StatusCode::from_bytes(status).map_err(|_| INVALID)?;
    let reason = match status.canonical_reason() {
        Some(usual) if usual.as_bytes() == reason => Bytes::from_static(usual.as_bytes()),
        Some(_) | None => raw.slice_ref(reason),
    };
    let start = line.len() + 2;
    Ok(ResponseHead {
        status,
        reason,
        version,
        fields: parse_fields(raw, start, lines.saturating_sub(1), rules)?,
    })
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

/// The first line of a section, without its end.
fn first_line(raw: &[u8]) -> &[u8] {
    // The scan has found no CR but before an LF.
    &raw[..memchr::memchr(b'\r', raw).unwrap_or(raw.len())]
}

fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}
