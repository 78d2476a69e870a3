//! Owns the deadlines of an exchange. They are *derived* from its state at each call, so that no
//! deadline can be forgotten, left over, or armed twice.
//! Never sleeps, and never knows how long a client may take: that is the client's own deadline.

use super::answer::Shared;
use super::download::Download;
use super::relay::Relay;
use super::room::Room;
use super::state::State;
use crate::limits::{PAUSE_MIN, UPLOAD_WORK_MAX};
use crate::time::Instant;

/// What a deadline guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timer {
    /// A client that takes no more, until it counts as slow.
    ClientPause,
    /// The next piece of a response body, or the origin taking a request body.
    OriginBody,
    /// The rest of a response that is held back: until it is passed on all the same.
    Held,
    /// A connection to the origin.
    OriginConnect,
    /// The response head.
    OriginHead,
    /// Room at the origin.
    OriginRoom,
    /// The end of a request at the origin, until it may turn out to wait there.
    Late,
    /// The response, for longer than it should take: until the copy answers.
    Slow,
    /// Any byte through a tunnel.
    TunnelIdle,
    /// The whole request body: until its slot at the origin is for others.
    Upload,
}

type Deadline = (Instant, Timer);

/// The next deadline of an exchange in this state; `None` when time changes nothing.
pub(super) fn next(state: &State, shared: &Shared) -> Option<Deadline> {
    let settings = shared.origin();
    match state {
        State::Done => None,
        State::Connecting(connecting) => Some((
            connecting.since + settings.connect_timeout,
            Timer::OriginConnect,
        )),
        State::Draining(draining) => {
            Some((draining.since + settings.body_timeout, Timer::OriginBody))
        }
        State::Tunnel(tunnel) => {
            let origin = &tunnel.origin;
            let moved_at = tunnel.client_at.max(origin.read_at).max(origin.write_at);
            Some((moved_at + settings.tunnel_timeout, Timer::TunnelIdle))
        }
        State::Relaying(relay) => {
            let due = of_relay(relay, shared);
            let held = relay.download.seeks_until();
            if let Some(at) = held.filter(|at| due.is_none_or(|due| *at < due.0)) {
                return Some((at, Timer::Held));
            }
            match relay.download.late_at() {
                Some(at) if due.is_none_or(|due| at < due.0) => Some((at, Timer::Late)),
                Some(_) | None => due,
            }
        }
        State::Waiting(ticket) => Some((ticket.deadline(), Timer::OriginRoom)),
    }
}

/// Whether it waits for content of the request, and then until when it does so at least,
/// however late the client is.
pub(super) fn content_due(state: &State, shared: &Shared) -> Option<Instant> {
    let State::Relaying(relay) = state else {
        return None;
    };
    if !relay.upload.is_sending() || relay.origin.is_full {
        return None;
    }
    match &relay.download {
        Download::Awaiting(_) | Download::Discarding(_) | Download::Holding(_) => {
            Some(Instant::ZERO)
        }
        // A client that has an answer may not send the rest (RFC 9110 §10.1.1): the answer
        // passes as long as it moves.
        Download::Forwarding(..) if !shared.is_client_full() => {
            let settings = shared.gateway.client();
            Some(relay.origin.read_at + settings.read_timeout)
        }
        Download::Forwarding(..) => None,
    }
}

/// The deadline of the side that must act next.
fn of_relay(relay: &Relay, shared: &Shared) -> Option<Deadline> {
    let settings = shared.origin();
    let origin = &relay.origin;
    let waits_for_client = shared.is_client_full() && relay.is_forwarding();
    if relay.upload.is_sending() && !origin.is_full {
        if waits_for_client {
            return of_pause(shared);
        }
        let works = relay.download.has_slot();
        let upload = shared.call.origin_since + UPLOAD_WORK_MAX;
        return works.then_some((upload, Timer::Upload));
    }
    // What it sends may keep it from reading, as long as the client takes none of that.
    if !origin.out.is_empty() && !waits_for_client {
        // An origin that answers without reading the rest moves as well.
        let moved_at = if relay.is_forwarding() {
            origin.write_at.max(origin.read_at)
        } else {
            origin.write_at
        };
        return Some((moved_at + settings.body_timeout, Timer::OriginBody));
    }
    match &relay.download {
        // From the last byte of the request, whatever trickles in.
        Download::Awaiting(_) => Some(of_head(relay, shared, origin.write_at)),
        // To the client, a held response has not begun.
        Download::Holding(held) => {
            let due = of_head(relay, shared, held.since);
            let held = held.until.map(|until| (until, Timer::Held));
            Some(held.filter(|held| held.0 <= due.0).unwrap_or(due))
        }
        Download::Forwarding(forward, _) if !waits_for_client => {
            let silence = forward.silence_max(settings);
            let due = if forward.has_length && !forward.event_stream {
                origin.read_pace.due().max(origin.write_at + silence)
            } else {
                origin.read_at.max(origin.write_at) + silence
            };
            Some((due, Timer::OriginBody))
        }
        Download::Discarding(_) => {
            let since = origin.read_at.max(origin.write_at);
            Some((since + settings.body_timeout, Timer::OriginBody))
        }
        // The client's queue is full: its write deadline watches.
        Download::Forwarding(..) => of_pause(shared),
    }
}

/// The response is due, and before that a copy in its place.
fn of_head(relay: &Relay, shared: &Shared, since: Instant) -> Deadline {
    let settings = shared.origin();
    let head = match relay.waited_at {
        // It may wait for longer, as long as that is right.
        Some(at) => (at + settings.head_timeout).min(since + settings.wait_timeout),
        None => since + settings.head_timeout,
    };
    let head = (head, Timer::OriginHead);
    match relay.download.slow_at() {
        Some(at) if at <= head.0 => (at, Timer::Slow),
        Some(_) | None => head,
    }
}

fn of_pause(shared: &Shared) -> Option<Deadline> {
    match shared.room {
        Room::Full(since) => Some((since + PAUSE_MIN, Timer::ClientPause)),
        Room::Free | Room::Paused => None,
    }
}
