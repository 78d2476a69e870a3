//! Owns which request fields beside the URI shape a page, and their part of a key.
//! Never reads cookies or credentials: they are the partition.

use super::credentials::is_same;
use crate::message::{Line, RequestHead};

/// Request fields from which applications build the links of a page, or that choose another page
/// or method, though no `Vary` names them. They are part of the key: a client that makes them up
/// must not poison everybody's copy, and behind a proxy that sets them the copies are found all
/// the same.
pub(crate) const SHAPING: [&str; 21] = [
    "front-end-https",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-url-scheme",
];

/// Those of them that tell of the one request that they come with. Where one repeats what the
/// first line says, it shapes nothing; and what a write has in them, the pages that it changes
/// have not.
const OF_ITS_REQUEST: [&str; 7] = [
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// Appends the values of shaping fields: line feed, number of the field, value.
pub(super) fn put(request: &RequestHead, bytes: &mut Vec<u8>) {
    let fields = &request.fields;
    for Line { name, value, .. } in fields.lines() {
        // Most fields of a browser begin otherwise: this runs for every field of every request.
        if !matches!(name.first(), Some(b'F' | b'X' | b'f' | b'x')) {
            continue;
        }
        let mut known = (b'0'..).zip(SHAPING);
        if let Some((number, known)) = known.find(|(_, known)| is_same(known, name)) {
            let repeats = || !request.method.is_safe() || value == request.path_and_query();
            if OF_ITS_REQUEST.contains(&known) && repeats() {
                continue;
            }
            bytes.extend_from_slice(&[b'\n', number]);
            bytes.extend_from_slice(value);
        }
    }
    let pairs = fields
        .get_all("forwarded")
        .flat_map(|value| value.split(|b| b",;".contains(b)));
    for pair in pairs.map(<[u8]>::trim_ascii).filter(|pair| shapes(pair)) {
        bytes.extend_from_slice(b"\nf");
        bytes.extend_from_slice(pair);
    }
}

/// RFC 7239 §5: whether a pair of `Forwarded` tells something else than who asked (`for`) and who
/// forwarded (`by`), which differ with each client.
fn shapes(pair: &[u8]) -> bool {
    let name = pair
        .split(|&byte| byte == b'=')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    !pair.is_empty() && !name.eq_ignore_ascii_case(b"for") && !name.eq_ignore_ascii_case(b"by")
}
