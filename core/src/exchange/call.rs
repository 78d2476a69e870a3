//! Owns what is known of one request, and how that is reported.
//! Never knows where the request stands.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::breaker::State;
use crate::event::{OriginReport, Report};
use crate::h1::Framing;
use crate::message::ProtocolError;
use crate::message::{RequestHead, ResponseHead};
use crate::report::{CallId, End, Failure, Source};
use crate::request_id::RequestId;
use crate::rules::forwarded::View;
use crate::rules::forwarding::{self, Expectation};
use crate::rules::label::Handling;
use crate::rules::own_cookies::OwnCookies;
use crate::time::Instant;

/// Whose an origin connection is, which decides what becomes of it after its exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// Nobody has signed in on it: it is parked for the next request of any client.
    Anyone,
    /// This client may have signed in on it: it is kept for that client's next request.
    Client,
    /// Somebody may have signed in on it, and nothing tells whose the next request will be: it is
    /// closed.
    Nobody,
}

/// What is known of a request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) framing: Framing,
    pub(crate) id: CallId,
    /// Whether the whole request has been read.
    pub(crate) is_read: bool,
    /// Whose the connection is that it goes out on.
    pub(crate) owner: Owner,
    pub(crate) peer: SocketAddr,
    pub(crate) request: Arc<RequestHead>,
    /// What it is called.
    pub(crate) request_id: Option<RequestId>,
    pub(crate) started: Instant,
    pub(crate) view: View,
    /// What the cookies of this program said that came with it.
    pub(crate) own_cookies: OwnCookies,
    /// What the client sent of its content that is none.
    pub(super) broken: Option<ProtocolError>,
    /// Whether the client sends the content only after a 100 (RFC 9110 §10.1.1) that has not come.
    pub(super) expects: bool,
    /// What the origin sent that is no response.
    pub(super) origin_broken: Option<ProtocolError>,
    /// Body bytes of the origin's response.
    pub(super) origin_bytes: u64,
    /// The origin's final response head, and when it came.
    pub(super) origin_head: Option<(Arc<ResponseHead>, Instant)>,
    /// When the origin was first asked.
    pub(super) origin_since: Instant,
    /// Body bytes of the request.
    pub(super) received: u64,
    pub(super) replayed: bool,
    /// The origin answers with a stream of events.
    pub(super) streams: bool,
    pub(super) upgrade: bool,
    pub(super) waited: bool,
}

/// Why a request is answered here, whatever the site says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
}

/// How an exchange went, as its report tells it.
pub(super) struct Outcome {
    pub(super) circuit: State,
    pub(super) copy_age: Option<Duration>,
    pub(super) end: End,
    pub(super) handling: Option<Handling>,
    pub(super) origin: Option<OriginReport>,
    pub(super) sent: u64,
    pub(super) source: Source,
    pub(super) status: Option<StatusCode>,
}

impl Outcome {
    /// Of a request whose client left before it was answered.
    pub(super) const fn client_left(circuit: State) -> Self {
        Self {
            circuit,
            copy_age: None,
            end: End::ClientLeft,
            handling: None,
            origin: None,
            sent: 0,
            source: Source::NoCache,
            status: None,
        }
    }
}

impl Call {
    /// A request of `peer` whose first byte was seen at `started`.
    pub(crate) fn new(
        id: CallId,
        request: Arc<RequestHead>,
        framing: Framing,
        view: View,
        peer: SocketAddr,
        started: Instant,
    ) -> Self {
        let expects = forwarding::expectation(&request) == Expectation::Continue;
        let upgrade = forwarding::upgrade(&request).is_some() && framing == Framing::Empty;
        Self {
            framing,
            id,
            is_read: false,
            owner: Owner::Anyone,
            peer,
            request,
            request_id: None,
            started,
            view,
            own_cookies: OwnCookies::default(),
            broken: None,
            expects,
            origin_broken: None,
            origin_bytes: 0,
            origin_head: None,
            origin_since: started,
            received: 0,
            replayed: false,
            streams: false,
            upgrade,
            waited: false,
        }
    }

    /// The client's address; `None` behind a proxy that is not declared, where all visitors have its.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        (!self.view.claims_forwarding()).then(|| self.view.client())
    }

    /// Whether the request has content.
    pub(crate) const fn has_content(&self) -> bool {
        !matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    /// Whether its content should be here before it is for the origin. A client that waits for a
    /// 100 waits for the origin's.
    pub(crate) const fn waits_for_content(&self) -> bool {
        self.has_content() && !self.expects
    }

    /// Why it is not for the origin, if it is not.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let request = &self.request;
        let (status, text) = if request.method == Method::CONNECT {
            // RFC 9110 §9.3.6: this is a gateway, not a tunnel to anywhere.
            let text = "CONNECT is not served here";
            (StatusCode::METHOD_NOT_ALLOWED, text)
        } else if forwarding::is_loop(&request.fields) {
            // RFC 5842 §7.2: it would go round until something breaks.
            let text = "this request has passed here before; the application's address leads back";
            (StatusCode::LOOP_DETECTED, text)
        } else if forwarding::max_forwards(request) == Some(0) {
            // RFC 9110 §7.6.2: it was to come no further than here.
            if request.method == Method::OPTIONS {
                (StatusCode::OK, "retter answers, as Max-Forwards is 0")
            } else {
                (StatusCode::NOT_IMPLEMENTED, "retter itself shows no trace")
            }
        } else if forwarding::expectation(request) == Expectation::Unknown {
            // RFC 9110 §10.1.1: nobody can meet it.
            let text = "only 100-continue can be expected";
            (StatusCode::EXPECTATION_FAILED, text)
        } else {
            return None;
        };
        Some(Fault { status, text })
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
            broken: self.origin_broken,
            bytes: self.origin_bytes,
            failure,
            is_stream: self.streams,
            head: head.map(|(head, at)| (Arc::clone(head), at.saturating_since(since))),
            status: head.map(|(head, _)| head.status),
            time: ended.saturating_since(since),
        }
    }

    /// The report of a request that was given up before anything was decided about it.
    pub(crate) fn abandoned(&self, circuit: State, now: Instant) -> Report {
        self.report(Outcome::client_left(circuit), now)
    }

    pub(super) fn report(&self, outcome: Outcome, now: Instant) -> Report {
        let Outcome {
            circuit,
            copy_age,
            end,
            handling,
            origin,
            sent,
            source,
            status,
        } = outcome;
        Report {
            call: self.id,
            broken: self.broken,
            bytes_received: self.received,
            bytes_sent: sent,
            circuit,
            claims_forwarding: self.view.claims_forwarding(),
            client: self.view.client(),
            copy_age,
            end,
            ended: now,
            handling,
            origin,
            peer: self.peer,
            request: Some(Arc::clone(&self.request)),
            request_id: self.request_id.clone(),
            source,
            started: self.started,
            status,
            waited: self.waited,
        }
    }
}
