//! Owns [`Pace`]: until when a peer must have moved more bytes.
//! Never knows which peer, which direction, or what happens to a peer that is late.

use std::time::Duration;

use crate::time::Instant;

/// What is asked of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demand {
    /// The most time that fast bytes can earn ahead; at least the grace time.
    pub ahead_max: Duration,
    /// Longest time without a byte for a peer that earned nothing ahead.
    pub grace: Duration,
    /// Bytes a second in the long run; `None` asks for one byte in each grace time only.
    pub rate_min: Option<u32>,
}

/// A deadline that bytes move later, but never by more than their share of the rate and never
/// further than a bound from now. So a trickle below the rate ends, however regular it is,
/// and bytes sent quickly long ago do not buy a slow hour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    due: Instant,
    /// What was earned beyond whole nanoseconds, in shares of one: `rate_min` make a nanosecond. So
    /// it does not matter in how many pieces bytes come.
    spare: u64,
}

impl Pace {
    /// Begins: the peer has the whole grace time for its first bytes.
    #[must_use]
    pub fn start(terms: Demand, now: Instant) -> Self {
        Self {
            due: now + terms.grace,
            spare: 0,
        }
    }

    /// Goes on after a time in which nothing was to be moved: the peer has the grace time, or what
    /// it had earned ahead where that is more.
    pub fn resume(&mut self, terms: Demand, now: Instant) {
        self.due = self.due.max(now + terms.grace);
    }

    /// Takes note that the peer moved `bytes` bytes.
    pub fn moved(&mut self, bytes: usize, terms: Demand, now: Instant) {
        debug_assert!(terms.ahead_max >= terms.grace);
        let Some(rate) = terms.rate_min else {
            *self = Self::start(terms, now);
            return;
        };
        let rate = u64::from(rate.max(1));
        let shares = (bytes as u64).saturating_mul(1_000_000_000);
        let shares = shares.saturating_add(self.spare);
        let latest = now + terms.ahead_max;
        self.due = self.due + Duration::from_nanos(shares / rate);
        self.spare = shares % rate;
        if self.due >= latest {
            (self.due, self.spare) = (latest, 0);
        }
    }

    /// When the peer is too late.
    #[must_use]
    pub const fn due(self) -> Instant {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Demand = Demand {
        ahead_max: Duration::from_secs(10),
        grace: Duration::from_secs(10),
        rate_min: Some(100),
    };

    /// When a peer that moves `bytes` every `every` seconds is too late, within an hour.
    fn ends(terms: Demand, bytes: usize, every: u64) -> Option<u64> {
        let mut pace = Pace::start(terms, Instant::ZERO);
        for secs in (every..3600).step_by(usize::try_from(every).unwrap()) {
            let now = Instant::from_epoch(Duration::from_secs(secs));
            if pace.due() <= now {
                return Some(pace.due().as_nanos() / 1_000_000_000);
            }
            pace.moved(bytes, terms, now);
        }
        None
    }

    #[test]
    fn a_trickle_ends_and_the_rate_does_not() {
        assert_eq!(ends(TERMS, 100, 1), None, "the rate itself");
        assert_eq!(ends(TERMS, 900, 9), None, "in pieces");
        assert_eq!(ends(TERMS, 1, 1), Some(10), "a byte a second");
        assert_eq!(ends(TERMS, 50, 1), Some(19), "half the rate");
        assert_eq!(ends(TERMS, 99, 1), Some(901), "a little below");
        assert_eq!(ends(TERMS, usize::MAX, 11), Some(10), "silence");
        let patient = Demand {
            rate_min: None,
            ..TERMS
        };
        assert_eq!(ends(patient, 1, 9), None, "no rate is asked for");
        assert_eq!(ends(patient, 1, 10), Some(10));
    }

    #[test]
    fn the_number_of_pieces_does_not_matter() {
        let terms = Demand {
            rate_min: Some(70),
            ..TERMS
        };
        let pace = |pieces: usize| {
            let mut pace = Pace::start(terms, Instant::ZERO);
            for _ in 0..pieces {
                pace.moved(60 / pieces, terms, Instant::ZERO + Duration::from_secs(9));
            }
            pace
        };
        assert_eq!(pace(60), pace(1));
    }

    #[test]
    fn what_was_fast_buys_no_more_than_its_bound() {
        for secs in [10, 40] {
            let ahead_max = Duration::from_secs(secs);
            let terms = Demand { ahead_max, ..TERMS };
            let mut pace = Pace::start(terms, Instant::ZERO);
            assert_eq!(pace.due(), Instant::ZERO + TERMS.grace);
            pace.moved(1 << 30, terms, Instant::ZERO);
            assert_eq!(pace.due(), Instant::ZERO + ahead_max);
            let later = Instant::ZERO + Duration::from_secs(1);
            pace.resume(terms, later);
            let due = (later + TERMS.grace).max(Instant::ZERO + ahead_max);
            assert_eq!(pace.due(), due, "and it is kept");
        }
    }
}
