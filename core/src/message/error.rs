//! Owns the named reasons for which a peer's bytes are refused.
//! Never says what to do about one: an error from the origin is a bad gateway for the client.

use http::StatusCode;
use thiserror::Error;

/// Why a peer's bytes are not a message. The connection is of no further use: where one message
/// ends is no longer known.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum ProtocolError {
    /// A line of a head, chunk or trailer does not end with CRLF (RFC 9112 §2.2).
    #[error("bare cr or lf")]
    BareCrOrLf,
    /// Chunk extensions, or zeros before sizes, beyond [`crate::limits::CHUNK_EXT_BYTES_MAX`].
    #[error("chunk extensions too long")]
    ChunkExtTooLong,
    /// Both `Content-Length` and `Transfer-Encoding`: the shape of request smuggling.
    #[error("both content-length and transfer-encoding")]
    ContentLengthAndTransferEncoding,
    /// Head longer than the limit, its first line is not.
    #[error("head too large")]
    HeadTooLarge,
    /// A chunk size line or the end of a chunk is not what RFC 9112 §7.1 says.
    #[error("invalid chunk")]
    InvalidChunk,
    /// `Content-Length` is a list, or not a decimal number of 64 bits.
    #[error("invalid content-length")]
    InvalidContentLength,
    /// A field line has an invalid name, a control character, or is folded, or one of a request has
    /// white space before the colon (RFC 9112 §5).
    #[error("invalid field line")]
    InvalidField,
    /// `Host` is repeated, malformed, or not the authority of the target (RFC 9112 §3.2).
    #[error("invalid host")]
    InvalidHost,
    /// The first line of a request is not method, target and version with one space between.
    #[error("invalid request line")]
    InvalidRequestLine,
    /// The first line of a response is not version, three digits and an optional reason.
    #[error("invalid status line")]
    InvalidStatusLine,
    /// The target is in no form that its method allows, or has a fragment or control characters.
    #[error("invalid request target")]
    InvalidTarget,
    /// `Transfer-Encoding` is malformed, does not end with `chunked`, or has it twice.
    #[error("invalid transfer-encoding")]
    InvalidTransferEncoding,
    /// An HTTP/1.1 request without `Host` (RFC 9112 §3.2).
    #[error("missing host")]
    MissingHost,
    /// `Content-Length` is there more than once, with whatever values.
    #[error("repeated content-length")]
    RepeatedContentLength,
    /// The first line of a request alone is longer than the head may be (RFC 9112 §3).
    #[error("request target too long")]
    TargetTooLong,
    /// More fields in one head or trailer section than [`crate::limits::REQUEST_FIELDS_MAX`],
    /// [`crate::limits::RESPONSE_FIELDS_MAX`], or a setting, allow.
    #[error("too many fields")]
    TooManyFields,
    /// More than [`crate::limits::INTERIM_MAX`] interim responses before a final one.
    #[error("too many interim responses")]
    TooManyInterim,
    /// Trailer section longer than [`crate::limits::TRAILER_BYTES_MAX`].
    #[error("trailers too large")]
    TrailersTooLarge,
    /// `Transfer-Encoding` in HTTP/1.0, which has none: faulty framing (RFC 9112 §6.1).
    #[error("transfer-encoding in http/1.0")]
    TransferEncodingInHttp10,
    /// The connection ended inside a message (RFC 9112 §8).
    #[error("connection ended inside a message")]
    UnexpectedEof,
    /// 101 that no request asked for (RFC 9110 §7.8).
    #[error("unexpected switching of protocols")]
    UnexpectedUpgrade,
    /// A transfer coding other than `chunked` under a final `chunked`.
    #[error("unknown transfer coding")]
    UnknownTransferCoding,
    /// Response bytes before a request: of a request before, or of nobody's.
    #[error("response without a request")]
    UnsolicitedResponse,
    /// A major version other than 1.
    #[error("unsupported http version")]
    UnsupportedVersion,
}

impl ProtocolError {
    /// All reasons, in their order.
    pub const ALL: [Self; 24] = [
        Self::BareCrOrLf,
        Self::ChunkExtTooLong,
        Self::ContentLengthAndTransferEncoding,
        Self::HeadTooLarge,
        Self::InvalidChunk,
        Self::InvalidContentLength,
        Self::InvalidField,
        Self::InvalidHost,
        Self::InvalidRequestLine,
        Self::InvalidStatusLine,
        Self::InvalidTarget,
        Self::InvalidTransferEncoding,
        Self::MissingHost,
        Self::RepeatedContentLength,
        Self::TargetTooLong,
        Self::TooManyFields,
        Self::TooManyInterim,
        Self::TrailersTooLarge,
        Self::TransferEncodingInHttp10,
        Self::UnexpectedEof,
        Self::UnexpectedUpgrade,
        Self::UnknownTransferCoding,
        Self::UnsolicitedResponse,
        Self::UnsupportedVersion,
    ];

    /// The status to answer with when a *client* sent these bytes. The origin's errors are the
    /// gateway's 502 (RFC 9110 §15.6.3), whatever the variant.
    #[must_use]
    pub const fn status_hint(self) -> StatusCode {
        match self {
            Self::BareCrOrLf
            | Self::ChunkExtTooLong
            | Self::ContentLengthAndTransferEncoding
            | Self::InvalidChunk
            | Self::InvalidContentLength
            | Self::InvalidField
            | Self::InvalidHost
            | Self::InvalidRequestLine
            | Self::InvalidStatusLine
            | Self::InvalidTarget
            | Self::InvalidTransferEncoding
            | Self::MissingHost
            | Self::RepeatedContentLength
            | Self::TooManyInterim
            | Self::TransferEncodingInHttp10
            | Self::UnexpectedEof
            | Self::UnexpectedUpgrade
            | Self::UnsolicitedResponse => StatusCode::BAD_REQUEST,
            // RFC 9112 §3: "a request-target longer than any URI it wishes to parse MUST [...]".
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            // RFC 6585 §5.
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            // RFC 9112 §6.1: "a transfer coding it does not understand SHOULD respond with 501".
            Self::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
            // RFC 9110 §15.6.6.
            Self::UnsupportedVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_reasons_are_listed_in_their_order() {
        for (at, error) in ProtocolError::ALL.into_iter().enumerate() {
            assert_eq!(error as usize, at, "{error:?}");
        }
        let last = ProtocolError::UnsupportedVersion as usize;
        assert_eq!(ProtocolError::ALL.len(), last + 1);
    }
}
