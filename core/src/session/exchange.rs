//! Owns [`Exchange`]: where one request stands, and what is known of it.
//! Never holds state of a connection beyond that connection's life: a variant owns its origin.

use std::sync::Arc;
use std::task::{Poll, Waker};

use super::bound::Owner;
use super::forward::{Forward, Held};
use super::origin::OriginSide;
use super::{Action, Last, Life, Session, Side};
use crate::breaker::State;
use crate::canary::{Plant, is_planted};
use crate::h1::{BodyEncoder, ClientConn, Event, Framing, keep_alive};
use crate::limits::ANSWERS_BYTES_MAX;
use crate::message::{RequestHead, ResponseHead};
use crate::policy::{Decision, Fetch, Ticket};
use crate::report::{End, Failure, OriginReport, Report, Source};
use crate::rules::forwarded::View;
use crate::rules::forwarding::{self, Expectation};
use crate::time::Instant;

/// Where the running request stands.
#[derive(Debug, Default)]
pub(super) enum Exchange {
    /// Waiting for a connection to the origin.
    Connecting(Box<Connecting>),
    /// The client was answered otherwise; the rest of a short response is read so that the
    /// origin's connection stays usable.
    Draining(Box<Draining>),
    /// No request runs.
    #[default]
    None,
    /// The request's content is coming: it is for the origin when it is here as a whole, or as much
    /// of it as is held.
    Receiving(Box<Call>),
    /// Connected: the request goes out, the response comes in.
    Relaying(Box<Relay>),
    /// The connection carries another protocol now.
    Tunnel(Box<Tunnel>),
    /// The origin is full: waiting for room at it.
    Waiting(Box<Waiting>),
}

#[derive(Debug)]
pub(super) struct Connecting {
    /// The client's own connection, if that is to be used again.
    pub(super) bound: Option<Box<ClientConn>>,
    pub(super) call: Call,
    pub(super) fetch: Box<Fetch>,
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Draining {
    pub(super) left: u64,
    pub(super) origin: OriginSide,
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Relay {
    pub(super) call: Call,
    pub(super) download: Download,
    /// Encodes the request's body.
    pub(super) encoder: BodyEncoder,
    /// `None` once the policy knows how the fetch went.
    pub(super) fetch: Option<Box<Fetch>>,
    pub(super) origin: OriginSide,
    pub(super) upload: Upload,
}

#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) call: Call,
    pub(super) circuit: State,
    pub(super) head_at: Instant,
    /// The origin takes nothing more. What it has said may still come.
    pub(super) is_deaf: bool,
    pub(super) origin: OriginSide,
    pub(super) sent: u64,
    pub(super) shut_client: bool,
    pub(super) shut_origin: bool,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: Call,
    pub(super) ticket: Ticket,
}

/// What is known of the running request.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Whether the client sends the body only after a 100 (RFC 9110 §10.1.1), which has not come.
    pub(super) expects: bool,
    pub(super) framing: Framing,
    /// Whether the client wants its connection kept (RFC 9112 §9.3).
    pub(super) keep: bool,
    /// Body bytes of the origin's response.
    pub(super) origin_bytes: u64,
    /// The origin's final response head, and when it came.
    pub(super) origin_head: Option<(Arc<ResponseHead>, Instant)>,
    /// When the origin was first asked.
    pub(super) origin_since: Instant,
    /// Whose the connection will be that it goes out on.
    pub(super) owner: Owner,
    /// Whether the whole request has been read.
    pub(super) read: bool,
    pub(super) received: u64,
    pub(super) replayed: bool,
    pub(super) request: Arc<RequestHead>,
    pub(super) started: Instant,
    /// The origin answers with a stream of events.
    pub(super) streams: bool,
    pub(super) upgrade: bool,
    pub(super) view: View,
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

impl Exchange {
    pub(super) fn origin(&self) -> Option<&OriginSide> {
        match self {
            Self::Connecting(_) | Self::None | Self::Receiving(_) | Self::Waiting(_) => None,
            Self::Draining(draining) => Some(&draining.origin),
            Self::Relaying(relay) => Some(&relay.origin),
            Self::Tunnel(tunnel) => Some(&tunnel.origin),
        }
    }

