//! Owns what an answer says about itself: `X-Retter`, `X-Circuit` and `Cache-Status` (RFC 9211).
//! Never decides how a request is handled; it only names it.

use std::time::Duration;

use http::StatusCode;
use smallvec::SmallVec;

use crate::report::{Failure, Source};

/// The field whose value is [`Source::as_str`].
pub const X_RETTER: &str = "X-Retter";

/// The field whose value is [`State::as_str`](crate::breaker::State::as_str).
pub const X_CIRCUIT: &str = "X-Circuit";

/// The field whose value is [`Handling::cache_status`].
pub const CACHE_STATUS: &str = "Cache-Status";

/// The words of [`Handling::rescue`], for counters.
pub const RESCUES: [&str; 10] = [
    "circuit-open",
    "connect",
    "overload",
    "protocol",
    "reset",
    "slow",
    "soft",
    "status",
    "timeout",
    "truncated",
];

/// How a request was handled. Every `ttl` is the copy's remaining freshness in seconds, negative
/// when stale.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handling {
    /// The fetch that it shared with another request failed, and there was no copy.
    Collapsed {
        /// Why no copy was used.
        why: ForwardReason,
        /// How the origin failed.
        cause: Cause,
    },
    /// From a copy, because the circuit is open.
    CircuitOpen {
        /// Remaining freshness.
        ttl: i64,
    },
    /// The origin failed below HTTP and there was no copy: 502 or 504.
    Failed {
        /// Why no copy was used.
        why: ForwardReason,
        /// How the origin failed.
        failure: Failure,
    },
    /// The origin's own answer.
    Forwarded {
        /// Why no copy was used.
        why: ForwardReason,
        /// The origin's status.
        status: StatusCode,
        /// Whether the answer was stored, which is known only where it was whole before its head
        /// went out (RFC 9211 §2.6).
        stored: bool,
        /// Whether another request for the same fetched it.
        collapsed: bool,
    },
    /// From a stale copy, while it is fetched again (RFC 5861 §3).
    Behind {
        /// Remaining freshness.
        ttl: i64,
    },
    /// From a fresh copy.
    Fresh {
        /// Remaining freshness.
        ttl: i64,
    },
    /// From a stale copy, because the client takes one (`max-stale`).
    MaxStale {
        /// Remaining freshness.
        ttl: i64,
    },
    /// Refused with 503: the origin was not asked and there was no copy.
    NoCopy {
        /// Why no copy was used.
        why: ForwardReason,
        /// Why the origin was not asked.
        refused: Refused,
    },
    /// From a copy, because the origin is full.
    Overload {
        /// Remaining freshness.
        ttl: i64,
    },
    /// From the copy of what a stranger was sent, as there is none of the client's own.
    Public {
        /// Remaining freshness.
        ttl: i64,
        /// Why the origin does not answer.
        instead: Instead,
        /// Whether its client is more than a stranger, and has chosen to see that.
        is_chosen: bool,
    },
    /// From a copy, after the origin was asked and failed.
    Rescued {
        /// Remaining freshness.
        ttl: i64,
        /// How the origin failed.
        cause: Cause,
    },
    /// From a copy, after the origin said that it is still right (304).
    Validated {
        /// Remaining freshness.
        ttl: i64,
        /// Why the origin was asked.
        why: ForwardReason,
    },
}

/// Why a request went past the copies (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ForwardReason {
    /// Copies were not consulted at all, as for an upgrade.
    Bypass,
    /// The method is never answered from a copy.
    Method,
    /// There was a fresh copy, but the client asked for the origin.
    Request,
    /// There was a copy, but not a fresh one.
    Stale,
    /// There was no copy of the URI.
    UriMiss,
    /// There were copies of the URI, but for other request fields.
    VaryMiss,
}

impl ForwardReason {
    /// The token of RFC 9211 §2.2.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
        }
    }
}

/// Why the origin was not asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// The circuit is open.
    CircuitOpen,
    /// An operator works on the origin.
    Maintenance,
    /// The client wants nothing but a copy (RFC 9111 §5.2.1.7).
    OnlyIfCached,
    /// The origin is full.
    Overload,
    /// The origin is full, and the client has a place among those that wait.
    WaitingRoom,
}

/// Why a copy answers in the origin's stead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Instead {
    /// The circuit is open.
    CircuitOpen,
    /// The origin is full.
    Overload,
    /// The origin was asked and failed.
    Rescued(Cause),
}

