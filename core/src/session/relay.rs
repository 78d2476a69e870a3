//! Owns the passage of one request to the origin and of its response to the client.
//! Never holds more of a body than the send queues' bounds.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::Session;
use super::exchange::{Call, Download, Draining, Exchange, Relay, Tunnel, Upload};
use crate::breaker::State;
use crate::config::OriginSettings;
use crate::h1::{BodyEncoder, Event, Framing, HeadWriter};
use crate::limits::DRAIN_BYTES_MAX;
use crate::message::{Fields, ResponseHead};
use crate::policy::Verdict;
use crate::report::{End, Failure, OriginReport, Report, Source};
use crate::rules::coding::GzipStream;
use crate::rules::forwarding;
use crate::time::Instant;

/// A response on its way to the client.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) circuit: State,
    pub(super) encoder: BodyEncoder,
    pub(super) event_stream: bool,
    pub(super) gzip: Option<GzipStream>,
    pub(super) keep: bool,
    pub(super) sent: u64,
    pub(super) status: StatusCode,
    /// Bytes are in the compressor that the client has not seen.
    pub(super) unflushed: bool,
}

impl Forward {
    /// Longest silence of the origin inside this body.
    pub(super) const fn silence_max(&self, settings: &OriginSettings) -> Duration {
        if self.event_stream {
            settings.tunnel_timeout
        } else {
            settings.body_timeout
        }
    }

    /// Whether the end of the body is the end of the connection.
    pub(super) const fn ends_by_close(&self) -> bool {
        matches!(self.encoder, BodyEncoder::UntilClose)
    }
}

impl Session {
    /// Moves one piece of the request or the response.
    pub(super) fn pump_relay(&mut self, now: Instant) -> bool {
        let uploaded = self.pump_upload(now);
        let downloaded = self.pump_download(now);
        uploaded || downloaded
    }

