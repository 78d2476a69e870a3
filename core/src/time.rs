//! Owns the time types of the core: monotonic [`Instant`] and wall-clock [`UnixTime`].
//! Never reads a clock: the adapter does, and passes what it read.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic time: nanoseconds since an epoch that the adapter chose.
///
/// Eight bytes and buildable from a number, so it fits atomics, fuzz inputs and traces.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant(u64);

impl Instant {
    /// The adapter's epoch.
    pub const ZERO: Self = Self(0);

    /// Builds an instant from nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Builds an instant from the time that passed since the epoch; saturates after 584 years.
    #[must_use]
    pub fn from_epoch(elapsed: Duration) -> Self {
        Self(saturating_nanos(elapsed))
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: a deadline beyond the end of time never fires, which is what is meant.
    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(saturating_nanos(rhs)))
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_nanos(rhs)))
    }
}

fn saturating_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Wall-clock time: seconds since 1970-01-01 UTC. Only for `Date`, `Age`, `Expires` and
/// `Last-Modified`; never for timers.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// Parses an HTTP-date in any of the three forms (RFC 9110 §5.6.7).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        let time = httpdate::parse_http_date(text).ok()?;
        let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Self(since.as_secs()))
    }

    /// Seconds from `earlier` to `self`, zero when `earlier` is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixTime {
    /// Writes an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // httpdate panics past the year 9999; a clock that far off is shown as its last second.
        const YEAR_9999_END: u64 = 253_402_300_799;
        let since = Duration::from_secs(self.0.min(YEAR_9999_END));
        httpdate::HttpDate::from(std::time::UNIX_EPOCH + since).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let end = Instant::from_nanos(u64::MAX);
        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Instant::ZERO - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(Instant::ZERO.saturating_since(end), Duration::ZERO);
        assert_eq!(Instant::from_epoch(Duration::MAX), end);
    }

    #[test]
    fn dates_round_trip() {
        let text = "Sun, 06 Nov 1994 08:49:37 GMT";
        let time = UnixTime::parse(text.as_bytes()).unwrap();
        assert_eq!(time, UnixTime(784_111_777));
        assert_eq!(time.to_string(), text);
        assert_eq!(
            UnixTime::parse(b"Sunday, 06-Nov-94 08:49:37 GMT"),
            Some(time)
        );
        assert_eq!(UnixTime::parse(b"0"), None);
        assert!(
            UnixTime(u64::MAX)
                .to_string()
                .starts_with("Fri, 31 Dec 9999")
        );
    }
}