impl Instead {
    const fn as_str(self) -> &'static str {
        match self {
            Self::CircuitOpen => "circuit-open",
            Self::Overload => "overload",
            Self::Rescued(Cause::Failure(failure)) => failure.as_str(),
            Self::Rescued(Cause::Slow) => "slow",
            Self::Rescued(Cause::Soft) => "soft",
            Self::Rescued(Cause::Status(_)) => "status",
        }
    }
}

/// What the copy rescued from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The origin failed below HTTP.
    Failure(Failure),
    /// The origin takes longer than it should.
    Slow,
    /// The origin sent an error page with status 200.
    Soft,
    /// The origin sent a status that is a failure.
    Status(StatusCode),
}

impl Handling {
    /// Where the answer came from, for `X-Retter`: a copy that is fresh or younger than
    /// `young_below` is `cache`, an older one `last-known-success`.
    #[must_use]
    pub fn source(&self, age: Duration, young_below: Duration) -> Source {
        match *self {
            Self::Behind { .. }
            | Self::Fresh { .. }
            | Self::MaxStale { .. }
            | Self::Validated { .. } => Source::Cache,
            Self::CircuitOpen { ttl }
            | Self::Overload { ttl }
            | Self::Public { ttl, .. }
            | Self::Rescued { ttl, .. } => {
                if ttl > 0 || age < young_below {
                    Source::Cache
                } else {
                    Source::LastKnownSuccess
                }
            }
            Self::Forwarded { .. } => Source::Backend,
            Self::Collapsed { .. } | Self::Failed { .. } | Self::NoCopy { .. } => Source::NoCache,
        }
    }

    /// Why a copy answered where the origin should have, whatever the copy's age; `None` for all
    /// other answers. One word, one of [`RESCUES`].
    #[must_use]
    pub const fn rescue(&self) -> Option<&'static str> {
        match self {
            Self::CircuitOpen { .. } => Some(Instead::CircuitOpen.as_str()),
            Self::Overload { .. } => Some(Instead::Overload.as_str()),
            Self::Public { instead, .. } => Some(instead.as_str()),
            Self::Rescued { cause, .. } => Some(Instead::Rescued(*cause).as_str()),
            Self::Behind { .. }
            | Self::Collapsed { .. }
            | Self::Failed { .. }
            | Self::Forwarded { .. }
            | Self::Fresh { .. }
            | Self::MaxStale { .. }
            | Self::NoCopy { .. }
            | Self::Validated { .. } => None,
        }
    }

    /// The member of `Cache-Status` of this program, to be written after those of caches nearer
    /// to the origin. It has either `hit` or `fwd` (RFC 9211 §2).
    #[must_use]
    pub fn cache_status(&self) -> SmallVec<[u8; 96]> {
        let mut member = Member::new();
        match *self {
            Self::Collapsed { why, cause } => {
                member.token("; fwd=", why.as_str());
                member.status_of(cause);
                member.push("; collapsed");
                if let Cause::Failure(failure) = cause {
                    member.token("; detail=", failure.as_str());
                }
            }
            Self::Fresh { ttl } => {
                member.hit();
                member.integer("; ttl=", ttl);
            }
            Self::Behind { ttl } => member.hit_because(ttl, "stale-while-revalidate"),
            Self::CircuitOpen { ttl } => member.hit_because(ttl, "circuit-open"),
            Self::MaxStale { ttl } => member.hit_because(ttl, "max-stale"),
            Self::Overload { ttl } => member.hit_because(ttl, "overload"),
            Self::Public {
                ttl,
                instead,
                is_chosen,
            } => {
                let detail = if is_chosen { CHOSEN } else { PUBLIC };
                match instead {
                    Instead::CircuitOpen | Instead::Overload => member.hit_because(ttl, detail),
                    Instead::Rescued(cause) => member.rescued(ttl, cause, detail),
                }
            }
            Self::Validated { ttl, why } => {
                member.token("; fwd=", why.as_str());
                member.token("; fwd-status=", "304");
                member.integer("; ttl=", ttl);
            }
            Self::Rescued { ttl, cause } => member.rescued(ttl, cause, rescued(cause)),
            Self::Forwarded {
                why,
                status,
                stored,
                collapsed,
            } => {
                member.token("; fwd=", why.as_str());
                member.integer("; fwd-status=", i64::from(status.as_u16()));
                // RFC 8941 §3.1.2: a parameter without value is true.
                if stored {
                    member.push("; stored");
                }
                if collapsed {
                    member.push("; collapsed");
                }
            }
            Self::Failed { why, failure } => {
                member.token("; fwd=", why.as_str());
                member.token("; detail=", failure.as_str());
            }
            Self::NoCopy { why, refused } => {
                member.token("; fwd=", why.as_str());
                member.token(
                    "; detail=",
                    match refused {
                        Refused::CircuitOpen => "circuit-open-no-copy",
                        Refused::Maintenance => "maintenance",
                        Refused::OnlyIfCached => "only-if-cached",
                        Refused::Overload => "overload-no-copy",
                        Refused::WaitingRoom => "waiting-room",
                    },
                );
            }
        }
        member.0
    }
}

