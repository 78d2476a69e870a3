//! Owns the origin's connection in a session: asking, replaying once, and what its failures mean.
//! Never decides whether a failure is rescued: `policy` does.

use super::answer::Local;
use super::bound::Owner;
use super::exchange::{Call, Connecting, Download, Exchange, Relay, Upload};
use super::timer::origin_read;
use super::{Action, Last, Life, Session};
use crate::canary::{Plant, is_planted};
use crate::config::OriginSettings;
use crate::h1::{BodyEncoder, ClientConn, Event, Framing, HeadWriter, SendQueue};
use crate::pace::Pace;
use crate::policy::Fetch;
use crate::report::{End, Failure};
use crate::rules::conditional;
use crate::rules::forwarding;
use crate::time::Instant;

/// The origin's connection. It dies with its exchange or is left without any of this, but for what
/// has been read where the client keeps it.
#[derive(Debug)]
pub(super) struct OriginSide {
    pub(super) conn: ClientConn,
    pub(super) out: SendQueue,
    /// Whether any byte of the request has left.
    pub(super) is_asked: bool,
    /// It takes no more for now: the client waits for it.
    pub(super) is_full: bool,
    pub(super) owner: Owner,
    /// Last byte received, or the moment from which one is expected.
    pub(super) read_at: Instant,
    /// Until when more of a body of known length must have come.
    pub(super) read_pace: Pace,
    /// Last progress of the send queue; the request has left when the queue is empty.
    pub(super) write_at: Instant,
    reused: bool,
}

impl OriginSide {
    /// Its time to send begins anew.
    pub(super) fn expect_bytes(&mut self, settings: &OriginSettings, now: Instant) {
        self.read_at = now;
        self.read_pace = Pace::start(origin_read(settings), now);
        if !self.out.is_empty() {
            // What it sends may have been what kept it from reading.
            self.write_at = now;
        }
    }

    /// It takes nothing more.
    fn stop_writing(&mut self, now: Instant) {
        self.out.clear();
        self.is_full = false;
        self.write_at = now;
    }
}

impl Session {
    /// The connection stands: the request goes out.
    pub(super) fn connected(&mut self, reused: bool, now: Instant) {
        match std::mem::take(&mut self.exchange) {
            Exchange::Connecting(connecting) => {
                let Connecting {
                    bound,
                    call,
                    mut fetch,
                    ..
                } = *connecting;
                let config = self.retter.config();
                let mut conn = match bound {
                    Some(conn) if reused => *conn,
                    // A new one, or one of which nothing is left to know.
                    Some(_) | None => ClientConn::new(config.site().origin.head_bytes_max),
                };
                conn.begin(&call.request.method, call.upgrade);
                let mut out = SendQueue::default();
                self.put_origin_head(&mut out, &call, &fetch);
                let encoder = BodyEncoder::from(call.framing);
                let upload = if call.read {
                    fetch.on_sent(now);
                    Upload::Sent
                } else {
                    Upload::Sending
                };
                let origin = OriginSide {
                    conn,
                    out,
                    is_asked: false,
                    is_full: false,
                    owner: call.owner,
                    read_at: now,
                    read_pace: Pace::start(origin_read(&config.site().origin), now),
                    write_at: now,
                    reused,
                };
                self.expect_body(now);
                self.exchange = Exchange::Relaying(Box::new(Relay {
                    call,
                    download: Download::Awaiting,
                    encoder,
                    fetch: Some(fetch),
                    origin,
                    upload,
                }));
            }
            // The exchange ended while the connection was being made.
            other @ (Exchange::Draining(_)
            | Exchange::None
            | Exchange::Receiving(_)
            | Exchange::Relaying(_)
            | Exchange::Tunnel(_)
            | Exchange::Waiting(_)) => {
                debug_assert!(matches!(other, Exchange::None), "one connection at a time");
                self.exchange = other;
            }
        }
    }

    /// Writes the request's head as the origin gets it.
    fn put_origin_head(&self, out: &mut SendQueue, call: &Call, fetch: &Fetch) {
        let Call {
            framing,
            request,
            upgrade,
            view,
            ..
        } = call;
        let validators = fetch.validators();
        let settings = &self.retter.config().site().origin;
        let target = forwarding::origin_target(request, &settings.path_prefix);
        let mut head = HeadWriter::request(out, &request.method, &target);
        forwarding::forward_request(request, view, &settings.authority, |line| {
            if validators.is_none() || !conditional::is_cache_condition(line.name) {
                head.line(line);
            }
        });
        if let Some(validators) = validators {
            validators.put_conditions(|name, value| {
                head.field(name, value);
            });
        }
        match *framing {
            Framing::Chunked => {
                head.field("transfer-encoding", b"chunked");
            }
            Framing::Length(length) => {
                head.field_number("content-length", length);
            }
            Framing::Empty | Framing::UntilClose => {}
        }
        let protocol = upgrade.then(|| forwarding::upgrade(request)).flatten();
        match (protocol, forwarding::accepts_trailers(&request.fields)) {
            (None, false) => {}
            (None, true) => {
                head.field("connection", b"te");
            }
            (Some(protocol), trailers) => {
                head.field(
                    "connection",
                    if trailers { b"upgrade, te" } else { b"upgrade" },
                );
                head.field("upgrade", protocol);
            }
        }
        head.finish();
    }

