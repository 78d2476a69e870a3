//! Owns the answers that do not come from the origin: copies, refusals and errors.
//! Never decides which of them is due.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::exchange::{Call, Download, Exchange};
use super::heads::put_connection;
use super::{Last, Life, Session};
use crate::breaker::State;
use crate::h1::{HeadWriter, ProtocolError};
use crate::limits::COPY_BYTES_SMALL;
use crate::message::Version;
use crate::policy::{Refusal, Served, put_labels};
use crate::report::{End, OriginReport, Report, Source};
use crate::rules::label::{self, Handling};
use crate::time::Instant;

/// An answer made here.
pub(super) struct Local<'a> {
    pub(super) circuit: State,
    /// `None` where no copy was ever in question.
    pub(super) handling: Option<Handling>,
    pub(super) origin: Option<OriginReport>,
    pub(super) retry_after_secs: Option<u64>,
    pub(super) status: StatusCode,
    pub(super) text: &'a str,
}

impl Session {
    /// Answers from a copy.
    pub(super) fn serve(
        &mut self,
        call: Call,
        served: &Served,
        origin: Option<OriginReport>,
        now: Instant,
    ) {
        served.want(&call.request, self.peer.ip(), now);
        let keep = call.keep && !self.draining && call.read;
        let answer = served.answer(&call.request);
        self.mark_client_write(now);
        let mut out = HeadWriter::response(&mut self.client.out, answer.status(), b"");
        match answer.unchanged() {
            Some(fields) => {
                out.fields(fields);
            }
            None => answer.put_kept(&mut |name, value| {
                out.field(name, value);
            }),
        }
        answer.put_added(&mut |name, value| {
            out.field(name, value);
        });
        if let Some(length) = answer.content_length() {
            out.field_number("content-length", length);
        }
        put_connection(&mut out, keep, call.request.version);
        out.finish();
        let mut sent = 0;
        if call.request.method != Method::HEAD {
            for piece in answer.pieces().iter().cloned() {
                sent += piece.len() as u64;
                if piece.len() > COPY_BYTES_SMALL {
                    self.client.out.push_shared(piece);
                } else {
                    self.client.out.push(piece);
                }
            }
        }
        let report = Report {
            bytes_received: call.received,
            bytes_sent: sent,
            circuit: served.circuit,
            claims_forwarding: call.view.claims_forwarding(),
            client: call.view.client(),
            end: End::Complete,
            ended: now,
            origin,
            peer: self.peer,
            request: Some(call.request.clone()),
            source: served.source,
            started: call.started,
            status: Some(answer.status()),
        };
        self.answered(&call, report, keep, now);
    }

    /// Refuses because the circuit is open, the origin is full or cannot be asked, or it failed on
    /// another request for the same.
    pub(super) fn refuse(&mut self, call: Call, refusal: &Refusal, now: Instant) {
        let local = Local {
            circuit: refusal.circuit,
            handling: Some(refusal.handling),
            origin: None,
            retry_after_secs: refusal.retry_after_secs(),
            status: refusal.status(),
            text: refusal.text(),
        };
        self.answer_locally(call, &local, now);
    }

    /// Refuses a request whose fault is the client's.
    pub(super) fn refuse_call(
        &mut self,
        mut call: Call,
        status: StatusCode,
        text: &str,
        origin: Option<OriginReport>,
        now: Instant,
    ) {
        call.keep = false;
        let circuit = self.retter.circuit(now);
        let local = Local {
            circuit,
            handling: None,
            origin,
            retry_after_secs: None,
            status,
            text,
        };
        self.answer_locally(call, &local, now);
    }

    /// RFC 9110 §9.3.6: this is a gateway, not a tunnel to anywhere.
    pub(super) fn refuse_connect(&mut self, call: Call, now: Instant) {
        let text = "CONNECT is not served here";
        self.refuse_call(call, StatusCode::METHOD_NOT_ALLOWED, text, None, now);
    }

    /// RFC 5842 §7.2: a request that comes back here would go round until something breaks.
    pub(super) fn refuse_loop(&mut self, call: Call, now: Instant) {
        let text = "this request has passed here before; the application's address leads back";
        self.refuse_call(call, StatusCode::LOOP_DETECTED, text, None, now);
    }

    /// RFC 9110 §7.6.2: a request that was to come no further than here.
    pub(super) fn answer_last_hop(&mut self, call: Call, now: Instant) {
        let (status, text) = if call.request.method == Method::OPTIONS {
            (StatusCode::OK, "retter answers, as Max-Forwards is 0")
        } else {
            (StatusCode::NOT_IMPLEMENTED, "retter itself shows no trace")
        };
        self.refuse_call(call, status, text, None, now);
    }

    /// RFC 9110 §10.1.1: an expectation that nobody can meet.
    pub(super) fn refuse_expectation(&mut self, call: Call, now: Instant) {
        let text = "only 100-continue can be expected";
        self.refuse_call(call, StatusCode::EXPECTATION_FAILED, text, None, now);
    }

    /// Refuses bytes that are not a request.
    pub(super) fn refuse_malformed(&mut self, error: ProtocolError, now: Instant) {
        self.refuse_unparsed(error.status_hint(), &error.to_string(), now);
    }

