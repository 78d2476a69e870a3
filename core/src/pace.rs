//! Owns [`Pace`]: until when a peer must have moved more bytes.
//! Never knows which peer, which direction, or what happens to who is late.

use std::time::Duration;

use crate::time::Instant;

/// What is asked of a peer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Longest time without a byte, and the most time that fast bytes can earn ahead.
    pub grace: Duration,
    /// Bytes a second in the long run; `None` asks for one byte in each grace time only.
    pub rate_min: Option<u32>,
}

/// A deadline that bytes move later, but never by more than their share of the rate and never
/// further than the grace time from now. So a trickle below the rate ends, however regular it is,
/// and bytes sent quickly long ago do not buy a slow hour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pace {
    due: Instant,
}

impl Pace {
    /// Begins: the peer has the whole grace time for its first bytes.
    #[must_use]
    pub fn start(terms: Terms, now: Instant) -> Self {
        Self {
            due: now + terms.grace,
        }
    }

    /// Takes note that the peer moved `bytes` bytes.
    pub fn moved(&mut self, bytes: usize, terms: Terms, now: Instant) {
        let latest = now + terms.grace;
        self.due = match terms.rate_min {
            None => latest,
            Some(rate) => {
                let earned = (bytes as u64).saturating_mul(1_000_000_000) / u64::from(rate.max(1));
                latest.min(self.due + Duration::from_nanos(earned))
            }
        };
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

    const TERMS: Terms = Terms {
        grace: Duration::from_secs(10),
        rate_min: Some(100),
    };

    /// When a peer that moves `bytes` every `every` seconds is too late, within an hour.
    fn ends(terms: Terms, bytes: usize, every: u64) -> Option<u64> {
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
        let patient = Terms {
            rate_min: None,
            ..TERMS
        };
        assert_eq!(ends(patient, 1, 9), None, "no rate is asked for");
        assert_eq!(ends(patient, 1, 10), Some(10));
    }

    #[test]
    fn what_was_fast_buys_no_more_than_the_grace_time() {
        let mut pace = Pace::start(TERMS, Instant::ZERO);
        pace.moved(1 << 30, TERMS, Instant::ZERO);
        assert_eq!(pace.due(), Instant::ZERO + TERMS.grace);
    }
}
