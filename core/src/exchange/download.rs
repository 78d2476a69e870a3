//! Owns the passage of the origin's response to the client.
//! Never holds more of a body than one piece, but for a short answer that is held back.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::answer::Shared;
use super::call::Owner;
use super::forward::{Forward, Held};
use super::origin::{Draining, Origin};
use super::relay::{Download, Relay, Upload};
use super::reply::{Body, Head, MadeFrom, Passed};
use super::tunnel::switch;
use super::{Action, State, Step, Turn};
use crate::canary::{Plant, is_planted};
use crate::h1::{Event, Framing};
use crate::limits::{DRAIN_BYTES_MAX, HOLD_BYTES_MAX};
use crate::message::{Fields, ResponseHead};
use crate::policy::{Holding, Passing, Served, Verdict};
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
            Ok(Event::Head(head)) => return self.on_head(head, shared),
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
            Err(_) => Failure::Protocol,
        };
        Step::Turn(Turn::Failed(failure))
    }

    fn on_head(&mut self, head: ResponseHead, shared: &mut Shared) -> Step {
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if head.status.is_informational() && !switches {
            if head.status == StatusCode::CONTINUE {
                shared.call.expects = false;
            }
            if let Download::Awaiting(fetch) = &mut self.download {
                fetch.on_interim(&head);
            }
            if shared.is_joined {
                shared.outbox.put_interim(head);
            }
            return Step::Moved;
        }
        Step::Turn(Turn::Head(Arc::new(head)))
    }

    /// The final head of the response is there.
    pub(super) fn headed(
        mut self: Box<Self>,
        head: Arc<ResponseHead>,
        shared: &mut Shared,
        now: Instant,
    ) -> State {
        note_login(&head.fields, shared);
        shared.call.origin_head = Some((Arc::clone(&head), now));
        shared.call.streams = forwarding::is_event_stream(&head.fields);
        let Download::Awaiting(fetch) = self.download else {
            debug_assert!(false, "there is one final head");
            return State::Relaying(self);
        };
        let holding = match fetch.on_head(&head, now) {
            Verdict::Forward(holding) => holding,
            Verdict::Serve(served) => return serve(served, self.origin, self.upload, shared, now),
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return switch(self.origin, holding.pass_on(), head, shared, now);
        }
        if !shared.is_joined {
            if !holding.is_collecting() {
                return pass_over(self.origin, holding.pass_on(), shared, now);
            }
            self.download = Download::Discarding(holding.pass_on());
            return State::Relaying(self);
        }
        let framing = self.origin.conn.framing();
        let is_sent = self.upload == Upload::Sent;
        let hold = held_length(&holding, framing, head.status, is_sent)
            .is_some_and(|length| shared.retter.reserve().admits(shared.queued + length));
        self.download = if hold {
            Download::Holding(Box::new(Held {
                head,
                holding,
                pieces: Vec::new(),
                since: now,
            }))
        } else {
            let passing = holding.pass_on();
            let forward = begin(&passing, head, framing, is_sent, shared, now);
            Download::Forwarding(forward, passing)
        };
        State::Relaying(self)
    }

    fn on_data(&mut self, data: Bytes, shared: &mut Shared, now: Instant) -> Step {
        let call = &mut shared.call;
        call.origin_bytes = call.origin_bytes.saturating_add(data.len() as u64);
        match &mut self.download {
            Download::Awaiting(_) => debug_assert!(false, "the head comes first"),
            Download::Discarding(passing) => {
                passing.on_data(&data, now);
                if !passing.is_collecting() {
                    return Step::Turn(Turn::PassOver);
                }
            }
            Download::Forwarding(forward, passing) => {
                passing.on_data(&data, now);
                forward.write(data, &mut shared.outbox);
            }
            Download::Holding(held) => {
                held.holding.on_data(&data, now);
                held.pieces.push(data);
            }
        }
        Step::Moved
    }

    /// The origin pauses: what the compressor holds goes out, so that no page waits half drawn.
    fn flush(&mut self, shared: &mut Shared) -> Step {
        let flushed = match &mut self.download {
            Download::Forwarding(forward, _) => forward.flush(&mut shared.outbox),
            Download::Awaiting(_) | Download::Discarding(_) | Download::Holding(_) => false,
        };
        if flushed { Step::Moved } else { Step::Rest }
    }

    /// The client does not take what waits for it.
    pub(super) fn pause(&mut self, now: Instant) {
        if let Download::Forwarding(forward, passing) = &mut self.download {
            forward.was_paused = true;
            passing.on_pause(now);
        }
    }

    /// The response is complete.
    pub(super) fn ended(
        self: Box<Self>,
        trailers: Fields,
        shared: &mut Shared,
        now: Instant,
    ) -> State {
        if matches!(self.download, Download::Holding(_)) && is_planted(Plant::RescuedForNothing) {
            return self.failed(Failure::Truncated, shared, now);
        }
        let framing = self.origin.conn.framing();
        let is_sent = self.upload == Upload::Sent;
        let had_content = shared.call.has_content();
        let (forward, passing) = match self.download {
            Download::Awaiting(_) => {
                debug_assert!(false, "the head comes first");
                return State::Done;
            }
            Download::Discarding(passing) => (None, passing),
            Download::Forwarding(forward, passing) => (Some(forward), passing),
            Download::Holding(held) => {
                let passing = held.holding.pass_on();
                let mut forward = begin(&passing, held.head, framing, is_sent, shared, now);
                for piece in held.pieces {
                    forward.write(piece, &mut shared.outbox);
                }
                (Some(forward), passing)
            }
        };
        self.origin.leave(is_sent, had_content, shared);
        let report = shared.call.origin_report(None, now);
        passing.on_end(now);
        match forward {
            Some(mut forward) => {
                forward.finish(&mut shared.outbox);
                shared.outbox.put_end(trailers, shared.call.is_read);
                shared.report_forwarded(&forward, report, End::Complete, now);
            }
            None => shared.report_renewal(End::Complete, report, now),
        }
        State::Done
    }

    /// Nothing is to be kept of the response, and nobody waits for it.
    pub(super) fn passed_over(self: Box<Self>, shared: &mut Shared, now: Instant) -> State {
        let Download::Discarding(passing) = self.download else {
            debug_assert!(false, "somebody waits for it");
            return State::Relaying(self);
        };
        pass_over(self.origin, passing, shared, now)
    }
}

