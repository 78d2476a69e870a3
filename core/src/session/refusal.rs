//! Owns the answers to bytes that are no request, so that there is no exchange to answer them.
//! Never decides what is none: the client's side does.

use std::net::SocketAddr;

use http::StatusCode;

use crate::event::Report;
use crate::exchange::reply::{Data, Reply, Told};
use crate::gateway::Gateway;
use crate::message::Fields;
use crate::message::ProtocolError;
use crate::report::{CallId, End, Source};
use crate::time::Instant;

/// What a client is told whose request did not come in time.
pub(super) const LATE: (StatusCode, &str) = (
    StatusCode::REQUEST_TIMEOUT,
    "the request did not arrive in time",
);

/// Why what a client sent is no request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unparsed {
    /// It is not here in time.
    Late,
    Malformed(ProtocolError),
}

/// The answer to what `peer` has sent since `started`, and its report.
pub(super) fn unparsed(
    gateway: &Gateway,
    peer: SocketAddr,
    why: Unparsed,
    started: Instant,
    now: Instant,
) -> ([Reply; 3], Report) {
    let (broken, status, text) = match why {
        Unparsed::Late => (None, LATE.0, LATE.1.to_owned()),
        Unparsed::Malformed(error) => (Some(error), error.status_hint(), error.to_string()),
    };
    let request_id = gateway.make_id();
    let told = Told {
        circuit: gateway.site().circuit(now),
        cookie: None,
        goes_to: None,
        place: None,
        public: None,
        handling: None,
        message: None,
        may_keep: false,
        request_id: request_id.clone(),
        retry_after_secs: None,
        status,
        text: &text,
    };
    let (head, content) = told.answer(
        &gateway.client().own_pages,
        None,
        gateway.site().wall_clock(now),
    );
    let report = Report {
        broken,
        bytes_received: 0,
        bytes_sent: content.len() as u64,
        call: CallId::FIRST,
        circuit: told.circuit,
        claims_forwarding: false,
        client: peer.ip().to_canonical(),
        copy_age: None,
        end: End::Complete,
        ended: now,
        handling: None,
        origin: None,
        peer,
        request: None,
        request_id,
        source: Source::NoCache,
        started,
        status: Some(status),
        waited: false,
    };
    let end = Reply::End {
        is_read: false,
        trailers: Fields::default(),
    };
    let content = Reply::Data(Data::from(content));
    ([Reply::Head(Box::new(head)), content, end], report)
}
