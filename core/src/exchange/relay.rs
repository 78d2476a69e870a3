//! Owns [`Relay`]: one request on its way to the origin while its response comes in.
//! Never decides what a failure of the origin means for the client: the policy does.

use bytes::Bytes;

use super::answer::Shared;
use super::connecting::Connecting;
use super::forward::{Forward, Held};
use super::origin::Origin;
use super::reply::Outbox;
use super::{Action, State};
use crate::canary::{Plant, is_planted};
use crate::h1::BodyEncoder;
use crate::message::Fields;
use crate::policy::Fetch;
use crate::report::{End, Failure};
use crate::time::Instant;

/// Connected: the request goes out, the response comes in.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) download: Download,
    /// Encodes the request's body.
    pub(super) encoder: BodyEncoder,
    /// `None` once the policy knows how the fetch went.
    pub(super) fetch: Option<Box<Fetch>>,
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

/// How far the response is.
#[derive(Debug)]
pub(super) enum Download {
    /// No final head yet.
    Awaiting,
    /// No client waits for it: its body goes to the policy alone.
    Discarding,
    /// Its body is being passed on.
    Forwarding(Forward),
    /// It is short and held back until complete, because a copy could rescue from its breaking
    /// off.
    Holding(Box<Held>),
}

impl Relay {
    /// Whether the body of the answer is being passed on.
    pub(super) const fn is_forwarding(&self) -> bool {
        matches!(self.download, Download::Forwarding(_))
    }

    /// Bytes of an answer that is held back until it is here as a whole.
    pub(super) fn held_back(&self) -> usize {
        match &self.download {
            Download::Holding(held) => held.pieces.iter().map(Bytes::len).sum(),
            Download::Awaiting | Download::Discarding | Download::Forwarding(_) => 0,
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
        if let Some(fetch) = &mut self.fetch {
            fetch.on_sent(now);
        }
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
        if let Some(fetch) = &mut self.fetch {
            fetch.on_late_content(now);
        }
    }

    /// The origin takes no more bytes. It may have answered early (RFC 9112 §9.5): read on.
    pub(super) fn origin_deaf(&mut self, now: Instant) {
        self.origin.stop_writing(now);
        self.upload = Upload::Broken;
    }

    /// How it is called when the connection breaks while reading.
    pub(super) fn reset(&self) -> Failure {
        match self.download {
            Download::Awaiting if !self.origin.conn.has_started() => Failure::Reset,
            Download::Awaiting
            | Download::Discarding
            | Download::Forwarding(_)
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
        let Self {
            download,
            fetch,
            origin,
            ..
        } = *self;
        match (download, fetch) {
            (Download::Discarding, fetch) => {
                if let Some(fetch) = fetch {
                    drop(fetch.on_failure(failure, now));
                }
                let report = shared.call.origin_report(Some(failure), now);
                shared.report_renewal(End::Truncated, report, now);
                State::Done
            }
            (Download::Awaiting | Download::Holding(_), Some(fetch)) => {
                let connecting = Connecting { fetch, since: now };
                connecting.replay_or_fail(origin.reused, failure, shared, now)
            }
            (Download::Forwarding(forward), fetch) => {
                break_off(forward, fetch, failure, shared, now);
                State::Done
            }
            (Download::Awaiting | Download::Holding(_), None) => {
                debug_assert!(
                    false,
                    "the policy keeps the fetch until a head is passed on"
                );
                State::Done
            }
        }
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
    fetch: Option<Box<Fetch>>,
    failure: Failure,
    shared: &mut Shared,
    now: Instant,
) {
    let outbox: &mut Outbox = &mut shared.outbox;
    // The client gets everything that came, also what a compressor still holds.
    forward.flush(outbox);
    outbox.put_abort(false);
    match fetch {
        // An origin that gives up on a client that reads slowly is not to blame.
        Some(fetch) if forward.was_paused => fetch.abandon(now),
        // The head is out: too late to rescue, but the outcome counts.
        Some(fetch) => drop(fetch.on_failure(failure, now)),
        None => {}
    }
    let origin = shared.call.origin_report(Some(failure), now);
    shared.report_forwarded(&forward, origin, End::Truncated, now);
}