    /// The client did not send the rest of its request in time.
    pub(super) fn request_timed_out(&mut self, now: Instant) {
        let text = "the request did not arrive in time";
        if matches!(self.exchange, Exchange::None) {
            self.refuse_unparsed(StatusCode::REQUEST_TIMEOUT, text, now);
        } else {
            self.refuse_body(StatusCode::REQUEST_TIMEOUT, text, now);
        }
    }

    /// Ends an exchange whose request body failed: with this answer when none has begun.
    pub(super) fn refuse_body(&mut self, status: StatusCode, text: &str, now: Instant) {
        match &self.exchange {
            Exchange::Relaying(relay)
                if matches!(relay.download, Download::Awaiting | Download::Holding(_)) =>
            {
                let origin = relay.call.origin_report(None, now);
                self.close_origin();
                if let Exchange::Relaying(relay) = std::mem::take(&mut self.exchange) {
                    self.refuse_call(relay.call, status, text, Some(origin), now);
                }
            }
            Exchange::Relaying(_) => {
                let last = self.exchange.forwarding();
                let last = last.map_or(Last::Linger, |forward| forward.cut(Last::Linger));
                self.give_up_exchange(End::ClientLeft, now);
                self.life = Life::Closing(last);
            }
            Exchange::Receiving(_) => {
                if let Exchange::Receiving(call) = std::mem::take(&mut self.exchange) {
                    self.refuse_call(*call, status, text, None, now);
                }
            }
            Exchange::Connecting(_)
            | Exchange::Draining(_)
            | Exchange::None
            | Exchange::Tunnel(_)
            | Exchange::Waiting(_) => {
                self.give_up_exchange(End::ClientLeft, now);
                self.life = Life::Closing(Last::Linger);
            }
        }
    }

    fn refuse_unparsed(&mut self, status: StatusCode, text: &str, now: Instant) {
        let circuit = self.retter.circuit(now);
        let local = Local {
            circuit,
            handling: None,
            origin: None,
            retry_after_secs: None,
            status,
            text,
        };
        let sent = self.put_local(&local, true, false, Version::Http11, now);
        let report = Report {
            bytes_received: 0,
            bytes_sent: sent,
            circuit,
            claims_forwarding: false,
            client: self.peer.ip().to_canonical(),
            end: End::Complete,
            ended: now,
            origin: None,
            peer: self.peer,
            request: None,
            source: Source::NoCache,
            started: self.client.head_since.take().unwrap_or(now),
            status: Some(status),
        };
        self.file(report, now);
        self.next_or_close(false, false, now);
    }

    pub(super) fn answer_locally(&mut self, call: Call, local: &Local<'_>, now: Instant) {
        let keep = call.keep && !self.draining && call.read;
        let has_body = call.request.method != Method::HEAD;
        let sent = self.put_local(local, has_body, keep, call.request.version, now);
        let report = Report {
            bytes_received: call.received,
            bytes_sent: sent,
            circuit: local.circuit,
            claims_forwarding: call.view.claims_forwarding(),
            client: call.view.client(),
            end: End::Complete,
            ended: now,
            origin: local.origin.clone(),
            peer: self.peer,
            request: Some(call.request.clone()),
            source: Source::NoCache,
            started: call.started,
            status: Some(local.status),
        };
        self.answered(&call, report, keep, now);
    }

    /// Queues an answer made here; returns its body bytes.
    fn put_local(
        &mut self,
        local: &Local<'_>,
        has_body: bool,
        keep: bool,
        version: Version,
        now: Instant,
    ) -> u64 {
        let status = local.status;
        let body = format!(
            "{} {}: {}\n",
            status.as_str(),
            status.canonical_reason().unwrap_or("Error"),
            local.text
        );
        self.mark_client_write(now);
        let mut out = HeadWriter::response(&mut self.client.out, status, b"");
        out.field("date", self.retter.wall_clock(now).to_string().as_bytes());
        out.field("content-type", b"text/plain; charset=utf-8");
        out.field_number("content-length", body.len() as u64);
        out.field("cache-control", b"no-store");
        if matches!(status, StatusCode::METHOD_NOT_ALLOWED | StatusCode::OK) {
            out.field(
                "allow",
                b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE",
            );
        }
        if let Some(secs) = local.retry_after_secs {
            out.field_number("retry-after", secs);
        }
        match &local.handling {
            Some(handling) => put_labels(local.circuit, handling, None, &mut |name, value| {
                out.field(name, value);
            }),
            None => {
                out.field(label::X_RETTER, Source::NoCache.as_str().as_bytes());
                out.field(label::X_CIRCUIT, local.circuit.as_str().as_bytes());
            }
        }
        put_connection(&mut out, keep, version);
        out.finish();
        if !has_body {
            return 0;
        }
        let sent = body.len() as u64;
        self.client.out.push(Bytes::from(body));
        sent
    }

    /// The client has its whole answer in the queue.
    fn answered(&mut self, call: &Call, report: Report, keep: bool, now: Instant) {
        self.file(report, now);
        self.next_or_close(keep, call.read, now);
    }
}