    pub(super) fn connect_failed(&mut self, now: Instant) {
        match std::mem::take(&mut self.exchange) {
            Exchange::Connecting(connecting) => {
                self.fetch_failed(*connecting, Failure::Connect, now);
            }
            // The exchange ended while the connection was being made.
            other @ (Exchange::Draining(_)
            | Exchange::None
            | Exchange::Receiving(_)
            | Exchange::Relaying(_)
            | Exchange::Tunnel(_)
            | Exchange::Waiting(_)) => self.exchange = other,
        }
    }

    /// There was nothing to connect with: the origin was not asked, so nothing is reported of it.
    pub(super) fn no_socket(&mut self, now: Instant) {
        if is_planted(Plant::WantIsFailure) {
            return self.connect_failed(now);
        }
        match std::mem::take(&mut self.exchange) {
            Exchange::Connecting(connecting) => {
                let Connecting { call, fetch, .. } = *connecting;
                if self.is_background() {
                    fetch.abandon(now);
                    let report = call.origin_report(None, now);
                    return self.report_refresh(call, End::ClientLeft, report, now);
                }
                match fetch.unasked(now) {
                    Ok(served) => self.serve(call, &served, None, now),
                    Err(refusal) => self.refuse(call, &refusal, now),
                }
            }
            // The exchange ended while the connection was being made.
            other @ (Exchange::Draining(_)
            | Exchange::None
            | Exchange::Receiving(_)
            | Exchange::Relaying(_)
            | Exchange::Tunnel(_)
            | Exchange::Waiting(_)) => self.exchange = other,
        }
    }

    pub(super) fn connect_timed_out(&mut self, now: Instant) {
        self.close_origin();
        self.connect_failed(now);
    }

    /// The origin was silent for too long.
    pub(super) fn origin_stalled(&mut self, now: Instant) {
        match self.exchange {
            Exchange::Relaying(_) => self.origin_failed(Failure::Timeout, now),
            Exchange::Draining(_) => self.stop_draining(),
            Exchange::Connecting(_)
            | Exchange::None
            | Exchange::Receiving(_)
            | Exchange::Tunnel(_)
            | Exchange::Waiting(_) => {
                debug_assert!(false, "only a response can be late");
            }
        }
    }

    /// The origin sent `len` bytes; 0 is the end of its stream.
    pub(super) fn origin_read(&mut self, len: usize, now: Instant) {
        let Some(origin) = self.exchange.origin_mut() else {
            // Nothing was asked on it.
            return self.unbind();
        };
        // RFC 9112 §9.2: what comes on a used connection before a byte of the request has left
        // belongs to an earlier exchange.
        if len > 0 && origin.reused && !origin.is_asked {
            return self.origin_failed(Failure::Reset, now);
        }
        let terms = origin_read(&self.retter.config().site().origin);
        origin.read_at = now;
        origin.read_pace.moved(len, terms, now);
        origin.conn.handle_read(len);
    }

    /// The origin's connection broke while reading.
    pub(super) fn origin_reset(&mut self, now: Instant) {
        match &self.exchange {
            // The client's own is gone, if it has one.
            Exchange::None | Exchange::Receiving(_) | Exchange::Waiting(_) => self.unbind(),
            Exchange::Connecting(_) => self.connect_failed(now),
            Exchange::Draining(_) => self.stop_draining(),
            Exchange::Relaying(relay) => {
                let failure = match relay.download {
                    Download::Awaiting if !relay.origin.conn.has_started() => Failure::Reset,
                    Download::Awaiting
                    | Download::Discarding
                    | Download::Forwarding(_)
                    | Download::Holding(_) => Failure::Truncated,
                };
                self.origin_failed(failure, now);
            }
            Exchange::Tunnel(_) => self.tunnel_ended(now),
        }
    }

    /// The origin takes no more bytes. It may have answered early (RFC 9112 §9.5): read on.
    pub(super) fn origin_deaf(&mut self, now: Instant) {
        match &mut self.exchange {
            // The client's own is gone, if it has one.
            Exchange::None | Exchange::Receiving(_) | Exchange::Waiting(_) => self.unbind(),
            Exchange::Connecting(_) => self.connect_failed(now),
            Exchange::Draining(_) => self.stop_draining(),
            Exchange::Relaying(relay) => {
                relay.origin.stop_writing(now);
                relay.upload = Upload::Broken;
            }
            Exchange::Tunnel(tunnel) => {
                tunnel.origin.stop_writing(now);
                tunnel.is_deaf = true;
            }
        }
    }

