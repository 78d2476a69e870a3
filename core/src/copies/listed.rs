//! Owns what an operator is shown of a copy ([`Listed`]).
//! Never shows its content.

use std::time::Duration;

use crate::key::CacheKey;

/// A copy as an operator is shown it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub key: CacheKey,
    /// Its current age (RFC 9111 §4.2.3).
    pub age: Duration,
    /// Bytes of its body.
    pub bytes: usize,
    /// Whether it answers without the origin.
    pub is_fresh: bool,
    /// Whether it may answer in the place of an origin that fails.
    pub may_rescue: bool,
}
