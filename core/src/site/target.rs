//! Owns what a request asks for, as the circuits tell it apart.
//! Never asks them.

use http::Method;

use crate::breaker::Target;
use crate::key::CacheKey;
use crate::message::RequestHead;

/// What a request asks for.
pub(super) fn target_of(request: &RequestHead) -> Target<'_> {
    Target {
        is_head: request.method == Method::HEAD,
        ..Target::get(request.path_and_query())
    }
}

/// What is asked for by this key, as a stranger asks.
pub(super) fn target_of_key(key: &CacheKey) -> Target<'_> {
    Target::get(key.path_and_query())
}
