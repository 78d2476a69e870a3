//! Owns [`WallClock`]: which time of day it is at a moment of the monotonic clock, as far as it was told.
//! Never reads a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::{Instant, UnixTime};

const NANOS_PER_MICRO: u64 = 1_000;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// The wall clock of a site.
#[derive(Debug)]
pub(super) struct WallClock {
    /// Nanoseconds since 1970 at the beginning of the monotonic clock.
    epoch: AtomicU64,
}

impl WallClock {
    /// One that was told nothing yet: it is 1970.
    pub(super) const fn new() -> Self {
        Self {
            epoch: AtomicU64::new(0),
        }
    }

    /// How long ago 1970 was at `now`.
    pub(super) fn set(&self, since_1970: Duration, now: Instant) {
        let nanos = Instant::from_epoch(since_1970).as_nanos();
        let nanos = nanos.saturating_sub(now.as_nanos());
        self.epoch.store(nanos, Ordering::Relaxed);
    }

    /// Nanoseconds from 1970 to the beginning of the monotonic clock.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// The time at `now`.
    pub(super) fn at(&self, now: Instant) -> UnixTime {
        let nanos = self.epoch().saturating_add(now.as_nanos());
        UnixTime(nanos / NANOS_PER_SEC)
    }

    /// The same in microseconds since 1970.
    pub(super) fn micros(&self, now: Instant) -> u64 {
        self.epoch().saturating_add(now.as_nanos()) / NANOS_PER_MICRO
    }
}