    pub(super) fn origin_mut(&mut self) -> Option<&mut OriginSide> {
        match self {
            Self::Connecting(_) | Self::None | Self::Receiving(_) | Self::Waiting(_) => None,
            Self::Draining(draining) => Some(&mut draining.origin),
            Self::Relaying(relay) => Some(&mut relay.origin),
            Self::Tunnel(tunnel) => Some(&mut tunnel.origin),
        }
    }

    /// The answer whose body is being passed on.
    pub(super) fn forwarding(&self) -> Option<&Forward> {
        match self {
            Self::Relaying(relay) => match &relay.download {
                Download::Forwarding(forward) => Some(forward),
                Download::Awaiting | Download::Discarding | Download::Holding(_) => None,
            },
            Self::Connecting(_)
            | Self::Draining(_)
            | Self::None
            | Self::Receiving(_)
            | Self::Tunnel(_)
            | Self::Waiting(_) => None,
        }
    }

    pub(super) fn call(&self) -> Option<&Call> {
        match self {
            Self::Connecting(connecting) => Some(&connecting.call),
            Self::Draining(_) | Self::None => None,
            Self::Receiving(call) => Some(call),
            Self::Relaying(relay) => Some(&relay.call),
            Self::Tunnel(tunnel) => Some(&tunnel.call),
            Self::Waiting(waiting) => Some(&waiting.call),
        }
    }
}

impl Call {
    /// Whether the request has content.
    pub(super) const fn has_content(&self) -> bool {
        !matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    /// What the origin did until `now`.
    pub(super) fn origin_report(&self, failure: Option<Failure>, now: Instant) -> OriginReport {
        let since = self.origin_since;
        let head = self.origin_head.as_ref();
        // It lasts as long as its client wants.
        let ended = match head {
            Some((_, at)) if self.streams => *at,
            Some(_) | None => now,
        };
        OriginReport {
            bytes: self.origin_bytes,
            failure,
            is_stream: self.streams,
            head: head.map(|(head, at)| (Arc::clone(head), at.saturating_since(since))),
            status: head.map(|(head, _)| head.status),
            time: ended.saturating_since(since),
        }
    }
}

impl Session {
    /// Reads the next request head, if there is one.
    pub(super) fn pump_head(&mut self, now: Instant) -> bool {
        if self.client.out.len() >= ANSWERS_BYTES_MAX || !self.check_client_room(now) {
            // Its time begins when it can be heard.
            self.client.head_since = None;
            return false;
        }
        match self.client.conn.next_event() {
            Ok(Event::Head(head)) => {
                self.begin(head, now);
                true
            }
            Ok(Event::NeedData | Event::Closed) => {
                // Idle again is a connection that got an empty line (RFC 9112 §2.2).
                let is_inside = !self.client.conn.is_idle();
                self.client.head_since = is_inside.then(|| self.client.head_since.unwrap_or(now));
                false
            }
            Ok(Event::Data(_) | Event::End { .. }) => {
                debug_assert!(false, "a body is read by the exchange that owns its head");
                false
            }
            Err(_) if self.client.conn.is_eof() => {
                self.client_broke_off(now);
                false
            }
            Err(error) => {
                self.refuse_malformed(error, now);
                false
            }
        }
    }

