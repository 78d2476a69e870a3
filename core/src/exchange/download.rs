//! Owns the passage of the origin's response to the client.
//! Never holds more of a body than one piece, but for a short answer that is held back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::answer::Shared;
use super::call::Owner;
use super::forward::{Forward, Held};
use super::origin::Draining;
use super::relay::{Download, Relay, Upload};
use super::reply::{Body, Head, MadeFrom, Passed};
use super::{Action, State, Step, Turn};
use crate::canary::{Plant, is_planted};
use crate::h1::{Event, Framing};
use crate::limits::{DRAIN_BYTES_MAX, HOLD_BYTES_MAX};
use crate::message::{Fields, ResponseHead};
use crate::policy::{Fetch, Served, Verdict};
use crate::report::{End, Failure};
use crate::rules::{coding, forwarding, login};
use crate::time::Instant;

impl Relay {
    /// Moves one piece of the response.
    pub(super) fn advance(&mut self, shared: &mut Shared, now: Instant) -> Step {
        // An end needs no room.
        let waits = self.is_forwarding() && shared.is_client_full();
        if waits && !self.origin.conn.is_body_read() {
            return Step::Rest;
        }
        let failure = match self.origin.conn.next_event() {
            Ok(Event::Head(head)) => return self.on_head(head, shared, now),
            Ok(Event::Data(data)) => return self.on_data(data, shared, now),
            Ok(Event::End { trailers }) => return Step::Turn(Turn::End(trailers)),
            Ok(Event::NeedData) => return self.flush(shared),
            Ok(Event::Closed) => Failure::Reset,
            Err(_) if self.origin.conn.is_eof() => {
                if self.origin.conn.has_started() {
                    Failure::Truncated
                } else {
                    Failure::Reset
                }
            }
            Err(error) => {
                shared.call.origin_broken = Some(error);
                Failure::Protocol
            }
        };
        Step::Turn(Turn::Failed(failure))
    }

    fn on_head(&mut self, head: ResponseHead, shared: &mut Shared, now: Instant) -> Step {
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if head.status.is_informational() && !switches {
            if head.status == StatusCode::CONTINUE {
                shared.call.expects = false;
            }
            if let Some(fetch) = &mut self.fetch {
                fetch.on_interim(&head);
            }
            if shared.is_joined {
                shared.outbox.put_interim(head);
            }
            return Step::Moved;
        }
        note_login(&head.fields, shared);
        let head = Arc::new(head);
        let call = &mut shared.call;
        call.origin_head = Some((Arc::clone(&head), now));
        call.streams = forwarding::is_event_stream(&head.fields);
        if switches {
            return Step::Turn(Turn::Switch(head));
        }
        let Some(mut fetch) = self.fetch.take() else {
            debug_assert!(false, "one final head is passed to the policy");
            return Step::Rest;
        };
        match fetch.on_head_held(&head, now) {
            Verdict::Forward if !shared.is_joined => {
                self.fetch = Some(fetch);
                self.download = Download::Discarding;
                self.pass_over()
            }
            Verdict::Forward => {
                let hold = self
                    .should_hold(&fetch, &head)
                    .is_some_and(|length| shared.retter.reserve().admits(shared.queued + length));
                self.fetch = Some(fetch);
                if hold {
                    self.download = Download::Holding(Box::new(Held {
                        head,
                        pieces: Vec::new(),
                        since: now,
                    }));
                } else {
                    self.start_forward(head, shared, now);
                }
                Step::Moved
            }
            Verdict::Serve(served) => Step::Turn(Turn::Serve(Box::new(served))),
        }
    }

