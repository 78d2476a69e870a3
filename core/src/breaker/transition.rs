//! Owns the words of the breaker: states, outcomes, and the record of a state change.
//! Never decides when a state changes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::time::Instant;

/// The state of a circuit. **Open refuses.** A state is greater when it refuses more.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum State {
    /// Requests pass and are counted.
    #[default]
    Closed,
    /// A few probes pass, everything else is refused.
    HalfOpen,
    /// Everything is refused until the open time has passed.
    Open,
}

impl State {
    /// The word in `X-Circuit`: `CLOSED`, `HALF-OPEN` or `OPEN`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::HalfOpen => "HALF-OPEN",
            Self::Open => "OPEN",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How an exchange with the origin ended, as the breaker counts it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// No connection could be made. Also a failure.
    ConnectFailure,
    /// Timeout, reset, truncated body, or a status in the failure list.
    Failure,
    /// Says nothing about the origin: the client went away, or a limit of ours was hit.
    Ignore,
    /// It takes longer than it should, or did. Not a failure, but no sign of health.
    Slow {
        /// How long it should have taken at most.
        over: Duration,
    },
    /// The origin answered.
    Success,
}

impl Outcome {
    /// Whether the call failed.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::ConnectFailure | Self::Failure)
    }
}

/// Which circuit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tier {
    /// The whole origin.
    Origin,
    /// One path of it.
    Path,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Origin => "origin",
            Self::Path => "path",
        })
    }
}

/// What lets probes go before the open time has passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum News {
    /// A call was answered well.
    Answered,
    /// Somebody wants to know at once.
    Asked,
    /// A connection came about, after some that did not.
    Connected,
    /// The circuit of the whole origin has closed, or takes connections: what this one has seen was
    /// of the outage.
    Returned,
    /// A visitor asks who has not met with the failure, and too few have: this shows whether all would.
    Visitor,
}

/// Why a circuit changed its state, in words a person can read.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// So many connect failures in a row.
    ConnectFailures {
        /// Connect failures in a row.
        failed: u32,
    },
    /// So many failures in a row.
    Consecutive {
        /// Failures in a row.
        failed: u32,
        /// Different visitors that met with them.
        visitors: u32,
    },
    /// The share of failures in the window reached the setting.
    FailureRate {
        /// Failures in the window.
        failed: u32,
        /// Outcomes in the window.
        total: u32,
        /// Length of the window.
        window: Duration,
        /// Different failing paths in the window; 1 for a path's circuit.
        paths: u32,
        /// Visitors for whom that is so.
        visitors: u32,
    },
    /// The circuit of a path gave way to that of a path that failed more recently.
    Forgotten,
    /// Probes may go before the open time has passed.
    News {
        /// What was heard.
        news: News,
        /// How long the circuit was open.
        open: Duration,
    },
    /// The open time has passed; probes may go.
    OpenTimeElapsed {
        /// How long the circuit was open: longer than its open time when nobody asked.
        open: Duration,
    },
    /// A probe failed.
    ProbeFailed {
        /// How long the circuit will stay open now.
        open: Duration,
    },
    /// A probe took too long.
    ProbeSlow {
        /// How long the circuit will stay open now.
        open: Duration,
        /// How long the probe should have taken at most.
        over: Duration,
    },
    /// Enough probes succeeded, and none failed.
    ProbesSucceeded {
        /// Successful probes.
        probes: u32,
    },
    /// The share of slow calls, with those that failed, reached the setting.
    SlowRate {
        /// Slow calls in the window.
        slow: u32,
        /// Failures in the window.
        failed: u32,
        /// Outcomes in the window.
        total: u32,
        /// How long the last slow call should have taken at most.
        over: Duration,
        /// Length of the window.
        window: Duration,
        /// Different paths of the slow and failed calls; 1 for a path's circuit.
        paths: u32,
        /// Visitors for whom that is so.
        visitors: u32,
    },
    /// So many slow calls in a row.
    SlowRow {
        /// Slow calls in a row.
        slow: u32,
        /// How long the last one should have taken at most.
        over: Duration,
        /// Different paths of them, as far as they were counted.
        paths: u32,
        /// Different visitors of them.
        visitors: u32,
    },
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Answered => "a request was answered",
            Self::Asked => "a probe was asked for by hand",
            Self::Connected => "it takes connections again",
            Self::Returned => "the application is back",
            Self::Visitor => "another visitor asks",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectFailures { failed: 1 } => f.write_str("1 connect failure"),
            Self::ConnectFailures { failed } => write!(f, "{failed} connect failures in a row"),
            Self::Consecutive { failed: 1, .. } => f.write_str("1 failure"),
            Self::Consecutive { failed, visitors } => {
                write!(f, "{failed} failures in a row")?;
                write_visitors(*visitors, f)
            }
            Self::FailureRate {
                failed,
                total,
                window,
                paths,
                visitors,
            } => {
                let window = window.as_secs_f64();
                write!(f, "{failed} of {total} failed in {window} s")?;
                write_paths(*paths, f)?;
                write_visitors(*visitors, f)
            }
            Self::Forgotten => f.write_str("forgotten to make room for another path"),
            Self::News { news, open } => {
                let open = open.as_secs_f64();
                write!(f, "open for {open:.1} s, {news}, probing")
            }
            Self::OpenTimeElapsed { open } => {
                write!(f, "open for {:.1} s, probing", open.as_secs_f64())
            }
            Self::ProbeFailed { open } => {
                write!(f, "probe failed, next probe in {:.1} s", open.as_secs_f64())
            }
            Self::ProbeSlow { open, over } => {
                let (open, over) = (open.as_secs_f64(), over.as_secs_f64());
                write!(
                    f,
                    "probe slow (over {over:.1} s), next probe in {open:.1} s"
                )
            }
            Self::ProbesSucceeded { probes: 1 } => f.write_str("the probe succeeded"),
            Self::ProbesSucceeded { probes } => write!(f, "{probes} probes succeeded"),
            Self::SlowRate {
                slow,
                failed,
                total,
                over,
                window,
                paths,
                visitors,
            } => {
                let (over, window) = (over.as_secs_f64(), window.as_secs_f64());
                write!(f, "{slow} of {total} slow (over {over:.1} s)")?;
                if *failed > 0 {
                    write!(f, " and {failed} failed")?;
                }
                write!(f, " in {window} s")?;
                write_paths(*paths, f)?;
                write_visitors(*visitors, f)
            }
            Self::SlowRow {
                slow,
                over,
                paths,
                visitors,
            } => {
                let over = over.as_secs_f64();
                write!(f, "{slow} slow in a row (over {over:.1} s)")?;
                write_paths(*paths, f)?;
                write_visitors(*visitors, f)
            }
        }
    }
}

/// Nothing of a single one: it is that of the circuit, or does not matter.
fn write_paths(paths: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if paths > 1 {
        write!(f, ", {paths} paths")
    } else {
        Ok(())
    }
}

/// Nothing of a single one: it is one visitor's word.
fn write_visitors(visitors: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if visitors > 1 {
        write!(f, ", {visitors} visitors")
    } else {
        Ok(())
    }
}

/// One change of a circuit's state.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// When it changed.
    pub at: Instant,
    /// The state before.
    pub from: State,
    /// The path, for a path's circuit; shortened when long.
    pub path: Option<Arc<str>>,
    /// Why.
    pub reason: Reason,
    /// Which circuit.
    pub tier: Tier,
    /// The state now.
    pub to: State,
}
