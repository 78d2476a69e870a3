//! Owns [`Refusal`]: the answer where neither the origin nor a copy gives one.
//! Never decides that one is due.

use std::time::Duration;

use http::StatusCode;

use super::labels::put_labels;
use crate::breaker::State;
use crate::report::Failure;
use crate::rules::label::{Cause, ForwardReason, Handling, Refused};
use crate::waiting::Position;

/// The answer where neither the origin nor a copy gives one, and why.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    /// The circuit, as the answer shows it.
    pub circuit: State,
    /// What the answer says of itself.
    pub handling: Handling,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Another request for the same was sent on, and the origin failed on it.
    Failed(Cause),
    /// The origin failed below HTTP, and this is the status for it.
    OriginFailed(Failure, StatusCode),
    /// The same of a write that was sent: it may have been done.
    MayHaveArrived(StatusCode),
    /// The origin was not asked for this page, on which it fails; asking again can help after so many
    /// seconds.
    PageFails(u64),
    /// The origin was not asked; asking again can help after this many seconds.
    Refused(Refused, u64),
    /// There is nothing here to ask the origin with.
    Unasked,
    /// Others are before it.
    Waits(Position),
}

impl Refusal {
    /// The origin is not asked, and `wait` is how long that may last.
    pub(super) fn new(
        why: ForwardReason,
        refused: Refused,
        circuit: State,
        wait: Duration,
    ) -> Self {
        Self {
            circuit,
            handling: Handling::NoCopy { why, refused },
            kind: Kind::Refused(refused, seconds(wait)),
        }
    }

    /// The circuit of this page alone is open, for as long as `wait`.
    pub(super) fn page_fails(why: ForwardReason, circuit: State, wait: Duration) -> Self {
        let refused = Refused::CircuitOpen;
        Self {
            circuit,
            handling: Handling::NoCopy { why, refused },
            kind: Kind::PageFails(seconds(wait)),
        }
    }

    /// The origin is full, and the request has a place among those that wait.
    pub(super) const fn waits(why: ForwardReason, place: Position, circuit: State) -> Self {
        let refused = Refused::WaitingRoom;
        Self {
            circuit,
            handling: Handling::NoCopy { why, refused },
            kind: Kind::Waits(place),
        }
    }

    /// The place in the waiting room that the client has.
    pub(crate) const fn place(&self) -> Option<Position> {
        match self.kind {
            Kind::Waits(place) => Some(place),
            Kind::Failed(_)
            | Kind::MayHaveArrived(_)
            | Kind::OriginFailed(..)
            | Kind::PageFails(_)
            | Kind::Refused(..)
            | Kind::Unasked => None,
        }
    }

    /// The origin was asked for another request, and failed.
    pub(super) const fn failed(why: ForwardReason, cause: Cause, circuit: State) -> Self {
        Self {
            circuit,
            handling: Handling::Collapsed { why, cause },
            kind: Kind::Failed(cause),
        }
    }

    /// The origin was asked, and failed below HTTP.
    pub(super) const fn origin_failed(
        why: ForwardReason,
        failure: Failure,
        status: StatusCode,
        circuit: State,
    ) -> Self {
        Self {
            circuit,
            handling: Handling::Failed { why, failure },
            kind: Kind::OriginFailed(failure, status),
        }
    }

    /// The same of a write, which was sent.
    pub(super) const fn may_have_arrived(
        why: ForwardReason,
        failure: Failure,
        status: StatusCode,
        circuit: State,
    ) -> Self {
        Self {
            circuit,
            handling: Handling::Failed { why, failure },
            kind: Kind::MayHaveArrived(status),
        }
    }

    /// The origin cannot be asked, as something is lacking here.
    pub(super) const fn unasked(why: ForwardReason, circuit: State) -> Self {
        let refused = Refused::Overload;
        Self {
            circuit,
            handling: Handling::NoCopy { why, refused },
            kind: Kind::Unasked,
        }
    }

    /// Why the origin was not asked; `None` where it was.
    pub(super) const fn reason(&self) -> Option<Refused> {
        match self.kind {
            Kind::PageFails(_) => Some(Refused::CircuitOpen),
            Kind::Refused(refused, _) => Some(refused),
            Kind::Unasked => Some(Refused::Overload),
            Kind::Waits(_) => Some(Refused::WaitingRoom),
            Kind::Failed(_) | Kind::OriginFailed(..) | Kind::MayHaveArrived(_) => None,
        }
    }

