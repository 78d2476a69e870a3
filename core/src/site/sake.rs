//! Owns [`Sake`]: for whom the origin is asked, and what becomes of a renewal, or of an asking as a
//! stranger, by the origin's failure.
//! Never asks, and never keeps anything.

use super::asks;
use super::renewals::Renewal;
use super::visit::Visit;
use super::wants::Ended;
use crate::breaker::Outcome;

/// For whom the origin is asked.
#[derive(Debug)]
pub(super) enum Sake {
    /// For a client who waits.
    Client,
    /// For nobody: a copy is to be renewed as its user would, or a circuit probed.
    Renewal(Renewal),
    /// For all who have no copy of their own, as a stranger.
    Stranger(Box<Visit>),
}

impl Sake {
    pub(super) const fn renewal(&self) -> Option<&Renewal> {
        match self {
            Self::Renewal(renewal) => Some(renewal),
            Self::Client | Self::Stranger(_) => None,
        }
    }

    pub(super) fn visit_mut(&mut self) -> Option<&mut Visit> {
        match self {
            Self::Stranger(visit) => Some(visit),
            Self::Client | Self::Renewal(_) => None,
        }
    }

    /// Takes note of how the origin was found.
    pub(super) fn note(&mut self, outcome: Outcome) {
        match self {
            Self::Client => {}
            Self::Renewal(renewal) => {
                renewal.ended = match outcome {
                    Outcome::ConnectFailure => Ended::NotReached,
                    Outcome::Failure => Ended::Failed,
                    Outcome::Ignore | Outcome::Slow { .. } | Outcome::Success => renewal.ended,
                };
            }
            Self::Stranger(visit) => match outcome {
                Outcome::ConnectFailure => visit.ended = asks::Ended::NotReached,
                Outcome::Failure => visit.ended = asks::Ended::Failed,
                Outcome::Ignore | Outcome::Slow { .. } | Outcome::Success => {}
            },
        }
    }

    /// Whether a probe that it is was counted before, or is a client's.
    pub(super) const fn is_counted(&self) -> bool {
        match self {
            Self::Client => true,
            Self::Renewal(renewal) => renewal.is_counted,
            Self::Stranger(visit) => visit.is_counted,
        }
    }

    /// Lets a probe that it is be counted; returns whether it is to be.
    pub(super) const fn count(&mut self) -> bool {
        match self {
            Self::Client => false,
            Self::Renewal(renewal) => {
                renewal.is_counted = true;
                true
            }
            Self::Stranger(visit) => {
                visit.is_counted = true;
                true
            }
        }
    }
}