    /// The origin failed below HTTP. Replays once on a new connection where that is safe, else
    /// rescues, else answers with an error, else shows the client a broken connection.
    pub(super) fn origin_failed(&mut self, failure: Failure, now: Instant) {
        self.close_origin();
        let Exchange::Relaying(relay) = std::mem::take(&mut self.exchange) else {
            debug_assert!(false, "only a relay has an origin that can fail");
            return;
        };
        let Relay {
            call,
            download,
            fetch,
            origin,
            ..
        } = *relay;
        match (download, fetch) {
            (Download::Discarding, fetch) => {
                if let Some(fetch) = fetch {
                    drop(fetch.on_failure(failure, now));
                }
                let report = call.origin_report(Some(failure), now);
                self.report_refresh(call, End::Truncated, report, now);
            }
            (Download::Awaiting | Download::Holding(_), Some(fetch)) => {
                let connecting = Connecting {
                    bound: None,
                    call,
                    fetch,
                    since: now,
                };
                self.replay_or_fail(connecting, origin.reused, failure, now);
            }
            (Download::Forwarding(mut forward), fetch) => {
                // The client gets everything that came, also what a compressor still holds.
                self.mark_client_write(now);
                forward.flush(&mut self.client.out);
                forward.break_off(&mut self.client.out);
                match fetch {
                    // An origin that gives up on a client that reads slowly is not to blame.
                    Some(fetch) if forward.was_paused => fetch.abandon(now),
                    // The head is out: too late to rescue, but the outcome counts.
                    Some(fetch) => drop(fetch.on_failure(failure, now)),
                    None => {}
                }
                let origin = Some(call.origin_report(Some(failure), now));
                // RFC 9112 §8: the client must see that the body is incomplete.
                let last = forward.cut(Last::Close);
                self.file_forwarded(call, &forward, origin, End::Truncated, now);
                self.life = Life::Closing(last);
            }
            (Download::Awaiting | Download::Holding(_), None) => {
                debug_assert!(
                    false,
                    "the policy keeps the fetch until a head is passed on"
                );
            }
        }
    }

    /// RFC 9110 §9.2.2: a safe request may be repeated when an idle connection turns out to have
    /// been closed before any byte of a response. Others are sent on a `reused` connection only
    /// where that is the client's own, and fail with it: the origin may have acted on them.
    fn replay_or_fail(
        &mut self,
        mut connecting: Connecting,
        reused: bool,
        failure: Failure,
        now: Instant,
    ) {
        let call = &connecting.call;
        // Content that has passed is not here any more.
        let is_repeatable = call.request.method.is_safe() && !call.has_content();
        let stale = failure == Failure::Reset
            && (reused && is_repeatable || is_planted(Plant::RepeatedWrite));
        if stale && !connecting.call.replayed {
            connecting.call.replayed = true;
            self.actions.push_back(Action::Connect { fresh: true });
            self.exchange = Exchange::Connecting(Box::new(connecting));
        } else {
            self.fetch_failed(connecting, failure, now);
        }
    }

    /// The fetch ended without a response head.
    pub(super) fn fetch_failed(&mut self, failed: Connecting, failure: Failure, now: Instant) {
        let Connecting { call, fetch, .. } = failed;
        let report = call.origin_report(Some(failure), now);
        if self.is_background() {
            drop(fetch.on_failure(failure, now));
            return self.report_refresh(call, End::Complete, report, now);
        }
        let origin = Some(report);
        let (circuit, handling) = (fetch.circuit(), fetch.failed(failure));
        let status = fetch.error_status(failure);
        match fetch.on_failure(failure, now) {
            Some(served) => self.serve(call, &served, origin, now),
            None => {
                let text = failure.to_string();
                let local = Local {
                    circuit,
                    handling: Some(handling),
                    origin,
                    retry_after_secs: None,
                    status,
                    text: &text,
                };
                self.answer_locally(call, &local, now);
            }
        }
    }

    /// Reads what nobody wants of a response, within bounds, as long as nobody waits for it.
    pub(super) fn pump_draining(&mut self) -> bool {
        let nobody_waits =
            self.client.conn.is_idle() && !self.client.conn.is_eof() && !self.draining;
        let Exchange::Draining(draining) = &mut self.exchange else {
            return false;
        };
        match draining.origin.conn.next_event() {
            Ok(Event::Data(data)) => {
                match draining.left.checked_sub(data.len() as u64) {
                    Some(left) => draining.left = left,
                    None => self.stop_draining(),
                }
                true
            }
            Ok(Event::End { .. }) => {
                if let Exchange::Draining(draining) = std::mem::take(&mut self.exchange) {
                    self.leave_origin(draining.origin, true, false);
                }
                true
            }
            Ok(Event::NeedData) if nobody_waits => false,
            Ok(Event::NeedData | Event::Closed | Event::Head(_)) | Err(_) => {
                self.stop_draining();
                true
            }
        }
    }

    pub(super) fn stop_draining(&mut self) {
        self.close_origin();
        self.exchange = Exchange::None;
    }
}