    fn begin(&mut self, mut head: RequestHead, now: Instant) {
        if self.client.sent > 0 && is_planted(Plant::SilentEnd) {
            return self.client_left(now);
        }
        let framing = self.client.conn.framing();
        let trusted = &self.retter.config().client().trusted_proxies;
        let view = View::receive(&mut head, self.peer.ip(), trusted);
        let request = Arc::new(head);
        let read = matches!(framing, Framing::Empty | Framing::Length(0))
            && matches!(self.client.conn.next_event(), Ok(Event::End { .. }));
        let expectation = forwarding::expectation(&request);
        let call = Call {
            expects: expectation == Expectation::Continue,
            framing,
            keep: keep_alive(request.version, &request.fields),
            origin_bytes: 0,
            origin_head: None,
            origin_since: now,
            owner: self.owner_for(&request.fields, &view),
            read,
            received: 0,
            replayed: false,
            started: self.client.head_since.take().unwrap_or(now),
            streams: false,
            upgrade: forwarding::upgrade(&request).is_some() && framing == Framing::Empty,
            request,
            view,
        };
        if call.request.method == http::Method::CONNECT {
            return self.refuse_connect(call, now);
        }
        if forwarding::is_loop(&call.request.fields) {
            return self.refuse_loop(call, now);
        }
        if forwarding::max_forwards(&call.request) == Some(0) {
            return self.answer_last_hop(call, now);
        }
        if expectation == Expectation::Unknown {
            return self.refuse_expectation(call, now);
        }
        // Who waits for a 100 waits for the origin's.
        if call.has_content() && !call.expects {
            self.expect_body(now);
            self.exchange = Exchange::Receiving(Box::new(call));
            return;
        }
        let decision = self.decide(&call, now);
        self.carry_out(decision, call, now);
    }

    /// Sends the request on its way once enough of its content is here: a client that is slow to
    /// send it must not keep the origin from its work.
    pub(super) fn pump_receiving(&mut self, now: Instant) -> bool {
        if self.client.conn.awaits_content() {
            if self.client.conn.is_eof() {
                self.client_broke_off(now);
            }
            return false;
        }
        if let Exchange::Receiving(call) = std::mem::take(&mut self.exchange) {
            let decision = self.decide(&call, now);
            self.carry_out(decision, *call, now);
        }
        true
    }

    fn carry_out(&mut self, decision: Decision, mut call: Call, now: Instant) {
        match decision {
            Decision::Fetch(mut fetch) => {
                fetch.on_behalf_of(self.peer.ip());
                // An idle connection may be dead; a request that must not be repeated, or cannot
                // be because its content has passed, is not entrusted to it.
                let fresh = !call.request.method.is_safe() || !call.read;
                let bound = self.take_bound();
                self.actions.push_back(match bound {
                    Some(_) => Action::Resume,
                    None => Action::Connect { fresh },
                });
                call.origin_since = now;
                let connecting = Connecting {
                    bound,
                    call,
                    fetch,
                    since: now,
                };
                self.exchange = Exchange::Connecting(Box::new(connecting));
            }
            Decision::Refuse(refusal) => self.refuse(call, &refusal, now),
            Decision::Serve(served) => self.serve(call, &served, None, now),
            Decision::Wait(ticket) => {
                self.exchange = Exchange::Waiting(Box::new(Waiting { call, ticket }));
            }
        }
    }

    /// Asks whether the origin has room now, if that is what this session waits for; `waker` is
    /// called when asking again can help. Says whether the wait is over.
    pub fn poll_room(&mut self, waker: &Waker, now: Instant) -> bool {
        let Exchange::Waiting(waiting) = &mut self.exchange else {
            return false;
        };
        let Poll::Ready(decision) = waiting.ticket.poll(waker, now) else {
            return false;
        };
        if let Exchange::Waiting(waiting) = std::mem::take(&mut self.exchange) {
            self.carry_out(decision, waiting.call, now);
        }
        self.pump(now);
        true
    }

    /// Whether the client may still want its answer after it closed its sending half: it said
    /// that it would send no more, it sent more requests before, or it has earlier answers to take.
    pub(super) fn client_waits_half_closed(&self) -> bool {
        match self.exchange.call() {
            None => true,
            Some(_) if matches!(self.exchange, Exchange::Tunnel(_)) => true,
            Some(call) => {
                let has_earlier = !self.client.out.is_empty() && !self.is_forwarding();
                !call.keep || self.client.conn.buffered() > 0 || has_earlier
            }
        }
    }

