//! Owns [`State`]: where a request stands, and what it becomes when that is left.
//! Never decides when it is left.

use std::net::IpAddr;
use std::task::{Poll, Waker};

use super::answer::Shared;
use super::call::Outcome;
use super::connecting::Connecting;
use super::download::Download;
use super::origin::{Draining, Origin};
use super::relay::{Next, Relay};
use super::signal::{Action, Turn};
use super::tunnel::Tunnel;
use crate::report::Source;
use crate::site::{Decision, Ruling, Ticket};
use crate::time::Instant;

/// Where the request stands. A variant owns the origin's connection. Large variants are boxed:
/// answers from copies never need them.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Waiting for a connection to the origin.
    Connecting(Connecting),
    /// Nothing is left to do but to hand over what is in the outbox.
    #[default]
    Done,
    /// The client was answered otherwise; the rest of a short response is read.
    Draining(Box<Draining>),
    /// Connected: the request goes out, the response comes in.
    Relaying(Box<Relay>),
    /// The connection carries another protocol now.
    Tunnel(Box<Tunnel>),
    /// The origin is full: waiting for room at it.
    Waiting(Box<Ticket>),
}

impl State {
    /// Does what the site said.
    pub(super) fn ruled(ruling: Ruling, shared: &mut Shared, now: Instant) -> Self {
        match ruling {
            Ruling::Now(decision) => Self::decided(decision, shared, now),
            Ruling::Wait(ticket) => Self::Waiting(Box::new(ticket)),
        }
    }

    /// The same, of a decision.
    pub(super) fn decided(decision: Decision, shared: &mut Shared, now: Instant) -> Self {
        match decision {
            Decision::Fetch(mut fetch) => {
                let peer: IpAddr = shared.call.peer.ip();
                fetch.on_behalf_of(peer);
                shared.let_through(&fetch);
                // An idle connection may be dead; a request that must not be repeated, or cannot be
                // because its content has passed or it was repeated, is not entrusted to it.
                let call = &mut shared.call;
                let fresh = !call.request.method.is_safe() || !call.is_read || call.replayed;
                call.origin_since = now;
                shared.failed = None;
                shared.actions.push(Action::Connect { fresh });
                return Self::Connecting(Connecting { fetch, since: now });
            }
            Decision::Refuse(refusal) => {
                let failed = shared.failed.take().map(|report| *report);
                shared.refuse(&refusal, failed, now);
            }
            Decision::Serve(served) => {
                let failed = shared.failed.take().map(|report| *report);
                shared.serve(served, failed, now);
            }
        }
        Self::Done
    }

    /// Leaves the state.
    pub(super) fn turned(self, turn: Turn, shared: &mut Shared, now: Instant) -> Self {
        match self {
            Self::Relaying(relay) => {
                let next = match turn {
                    Turn::End(trailers) => relay.ended(trailers, shared, now),
                    Turn::Failed(failure) => relay.failed(failure, shared, now),
                    Turn::Head(head) => relay.headed(head, shared, now),
                    Turn::PassOver => relay.passed_over(shared, now),
                    Turn::Release => relay.released(shared, now),
                    Turn::Stop => {
                        debug_assert!(false, "a relay ends by its response or a failure");
                        Next::Relaying(relay)
                    }
                };
                Self::after(next, shared, now)
            }
            Self::Draining(draining) => {
                match turn {
                    Turn::End(_) => draining.origin.leave(true, false, shared),
                    Turn::Failed(_)
                    | Turn::Head(_)
                    | Turn::PassOver
                    | Turn::Release
                    | Turn::Stop => {
                        shared.actions.push(Action::Close);
                    }
                }
                Self::Done
            }
            Self::Tunnel(tunnel) => {
                tunnel.ended(shared, now);
                Self::Done
            }
            other @ (Self::Connecting(_) | Self::Done | Self::Waiting(_)) => {
                debug_assert!(false, "this state is not left in that way");
                other
            }
        }
    }

    /// Takes the relay out, where there is one: nothing is left to do then.
    pub(super) fn take_relay(&mut self) -> Option<Box<Relay>> {
        match std::mem::take(self) {
            Self::Relaying(relay) => Some(relay),
            other @ (Self::Connecting(_)
            | Self::Done
            | Self::Draining(_)
            | Self::Tunnel(_)
            | Self::Waiting(_)) => {
                *self = other;
                None
            }
        }
    }

    /// Whether it waits for room at the origin, or for a copy of another instance.
    pub(super) fn waits(&self) -> bool {
        match self {
            Self::Waiting(_) => true,
            Self::Relaying(relay) => relay.download.seeks_until().is_some(),
            Self::Connecting(_) | Self::Done | Self::Draining(_) | Self::Tunnel(_) => false,
        }
    }

    /// Asks whether that is there now; `waker` is called when asking again can help. The other value says
    /// whether the wait is over.
    pub(super) fn poll_room(
        self,
        waker: &Waker,
        shared: &mut Shared,
        now: Instant,
    ) -> (Self, bool) {
        match self {
            Self::Waiting(mut ticket) => {
                let Poll::Ready(decision) = ticket.poll(waker, now) else {
                    return (Self::Waiting(ticket), false);
                };
                // The ticket has led to its decision.
                drop(ticket);
                shared.call.waited = true;
                (Self::decided(decision, shared, now), true)
            }
            Self::Relaying(relay) => {
                let (next, is_over) = relay.poll_seek(waker, shared, now);
                (Self::after(next, shared, now), is_over)
            }
            other @ (Self::Connecting(_) | Self::Done | Self::Draining(_) | Self::Tunnel(_)) => {
                (other, false)
            }
        }
    }

