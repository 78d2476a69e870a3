//! Owns what an operator is shown of one copy that everybody may see ([`Shown`]): its head and its content.
//! Never shows one that belongs to a visitor.

use std::time::Duration;

use bytes::Bytes;

use super::copy::StoredResponse;
use crate::key::CacheKey;
use crate::message::Fields;
use crate::time::Instant;

/// A copy with all that a visitor would get of it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub key: CacheKey,
    /// Its current age (RFC 9111 §4.2.3).
    pub age: Duration,
    /// Its status line's code.
    pub status: http::StatusCode,
    /// Its fields as they were received, without those of the one exchange.
    pub fields: Fields,
    /// Its content, as the origin coded it.
    pub body: Bytes,
    /// The fields of a request that it depends on, and what they were.
    pub varies: Vec<(String, Option<Vec<u8>>)>,
}

impl Shown {
    pub(super) fn of(key: &CacheKey, copy: &StoredResponse, now: Instant) -> Self {
        let varies = copy.vary().fields();
        Self {
            key: key.clone(),
            age: copy.age(now),
            status: copy.status(),
            fields: copy.fields().clone(),
            body: copy.body().clone(),
            varies: varies
                .map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}