    /// Whether more of a request is due, of which nothing is here.
    pub(super) fn client_owes_content(&self) -> bool {
        let is_unwanted = matches!(&self.exchange, Exchange::Relaying(relay)
            if relay.upload == Upload::Broken);
        let call = self.exchange.call();
        let is_due = call.is_some_and(|call| !call.read) && !is_unwanted;
        is_due && self.client.conn.buffered() == 0
    }

    /// Stops the running exchange because of the client; the policy takes no outcome from it.
    pub(super) fn give_up_exchange(&mut self, end: End, now: Instant) {
        self.close_origin();
        let (call, circuit, source, status, origin, sent) = match std::mem::take(&mut self.exchange)
        {
            Exchange::Draining(_) | Exchange::None => return,
            Exchange::Connecting(connecting) => {
                let circuit = connecting.fetch.circuit();
                (connecting.call, circuit, Source::NoCache, None, None, 0)
            }
            Exchange::Relaying(relay) => {
                let origin = relay.call.origin_report(None, now);
                let circuit = relay
                    .fetch
                    .as_deref()
                    .map(Fetch::circuit)
                    .unwrap_or_default();
                match relay.download {
                    Download::Awaiting | Download::Discarding | Download::Holding(_) => {
                        (relay.call, circuit, Source::Backend, None, Some(origin), 0)
                    }
                    Download::Forwarding(forward) => {
                        let status = Some(forward.status);
                        (
                            relay.call,
                            forward.circuit,
                            Source::Backend,
                            status,
                            Some(origin),
                            forward.sent,
                        )
                    }
                }
            }
            Exchange::Receiving(call) => {
                let circuit = self.retter.circuit(now);
                (*call, circuit, Source::NoCache, None, None, 0)
            }
            Exchange::Tunnel(tunnel) => return self.report_tunnel(*tunnel, now),
            Exchange::Waiting(waiting) => {
                let circuit = self.retter.circuit(now);
                (waiting.call, circuit, Source::NoCache, None, None, 0)
            }
        };
        let report = Report {
            bytes_received: call.received,
            bytes_sent: sent,
            circuit,
            claims_forwarding: call.view.claims_forwarding(),
            client: call.view.client(),
            end,
            ended: now,
            origin,
            peer: self.peer,
            request: Some(call.request),
            source,
            started: call.started,
            status,
        };
        self.file(report, now);
    }

    /// Makes the client's connection ready for the next request, or ends it.
    pub(super) fn next_or_close(&mut self, keep: bool, request_read: bool, now: Instant) {
        self.client.read_at = now;
        if keep && request_read {
            self.client.conn.start_next_cycle();
            self.client.conn.release_if_idle();
        } else if self.life == Life::Open {
            self.life = Life::Closing(self.last());
        }
    }

    /// How to end a client's connection behind an answer: whatever else the client sends may cross
    /// it (RFC 9112 §9.6), unless it has ended its stream.
    pub(super) fn last(&self) -> Last {
        if self.client.conn.is_eof() {
            Last::Close
        } else {
            Last::Linger
        }
    }

    /// Takes leave of the origin's connection without keeping it.
    pub(super) fn close_origin(&mut self) {
        match self.exchange {
            Exchange::None | Exchange::Receiving(_) | Exchange::Waiting(_) => {}
            Exchange::Relaying(_) if is_planted(Plant::Desync) => {
                self.actions.push_back(Action::Park);
            }
            Exchange::Connecting(_)
            | Exchange::Draining(_)
            | Exchange::Relaying(_)
            | Exchange::Tunnel(_) => {
                self.actions.push_back(Action::Close(Side::Origin));
            }
        }
    }
}
