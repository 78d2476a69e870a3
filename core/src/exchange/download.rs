//! Owns [`Download`]: how far the response is on its way to the client, and its head as it goes out.
//! Never holds more of a body than one piece, but for a short answer that is held back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::answer::Shared;
use super::forward::{Forward, Held};
use super::reply::{Body, Head, MadeFrom, Passed};
use crate::breaker::State as Circuit;
use crate::h1::Framing;
use crate::limits::{HOLD_BYTES_MAX, HOLD_TIME_MAX};
use crate::message::{Fields, ResponseHead};
use crate::rules::coding::{self, GzipPool};
use crate::rules::etag;
use crate::site::{Fetch, Holding, Passing, Slow};
use crate::time::Instant;

/// How far the response is, and what the site has to be told of it.
#[derive(Debug)]
pub(super) enum Download {
    /// No final head yet.
    Awaiting(Fetch),
    /// No client waits for it: its body goes to the site alone.
    Discarding(Passing),
    /// Its body is being passed on.
    Forwarding(Forward, Passing),
    /// It is held back until complete, because a copy could rescue from its breaking off, or from
    /// what it turns out to be.
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

    /// When to say that the request is still at the origin; `None` for never.
    pub(super) fn late_at(&self) -> Option<Instant> {
        match self {
            Self::Awaiting(fetch) => fetch.late_at(),
            Self::Discarding(passing) | Self::Forwarding(_, passing) => passing.late_at(),
            Self::Holding(held) => held.holding.late_at(),
        }
    }

    /// The request is still at the origin.
    pub(super) fn on_late(&mut self, now: Instant) {
        match self {
            Self::Awaiting(fetch) => fetch.on_late(now),
            Self::Discarding(passing) | Self::Forwarding(_, passing) => passing.on_late(now),
            Self::Holding(held) => held.holding.on_late(now),
        }
    }

    /// The whole request is on its way.
    pub(super) fn on_sent(&mut self, now: Instant) {
        match self {
            Self::Awaiting(fetch) => fetch.on_sent(now),
            Self::Discarding(passing) | Self::Forwarding(_, passing) => passing.on_sent(now),
            Self::Holding(held) => held.holding.on_sent(now),
        }
    }

    /// The client takes long to send content.
    pub(super) fn on_late_content(&mut self, now: Instant) {
        match self {
            Self::Awaiting(fetch) => fetch.on_late_content(now),
            Self::Discarding(passing) | Self::Forwarding(_, passing) => {
                passing.on_late_content(now);
            }
            Self::Holding(held) => held.holding.on_late_content(now),
        }
    }

    /// Bytes of an answer that is held back until it is here as a whole.
    pub(super) fn held_back(&self) -> usize {
        match self {
            Self::Holding(held) => held.pieces.iter().map(Bytes::len).sum(),
            Self::Awaiting(_) | Self::Discarding(_) | Self::Forwarding(..) => 0,
        }
    }

    /// Until when a failure is held back, as another instance may have a copy.
    pub(super) fn seeks_until(&self) -> Option<Instant> {
        match self {
            Self::Holding(held) => held.holding.seeks_until(),
            Self::Awaiting(_) | Self::Discarding(_) | Self::Forwarding(..) => None,
        }
    }

    /// The response as one that no client waits for.
    pub(super) fn discarding(self) -> Self {
        match self {
            Self::Holding(held) => Self::Discarding(held.holding.pass_on()),
            other @ (Self::Awaiting(_) | Self::Discarding(_) | Self::Forwarding(..)) => other,
        }
    }
}

/// How long a response is held back.
pub(super) struct Hold {
    /// Bytes that it has for certain.
    pub(super) length: usize,
    /// When it is passed on all the same; `None` for never.
    pub(super) until: Option<Instant>,
}

/// Whether a response is to be here as a whole before the first byte goes out: there is a copy to
/// rescue with, should it break off or turn out to be an error page, and it is short, or may be.
pub(super) fn hold(
    holding: &Holding,
    framing: Framing,
    status: StatusCode,
    is_sent: bool,
    now: Instant,
) -> Option<Hold> {
    if let Some(until) = holding.seeks_until() {
        let until = Some(until);
        return Some(Hold { length: 0, until });
    }
    if status != StatusCode::OK || !is_sent {
        return None;
    }
    let (length, until) = match framing {
        Framing::Length(length) => (usize::try_from(length).ok()?, None),
        Framing::Chunked | Framing::UntilClose => (0, Some(now + HOLD_TIME_MAX)),
        Framing::Empty => return None,
    };
    // Nothing is lost by an end that comes with the head, or whose time is not known, but a page.
    let holds = match length {
        0 => holding.awaits_verdict(),
        1..=HOLD_BYTES_MAX => holding.can_rescue(),
        _ => false,
    };
    holds.then_some(Hold { length, until })
}

/// Begins to pass a response on: its head goes out. `is_sent` says whether all of the request
/// has left.
pub(super) fn begin(
    passing: &Passing,
    head: Arc<ResponseHead>,
    framing: Framing,
    is_sent: bool,
    shared: &mut Shared,
    now: Instant,
) -> Forward {
    let pool = shared.gateway.site().gzip_pool();
    let call = &shared.call;
    let is_head = call.request.method == Method::HEAD;
    let length = match framing {
        Framing::Length(length) => Some(length),
        // RFC 9110 §9.3.2: the length that a GET would have.
        Framing::Empty if is_head => told_length(&head),
        Framing::Empty | Framing::Chunked | Framing::UntilClose => None,
    };
    let has_body = is_head || framing != Framing::Empty;
    let varies =
        pool.is_some() && has_body && coding::worth_gzip(head.status, &head.fields, length);
    let wants_gzip = varies && coding::accepts_gzip(&call.request.fields);
    let pool = pool.filter(|_| wants_gzip && !is_head);
    let stream = pool.and_then(GzipPool::stream);
    let gzip = stream.is_some() || wants_gzip && is_head;
    let labels = passing.labels();
    let forward = Forward {
        labels,
        event_stream: call.streams,
        gzip: stream.map(Box::new),
        has_length: matches!(framing, Framing::Length(_)),
        sent: 0,
        status: head.status,
        unflushed: false,
        was_paused: false,
    };
    let has_date = head.fields.contains("date");
    shared.outbox.put_head(Box::new(Head {
        body: match framing {
            Framing::Empty => Body::Empty,
            Framing::Length(length) if !gzip => Body::Length(length),
            Framing::Chunked | Framing::Length(_) | Framing::UntilClose => Body::Unknown,
        },
        may_keep: is_sent,
        request_id: call.request_id.clone(),
        status: head.status,
        made_from: MadeFrom::Response(Passed {
            date: (!has_date).then(|| shared.gateway.site().wall_clock(now)),
            codes_tag: gzip || has_coded(&head, &call.request.fields),
            gzip,
            labels,
            // RFC 9110 §8.6: a length without content tells of the GET; 1xx and 204 have none.
            tells_length: is_head && !gzip || head.status == StatusCode::NOT_MODIFIED,
            head,
            varies,
        }),
    }));
    forward
}

/// Whether the origin tells the client that it has what it has, and that was coded here: the 304 names
/// the tag that the 200 had (RFC 9110 §15.4.5).
fn has_coded(head: &ResponseHead, request: &Fields) -> bool {
    head.status == StatusCode::NOT_MODIFIED
        && head
            .fields
            .get("etag")
            .is_some_and(|tag| etag::has_coded(request, tag))
}

fn told_length(head: &ResponseHead) -> Option<u64> {
    head.fields.get_str("content-length")?.parse().ok()
}