    /// The length of a body that is to be here as a whole before the first byte goes out: it is
    /// short, so that nobody waits long, and there is a copy to rescue with should it break off.
    fn should_hold(&self, fetch: &Fetch, head: &ResponseHead) -> Option<usize> {
        let Framing::Length(length) = self.origin.conn.framing() else {
            return None;
        };
        let length = usize::try_from(length).ok()?;
        let is_short = (1..=HOLD_BYTES_MAX).contains(&length);
        let is_page = head.status == StatusCode::OK && self.upload == Upload::Sent;
        (is_short && is_page && fetch.can_rescue()).then_some(length)
    }

    fn start_forward(&mut self, head: Arc<ResponseHead>, shared: &mut Shared, now: Instant) {
        let config = shared.retter.config();
        let Some(fetch) = &mut self.fetch else {
            return;
        };
        fetch.pass_on();
        let call = &shared.call;
        let framing = self.origin.conn.framing();
        let is_head = call.request.method == Method::HEAD;
        let length = match framing {
            Framing::Length(length) => Some(length),
            // RFC 9110 §9.3.2: the length that a GET would have.
            Framing::Empty if is_head => told_length(&head),
            Framing::Empty | Framing::Chunked | Framing::UntilClose => None,
        };
        let has_body = is_head || framing != Framing::Empty;
        let varies = config.client().gzip
            && has_body
            && coding::worth_gzip(head.status, &head.fields, length);
        let wants_gzip = varies && coding::accepts_gzip(&call.request.fields);
        let stream = if is_head || !wants_gzip {
            None
        } else {
            shared.retter.gzip_pool().stream()
        };
        let gzip = stream.is_some() || wants_gzip && is_head;
        self.download = Download::Forwarding(Forward {
            circuit: fetch.circuit(),
            event_stream: call.streams,
            gzip: stream.map(Box::new),
            has_length: matches!(framing, Framing::Length(_)),
            sent: 0,
            status: head.status,
            unflushed: false,
            was_paused: false,
        });
        let has_date = head.fields.contains("date");
        shared.outbox.put_head(Box::new(Head {
            body: match framing {
                Framing::Empty => Body::Empty,
                Framing::Length(length) if !gzip => Body::Length(length),
                Framing::Chunked | Framing::Length(_) | Framing::UntilClose => Body::Unknown,
            },
            may_keep: self.upload == Upload::Sent,
            status: head.status,
            made_from: MadeFrom::Response(Passed {
                date: (!has_date).then(|| shared.retter.wall_clock(now)),
                gzip,
                labels: fetch.labels(),
                // RFC 9110 §8.6: a length without content tells of the GET; 1xx and 204 have none.
                tells_length: is_head && !gzip || head.status == StatusCode::NOT_MODIFIED,
                head,
                varies,
            }),
        }));
    }

    fn on_data(&mut self, data: Bytes, shared: &mut Shared, now: Instant) -> Step {
        let call = &mut shared.call;
        call.origin_bytes = call.origin_bytes.saturating_add(data.len() as u64);
        if let Some(fetch) = &mut self.fetch {
            fetch.on_data(&data, now);
        }
        match &mut self.download {
            Download::Awaiting => debug_assert!(false, "the head comes first"),
            Download::Discarding => return self.pass_over(),
            Download::Forwarding(forward) => forward.write(data, &mut shared.outbox),
            Download::Holding(held) => held.pieces.push(data),
        }
        Step::Moved
    }

    /// Leaves a response of which nothing is to be kept.
    fn pass_over(&self) -> Step {
        match &self.fetch {
            Some(fetch) if fetch.is_collecting() => Step::Moved,
            Some(_) | None => Step::Turn(Turn::PassOver),
        }
    }

    /// The origin pauses: what the compressor holds goes out, so that no page waits half drawn.
    fn flush(&mut self, shared: &mut Shared) -> Step {
        let flushed = match &mut self.download {
            Download::Forwarding(forward) => forward.flush(&mut shared.outbox),
            Download::Awaiting | Download::Discarding | Download::Holding(_) => false,
        };
        if flushed { Step::Moved } else { Step::Rest }
    }

