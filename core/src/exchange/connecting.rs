//! Owns the way to a connection to the origin, and what the origin gets of a request's head.
//! Never makes a connection: it says that it wants one.

use super::answer::Shared;
use super::origin::Origin;
use super::relay::{Download, Relay, Upload};
use super::reply::Told;
use super::{Action, State};
use crate::canary::{Plant, is_planted};
use crate::h1::{BodyEncoder, ClientConn, Framing, HeadWriter, SendQueue};
use crate::policy::Fetch;
use crate::report::{End, Failure};
use crate::rules::{conditional, forwarding};
use crate::time::Instant;

/// Waiting for a connection to the origin.
#[derive(Debug)]
pub(super) struct Connecting {
    pub(super) fetch: Box<Fetch>,
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
    ) -> State {
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
        let upload = if call.is_read {
            fetch.on_sent(now);
            Upload::Sent
        } else {
            Upload::Sending
        };
        State::Relaying(Box::new(Relay {
            download: Download::Awaiting,
            encoder: BodyEncoder::from(call.framing),
            fetch: Some(fetch),
            origin: Origin::new(conn, out, reused, settings, now),
            upload,
        }))
    }

    /// RFC 9110 §9.2.2: a safe request may be repeated when an idle connection turns out to have
    /// been closed before any byte of a response. Others are sent on a `reused` connection only
    /// where that is the client's own, and fail with it: the origin may have acted on them.
    pub(super) fn replay_or_fail(
        self,
        reused: bool,
        failure: Failure,
        shared: &mut Shared,
        now: Instant,
    ) -> State {
        let call = &mut shared.call;
        // Content that has passed is not here any more.
        let is_repeatable = call.request.method.is_safe() && !call.has_content();
        let stale = failure == Failure::Reset
            && (reused && is_repeatable || is_planted(Plant::RepeatedWrite));
        if stale && !call.replayed {
            call.replayed = true;
            shared.actions.push(Action::Connect { fresh: true });
            State::Connecting(self)
        } else {
            self.failed(failure, shared, now)
        }
    }

    /// The fetch ended without a response head.
    pub(super) fn failed(self, failure: Failure, shared: &mut Shared, now: Instant) -> State {
        let fetch = self.fetch;
        let report = shared.call.origin_report(Some(failure), now);
        if !shared.is_joined {
            drop(fetch.on_failure(failure, now));
            shared.report_renewal(End::Complete, report, now);
            return State::Done;
        }
        let (circuit, handling) = (fetch.circuit(), fetch.failed(failure));
        let status = fetch.error_status(failure);
        match fetch.on_failure(failure, now) {
            Some(served) => shared.serve(served, Some(report), now),
            None => {
                let told = Told {
                    circuit,
                    handling: Some(handling),
                    may_keep: shared.call.is_read,
                    retry_after_secs: None,
                    status,
                    text: &failure.to_string(),
                };
                shared.answer_locally(&told, Some(report), now);
            }
        }
        State::Done
    }

    /// There was nothing to connect with: the origin was not asked, so nothing is reported of it.
    pub(super) fn no_socket(self, shared: &mut Shared, now: Instant) -> State {
        if is_planted(Plant::WantIsFailure) {
            return self.failed(Failure::Connect, shared, now);
        }
        let fetch = self.fetch;
        if !shared.is_joined {
            fetch.abandon(now);
            let report = shared.call.origin_report(None, now);
            shared.report_renewal(End::ClientLeft, report, now);
            return State::Done;
        }
        match fetch.unasked(now) {
            Ok(served) => shared.serve(served, None, now),
            Err(refusal) => shared.refuse(&refusal, now),
        }
        State::Done
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
