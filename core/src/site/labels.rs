//! Owns the fields that an answer says of itself, in the order in which they are written.
//! Never decides what they say.

use std::time::Duration;

use crate::breaker::State;
use crate::report::Source;
use crate::rules::label::{CACHE_STATUS, Handling, X_CIRCUIT, X_RETTER};

/// Writes `X-Retter`, `X-Circuit` and `Cache-Status`; `source` when a copy answers.
pub(crate) fn put_labels(
    circuit: State,
    handling: &Handling,
    source: Option<Source>,
    put: &mut dyn FnMut(&str, &[u8]),
) {
    let source = source.unwrap_or_else(|| handling.source(Duration::ZERO, Duration::ZERO));
    put(X_RETTER, source.as_str().as_bytes());
    put(X_CIRCUIT, circuit.as_str().as_bytes());
    put(CACHE_STATUS, &handling.cache_status());
}
