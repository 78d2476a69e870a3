//! Owns the passage of one request to the origin and of its response to the client.
//! Never holds more of a body than the queues take, but for a short answer that is held back.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::Session;
use super::exchange::{Call, Download, Draining, Exchange, Relay, Tunnel, Upload};
use super::forward::{Forward, Held};
use super::room::Room;
use super::timer::client_write;
use crate::canary::{Plant, is_planted};
use crate::h1::{Event, Framing, HeadWriter};
use crate::limits::{DRAIN_BYTES_MAX, HOLD_BYTES_MAX};
use crate::message::{Fields, ResponseHead};
use crate::policy::{Fetch, Verdict};
use crate::report::{End, Failure, OriginReport, Report, Source};
use crate::rules::forwarding;
use crate::time::Instant;

impl Session {
    /// Moves one piece of the request or the response.
    pub(super) fn pump_relay(&mut self, now: Instant) -> bool {
        let uploaded = self.pump_upload(now);
        let downloaded = self.pump_download(now);
        uploaded || downloaded
    }

    fn pump_upload(&mut self, now: Instant) -> bool {
        let sends = matches!(&self.exchange, Exchange::Relaying(relay)
            if relay.upload == Upload::Sending);
        if !sends || !self.check_origin_room(now) {
            return false;
        }
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return false;
        };
        let was_empty = relay.origin.out.is_empty();
        let moved = match self.client.conn.next_event() {
            Ok(Event::Data(data)) => {
                relay.call.received = relay.call.received.saturating_add(data.len() as u64);
                relay.call.expects = false;
                relay.encoder.data(data, &mut relay.origin.out)
            }
            Ok(Event::End { trailers }) => {
                relay.upload = Upload::Sent;
                relay.call.read = true;
                if let Some(fetch) = &mut relay.fetch {
                    fetch.on_sent(now);
                }
                relay.encoder.end(&trailers, &mut relay.origin.out)
            }
            Ok(Event::NeedData) => return false,
            Ok(Event::Closed | Event::Head(_)) => {
                debug_assert!(false, "the decoder ends a body before the next head");
                return false;
            }
            Err(_) if self.client.conn.is_eof() => {
                self.client_broke_off(now);
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
        if was_empty {
            relay.origin.write_at = now;
        }
        true
    }

    /// The client takes its time to send: the origin does not work meanwhile.
    pub(super) fn upload_lasts(&mut self, now: Instant) {
        if let Exchange::Relaying(relay) = &mut self.exchange
            && let Some(fetch) = &mut relay.fetch
        {
            fetch.on_late_content(now);
        }
    }

    fn pump_download(&mut self, now: Instant) -> bool {
        let has_room = !self.is_forwarding() || self.check_client_room(now);
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return false;
        };
        // An end needs no room.
        if !has_room && !relay.origin.conn.is_body_read() {
            return false;
        }
        match relay.origin.conn.next_event() {
            Ok(Event::Head(head)) => self.on_head(head, now),
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

    /// The client does not take what waits for it.
    pub(super) fn pause_download(&mut self, now: Instant) {
        self.client.room = Room::Paused;
        if let Exchange::Relaying(relay) = &mut self.exchange
            && let Download::Forwarding(forward) = &mut relay.download
        {
            forward.was_paused = true;
            if let Some(fetch) = &mut relay.fetch {
                fetch.on_pause(now);
            }
        }
    }

    fn on_head(&mut self, head: ResponseHead, now: Instant) {
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if head.status.is_informational() && !switches {
            return self.pass_interim(&head, now);
        }
        self.note_login(&head.fields);
        let is_background = self.is_background();
        let queued = self.client.out.held();
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return;
        };
        let head = Arc::new(head);
        relay.call.origin_head = Some((Arc::clone(&head), now));
        relay.call.streams = forwarding::is_event_stream(&head.fields);
        if switches {
            return self.start_tunnel(&head, now);
        }
        let Some(mut fetch) = relay.fetch.take() else {
            return;
        };
        match fetch.on_head(&head, now) {
            Verdict::Forward if is_background => {
                relay.fetch = Some(fetch);
                self.start_discarding(now);
            }
            Verdict::Forward => {
                let hold = should_hold(relay, &fetch, &head)
                    .is_some_and(|length| self.retter.reserve().admits(queued + length));
                relay.fetch = Some(fetch);
                if hold {
                    let pieces = Vec::new();
                    let held = Held {
                        head,
                        pieces,
                        since: now,
                    };
                    relay.download = Download::Holding(Box::new(held));
                } else {
                    self.start_forward(&head, now);
                }
            }
            Verdict::Serve(served) => {
                drop(fetch);
                self.serve_instead(&served, now);
            }
        }
    }

    /// The held response is complete: it goes out.
    fn release_held(&mut self, now: Instant) {
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return;
        };
        let held = match std::mem::replace(&mut relay.download, Download::Awaiting) {
            Download::Holding(held) => held,
            other @ (Download::Awaiting | Download::Discarding | Download::Forwarding(_)) => {
                relay.download = other;
                return;
            }
        };
        let Held { head, pieces, .. } = *held;
        self.start_forward(&head, now);
        if let Exchange::Relaying(relay) = &mut self.exchange
            && let Download::Forwarding(forward) = &mut relay.download
        {
            for piece in pieces {
                forward.write(piece, &mut self.client.out);
            }
        }
    }

