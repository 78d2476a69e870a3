//! Owns the way to a connection to the origin, and what the origin gets of a request's head.
//! Never makes a connection: it says that it wants one.

use super::answer::Shared;
use super::download::Download;
use super::origin::Origin;
use super::relay::Relay;
use super::upload::Upload;
use crate::canary::{Plant, is_planted};
use crate::h1::{ClientConn, Framing, HeadWriter, SendQueue};
use crate::report::{End, Failure};
use crate::request_id::X_REQUEST_ID;
use crate::rules::{conditional, forwarding};
use crate::site::{Fetch, Ticket};
use crate::time::Instant;

/// Waiting for a connection to the origin.
#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) fetch: Fetch,
    pub(super) since: Instant,
}

impl Connecting {
    /// The connection stands: the request goes out. `conn` is what is known of one that this
    /// client has used before.
    pub(super) fn connected(
        self,
        reused: bool,
        conn: Option<Box<ClientConn>>,
        shared: &Shared,
        now: Instant,
    ) -> Box<Relay> {
        let mut fetch = self.fetch;
        let call = &shared.call;
        let settings = shared.origin();
        let new = || {
            let conn = ClientConn::new(settings.head_bytes_max);
            conn.with_fields_max(settings.head_fields_max)
        };
        let mut conn = conn.map_or_else(new, |conn| *conn);
        conn.begin(&call.request.method, call.upgrade);
        let mut out = SendQueue::default();
        put_head(&mut out, &fetch, shared);
        if !reused {
            fetch.on_connected(now);
        }
        if call.is_read {
            fetch.on_sent(now);
        }
        Box::new(Relay {
            download: Download::Awaiting(fetch),
            origin: Origin::new(conn, out, reused, settings, now),
            upload: Upload::new(call.framing, call.is_read),
            waited_at: None,
        })
    }

    /// No connection came about, so nothing was sent: the request may wait for one.
    pub(super) fn failed(self, shared: &mut Shared, now: Instant) -> Option<Ticket> {
        shared.fail(self.fetch, Failure::Connect, now)
    }

    /// There was nothing to connect with: the origin was not asked, so nothing is reported of it.
    pub(super) fn no_socket(self, shared: &mut Shared, now: Instant) {
        if is_planted(Plant::WantIsFailure) {
            return drop(shared.fail(self.fetch, Failure::Connect, now));
        }
        let fetch = self.fetch;
        if !shared.is_joined {
            fetch.abandon(now);
            let report = shared.call.origin_report(None, now);
            return shared.report_renewal(End::ClientLeft, report, now);
        }
        match fetch.unasked(now) {
            Ok(served) => shared.serve(served, None, now),
            Err(refusal) => shared.refuse(&refusal, None, now),
        }
    }
}

/// Writes the request's head as the origin gets it.
fn put_head(out: &mut SendQueue, fetch: &Fetch, shared: &Shared) {
    let call = &shared.call;
    let request = &call.request;
    let validators = fetch.validators();
    let settings = shared.origin();
    let target = forwarding::origin_target(request, &settings.path_prefix);
    let mut head = HeadWriter::request(out, &request.method, &target);
    forwarding::forward_request(request, &call.view, &settings.authority, |line| {
        if validators.is_none() || !conditional::is_cache_condition(line.name) {
            head.line(line);
        }
    });
    if let Some(validators) = validators {
        validators.put_conditions(|name, value| {
            head.field(name, value);
        });
    }
    if let Some(id) = &call.request_id {
        id.with(|text| {
            head.field(X_REQUEST_ID, text);
        });
    }
    match call.framing {
        Framing::Chunked => {
            head.field("transfer-encoding", b"chunked");
        }
        Framing::Length(length) => {
            head.field_number("content-length", length);
        }
        Framing::Empty | Framing::UntilClose => {}
    }
    let protocol = call.upgrade.then(|| forwarding::upgrade(request)).flatten();
    match (protocol, forwarding::accepts_trailers(&request.fields)) {
        (None, false) => {}
        (None, true) => {
            head.field("connection", b"te");
        }
        (Some(protocol), trailers) => {
            let tokens: &[u8] = if trailers { b"upgrade, te" } else { b"upgrade" };
            head.field("connection", tokens);
            head.field("upgrade", protocol);
        }
    }
    head.finish();
}
