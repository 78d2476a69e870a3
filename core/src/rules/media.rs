//! Owns what the media type of an answer says of it.
//! Never looks into a body.

use crate::message::Fields;

/// Whether an answer is JSON, or a part of a page by its media type.
#[must_use]
pub fn is_data(response: &Fields) -> bool {
    let media_type = response.get("content-type").unwrap_or_default();
    let end = memchr::memchr(b';', media_type).unwrap_or(media_type.len());
    let media_type = media_type[..end].trim_ascii();
    let is = |known: &[u8]| media_type.eq_ignore_ascii_case(known);
    let is_json = |end: &[u8]| end.eq_ignore_ascii_case(b"json");
    media_type.last_chunk::<4>().is_some_and(|end| is_json(end))
        || is(b"text/vnd.turbo-stream.html")
        || is(b"text/x-component")
}
