//! Owns a connection after 101: bytes both ways, half-closes passed on (RFC 9110 §7.8).
//! Never looks into the bytes.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::answer::Shared;
use super::call::Outcome;
use super::origin::Origin;
use super::reply::{Body, Data, Head, MadeFrom, Passed};
use super::signal::{Action, Step, Turn};
use crate::breaker::State as Circuit;
use crate::message::{Fields, ResponseHead};
use crate::report::{End, Source};
use crate::rules::label::Handling;
use crate::site::Passing;
use crate::time::Instant;

/// The connection carries another protocol now.
#[derive(Debug)]
pub(super) struct Tunnel {
    labels: (Circuit, Handling),
    head_at: Instant,
    /// The origin takes nothing more. What it has said may still come.
    is_deaf: bool,
    /// Last progress on the client's side.
    pub(super) client_at: Instant,
    client_ended: bool,
    pub(super) origin: Origin,
    sent: u64,
    shut_client: Shut,
    shut_origin: bool,
}

/// How far the client's side is shut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shut {
    Done,
    Open,
    /// The client was told.
    Told,
}

/// RFC 9110 §7.8: both connections carry another protocol from here.
pub(super) fn switch(
    origin: Origin,
    passing: Passing,
    head: Arc<ResponseHead>,
    shared: &mut Shared,
    now: Instant,
) -> Box<Tunnel> {
    let labels = passing.labels();
    passing.on_end(now);
    shared.outbox.put_head(Box::new(Head {
        body: Body::Tunnel,
        may_keep: false,
        request_id: shared.call.request_id.clone(),
        status: head.status,
        made_from: MadeFrom::Response(Passed {
            date: None,
            codes_tag: false,
            gzip: false,
            head,
            labels,
            tells_length: false,
            varies: false,
        }),
    }));
    Box::new(Tunnel {
        labels,
        head_at: now,
        is_deaf: false,
        client_at: now,
        client_ended: false,
        origin,
        sent: 0,
        shut_client: Shut::Open,
        shut_origin: false,
    })
}

impl Tunnel {
    /// Takes what the client sent.
    pub(super) fn handle_data(&mut self, data: Bytes, shared: &mut Shared) {
        let call = &mut shared.call;
        call.received = call.received.saturating_add(data.len() as u64);
        if !self.is_deaf {
            self.origin.out.push(data);
        }
    }

    /// The client will send no more.
    pub(super) const fn handle_end(&mut self) {
        self.client_ended = true;
    }

    /// The client has got all of what the origin said, and knows that no more will come.
    pub(super) fn handle_shut(&mut self) {
        self.shut_client = Shut::Done;
    }

    /// The origin takes no more bytes.
    pub(super) fn origin_deaf(&mut self, now: Instant) {
        self.origin.stop_writing(now);
        self.is_deaf = true;
    }

    /// Moves what has arrived from the origin, and passes half-closes on.
    pub(super) fn advance(&mut self, shared: &mut Shared) -> Step {
        let origin = &mut self.origin;
        if !shared.is_client_full() {
            let bytes = origin.conn.take_buffered();
            if !bytes.is_empty() {
                self.sent = self.sent.saturating_add(bytes.len() as u64);
                shared.outbox.put_data(Data::from(bytes));
                return Step::Moved;
            }
        }
        if self.client_ended && origin.out.is_empty() && !self.shut_origin {
            self.shut_origin = true;
            shared.actions.push(Action::Shutdown);
        }
        let is_over = origin.conn.is_eof();
        // Nothing takes what the client says any more.
        self.shut_origin |= self.is_deaf && is_over;
        if is_over && !shared.is_client_full() && self.shut_client == Shut::Open {
            self.shut_client = Shut::Told;
            shared.outbox.put_end(Fields::default(), false);
            return Step::Moved;
        }
        if self.shut_client == Shut::Done && self.shut_origin {
            return Step::Turn(Turn::Stop);
        }
        Step::Rest
    }

    /// The tunnel has ended; what the client has not yet got still goes out.
    pub(super) fn ended(&self, shared: &mut Shared, now: Instant) {
        shared.actions.push(Action::Close);
        let outcome = Outcome {
            circuit: self.labels.0,
            copy_age: None,
            end: End::Tunnel,
            handling: Some(self.labels.1),
            origin: Some(shared.call.origin_report(None, self.head_at)),
            sent: self.sent,
            source: Source::Backend,
            status: Some(StatusCode::SWITCHING_PROTOCOLS),
        };
        shared.report = Some(shared.call.report(outcome, now));
    }
}
