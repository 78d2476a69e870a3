//! Owns what has to hold of a copy that was written down before it rescues again ([`Restoring`]).
//! Never puts it into the store.

use std::sync::Arc;
use std::time::Duration;

use super::content::{Budget, Content};
use super::copy::StoredResponse;
use super::journal::{Restored, Unrestored};
use super::record::{self, Record, Unreadable};
use super::sought::Sought;
use crate::key::{CacheKey, Keyer};
use crate::time::Instant;

/// How far ahead the clock that stamped a record may have been.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// Where a copy was written down.
#[derive(Clone, Copy)]
pub(crate) enum Written<'a> {
    /// By this very site, perhaps in an earlier process: whether it was not dropped where it was kept.
    Here(&'a dyn Fn(Restored) -> bool),
    /// By another one, whose hashes mean nothing here.
    Elsewhere,
    /// By another instance, for which names are the same: what asked for it, and whether nothing is known to
    /// have made it wrong.
    Shared(&'a Sought, &'a dyn Fn(&CacheKey, Restored) -> bool),
}

/// A copy that was written down, and where it comes back to.
pub(crate) struct Restoring<'a> {
    pub(crate) record: &'a [u8],
    pub(crate) age_max: Duration,
    /// The wall clock at the adapter's epoch, in nanoseconds since 1970.
    pub(crate) epoch: u64,
    pub(crate) from: Written<'a>,
    pub(crate) keyer: &'a Keyer,
    pub(crate) now: Instant,
    /// The mark of the rules that count.
    pub(crate) rules: u64,
}

impl Restoring<'_> {
    /// The copy, which rescues and is never fresh, and its key.
    pub(super) fn copy(
        &self,
        bytes_max: usize,
        budget: &Arc<Budget>,
    ) -> Result<(CacheKey, StoredResponse), Unrestored> {
        let record = record::read(self.record).map_err(|error| match error {
            Unreadable::Damaged => Unrestored::Damaged,
            Unreadable::Version => Unrestored::Version,
        })?;
        let Record {
            stamp,
            key,
            lifetimes,
            vary,
            fields,
            targeted,
            body,
        } = record;
        if stamp.rules != self.rules {
            return Err(Unrestored::Rules);
        }
        let latest = (self.now + AHEAD_MAX).as_nanos();
        if stamp.received > self.epoch.saturating_add(latest) {
            return Err(Unrestored::Future);
        }
        let key = self.keyer.key_from(key).ok_or(Unrestored::Rules)?;
        if key.is_fragment() || body.len() > bytes_max {
            return Err(Unrestored::Rules);
        }
        // The number of a partition comes of a seed that is another one elsewhere.
        if matches!(self.from, Written::Elsewhere) && !key.partition().is_everybodys() {
            return Err(Unrestored::Rules);
        }
        let times = stamp.times(self.epoch, self.now);
        let body = Content::new(body.to_vec(), budget);
        let fields = (fields, targeted);
        let copy = StoredResponse::restored(body, fields, lifetimes, times, vary);
        match copy.may_rescue(self.age_max, self.now) {
            true => Ok((key, copy)),
            false => Err(Unrestored::Old),
        }
    }
}