    /// Answers from a copy instead of passing the response on, whose body is drained if it is
    /// short.
    fn serve_instead(&mut self, served: &crate::policy::Served, now: Instant) {
        let Exchange::Relaying(relay) = std::mem::take(&mut self.exchange) else {
            return;
        };
        let report = relay.call.origin_report(None, now);
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
        if self.is_background() {
            self.report_refresh(call, End::Complete, report, now);
        } else {
            self.serve(call, served, Some(report), now);
        }
        self.exchange = Exchange::Draining(Box::new(Draining {
            left: DRAIN_BYTES_MAX,
            origin,
            since: now,
        }));
        if !short || upload != Upload::Sent {
            self.stop_draining();
        }
    }

    fn on_data(&mut self, data: Bytes, now: Instant) {
        self.mark_client_write(now);
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return;
        };
        relay.call.origin_bytes = relay.call.origin_bytes.saturating_add(data.len() as u64);
        if let Some(fetch) = &mut relay.fetch {
            fetch.on_data(&data, now);
        }
        match &mut relay.download {
            Download::Awaiting => debug_assert!(false, "the head comes first"),
            Download::Discarding => self.pass_over(now),
            Download::Forwarding(forward) => forward.write(data, &mut self.client.out),
            Download::Holding(held) => held.pieces.push(data),
        }
    }

    /// The origin pauses: what the compressor holds goes out, so that no page waits half drawn.
    fn flush_gzip(&mut self, now: Instant) -> bool {
        self.mark_client_write(now);
        let Exchange::Relaying(relay) = &mut self.exchange else {
            return false;
        };
        match &mut relay.download {
            Download::Forwarding(forward) => forward.flush(&mut self.client.out),
            Download::Awaiting | Download::Discarding | Download::Holding(_) => false,
        }
    }

    fn on_end(&mut self, trailers: &Fields, now: Instant) {
        if is_planted(Plant::RescuedForNothing)
            && let Exchange::Relaying(relay) = &self.exchange
            && matches!(relay.download, Download::Holding(_))
        {
            return self.origin_failed(Failure::Truncated, now);
        }
        self.release_held(now);
        self.mark_client_write(now);
        let Exchange::Relaying(relay) = std::mem::take(&mut self.exchange) else {
            return;
        };
        let Relay {
            call,
            download,
            fetch,
            origin,
            upload,
            ..
        } = *relay;
        self.leave_origin(origin, upload == Upload::Sent, call.has_content());
        let origin = call.origin_report(None, now);
        if let Some(fetch) = fetch {
            fetch.on_end(now);
        }
        let mut forward = match download {
            Download::Forwarding(forward) => forward,
            Download::Discarding => {
                return self.report_refresh(call, End::Complete, origin, now);
            }
            Download::Awaiting | Download::Holding(_) => {
                debug_assert!(false, "the head comes first");
                return;
            }
        };
        forward.finish(trailers, &mut self.client.out);
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
            claims_forwarding: call.view.claims_forwarding(),
            client: call.view.client(),
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
        self.mark_client_write(now);
        let mut out = HeadWriter::response(&mut self.client.out, head.status, &head.reason);
        forwarding::forward_response(head, |line| {
            out.line(line);
        });
        out.field("connection", b"upgrade");
        if let Some(protocol) = head.fields.get("upgrade") {
            out.field("upgrade", protocol);
        }
        let circuit = fetch.as_deref().map(Fetch::circuit).unwrap_or_default();
        if let Some(mut fetch) = fetch {
            // No status is a failure here, so there is nothing to rescue from.
            drop(fetch.on_head(head, now));
            fetch.put_labels(&mut |name, value| {
                out.field(name, value);
            });
            fetch.on_end(now);
        }
        out.finish();
        self.exchange = Exchange::Tunnel(Box::new(Tunnel {
            call,
            circuit,
            head_at: now,
            is_deaf: false,
            origin,
            sent: 0,
            shut_client: false,
            shut_origin: false,
        }));
    }

    /// The client's write deadline counts from when there is something to write.
    pub(super) fn mark_client_write(&mut self, now: Instant) {
        if self.client.out.is_empty() {
            let terms = client_write(self.retter.config().client());
            self.client.write_pace.resume(terms, now);
        }
    }
}

/// The length of a body that is to be here as a whole before the first byte goes out: it is short,
/// so that nobody waits long, and there is a copy to rescue with should it break off.
fn should_hold(relay: &Relay, fetch: &Fetch, head: &ResponseHead) -> Option<usize> {
    let Framing::Length(length) = relay.origin.conn.framing() else {
        return None;
    };
    let length = usize::try_from(length).ok()?;
    let is_short = (1..=HOLD_BYTES_MAX).contains(&length);
    let is_page = head.status == StatusCode::OK && relay.upload == Upload::Sent;
    (is_short && is_page && fetch.can_rescue()).then_some(length)
}
