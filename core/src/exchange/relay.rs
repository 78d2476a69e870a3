//! Owns [`Relay`]: one request on its way to the origin while its response comes in.
//! Never decides what a failure of the origin means for the client: the site does.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use http::StatusCode;

use super::answer::Shared;
use super::call::Owner;
use super::download::{self, Download};
use super::forward::{Forward, Held};
use super::origin::{Draining, Origin};
use super::reply::Outbox;
use super::signal::{Action, Step, Turn};
use super::tunnel::{self, Tunnel};
use super::upload::Upload;
use crate::canary::{Plant, is_planted};
use crate::h1::{Event, Framing};
use crate::limits::{DRAIN_BYTES_MAX, HOLD_BYTES_MAX};
use crate::message::{Fields, ResponseHead};
use crate::report::{End, Failure};
use crate::rules::{forwarding, login};
use crate::site::{Completed, Fetch, Passing, Served, Ticket, Verdict};
use crate::time::Instant;

/// Connected: the request goes out, the response comes in.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) download: Download,
    pub(super) origin: Origin,
    pub(super) upload: Upload,
    /// When it was given more time to be answered than others, last.
    pub(super) waited_at: Option<Instant>,
}

/// What a relay becomes.
pub(super) enum Next {
    /// The request may be asked again, on a new connection.
    Again(Fetch),
    /// Nothing is left to do with the origin.
    Done,
    Draining(Box<Draining>),
    Relaying(Box<Relay>),
    Tunnel(Box<Tunnel>),
    /// The origin has failed, and a copy may answer yet.
    Waiting(Box<Ticket>),
}

impl Relay {
    /// Whether the body of the answer is being passed on.
    pub(super) const fn is_forwarding(&self) -> bool {
        matches!(self.download, Download::Forwarding(..))
    }

    /// The head of the response is late. Says whether the request may wait on, as long polls do.
    pub(super) fn waits_on(&mut self, shared: &Shared, now: Instant) -> bool {
        let Download::Awaiting(fetch) = &self.download else {
            return false;
        };
        let longest = self.origin.write_at + shared.origin().wait_timeout;
        let waits_on = now < longest && fetch.may_wait_on(now);
        if waits_on {
            self.waited_at = Some(now);
        }
        waits_on
    }

    /// Passes content on to the origin.
    pub(super) fn handle_data(&mut self, data: Bytes, shared: &mut Shared, now: Instant) {
        let call = &mut shared.call;
        call.received = call.received.saturating_add(data.len() as u64);
        call.expects = false;
        self.upload.put_data(data, &mut self.origin, now);
    }

    /// The content is complete.
    pub(super) fn handle_end(&mut self, trailers: &Fields, shared: &mut Shared, now: Instant) {
        shared.call.is_read = true;
        self.upload.put_end(trailers, &mut self.origin, now);
        self.download.on_sent(now);
    }

    /// The origin takes no more bytes. It may have answered early (RFC 9112 §9.5): read on.
    pub(super) fn origin_deaf(&mut self, now: Instant) {
        self.origin.stop_writing(now);
        self.upload.break_off();
    }