/// The detail of an answer that was sent to a stranger before.
const PUBLIC: &str = "public";

/// The same where its client, who is more than a stranger, has chosen to see that.
const CHOSEN: &str = "public-chosen";

const fn rescued(cause: Cause) -> &'static str {
    match cause {
        Cause::Slow => "slow",
        Cause::Soft => "rescued-soft",
        Cause::Status(_) => "rescued",
        Cause::Failure(Failure::Connect) => "rescued-connect",
        Cause::Failure(Failure::Protocol) => "rescued-protocol",
        Cause::Failure(Failure::Reset) => "rescued-reset",
        Cause::Failure(Failure::Timeout) => "rescued-timeout",
        Cause::Failure(Failure::Truncated) => "rescued-truncated",
    }
}

/// Writes a structured-field list member (RFC 8941 §3.1) of token, integer and true parameters.
struct Member(SmallVec<[u8; 96]>);

impl Member {
    fn new() -> Self {
        let mut member = Self(SmallVec::new());
        member.push("retter");
        member
    }

    fn push(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn hit(&mut self) {
        self.push("; hit");
    }

    fn hit_because(&mut self, ttl: i64, detail: &str) {
        self.hit();
        self.integer("; ttl=", ttl);
        self.token("; detail=", detail);
    }

    /// The origin was asked, so this is no hit: the copy is the answer to a forward.
    fn rescued(&mut self, ttl: i64, cause: Cause, detail: &str) {
        // A fresh copy is passed by only where the client asked for the origin.
        let why = if ttl > 0 {
            ForwardReason::Request
        } else {
            ForwardReason::Stale
        };
        self.token("; fwd=", why.as_str());
        self.status_of(cause);
        self.integer("; ttl=", ttl);
        self.token("; detail=", detail);
    }

    /// What the origin answered with, where it did.
    fn status_of(&mut self, cause: Cause) {
        match cause {
            Cause::Failure(_) | Cause::Slow => {}
            Cause::Soft => self.token("; fwd-status=", "200"),
            Cause::Status(status) => {
                self.integer("; fwd-status=", i64::from(status.as_u16()));
            }
        }
    }

    /// `key` comes with what is before and behind it.
    fn token(&mut self, key: &str, token: &str) {
        self.push(key);
        self.push(token);
    }

    fn integer(&mut self, key: &str, value: i64) {
        // RFC 8941 §3.3.1: an integer has at most 15 digits.
        const DIGITS_15: i64 = 999_999_999_999_999;
        let mut digits = itoa::Buffer::new();
        let value = digits.format(value.clamp(-DIGITS_15, DIGITS_15));
        self.token(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(handling: Handling, expected: &str) {
        let value = handling.cache_status();
        assert_eq!(std::str::from_utf8(&value), Ok(expected));
        assert!(!value.spilled(), "{expected}");
        // RFC 9211 §2: hit and fwd are exclusive.
        assert_ne!(expected.contains("; hit"), expected.contains("; fwd="));
    }

    #[test]
    fn cache_status_of_copies() {
        check(Handling::Fresh { ttl: 12 }, "retter; hit; ttl=12");
        check(
            Handling::CircuitOpen { ttl: -312 },
            "retter; hit; ttl=-312; detail=circuit-open",
        );
        check(
            Handling::Overload { ttl: 0 },
            "retter; hit; ttl=0; detail=overload",
        );
        check(
            Handling::MaxStale { ttl: -5 },
            "retter; hit; ttl=-5; detail=max-stale",
        );
        check(
            Handling::Behind { ttl: -5 },
            "retter; hit; ttl=-5; detail=stale-while-revalidate",
        );
        check(
            Handling::Validated {
                ttl: 60,
                why: ForwardReason::Stale,
            },
            "retter; fwd=stale; fwd-status=304; ttl=60",
        );
        check(
            Handling::NoCopy {
                why: ForwardReason::UriMiss,
                refused: Refused::OnlyIfCached,
            },
            "retter; fwd=uri-miss; detail=only-if-cached",
        );
        check(
            Handling::Rescued {
                ttl: -312,
                cause: Cause::Status(StatusCode::SERVICE_UNAVAILABLE),
            },
            "retter; fwd=stale; fwd-status=503; ttl=-312; detail=rescued",
        );
        check(
            Handling::Rescued {
                ttl: i64::MIN,
                cause: Cause::Failure(Failure::Truncated),
            },
            "retter; fwd=stale; ttl=-999999999999999; detail=rescued-truncated",
        );
        check(
            Handling::Rescued {
                ttl: -2,
                cause: Cause::Slow,
            },
            "retter; fwd=stale; ttl=-2; detail=slow",
        );
        check(
            Handling::Rescued {
                ttl: 3,
                cause: Cause::Failure(Failure::Reset),
            },
            "retter; fwd=request; ttl=3; detail=rescued-reset",
        );
    }

    #[test]
    fn cache_status_of_what_a_stranger_was_sent() {
        let public = |instead| Handling::Public {
            ttl: -9,
            instead,
            is_chosen: false,
        };
        check(
            Handling::Public {
                ttl: -9,
                instead: Instead::CircuitOpen,
                is_chosen: true,
            },
            "retter; hit; ttl=-9; detail=public-chosen",
        );
        for instead in [Instead::CircuitOpen, Instead::Overload] {
            check(public(instead), "retter; hit; ttl=-9; detail=public");
        }
        let failed = StatusCode::SERVICE_UNAVAILABLE;
        check(
            public(Instead::Rescued(Cause::Status(failed))),
            "retter; fwd=stale; fwd-status=503; ttl=-9; detail=public",
        );
        check(
            public(Instead::Rescued(Cause::Failure(Failure::Connect))),
            "retter; fwd=stale; ttl=-9; detail=public",
        );
    }

    #[test]
    fn cache_status_of_forwarded_requests() {
        let forwarded = |why, status, stored, collapsed| Handling::Forwarded {
            why,
            status: StatusCode::from_u16(status).unwrap(),
            stored,
            collapsed,
        };
        check(
            forwarded(ForwardReason::UriMiss, 200, true, false),
            "retter; fwd=uri-miss; fwd-status=200; stored",
        );
        check(
            forwarded(ForwardReason::VaryMiss, 200, true, true),
            "retter; fwd=vary-miss; fwd-status=200; stored; collapsed",
        );
        check(
            forwarded(ForwardReason::Method, 201, false, false),
            "retter; fwd=method; fwd-status=201",
        );
        check(
            forwarded(ForwardReason::Request, 304, false, false),
            "retter; fwd=request; fwd-status=304",
        );
        check(
            forwarded(ForwardReason::Bypass, 101, false, false),
            "retter; fwd=bypass; fwd-status=101",
        );
        check(
            Handling::Failed {
                why: ForwardReason::UriMiss,
                failure: Failure::Timeout,
            },
            "retter; fwd=uri-miss; detail=timeout",
        );
        for (cause, expected) in [
            (
                Cause::Failure(Failure::Reset),
                "retter; fwd=uri-miss; collapsed; detail=reset",
            ),
            (
                Cause::Status(StatusCode::BAD_GATEWAY),
                "retter; fwd=uri-miss; fwd-status=502; collapsed",
            ),
        ] {
            let why = ForwardReason::UriMiss;
            check(Handling::Collapsed { why, cause }, expected);
        }
        check(
            Handling::NoCopy {
                why: ForwardReason::UriMiss,
                refused: Refused::CircuitOpen,
            },
            "retter; fwd=uri-miss; detail=circuit-open-no-copy",
        );
        check(
            Handling::NoCopy {
                why: ForwardReason::Method,
                refused: Refused::Overload,
            },
            "retter; fwd=method; detail=overload-no-copy",
        );
    }

    #[test]
    fn sources() {
        #[track_caller]
        fn check(handling: Handling, age: u64, expected: Source) {
            let age = Duration::from_secs(age);
            assert_eq!(handling.source(age, Duration::from_secs(5)), expected);
        }
        check(Handling::Fresh { ttl: 1 }, 100, Source::Cache);
        check(Handling::CircuitOpen { ttl: -4 }, 4, Source::Cache);
        check(
            Handling::CircuitOpen { ttl: -5 },
            5,
            Source::LastKnownSuccess,
        );
        check(Handling::Overload { ttl: 1 }, 100, Source::Cache);
        check(
            Handling::Failed {
                why: ForwardReason::Stale,
                failure: Failure::Connect,
            },
            0,
            Source::NoCache,
        );
    }
}
