//! Owns [`Relay`]: one request on its way to the origin while its response comes in.
//! Never decides what a failure of the origin means for the client: the policy does.

use bytes::Bytes;

use super::answer::Shared;
use super::connecting::Connecting;
use super::forward::{Forward, Held};
use super::origin::Origin;
use super::reply::Outbox;
use super::{Action, State};
use crate::breaker::State as Circuit;
use crate::canary::{Plant, is_planted};
use crate::h1::BodyEncoder;
use crate::message::Fields;
use crate::policy::{Fetch, Passing, Slow};
use crate::report::{End, Failure};
use crate::time::Instant;

/// Connected: the request goes out, the response comes in.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) download: Download,
    /// Encodes the request's body.
    pub(super) encoder: BodyEncoder,
    pub(super) origin: Origin,
    pub(super) upload: Upload,
}

/// How far the request's body is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Upload {
    /// The origin takes no more of it; its response may still come.
    Broken,
    /// It is being passed on.
    Sending,
    /// All of it was passed on.
    Sent,
}

/// How far the response is, and what the policy has to be told of it.
#[derive(Debug)]
pub(super) enum Download {
    /// No final head yet.
    Awaiting(Box<Fetch>),
    /// No client waits for it: its body goes to the policy alone.
    Discarding(Passing),
    /// Its body is being passed on.
    Forwarding(Forward, Passing),
    /// It is short and held back until complete, because a copy could rescue from its breaking
    /// off.
    Holding(Box<Held>),
}

impl Download {
    /// The circuit when the request was let through.
    pub(super) fn circuit(&self) -> Circuit {
        match self {
            Self::Awaiting(fetch) => fetch.circuit(),
            Self::Discarding(passing) | Self::Forwarding(_, passing) => passing.circuit(),
            Self::Holding(held) => held.holding.circuit(),
        }
    }

    /// Whether the request counts as one at the origin.
    pub(super) fn has_slot(&self) -> bool {
        match self {
            Self::Awaiting(fetch) => fetch.has_slot(),
            Self::Discarding(passing) | Self::Forwarding(_, passing) => passing.has_slot(),
            Self::Holding(held) => held.holding.has_slot(),
        }
    }

    /// When the response is slow; `None` for never.
    pub(super) fn slow_at(&self) -> Option<Instant> {
        match self {
            Self::Awaiting(fetch) => fetch.slow_at(),
            Self::Discarding(_) | Self::Forwarding(..) => None,
            Self::Holding(held) => held.holding.slow_at(),
        }
    }

    /// The response is slow: the copy that answers, if one may.
    pub(super) fn on_slow(&mut self, now: Instant) -> Option<Slow> {
        match self {
            Self::Awaiting(fetch) => fetch.on_slow(now),
            Self::Discarding(_) | Self::Forwarding(..) => None,
            Self::Holding(held) => held.holding.on_slow(now),
        }
    }

    /// The whole request is on its way.
    fn on_sent(&mut self, now: Instant) {
        match self {
            Self::Awaiting(fetch) => fetch.on_sent(now),
            Self::Discarding(passing) | Self::Forwarding(_, passing) => passing.on_sent(now),
            Self::Holding(held) => held.holding.on_sent(now),
        }
    }

    /// The client takes long to send content.
    fn on_late_content(&mut self, now: Instant) {
        match self {
            Self::Awaiting(fetch) => fetch.on_late_content(now),
            Self::Discarding(passing) | Self::Forwarding(_, passing) => {
                passing.on_late_content(now);
            }
            Self::Holding(held) => held.holding.on_late_content(now),
        }
    }
}

impl Relay {
    /// Whether the body of the answer is being passed on.
    pub(super) const fn is_forwarding(&self) -> bool {
        matches!(self.download, Download::Forwarding(..))
    }

    /// Bytes of an answer that is held back until it is here as a whole.
    pub(super) fn held_back(&self) -> usize {
        match &self.download {
            Download::Holding(held) => held.pieces.iter().map(Bytes::len).sum(),
            Download::Awaiting(_) | Download::Discarding(_) | Download::Forwarding(..) => 0,
        }
    }

