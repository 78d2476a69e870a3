//! Owns [`Errand`]: what the origin is to be asked for though no client waits, and which requests
//! may be repeated so.
//! Never asks, and never decides when.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;

use crate::key::CacheKey;
use crate::message::known::{Is, is, look_up};
use crate::message::{FieldsBuilder, RequestHead, Version};
use crate::rules::forwarding::HopByHop;

/// What to ask the origin, and for whom.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) key: CacheKey,
    pub(super) peer: IpAddr,
    pub(super) request: Arc<RequestHead>,
}

/// Whether the field makes an answer one for its own request alone.
fn has_own_answer(name: &[u8]) -> bool {
    is(look_up(name), Is::OwnAnswer)
}

/// Whether the answer to this request can be the copy for others.
pub(super) fn renews(request: &RequestHead) -> bool {
    let is_own = request.fields.names().any(has_own_answer);
    request.method == Method::GET && !is_own
}

/// The request that renews what answered `request`: without what belonged to its connection, to
/// its own copy, or to its wish not to be answered from ours.
pub(super) fn plain(request: &RequestHead) -> RequestHead {
    const LEFT_OUT: [&str; 4] = ["cache-control", "content-length", "pragma", "trailer"];
    let hop_by_hop = HopByHop::of(&request.fields);
    let mut fields = FieldsBuilder::default();
    for (name, value) in request.fields.iter() {
        let left_out = has_own_answer(name.as_bytes())
            || LEFT_OUT.iter().any(|out| name.eq_ignore_ascii_case(out));
        if !left_out && hop_by_hop.keeps(name.as_bytes()) {
            fields.push(name, value);
        }
    }
    RequestHead {
        method: Method::GET,
        target: request.target.clone(),
        version: Version::Http11,
        fields: fields.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;

    #[test]
    fn a_renewal_asks_as_its_user_did_for_the_whole_page() {
        let sent = [
            ("Host", "h"),
            ("Cookie", "PHPSESSID=a"),
            ("If-None-Match", "\"1\""),
            ("Range", "bytes=0-1"),
            ("Connection", "close, X-Hop"),
            ("X-Hop", "1"),
            ("Cache-Control", "no-store"),
            ("Accept-Language", "de"),
        ];
        let fields = Fields::from_pairs(sent.map(|(name, value)| (name, value.as_bytes())));
        let renewing = plain(&RequestHead::new(Method::HEAD, "/a?b", fields));
        assert_eq!(
            (&renewing.method, &renewing.target[..]),
            (&Method::GET, &b"/a?b"[..])
        );
        let names: Vec<_> = renewing.fields.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Host", "Cookie", "Accept-Language"]);
    }
}