    /// Whether a request that is not answered in time may wait on.
    pub(super) fn waits_on(&mut self, shared: &Shared, now: Instant) -> bool {
        match self {
            Self::Relaying(relay) => relay.waits_on(shared, now),
            Self::Connecting(_)
            | Self::Done
            | Self::Draining(_)
            | Self::Tunnel(_)
            | Self::Waiting(_) => false,
        }
    }

    /// What a relay becomes at `now`.
    fn after(next: Next, shared: &mut Shared, now: Instant) -> Self {
        match next {
            Next::Again(fetch) => {
                let ruling = shared.gateway.site().decide_again(fetch, now);
                Self::ruled(ruling, shared, now)
            }
            Next::Done => Self::Done,
            Next::Draining(draining) => Self::Draining(draining),
            Next::Relaying(relay) => Self::Relaying(relay),
            Next::Tunnel(tunnel) => Self::Tunnel(tunnel),
            Next::Waiting(ticket) => Self::Waiting(ticket),
        }
    }

    /// How the origin's connection is taken leave of without keeping it, if there is one.
    pub(super) fn close(&self) -> Option<Action> {
        match self {
            Self::Done | Self::Waiting(_) => None,
            Self::Relaying(relay) => Some(relay.close()),
            Self::Connecting(_) | Self::Draining(_) | Self::Tunnel(_) => Some(Action::Close),
        }
    }

    /// Where the request's content goes, while it is taken.
    pub(super) fn intake(&mut self) -> Option<&mut Origin> {
        match self {
            Self::Relaying(relay) if relay.upload.is_sending() => Some(&mut relay.origin),
            Self::Tunnel(tunnel) => Some(&mut tunnel.origin),
            Self::Connecting(_)
            | Self::Done
            | Self::Draining(_)
            | Self::Relaying(_)
            | Self::Waiting(_) => None,
        }
    }

    /// Whether the origin takes no more of what the client sends.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Relaying(relay) => relay.origin.is_full,
            Self::Tunnel(tunnel) => tunnel.origin.is_full,
            Self::Connecting(_) | Self::Done | Self::Draining(_) | Self::Waiting(_) => false,
        }
    }

    /// Bytes of an answer that is held back until it is here as a whole.
    pub(super) fn held_back(&self) -> usize {
        match self {
            Self::Relaying(relay) => relay.download.held_back(),
            Self::Connecting(_)
            | Self::Done
            | Self::Draining(_)
            | Self::Tunnel(_)
            | Self::Waiting(_) => 0,
        }
    }

    /// What there is to tell of a request whose client leaves now.
    pub(super) fn left(&self, shared: &Shared, now: Instant) -> Outcome {
        let call = &shared.call;
        let nothing = Outcome::client_left(shared.gateway.site().circuit(now));
        match self {
            Self::Connecting(connecting) => Outcome {
                circuit: connecting.fetch.circuit(),
                ..nothing
            },
            Self::Relaying(relay) => {
                let (status, sent) = match &relay.download {
                    Download::Forwarding(forward, _) => (Some(forward.status), forward.sent),
                    Download::Awaiting(_) | Download::Discarding(_) | Download::Holding(_) => {
                        (None, 0)
                    }
                };
                Outcome {
                    circuit: relay.download.circuit(),
                    origin: Some(call.origin_report(None, now)),
                    sent,
                    source: Source::Backend,
                    status,
                    ..nothing
                }
            }
            Self::Done | Self::Draining(_) | Self::Tunnel(_) | Self::Waiting(_) => nothing,
        }
    }

    /// The origin's connection, where it stands.
    pub(super) fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Connecting(_) | Self::Done | Self::Waiting(_) => None,
            Self::Draining(draining) => Some(&draining.origin),
            Self::Relaying(relay) => Some(&relay.origin),
            Self::Tunnel(tunnel) => Some(&tunnel.origin),
        }
    }

    pub(super) fn origin_mut(&mut self) -> Option<&mut Origin> {
        match self {
            Self::Connecting(_) | Self::Done | Self::Waiting(_) => None,
            Self::Draining(draining) => Some(&mut draining.origin),
            Self::Relaying(relay) => Some(&mut relay.origin),
            Self::Tunnel(tunnel) => Some(&mut tunnel.origin),
        }
    }

    /// Its name in LIFECYCLE.md.
    #[cfg(test)]
    pub(super) const fn stage(&self) -> &'static str {
        match self {
            Self::Connecting(_) => "connecting",
            Self::Done => "done",
            Self::Draining(_) => "draining",
            Self::Relaying(relay) => match relay.download {
                Download::Awaiting(_) => "awaiting",
                Download::Discarding(_) => "discarding",
                Download::Forwarding(..) => "forwarding",
                Download::Holding(_) => "holding",
            },
            Self::Tunnel(_) => "tunnel",
            Self::Waiting(_) => "waiting",
        }
    }
}
