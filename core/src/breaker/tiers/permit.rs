//! Owns [`TierPermit`]: the right to send one request, and what its outcome will count toward.
//! Never counts it: [`Tiers`](super::Tiers) does.

use std::time::Duration;

use smallvec::SmallVec;

use crate::breaker::{Permit, Rejected, State, Tier};
use crate::time::Instant;

/// The right to send one request, to be given back with its outcome.
#[must_use = "a permit must be given back with `record`"]
#[derive(Debug)]
pub struct TierPermit {
    /// `None` once it was told to be slow.
    pub(super) origin: Option<Permit>,
    /// `None` for a request that goes in any case, and once it was told to be slow.
    pub(super) path: Option<Permit>,
    pub(super) hash: u64,
    /// It asked both circuits.
    pub(super) is_read: bool,
    pub(super) kind: u64,
    pub(super) slow: Option<SlowAfter>,
    /// The path's first bytes; most paths fit without an allocation.
    pub(super) name: SmallVec<[u8; 64]>,
}

/// When a request is slow.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlowAfter {
    pub(super) is_known: bool,
    pub(super) over: Duration,
}

/// A circuit refuses.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the circuit of the {tier} is open")]
pub struct TierRejected {
    /// When asking again can succeed; a probe that ends sooner may make room before.
    pub retry_at: Instant,
    /// Which circuit.
    pub tier: Tier,
}

impl TierPermit {
    /// Whether it is a probe, of either circuit.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        let permits = [&self.origin, &self.path];
        permits.into_iter().flatten().any(Permit::is_probe)
    }

    /// The state of both circuits in which [`Tiers::try_acquire`](super::Tiers::try_acquire) gave it: neither gives one while
    /// it is open.
    #[must_use]
    pub fn circuit(&self) -> State {
        if self.is_probe() {
            State::HalfOpen
        } else {
            State::Closed
        }
    }

    /// How long after its sending the request is slow, when its answer has not begun; `None` when
    /// it was told already, or never.
    #[must_use]
    pub fn slow_after(&self) -> Option<Duration> {
        self.slow.map(|slow| slow.over)
    }

    /// Notes that the origin asked not to be called before `at`; see [`Permit::hold`]. It holds the
    /// circuit that the outcome opens, and no other.
    pub const fn hold(&mut self, at: Instant) {
        // What goes in any case says nothing of it.
        let (Some(path), Some(origin)) = (&mut self.path, &mut self.origin) else {
            return;
        };
        path.hold(at);
        origin.hold(at);
    }

    /// For [`Tiers::took`](super::Tiers::took).
    #[must_use]
    pub const fn kind(&self) -> u64 {
        self.kind
    }
}

impl TierRejected {
    pub(super) const fn by(tier: Tier, rejected: Rejected) -> Self {
        let Rejected { retry_at } = rejected;
        Self { retry_at, tier }
    }
}