    /// Moves one piece of the response.
    pub(super) fn advance(&mut self, shared: &mut Shared, now: Instant) -> Step {
        // Whether another instance has a copy is known in a moment.
        if self.download.seeks_until().is_some() {
            return Step::Rest;
        }
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
            Err(error) => {
                shared.call.origin_broken = Some(error);
                Failure::Protocol
            }
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
    ) -> Next {
        note_login(&head.fields, shared);
        shared.call.origin_head = Some((Arc::clone(&head), now));
        shared.call.streams = forwarding::is_event_stream(&head.fields);
        let Download::Awaiting(fetch) = self.download else {
            debug_assert!(false, "there is one final head");
            return Next::Relaying(self);
        };
        let holding = match fetch.on_head(&head, now) {
            Verdict::Forward(holding) => holding,
            Verdict::Serve(served) => {
                return serve(served, self.origin, self.upload.is_sent(), shared, now);
            }
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let passing = holding.pass_on();
            return Next::Tunnel(tunnel::switch(self.origin, passing, head, shared, now));
        }
        if !shared.is_joined {
            if !holding.is_collecting() {
                return pass_over(self.origin, holding.pass_on(), shared, now);
            }
            self.download = Download::Discarding(holding.pass_on());
            return Next::Relaying(self);
        }
        let framing = self.origin.conn.framing();
        let is_sent = self.upload.is_sent();
        let hold = download::hold(&holding, framing, head.status, is_sent, now).filter(|hold| {
            let queued = shared.queued + hold.length;
            shared.gateway.reserve().admits(queued)
        });
        self.download = match hold {
            Some(hold) => Download::Holding(Box::new(Held {
                head,
                holding,
                pieces: Vec::new(),
                since: now,
                until: hold.until,
            })),
            None => {
                let passing = holding.pass_on();
                let forward = download::begin(&passing, head, framing, is_sent, shared, now);
                Download::Forwarding(forward, passing)
            }
        };
        Next::Relaying(self)
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
                if held.until.is_some() && !may_hold(held, shared) {
                    return Step::Turn(Turn::Release);
                }
            }
        }
        Step::Moved
    }

    /// Asks whether another instance had a copy that answers in the place of a failure; `waker` is called
    /// when asking again can help. The other value says whether the wait is over.
    pub(super) fn poll_seek(
        mut self: Box<Self>,
        waker: &Waker,
        shared: &mut Shared,
        now: Instant,
    ) -> (Next, bool) {
        let is_sent = self.upload.is_sent();
        self.download = match self.download {
            Download::Holding(held) => match held.poll_seek(waker, now) {
                Ok(served) => return (serve(served, self.origin, is_sent, shared, now), true),
                Err(held) => Download::Holding(held),
            },
            other
            @ (Download::Awaiting(_) | Download::Discarding(_) | Download::Forwarding(..)) => other,
        };
        match self.download.seeks_until() {
            Some(_) => (Next::Relaying(self), false),
            None => (self.released(shared, now), true),
        }
    }

    /// The response is held back no longer: what has come of it goes out.
    pub(super) fn released(mut self: Box<Self>, shared: &mut Shared, now: Instant) -> Next {
        self.download = match self.download {
            Download::Holding(held) => {
                let passing = held.holding.pass_on();
                let framing = self.origin.conn.framing();
                let is_sent = self.upload.is_sent();
                let begun = (held.head, held.pieces);
                let forward = pass_on(&passing, begun, framing, is_sent, shared, now);
                Download::Forwarding(forward, passing)
            }
            other
            @ (Download::Awaiting(_) | Download::Discarding(_) | Download::Forwarding(..)) => other,
        };
        Next::Relaying(self)
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
    ) -> Next {
        if matches!(self.download, Download::Holding(_)) && is_planted(Plant::RescuedForNothing) {
            return self.failed(Failure::Truncated, shared, now);
        }
        let framing = self.origin.conn.framing();
        let is_sent = self.upload.is_sent();
        let had_content = shared.call.has_content();
        let (forward, passing) = match self.download {
            Download::Awaiting(_) => {
                debug_assert!(false, "the head comes first");
                return Next::Done;
            }
            Download::Discarding(passing) => (None, passing),
            Download::Forwarding(forward, passing) => (Some(forward), passing),
            Download::Holding(held) => match held.holding.complete(now) {
                Completed::PassOn(passing) => {
                    let begun = (held.head, held.pieces);
                    let forward = pass_on(&passing, begun, framing, is_sent, shared, now);
                    (Some(forward), passing)
                }
                Completed::Serve(served) => {
                    self.origin.leave(is_sent, had_content, shared);
                    let report = shared.call.origin_report(None, now);
                    shared.serve(served, Some(report), now);
                    return Next::Done;
                }
            },
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
        Next::Done
    }

    /// Nothing is to be kept of the response, and nobody waits for it.
    pub(super) fn passed_over(self: Box<Self>, shared: &mut Shared, now: Instant) -> Next {
        let Download::Discarding(passing) = self.download else {
            debug_assert!(false, "somebody waits for it");
            return Next::Relaying(self);
        };
        pass_over(self.origin, passing, shared, now)
    }

    /// The origin failed below HTTP. Replays once on a new connection where that is safe, else
    /// rescues, else answers with an error, else shows the client a broken connection.
    pub(super) fn failed(
        self: Box<Self>,
        failure: Failure,
        shared: &mut Shared,
        now: Instant,
    ) -> Next {
        shared.actions.push(self.close());
        match self.download {
            Download::Awaiting(fetch) => {
                if shared.may_repeat(self.origin.reused, failure, &fetch, now) {
                    return Next::Again(fetch);
                }
                if let Some(ticket) = shared.fail(fetch, failure, now) {
                    return Next::Waiting(Box::new(ticket));
                }
            }
            Download::Discarding(passing) => {
                passing.on_broken_off(failure, now);
                let report = shared.call.origin_report(Some(failure), now);
                shared.report_renewal(End::Truncated, report, now);
            }
            Download::Forwarding(forward, passing) => {
                break_off(forward, passing, failure, shared, now);
            }
            Download::Holding(held) => {
                let report = shared.call.origin_report(Some(failure), now);
                let answer = held.holding.on_failure(failure, now);
                shared.answer_failure(answer, report, now);
            }
        }
        Next::Done
    }

    /// How it is called when the connection breaks while reading.
    pub(super) fn reset(&self) -> Failure {
        match self.download {
            Download::Awaiting(_) if !self.origin.conn.has_started() => Failure::Reset,
            Download::Awaiting(_)
            | Download::Discarding(_)
            | Download::Forwarding(..)
            | Download::Holding(_) => Failure::Truncated,
        }
    }

    /// How its connection is taken leave of without keeping it.
    pub(super) fn close(&self) -> Action {
        if is_planted(Plant::Desync) {
            Action::Park
        } else {
            Action::Close
        }
    }
}

