//! Owns what of a site's copies goes to another machine and comes from one, and what an operator is shown
//! of single ones: only those that everybody may see.
//! Never opens a file, and never takes a copy that visitors do not share.

use super::parts::Parts;
use crate::copies::{Purge, Records, Restored, Shown, Unrestored, Written};
use crate::key::CacheKey;
use crate::time::Instant;

/// The copies that an order like this would drop, of those that everybody may see.
pub(super) fn show(parts: &Parts, which: &Purge, now: Instant) -> Vec<Shown> {
    let snapshot = parts.snapshot();
    match which.keys(snapshot.keyer()) {
        Some(purged) => parts.copies.show(&|key| purged.has(key), now),
        None => Vec::new(),
    }
}

/// The copies under a key as another machine takes them over.
pub(super) fn export(parts: &Parts, key: &CacheKey) -> Records {
    match key.partition().is_everybodys() && !key.is_fragment() {
        true => parts.records(key, parts.snapshot().rules_of_all()),
        false => Records {
            records: Vec::new(),
            has_unfit: false,
        },
    }
}

/// Takes over a copy of another machine.
pub(super) fn import(parts: &Parts, record: &[u8], now: Instant) -> Result<Restored, Unrestored> {
    let rules = parts.snapshot().rules_of_all();
    parts.restore(record, (Written::Elsewhere, rules), now)
}
