//! Owns [`TierPermit`]: the right to send one request, and what its outcome will count toward.
//! Never counts it: [`Tiers`](super::Tiers) does.

use std::time::Duration;

use smallvec::SmallVec;

use super::target::Ids;
use crate::breaker::{About, Permit, Rejected, State, Tier, Visitor};
use crate::time::Instant;

/// The right to send one request, to be given back with its outcome.
#[must_use = "a permit must be given back with `record`"]
#[derive(Debug)]
pub struct TierPermit {
    /// `None` once it was told to be slow.
    pub(super) origin: Option<Permit>,
    /// `None` for a request that goes in any case, and once it was told to be slow.
    pub(super) path: Option<Permit>,
    pub(super) ids: Ids,
    /// Many others are at the origin with it.
    pub(super) is_crowded: bool,
    /// It asks for a head alone.
    pub(super) is_head: bool,
    /// It may be told to the circuits as a page of the site.
    pub(super) is_page: bool,
    /// It goes though a circuit is open, as its page has succeeded lately: which circuit.
    pub(super) past: Option<Tier>,
    /// It asked both circuits.
    pub(super) is_read: bool,
    pub(super) kind: u64,
    pub(super) slow: Option<SlowAfter>,
    /// The path's first bytes; most paths fit without an allocation.
    pub(super) name: SmallVec<[u8; 64]>,
    /// `None` where nobody asks.
    pub(super) visitor: Option<Visitor>,
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

    /// The state of both circuits in which [`Tiers::try_acquire`](super::Tiers::try_acquire) gave it.
    /// While one is open, only a page that has succeeded lately gets one.
    #[must_use]
    pub fn circuit(&self) -> State {
        match self.past {
            Some(_) => State::Open,
            None if self.is_probe() => State::HalfOpen,
            None => State::Closed,
        }
    }

    /// Tells how many requests are at the origin with it, itself among them, and up to how many its
    /// failure cannot be theirs: with more, failures of all pages are the admission gate's business.
    /// To be told when it begins and when it ends.
    pub const fn note_crowd(&mut self, at_origin: u32, calm: u32) {
        self.is_crowded |= at_origin > calm;
    }

    pub(super) const fn about(&self) -> About {
        About {
            page: self.ids.part,
            visitor: self.visitor,
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
