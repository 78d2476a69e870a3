//! Owns how the end of a message is found: RFC 9112 §6.3 in its order, and §9.3.
//! Never reads a body: that is `decode`.

use http::{Method, StatusCode};

use crate::message::{Fields, ProtocolError, RequestHead, ResponseHead, Version, is_token};

/// How the end of a body is found (RFC 9112 §6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Framing {
    /// No body.
    Empty,
    /// This many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything until the connection closes.
    UntilClose,
}

/// Finds the framing of a request.
///
/// # Errors
/// Names why the framing cannot be trusted.
pub fn request_framing(head: &RequestHead) -> Result<Framing, ProtocolError> {
    // RFC 9112 §6.3 rules 1, 2 and 8 are about responses; rule 7: else a request has no body.
    Ok(declared_framing(head.version, &head.fields)?.unwrap_or(Framing::Empty))
}

/// Finds the framing of a response to a request with `request_method`.
///
/// Not for a 2xx answer to CONNECT (rule 2): this program makes no tunnels of that kind.
///
/// # Errors
/// Names why the framing cannot be trusted.
pub fn response_framing(
    request_method: &Method,
    head: &ResponseHead,
) -> Result<Framing, ProtocolError> {
    // Fields are checked even where they frame nothing: they are passed on as they are.
    let declared = declared_framing(head.version, &head.fields)?;
    // RFC 9112 §6.3 rule 1: HEAD, 1xx, 204 and 304 end with their head, whatever its fields.
    let bodiless = *request_method == Method::HEAD
        || head.status.is_informational()
        || head.status == StatusCode::NO_CONTENT
        || head.status == StatusCode::NOT_MODIFIED;
    if bodiless {
        return Ok(Framing::Empty);
    }
    // Rule 8: else a response lasts until its connection closes.
    Ok(declared.unwrap_or(Framing::UntilClose))
}

/// Whether the connection may carry another message after this one (RFC 9112 §9.3).
#[must_use]
pub fn keep_alive(version: Version, fields: &Fields) -> bool {
    if fields.has_token("connection", "close") {
        return false;
    }
    match version {
        Version::Http10 => fields.has_token("connection", "keep-alive"),
        Version::Http11 => true,
    }
}

/// Whether content may follow a response that ends with its head. Such bytes cannot be told from
/// the next response, and may come after this one was taken.
///
/// An answer to HEAD describes the content that a GET would have; an origin that sends it breaks
/// RFC 9110 §9.3.2 in a way that no field shows. 1xx and 204 that announce content break RFC 9110
/// §8.6 and RFC 9112 §6.1. A 304 may announce the length of the content that it is not sending.
pub(super) fn may_be_followed(request_method: &Method, head: &ResponseHead) -> bool {
    let is_bodiless = head.status.is_informational()
        || head.status == StatusCode::NO_CONTENT
        || head.status == StatusCode::NOT_MODIFIED;
    let has_length = || head.fields.get_all("content-length").any(|len| len != b"0");
    let announces = || head.fields.contains("transfer-encoding") || has_length();
    *request_method == Method::HEAD || is_bodiless && announces()
}

/// The framing that fields declare, `None` when they declare none: RFC 9112 §6.3 rules 3 to 6.
fn declared_framing(version: Version, fields: &Fields) -> Result<Option<Framing>, ProtocolError> {
    let mut lengths = fields.get_all("content-length");
    match (fields.contains("transfer-encoding"), lengths.next()) {
        // Rule 3: "ought to be handled as an error".
        (true, Some(_)) => Err(ProtocolError::ContentLengthAndTransferEncoding),
        (true, None) => {
            // RFC 9112 §6.1: in an HTTP/1.0 message the framing is faulty.
            if version == Version::Http10 {
                return Err(ProtocolError::TransferEncodingInHttp10);
            }
            check_chunked(fields)?;
            Ok(Some(Framing::Chunked))
        }
        // Rules 5 and 6. Rule 5 would allow a repeated identical value; it is refused as well,
        // since whoever wrote it is broken or tests for a difference between two parsers.
        (false, Some(length)) => match (parse_decimal(length), lengths.next()) {
            (Some(length), None) => Ok(Some(Framing::Length(length))),
            (_, Some(_)) => Err(ProtocolError::RepeatedContentLength),
            (None, None) => Err(ProtocolError::InvalidContentLength),
        },
        (false, None) => Ok(None),
    }
}

/// Rule 4: `chunked` must be there, once and last; no other coding is understood here.
fn check_chunked(fields: &Fields) -> Result<(), ProtocolError> {
    let (mut chunked, mut others, mut last_is_chunked) = (0_usize, 0_usize, false);
    let lines = fields.get_all("transfer-encoding");
    for coding in lines.flat_map(|line| line.split(|&byte| byte == b',')) {
        let coding = coding.trim_ascii();
        // Also refuses parameters and empty members, which others read in other ways.
        if !is_token(coding) {
            return Err(ProtocolError::InvalidTransferEncoding);
        }
        last_is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        if last_is_chunked {
            chunked += 1;
        } else {
            others += 1;
        }
    }
    if chunked != 1 || !last_is_chunked {
        return Err(ProtocolError::InvalidTransferEncoding);
    }
    if others > 0 {
        return Err(ProtocolError::UnknownTransferCoding);
    }
    Ok(())
}

/// `1*DIGIT` (RFC 9110 §8.6) without sign or space, that fits 64 bits.
fn parse_decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, &byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}