    fn pump_upload(&mut self, now: Instant) -> bool {
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return false;
        };
        if relay.upload != Upload::Sending || !relay.upload_has_room() {
            return false;
        }
        if relay.origin.out.is_empty() {
            relay.origin.write_at = now;
        }
        let moved = match self.client.conn.next_event() {
            Ok(Event::Data(data)) => {
                relay.call.received = relay.call.received.saturating_add(data.len() as u64);
                relay.encoder.data(data, &mut relay.origin.out)
            }
            Ok(Event::End { trailers }) => {
                relay.upload = Upload::Sent;
                relay.call.read = true;
                relay.encoder.end(&trailers, &mut relay.origin.out)
            }
            Ok(Event::NeedData) => return false,
            Ok(Event::Closed | Event::Head(_)) => {
                debug_assert!(false, "the decoder ends a body before the next head");
                return false;
            }
            Err(_) if self.client.conn.is_eof() => {
                self.client_left(now);
                return false;
            }
            Err(error) => {
                self.refuse_body(error.status_hint(), &error.to_string(), now);
                return false;
            }
        };
        debug_assert!(
            moved.is_ok(),
            "the decoder delivers exactly what the head announced"
        );
        true
    }

    fn pump_download(&mut self, now: Instant) -> bool {
        let has_room = self.client_has_room();
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return false;
        };
        if !has_room {
            return false;
        }
        match relay.origin.conn.next_event() {
            Ok(Event::Head(head)) => self.on_head(&head, now),
            Ok(Event::Data(data)) => self.on_data(data, now),
            Ok(Event::End { trailers }) => self.on_end(&trailers, now),
            Ok(Event::NeedData) => return self.flush_gzip(now),
            Ok(Event::Closed) => self.origin_failed(Failure::Reset, now),
            Err(_) if relay.origin.conn.is_eof() => {
                let failure = if relay.origin.conn.has_started() {
                    Failure::Truncated
                } else {
                    Failure::Reset
                };
                self.origin_failed(failure, now);
            }
            Err(_) => self.origin_failed(Failure::Protocol, now),
        }
        true
    }

    fn on_head(&mut self, head: &ResponseHead, now: Instant) {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return self.start_tunnel(head, now);
        }
        if head.status.is_informational() {
            return self.pass_interim(head, now);
        }
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return;
        };
        let Some(mut fetch) = relay.fetch.take() else {
            return;
        };
        match fetch.on_head(head, now) {
            Verdict::Forward => {
                relay.fetch = Some(fetch);
                self.start_forward(head, now);
            }
            Verdict::Rescue(served) => {
                drop(fetch);
                self.rescue(head.status, &served, now);
            }
        }
    }

    /// Answers from a copy instead of the failed response, whose body is drained if it is short.
    fn rescue(&mut self, status: StatusCode, served: &crate::policy::Served, now: Instant) {
        let Exchange::Relaying(relay) = std::mem::take(&mut self.exchange) else {
            return;
        };
        let report = OriginReport {
            failure: None,
            status: Some(status),
            time: relay.call.origin_time(now),
        };
        let short = match relay.origin.conn.framing() {
            Framing::Length(length) => length <= DRAIN_BYTES_MAX,
            Framing::Chunked | Framing::Empty => true,
            Framing::UntilClose => false,
        };
        let Relay {
            call,
            origin,
            upload,
            ..
        } = *relay;
        self.serve(call, served, Some(report), now);
        self.exchange = Exchange::Draining(Box::new(Draining {
            left: DRAIN_BYTES_MAX,
            origin,
        }));
        if !short || upload != Upload::Sent {
            self.stop_draining();
        }
    }

    fn on_data(&mut self, data: Bytes, now: Instant) {
        if self.client.out.is_empty() {
            self.client.write_at = now;
        }
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return;
        };
        match &mut relay.download {
            Download::Forwarding(forward) => {
                if let Some(fetch) = &mut relay.fetch {
                    fetch.on_data(&data);
                }
                let Forward {
                    encoder,
                    gzip,
                    sent,
                    unflushed,
                    ..
                } = &mut **forward;
                let out = &mut self.client.out;
                let mut push = |data: Bytes| {
                    *sent = sent.saturating_add(data.len() as u64);
                    let pushed = encoder.data(data, out);
                    debug_assert!(pushed.is_ok(), "the decoder enforces the length");
                };
                match gzip {
                    Some(gzip) => {
                        gzip.write(&data, false, &mut push);
                        *unflushed = true;
                    }
                    None => push(data),
                }
            }
            Download::Awaiting => debug_assert!(false, "the head comes first"),
        }
    }

    /// The origin pauses: what the compressor holds goes out, so that no page waits half drawn.
    fn flush_gzip(&mut self, now: Instant) -> bool {
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return false;
        };
        let Download::Forwarding(forward) = &mut relay.download else {
            return false;
        };
        let Forward {
            encoder,
            gzip: Some(gzip),
            sent,
            unflushed,
            ..
        } = &mut **forward
        else {
            return false;
        };
        if !std::mem::take(unflushed) {
            return false;
        }
        if self.client.out.is_empty() {
            self.client.write_at = now;
        }
        let out = &mut self.client.out;
        gzip.write(&[], true, &mut |data: Bytes| {
            *sent = sent.saturating_add(data.len() as u64);
            let pushed = encoder.data(data, out);
            debug_assert!(
                pushed.is_ok(),
                "a compressed body is chunked or ends by close"
            );
        });
        true
    }

    fn on_end(&mut self, trailers: &Fields, now: Instant) {
        if self.client.out.is_empty() {
            self.client.write_at = now;
        }
        let Exchange::Relaying(relay) = std::mem::take(&mut self.exchange) else {
            return;
        };
        self.leave_origin(&relay.origin, relay.upload == Upload::Sent);
        let origin = relay.origin_report(now);
        let Relay {
            call,
            download,
            fetch,
            ..
        } = *relay;
        let Download::Forwarding(mut forward) = download else {
            debug_assert!(false, "the head comes first");
            return;
        };
        let Forward {
            encoder,
            gzip,
            sent,
            ..
        } = &mut *forward;
        let out = &mut self.client.out;
        if let Some(gzip) = gzip.take() {
            gzip.finish(&mut |data: Bytes| {
                *sent = sent.saturating_add(data.len() as u64);
                let pushed = encoder.data(data, out);
                debug_assert!(
                    pushed.is_ok(),
                    "a compressed body is chunked or ends by close"
                );
            });
        }
        let ended = encoder.end(trailers, out);
        debug_assert!(
            ended.is_ok(),
            "the decoder delivers exactly what the head announced"
        );
        if let Some(fetch) = fetch {
            fetch.on_end(now);
        }
        let (keep, read) = (forward.keep, call.read);
        self.file_forwarded(call, &forward, Some(origin), End::Complete, now);
        self.next_or_close(keep, read, now);
    }

    /// Files the report of a response that was passed on.
    pub(super) fn file_forwarded(
        &mut self,
        call: Call,
        forward: &Forward,
        origin: Option<OriginReport>,
        end: End,
        now: Instant,
    ) {
        let report = Report {
            bytes_received: call.received,
            bytes_sent: forward.sent,
            circuit: forward.circuit,
            end,
            ended: now,
            origin,
            peer: self.peer,
            request: Some(call.request),
            source: Source::Backend,
            started: call.started,
            status: Some(forward.status),
        };
        self.file(report, now);
    }

    /// RFC 9110 §7.8: both connections carry another protocol from here.
    fn start_tunnel(&mut self, head: &ResponseHead, now: Instant) {
        let Exchange::Relaying(relay) = std::mem::take(&mut self.exchange) else {
            return;
        };
        let Relay {
            call,
            fetch,
            origin,
            ..
        } = *relay;
        let mut out = HeadWriter::response(head.status, &head.reason);
        forwarding::forward_response(head, |name, value| {
            out.field(name, value);
        });
        out.field("connection", b"upgrade");
        if let Some(protocol) = head.fields.get("upgrade") {
            out.field("upgrade", protocol);
        }
        let circuit = fetch
            .as_ref()
            .map(crate::policy::Fetch::circuit)
            .unwrap_or_default();
        if let Some(mut fetch) = fetch {
            // No status is a failure here, so there is nothing to rescue from.
            drop(fetch.on_head(head, now));
            fetch.put_labels(&mut |name, value| {
                out.field(name, value);
            });
            fetch.on_end(now);
        }
        self.queue(out.finish(), now);
        self.exchange = Exchange::Tunnel(Box::new(Tunnel {
            call,
            circuit,
            head_at: now,
            origin,
            sent: 0,
            shut_client: false,
            shut_origin: false,
        }));
    }

    /// Queues bytes for the client.
    pub(super) fn queue(&mut self, bytes: Bytes, now: Instant) {
        if self.client.out.is_empty() {
            self.client.write_at = now;
        }
        self.client.out.push(bytes);
    }
}
