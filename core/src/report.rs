//! Owns the words in which it is said where an answer came from and how a request went, and the
//! numbers that a site has at one moment ([`Stats`]).
//! Never formats, counts over time or logs: that is the embedder's part.

mod coverage;
mod soft;

use std::fmt;
use std::time::Duration;

use http::StatusCode;

use crate::breaker::State;

pub use coverage::{CoverageCounts, CoverageStats, Obstacle, Way};
pub use soft::{Sign, Signs, SoftFailure, SoftStats, SoftVerdict};

/// Where an answer came from; the word in `X-Retter`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Source {
    /// The origin answered this request.
    Backend,
    /// A copy that is fresh, or younger than the cache TTL setting.
    Cache,
    /// An older copy.
    LastKnownSuccess,
    /// This program itself: there was no copy to answer with, or the request was refused.
    NoCache,
    /// Nobody was answered: a copy was renewed, or a circuit probed, in the background.
    Refresh,
}

impl Source {
    /// All sources of answers, for counters.
    pub const ALL: [Self; 4] = [
        Self::Backend,
        Self::Cache,
        Self::LastKnownSuccess,
        Self::NoCache,
    ];

    /// The word in `X-Retter`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Cache => "cache",
            Self::LastKnownSuccess => "last-known-success",
            Self::NoCache => "no-cache",
            Self::Refresh => "refresh",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which exchange of a session something is about.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CallId(u32);

impl CallId {
    /// That of all exchanges of an HTTP/1.1 connection: there is one at a time.
    pub const FIRST: Self = Self(0);
}

/// How the origin failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Failure {
    /// The connection could not be made in time or at all.
    Connect,
    /// It sent something that is not HTTP/1.1, or broke a limit.
    Protocol,
    /// It closed or reset the connection before its response head.
    Reset,
    /// It did not send its response head, or more of its body, in time.
    Timeout,
    /// It closed the connection inside the body.
    Truncated,
}

impl Failure {
    /// The status for a client when nothing can rescue: 504 for time, 502 for the rest
    /// (RFC 9110 §15.6).
    #[must_use]
    pub const fn status_hint(self) -> StatusCode {
        match self {
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Connect | Self::Protocol | Self::Reset | Self::Truncated => {
                StatusCode::BAD_GATEWAY
            }
        }
    }

    /// One lower-case word, for labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Protocol => "protocol",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Truncated => "truncated",
        }
    }

    /// A sentence for the person who waits.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Connect => "no connection to the application",
            Self::Protocol => "the application's answer is not valid HTTP/1.1 or breaks a limit",
            Self::Reset => "the application closed the connection without an answer",
            Self::Timeout => "the application did not answer in time",
            Self::Truncated => "the application closed the connection inside its answer",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// How the exchange ended on the client's side.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum End {
    /// The client got a complete response.
    Complete,
    /// The client left, or took no byte in time.
    ClientLeft,
    /// The origin broke off after the head had gone out; the client saw the connection close.
    Truncated,
    /// The connection became a tunnel and that ended.
    Tunnel,
}

/// The state of a site at one moment, for `/health` and `/metrics`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// State of the origin's circuit.
    pub circuit: State,
    /// By how much the origin's clock seems to be behind, where its `Date` is older than can be
    /// believed; the last such.
    pub clock_behind: Option<Duration>,
    /// Paths whose own circuit is not closed.
    pub paths_open: usize,
    /// Exchanges in which the origin took longer than it should, since start.
    pub slow_calls: u64,
    /// How long the origin usually takes to begin an answer; `None` before the first.
    pub usual: Option<Duration>,
    /// Copies in the store.
    pub copies: usize,
    /// Bytes of them, with what they cost beside their content.
    pub copies_bytes: usize,
    /// Bytes of responses that are being collected to become copies.
    pub collecting_bytes: usize,
    /// Bytes of large content that has left the store and is still on its way to clients.
    pub leaving_bytes: usize,
    /// Copies dropped to make room, since start.
    pub evictions: u64,
    /// Copies stored since start.
    pub insertions: u64,
    /// The gate before the origin.
    pub admission: AdmissionStats,
    /// Whether requests could be answered if the origin failed.
    pub coverage: CoverageStats,
    /// What is asked as a stranger.
    pub public: PublicStats,
    /// Renewals in the background.
    pub refresh: RefreshStats,
    /// Sessions whose copies are found whatever becomes of their other cookies.
    pub sessions: SessionStats,
    /// Pages that were no good though their status said so.
    pub soft: SoftStats,
    /// The waiting room.
    pub waiting: WaitingStats,
}