/// Answers from a copy instead of passing the response on, whose body is drained if it is short.
fn serve(
    served: Served,
    origin: Origin,
    upload: Upload,
    shared: &mut Shared,
    now: Instant,
) -> State {
    let report = shared.call.origin_report(None, now);
    let is_short = match origin.conn.framing() {
        Framing::Length(length) => length <= DRAIN_BYTES_MAX,
        Framing::Chunked | Framing::Empty => true,
        Framing::UntilClose => false,
    };
    if shared.is_joined {
        shared.serve(served, Some(report), now);
    } else {
        shared.report_renewal(End::Complete, report, now);
    }
    drain(origin, is_short && upload == Upload::Sent, shared, now)
}

/// Leaves a response of which nothing is to be kept, and for which nobody waits.
fn pass_over(origin: Origin, passing: Passing, shared: &mut Shared, now: Instant) -> State {
    let report = shared.call.origin_report(None, now);
    passing.on_end(now);
    shared.report_renewal(End::Complete, report, now);
    let is_short = origin.conn.framing() != Framing::UntilClose;
    drain(origin, is_short, shared, now)
}

/// Reads the rest of a response that nobody wants, where it is short, so that the connection can
/// be used again.
fn drain(origin: Origin, is_short: bool, shared: &mut Shared, now: Instant) -> State {
    if is_short {
        State::Draining(Box::new(Draining::new(origin, now)))
    } else {
        shared.actions.push(Action::Close);
        State::Done
    }
}

/// The length of a body that is to be here as a whole before the first byte goes out: it is
/// short, so that nobody waits long, and there is a copy to rescue with should it break off.
fn held_length(
    holding: &Holding,
    framing: Framing,
    status: StatusCode,
    is_sent: bool,
) -> Option<usize> {
    let Framing::Length(length) = framing else {
        return None;
    };
    let length = usize::try_from(length).ok()?;
    let is_short = (1..=HOLD_BYTES_MAX).contains(&length);
    let is_page = status == StatusCode::OK && is_sent;
    (is_short && is_page && holding.can_rescue()).then_some(length)
}

/// Begins to pass a response on: its head goes out. `is_sent` says whether all of the request
/// has left.
fn begin(
    passing: &Passing,
    head: Arc<ResponseHead>,
    framing: Framing,
    is_sent: bool,
    shared: &mut Shared,
    now: Instant,
) -> Forward {
    let config = shared.retter.config();
    let call = &shared.call;
    let is_head = call.request.method == Method::HEAD;
    let length = match framing {
        Framing::Length(length) => Some(length),
        // RFC 9110 §9.3.2: the length that a GET would have.
        Framing::Empty if is_head => told_length(&head),
        Framing::Empty | Framing::Chunked | Framing::UntilClose => None,
    };
    let has_body = is_head || framing != Framing::Empty;
    let varies =
        config.client().gzip && has_body && coding::worth_gzip(head.status, &head.fields, length);
    let wants_gzip = varies && coding::accepts_gzip(&call.request.fields);
    let stream = if is_head || !wants_gzip {
        None
    } else {
        shared.retter.gzip_pool().stream()
    };
    let gzip = stream.is_some() || wants_gzip && is_head;
    let labels = passing.labels();
    let forward = Forward {
        circuit: labels.0,
        event_stream: call.streams,
        gzip: stream.map(Box::new),
        has_length: matches!(framing, Framing::Length(_)),
        sent: 0,
        status: head.status,
        unflushed: false,
        was_paused: false,
    };
    let has_date = head.fields.contains("date");
    shared.outbox.put_head(Box::new(Head {
        body: match framing {
            Framing::Empty => Body::Empty,
            Framing::Length(length) if !gzip => Body::Length(length),
            Framing::Chunked | Framing::Length(_) | Framing::UntilClose => Body::Unknown,
        },
        may_keep: is_sent,
        status: head.status,
        made_from: MadeFrom::Response(Passed {
            date: (!has_date).then(|| shared.retter.wall_clock(now)),
            gzip,
            labels,
            // RFC 9110 §8.6: a length without content tells of the GET; 1xx and 204 have none.
            tells_length: is_head && !gzip || head.status == StatusCode::NOT_MODIFIED,
            head,
            varies,
        }),
    }));
    forward
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
