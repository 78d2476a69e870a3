//! Owns the deadlines of an exchange. They are *derived* from its state at each call, so that no
//! deadline can be forgotten, left over, or armed twice.
//! Never sleeps, and never knows how long a client may take: that is the client's own deadline.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use super::answer::Shared;
use super::relay::{Download, Relay, Upload};
use super::room::Room;
use super::{Action, Exchange, State, Turn};
use crate::limits::{PAUSE_MIN, UPLOAD_WORK_MAX};
use crate::policy::Slow;
use crate::report::Failure;
use crate::time::Instant;

/// What a deadline guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    /// A client that takes no more, until it counts as slow.
    ClientPause,
    /// The next piece of a response body, or the origin taking a request body.
    OriginBody,
    /// A connection to the origin.
    OriginConnect,
    /// The response head.
    OriginHead,
    /// Room at the origin.
    OriginRoom,
    /// The response, for longer than it should take: until the copy answers.
    Slow,
    /// Any byte through a tunnel.
    TunnelIdle,
    /// The whole request body: until its slot at the origin is for others.
    Upload,
}

type Deadline = (Instant, Timer);

impl Exchange {
    /// When to call [`handle_timeout`](Self::handle_timeout), and what for; `None` when time
    /// changes nothing.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let settings = self.shared.origin();
        match &self.state {
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
            State::Relaying(relay) => self.relay_deadline(relay),
            State::Waiting(ticket) => Some((ticket.deadline(), Timer::OriginRoom)),
        }
    }

    /// Whether it waits for content of the request, and then until when it does so at least,
    /// however late the client is.
    pub(crate) fn content_due(&self) -> Option<Instant> {
        let State::Relaying(relay) = &self.state else {
            return None;
        };
        if relay.upload != Upload::Sending || relay.origin.is_full {
            return None;
        }
        match &relay.download {
            Download::Awaiting(_) | Download::Discarding(_) | Download::Holding(_) => {
                Some(Instant::ZERO)
            }
            // A client that has an answer may not send the rest (RFC 9110 §10.1.1): the answer
            // passes as long as it moves.
            Download::Forwarding(..) if !self.shared.is_client_full() => {
                let settings = self.shared.retter.config().client();
                Some(relay.origin.read_at + settings.read_timeout)
            }
            Download::Forwarding(..) => None,
        }
    }

    /// Lets time pass.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some((_, timer)) = self.poll_timeout().filter(|(due, _)| *due <= now) else {
            return;
        };
        match timer {
            Timer::ClientPause => {
                self.shared.room = Room::Paused;
                if let State::Relaying(relay) = &mut self.state {
                    relay.pause(now);
                }
            }
            Timer::OriginBody if self.is_draining() => self.turn(Turn::Stop, now),
            Timer::OriginBody | Timer::OriginHead => {
                self.turn(Turn::Failed(Failure::Timeout), now);
            }
            Timer::OriginConnect => {
                self.shared.actions.push(Action::Close);
                self.handle_connect_failed(now);
            }
            // The ticket has its decision now, so nobody needs to be woken.
            Timer::OriginRoom => drop(self.poll_room(Waker::noop(), now)),
            Timer::Slow => self.turn_slow(now),
            Timer::TunnelIdle => self.turn(Turn::Stop, now),
            Timer::Upload => {
                if let State::Relaying(relay) = &mut self.state {
                    relay.upload_lasts(now);
                }
            }
        }
    }

    /// The response takes longer than it should: the client gets the copy now, if there is one,
    /// and the exchange goes on without it where it can renew that copy.
    fn turn_slow(&mut self, now: Instant) {
        let mut relay = match mem::take(&mut self.state) {
            State::Relaying(relay) => relay,
            other @ (State::Connecting(_)
            | State::Done
            | State::Draining(_)
            | State::Tunnel(_)
            | State::Waiting(_)) => {
                debug_assert!(false, "only a response can be slow");
                self.state = other;
                return;
            }
        };
        let shared = &mut self.shared;
        let Some(Slow { served, goes_on }) = relay.download.on_slow(now) else {
            self.state = State::Relaying(relay);
            return;
        };
        if goes_on {
            // What goes on reports itself.
            let retter = Arc::clone(&shared.retter);
            shared.detached = Some(Box::new(Self {
                shared: Shared::new(retter, shared.call.clone(), false),
                state: State::Relaying(relay.discarding()),
            }));
            shared.actions.push(Action::Detach);
            shared.serve(served, None, now);
        } else {
            let report = shared.call.origin_report(None, now);
            shared.actions.push(relay.close());
            shared.serve(served, Some(report), now);
        }
    }

    /// The deadline of the side that must act next.
    fn relay_deadline(&self, relay: &Relay) -> Option<Deadline> {
        let settings = self.shared.origin();
        let origin = &relay.origin;
        let waits_for_client = self.shared.is_client_full() && relay.is_forwarding();
        if relay.upload == Upload::Sending && !origin.is_full {
            if waits_for_client {
                return self.pause_deadline();
            }
            let works = relay.download.has_slot();
            let upload = self.shared.call.origin_since + UPLOAD_WORK_MAX;
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
            Download::Awaiting(_) => Some(self.head_deadline(relay, origin.write_at)),
            // To the client, a held response has not begun.
            Download::Holding(held) => Some(self.head_deadline(relay, held.since)),
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
            Download::Forwarding(..) => self.pause_deadline(),
        }
    }

    /// The response is due, and before that a copy in its place.
    fn head_deadline(&self, relay: &Relay, since: Instant) -> Deadline {
        let head_timeout = self.shared.origin().head_timeout;
        let head = (since + head_timeout, Timer::OriginHead);
        match relay.download.slow_at() {
            Some(at) if at <= head.0 => (at, Timer::Slow),
            Some(_) | None => head,
        }
    }

    fn pause_deadline(&self) -> Option<Deadline> {
        match self.shared.room {
            Room::Full(since) => Some((since + PAUSE_MIN, Timer::ClientPause)),
            Room::Free | Room::Paused => None,
        }
    }
}