/// The waiting room at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WaitingStats {
    /// Visitors who wait in it, as far as is known.
    pub waiting: usize,
    /// Those who were called in the last ten minutes.
    pub passes: usize,
    /// How long one who came now would wait; `None` while nobody waits, and where nobody can tell.
    pub wait: Option<Duration>,
    /// Numbers given since start.
    pub given: u64,
    /// Visitors let in since start.
    pub let_in: u64,
    /// Visitors who left before they were let in, since start.
    pub left: u64,
    /// Times that a visitor got no number, since start: of a network that has its share, or without
    /// cookies.
    pub refused: u64,
}

/// The gate before the origin at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmissionStats {
    /// How many requests may be at the origin; it follows what the origin bears.
    pub limit: u32,
    /// How many are.
    pub in_flight: u32,
    /// Requests that only wait at the origin, as long polls do, beside those that are at work.
    pub parked: u32,
    /// Requests that wait, for a slot or for another's fetch.
    pub waiting: usize,
    /// Those of them that wait for another's fetch of the same page.
    pub following: usize,
    /// Mean time of recent requests at the origin.
    pub service_time: Duration,
    /// Requests that found the origin full, since start.
    pub overflows: u64,
    /// Those of them that were not sent on in the end, by what became of them.
    pub shed: ShedCounts,
}

/// Requests that found the origin full and were not sent on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShedCounts {
    /// Answered from a copy, without a wait.
    pub copy: u64,
    /// Refused after the longest wait.
    pub deadline: u64,
    /// Refused at once, because the wait would have been too long.
    pub early: u64,
    /// Refused at once, because too many waited.
    pub full: u64,
}

impl ShedCounts {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.copy + self.refused()
    }

    /// Those who got no answer but that it is full.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.deadline + self.early + self.full
    }
}

/// What was asked of the origin though no client waited for it: copies renewed, circuits probed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RefreshStats {
    /// Copies that are wanted newer now.
    pub wanted: usize,
    /// Renewals that run now.
    pub running: u32,
    /// Renewals begun since start.
    pub started: u64,
    /// Those that made a new copy.
    pub renewed: u64,
    /// Those whose answer may not be kept.
    pub passed: u64,
    /// Those on which the origin failed.
    pub failed: u64,
    /// Those that were given up, because their copy was made wrong or the program ends.
    pub dropped: u64,
    /// Those that were probes of a circuit and found the origin well.
    pub probes_succeeded: u64,
    /// Those that were probes of a circuit and did not.
    pub probes_failed: u64,
}

/// Sessions that are known by a cookie value that one browser only was given.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SessionStats {
    /// Cookies of browsers whose values are followed from one to the next.
    pub followed: u32,
    /// Names of cookies that the origin gives another value with each answer.
    pub rolling: usize,
}

/// What was asked of the origin as a stranger, for the copies of those who have none of their own.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PublicStats {
    /// Pages that are wanted and may be asked for now, or when they are due.
    pub wanted: usize,
    /// Times that the origin was asked, since start.
    pub asked: u64,
    /// Those that made a copy, or found one right.
    pub kept: u64,
    /// Those to which the origin said that a stranger may not see the page, or sent it elsewhere.
    pub refused: u64,
    /// Those of whose answer nothing may be kept.
    pub passed: u64,
    /// Those on which the origin failed, or that were given up.
    pub failed: u64,
    /// Time that the origin took for them.
    pub spent: Duration,
    /// Answers from such copies.
    pub served: u64,
}