    /// 502 or 504 where the origin failed; 503 where it was not asked, or 504 where the client wanted
    /// a copy or nothing; or what the request is answered with whose fetch this one shared.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.kind {
            Kind::Failed(Cause::Failure(failure)) => failure.status_hint(),
            // Nothing is refused for being slow alone: somebody may still get its answer.
            Kind::Failed(Cause::Slow) => StatusCode::GATEWAY_TIMEOUT,
            Kind::Failed(Cause::Soft) => StatusCode::BAD_GATEWAY,
            Kind::Failed(Cause::Status(status))
            | Kind::MayHaveArrived(status)
            | Kind::OriginFailed(_, status) => status,
            Kind::Refused(
                Refused::CircuitOpen
                | Refused::Maintenance
                | Refused::Overload
                | Refused::WaitingRoom,
                _,
            )
            | Kind::PageFails(_)
            | Kind::Unasked
            | Kind::Waits(_) => StatusCode::SERVICE_UNAVAILABLE,
            // RFC 9111 §5.2.1.7
            Kind::Refused(Refused::OnlyIfCached, _) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the origin does not answer: a version of the page for strangers is better than this.
    pub(crate) const fn is_outage(&self) -> bool {
        match self.kind {
            Kind::Failed(_) | Kind::OriginFailed(..) | Kind::PageFails(_) => true,
            Kind::Refused(refused, _) => {
                matches!(refused, Refused::CircuitOpen | Refused::Maintenance)
            }
            Kind::MayHaveArrived(_) | Kind::Unasked | Kind::Waits(_) => false,
        }
    }

    /// Whether an operator works on the origin.
    pub(super) const fn is_maintenance(&self) -> bool {
        matches!(self.kind, Kind::Refused(Refused::Maintenance, _))
    }

    /// Seconds for `Retry-After`, at least one; `None` where nobody knows.
    #[must_use]
    pub const fn retry_after_secs(&self) -> Option<u64> {
        match self.kind {
            Kind::Failed(_)
            | Kind::MayHaveArrived(_)
            | Kind::OriginFailed(..)
            | Kind::Refused(Refused::OnlyIfCached, _) => None,
            Kind::Refused(
                Refused::CircuitOpen
                | Refused::Maintenance
                | Refused::Overload
                | Refused::WaitingRoom,
                secs,
            )
            | Kind::PageFails(secs) => Some(secs),
            Kind::Waits(place) => Some(place.again_secs as u64),
            // Sockets come back as fast as answers end.
            Kind::Unasked => Some(1),
        }
    }

    /// A sentence for the person who waits.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self.kind {
            Kind::Failed(_) => {
                "the application failed on this page and no copy of it is held; \
                 please try again soon"
            }
            Kind::MayHaveArrived(_) => {
                "the application gave no answer; what you sent may have arrived, and is not sent \
                 again: please look before you repeat it"
            }
            Kind::OriginFailed(failure, _) => failure.text(),
            Kind::PageFails(_) => {
                "this page fails at the moment and no copy of it is held; other pages may work; \
                 please try again soon"
            }
            Kind::Refused(Refused::CircuitOpen, _) => {
                "the application fails or does not answer, and no copy of this page is held; \
                 please try again soon"
            }
            Kind::Refused(Refused::Maintenance, _) => {
                "the site is being worked on and will be back soon"
            }
            Kind::Refused(Refused::OnlyIfCached, _) => {
                "no fresh copy of this page is held, and nothing else was wanted"
            }
            Kind::Refused(Refused::WaitingRoom, _) | Kind::Waits(_) => {
                "the application is busy and others came before; the cookie keeps the place, and \
                 asking again tells when it is its turn"
            }
            Kind::Refused(Refused::Overload, _) => {
                "the application is busy and no copy of this page is held; please try again soon"
            }
            Kind::Unasked => {
                "too many are being served at this moment and no copy of this page is held; \
                 please try again soon"
            }
        }
    }

    /// Writes `Retry-After` and the labels.
    pub fn put_fields(&self, put: &mut dyn FnMut(&str, &[u8])) {
        if let Some(secs) = self.retry_after_secs() {
            put("retry-after", secs.to_string().as_bytes());
        }
        put_labels(self.circuit, &self.handling, None, put);
    }
}

/// Whole seconds, at least one.
fn seconds(wait: Duration) -> u64 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    seconds.max(1)
}