    /// Passes content on to the origin.
    pub(super) fn handle_data(&mut self, data: Bytes, shared: &mut Shared, now: Instant) {
        debug_assert_eq!(
            self.upload,
            Upload::Sending,
            "content comes while it is taken"
        );
        self.mark_write(now);
        let call = &mut shared.call;
        call.received = call.received.saturating_add(data.len() as u64);
        call.expects = false;
        let moved = self.encoder.data(data, &mut self.origin.out);
        debug_assert!(moved.is_ok(), "content is as long as its head says");
    }

    /// The content is complete.
    pub(super) fn handle_end(&mut self, trailers: &Fields, shared: &mut Shared, now: Instant) {
        debug_assert_eq!(self.upload, Upload::Sending, "content ends once");
        self.mark_write(now);
        self.upload = Upload::Sent;
        shared.call.is_read = true;
        self.download.on_sent(now);
        let moved = self.encoder.end(trailers, &mut self.origin.out);
        debug_assert!(moved.is_ok(), "content is as long as its head says");
    }

    /// The origin's time to take bytes counts from when there are some.
    fn mark_write(&mut self, now: Instant) {
        if self.origin.out.is_empty() {
            self.origin.write_at = now;
        }
    }

    /// The client takes its time to send: the origin does not work meanwhile.
    pub(super) fn upload_lasts(&mut self, now: Instant) {
        self.download.on_late_content(now);
    }

    /// The origin takes no more bytes. It may have answered early (RFC 9112 §9.5): read on.
    pub(super) fn origin_deaf(&mut self, now: Instant) {
        self.origin.stop_writing(now);
        self.upload = Upload::Broken;
    }

    /// How it is called when the connection breaks while reading.
    pub(super) fn reset(&self) -> Failure {
        match self.download {
            Download::Awaiting(_) if !self.origin.conn.has_started() => Failure::Reset,
            Download::Awaiting(_)
            | Download::Discarding(_)
            | Download::Forwarding(..)
            | Download::Holding(_) => Failure::Truncated,
        }
    }

    /// The origin failed below HTTP. Replays once on a new connection where that is safe, else
    /// rescues, else answers with an error, else shows the client a broken connection.
    pub(super) fn failed(
        self: Box<Self>,
        failure: Failure,
        shared: &mut Shared,
        now: Instant,
    ) -> State {
        shared.actions.push(self.close());
        match self.download {
            Download::Awaiting(fetch) => {
                let connecting = Connecting { fetch, since: now };
                return connecting.replay_or_fail(self.origin.reused, failure, shared, now);
            }
            Download::Discarding(passing) => {
                passing.on_broken_off(failure, now);
                let report = shared.call.origin_report(Some(failure), now);
                shared.report_renewal(End::Truncated, report, now);
            }
            Download::Forwarding(forward, passing) => {
                break_off(forward, passing, failure, shared, now);
            }
            Download::Holding(held) => {
                let report = shared.call.origin_report(Some(failure), now);
                let answer = held.holding.on_failure(failure, now);
                shared.answer_failure(answer, report, now);
            }
        }
        State::Done
    }

    /// Its client has been answered: what comes goes to the policy alone.
    pub(super) fn discarding(mut self: Box<Self>) -> Box<Self> {
        self.download = match self.download {
            Download::Holding(held) => Download::Discarding(held.holding.pass_on()),
            other
            @ (Download::Awaiting(_) | Download::Discarding(_) | Download::Forwarding(..)) => other,
        };
        self
    }

    /// How its connection is taken leave of without keeping it.
    pub(super) fn close(&self) -> Action {
        if is_planted(Plant::Desync) {
            Action::Park
        } else {
            Action::Close
        }
    }
}

/// The response ends too early, and its head is out: the client must see that it is incomplete
/// (RFC 9112 §8).
fn break_off(
    mut forward: Forward,
    passing: Passing,
    failure: Failure,
    shared: &mut Shared,
    now: Instant,
) {
    let outbox: &mut Outbox = &mut shared.outbox;
    // The client gets everything that came, also what a compressor still holds.
    forward.flush(outbox);
    outbox.put_abort(false);
    if forward.was_paused {
        // An origin that gives up on a client that reads slowly is not to blame.
        passing.abandon(now);
    } else {
        passing.on_broken_off(failure, now);
    }
    let origin = shared.call.origin_report(Some(failure), now);
    shared.report_forwarded(&forward, origin, End::Truncated, now);
}
