//! Owns the two ways in which a limit may go: how often each is tried, and how long.
//! Never takes a step: `limit` does.

/// How many times longer than at ease requests must take for a lower limit to be tried.
pub(super) const STRAIN_MIN: f64 = 1.15;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    Up,
    Down,
}

impl Way {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::Up => 0,
            Self::Down => 1,
        }
    }

    /// Visits to the base for each trial once the limit has settled: trials are the exception, and
    /// those that cost more than time are rarer.
    pub(super) const fn rest_max(self) -> u32 {
        match self {
            Self::Up => 8,
            Self::Down => 16,
        }
    }

    /// Visits after which the sign of a difference decides, however small it is. To ask for longer
    /// costs more than to be wrong: above all where requests take no longer than at ease, as then
    /// more of them are likely to be worked on.
    pub(super) fn visits_max(self, strain: f64) -> f64 {
        match self {
            Self::Up if strain < STRAIN_MIN => 3.0,
            Self::Up => 12.0,
            Self::Down => 24.0,
        }
    }

    pub(super) const fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}