    /// The client does not take what waits for it.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Download::Forwarding(forward) = &mut self.download {
            forward.was_paused = true;
            if let Some(fetch) = &mut self.fetch {
                fetch.on_pause(now);
            }
        }
    }

    /// The response is complete.
    pub(super) fn ended(
        mut self: Box<Self>,
        trailers: Fields,
        shared: &mut Shared,
        now: Instant,
    ) -> State {
        if let Download::Holding(held) = &mut self.download {
            if is_planted(Plant::RescuedForNothing) {
                return self.failed(Failure::Truncated, shared, now);
            }
            let (head, pieces) = (Arc::clone(&held.head), std::mem::take(&mut held.pieces));
            if let Some(fetch) = &mut self.fetch {
                fetch.keep_unsent();
            }
            self.start_forward(head, shared, now);
            if let Download::Forwarding(forward) = &mut self.download {
                for piece in pieces {
                    forward.write(piece, &mut shared.outbox);
                }
            }
        }
        let Self {
            download,
            fetch,
            origin,
            upload,
            ..
        } = *self;
        let had_content = shared.call.has_content();
        origin.leave(upload == Upload::Sent, had_content, shared);
        let report = shared.call.origin_report(None, now);
        if let Some(fetch) = fetch {
            fetch.on_end(now);
        }
        match download {
            Download::Forwarding(mut forward) => {
                forward.finish(&mut shared.outbox);
                shared.outbox.put_end(trailers, shared.call.is_read);
                shared.report_forwarded(&forward, report, End::Complete, now);
            }
            Download::Discarding => shared.report_renewal(End::Complete, report, now),
            Download::Awaiting | Download::Holding(_) => {
                debug_assert!(false, "the head comes first");
            }
        }
        State::Done
    }

    /// Answers from a copy instead of passing the response on, whose body is drained if it is
    /// short.
    pub(super) fn served(
        self: Box<Self>,
        served: Served,
        shared: &mut Shared,
        now: Instant,
    ) -> State {
        let report = shared.call.origin_report(None, now);
        let short = match self.origin.conn.framing() {
            Framing::Length(length) => length <= DRAIN_BYTES_MAX,
            Framing::Chunked | Framing::Empty => true,
            Framing::UntilClose => false,
        };
        if shared.is_joined {
            shared.serve(served, Some(report), now);
        } else {
            shared.report_renewal(End::Complete, report, now);
        }
        if short && self.upload == Upload::Sent {
            State::Draining(Box::new(Draining::new(self.origin, now)))
        } else {
            shared.actions.push(Action::Close);
            State::Done
        }
    }

    /// Nothing is to be kept of the response, and nobody waits for it.
    pub(super) fn passed_over(self: Box<Self>, shared: &mut Shared, now: Instant) -> State {
        let report = shared.call.origin_report(None, now);
        let is_short = self.origin.conn.framing() != Framing::UntilClose;
        if let Some(fetch) = self.fetch {
            fetch.on_end(now);
        }
        shared.report_renewal(End::Complete, report, now);
        if is_short {
            State::Draining(Box::new(Draining::new(self.origin, now)))
        } else {
            shared.actions.push(Action::Close);
            State::Done
        }
    }
}

/// Takes note of the head of an answer, which may sign the client in.
fn note_login(answer: &Fields, shared: &mut Shared) {
    let call = &mut shared.call;
    if call.owner == Owner::Client || !login::binds_connection(answer) {
        return;
    }
    // A challenge alone has signed nobody in: who only asks for the page holds no connection.
    let begins = login::binds_connection(&call.request.fields);
    if !begins && !login::persists(answer) {
        return;
    }
    call.owner = if !shared.is_joined || call.view.is_relayed() {
        Owner::Nobody
    } else {
        Owner::Client
    };
}

fn told_length(head: &ResponseHead) -> Option<u64> {
    head.fields.get_str("content-length")?.parse().ok()
}