/// Whether what has come of a response of unknown length may still be held back.
fn may_hold(held: &Held, shared: &Shared) -> bool {
    let bytes: usize = held.pieces.iter().map(Bytes::len).sum();
    bytes <= HOLD_BYTES_MAX && shared.gateway.reserve().admits(shared.queued + bytes)
}

/// Passes on what was held back of a response.
fn pass_on(
    passing: &Passing,
    (head, pieces): (Arc<ResponseHead>, Vec<Bytes>),
    framing: Framing,
    is_sent: bool,
    shared: &mut Shared,
    now: Instant,
) -> Forward {
    let mut forward = download::begin(passing, head, framing, is_sent, shared, now);
    for piece in pieces {
        forward.write(piece, &mut shared.outbox);
    }
    forward
}

/// Answers from a copy instead of passing the response on, whose body is drained if it is short.
fn serve(served: Served, origin: Origin, is_sent: bool, shared: &mut Shared, now: Instant) -> Next {
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
    drain(origin, is_short && is_sent, shared, now)
}

/// Leaves a response of which nothing is to be kept, and for which nobody waits.
fn pass_over(origin: Origin, passing: Passing, shared: &mut Shared, now: Instant) -> Next {
    let report = shared.call.origin_report(None, now);
    passing.on_end(now);
    shared.report_renewal(End::Complete, report, now);
    let is_short = origin.conn.framing() != Framing::UntilClose;
    drain(origin, is_short, shared, now)
}

/// Reads the rest of a response that nobody wants, where it is short, so that the connection can
/// be used again.
fn drain(origin: Origin, is_short: bool, shared: &mut Shared, now: Instant) -> Next {
    if is_short {
        Next::Draining(Box::new(Draining::new(origin, now)))
    } else {
        shared.actions.push(Action::Close);
        Next::Done
    }
}

/// Takes note of the head of an answer, which may sign the client in.
fn note_login(answer: &Fields, shared: &mut Shared) {
    let call = &mut shared.call;
    if call.owner == Owner::Client || !login::binds_connection(answer) {
        return;
    }
    // A challenge alone has signed nobody in: a client that only asks for the page holds no connection.
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

/// The response ends too early, and its head is out: the client must see that it is incomplete
/// (RFC 9112 §8).
fn break_off(
    mut forward: Forward,
    passing: Passing,
    failure: Failure,
    shared: &mut Shared,
    now: Instant,
) {
    let outbox: &mut Outbox = &mut shared.outbox;
    // The client gets everything that came, also what a compressor still holds.
    forward.flush(outbox);
    outbox.put_abort(false);
    if forward.was_paused {
        // An origin that gives up on a client that reads slowly is not to blame.
        passing.abandon(now);
    } else {
        passing.on_broken_off(failure, now);
    }
    let origin = shared.call.origin_report(Some(failure), now);
    shared.report_forwarded(&forward, origin, End::Truncated, now);
}
