//! Owns the program's clock: the core's monotonic time and its relation to the wall clock.
//! Never sets or waits for time.

use std::fmt;
use std::time::{Duration, SystemTime};

use retter_core::time::Instant;

pub(crate) use retter_log::millis;

use crate::runtime::Site;

/// Reads the time as the core counts it: since the epoch that the adapter got too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    pub(crate) epoch: std::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(crate) fn start() -> Self {
        Self {
            epoch: std::time::Instant::now(),
        }
    }

    /// Now.
    pub(crate) fn now(self) -> Instant {
        Instant::from_epoch(self.epoch.elapsed())
    }

    /// The wall-clock time at `at`, by the wall clock of now: right also after it was set.
    pub(crate) fn wall(self, at: Instant) -> SystemTime {
        let ago = self.now().saturating_since(at);
        SystemTime::now()
            .checked_sub(ago)
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Tells a site which wall-clock time it is now.
    pub(crate) fn tell(self, site: &Site) {
        site.set_wall_clock(since_1970(), self.now());
    }
}

/// The wall clock; 0 for one that stands before that.
pub(crate) fn since_1970() -> Duration {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// Shows a time as the Common Log Format does: `10/Oct/2000:13:55:36 +0000`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogTime(pub(crate) SystemTime);

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `Sun, 06 Nov 1994 08:49:37 GMT` has the same parts in another order.
        let date = httpdate::fmt_http_date(self.0);
        let mut parts = date.split(' ').skip(1);
        let mut next = || parts.next().unwrap_or_default();
        let (day, month, year, time) = (next(), next(), next(), next());
        write!(f, "{day}/{month}/{year}:{time} +0000")
    }
}
