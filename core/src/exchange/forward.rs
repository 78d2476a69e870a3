//! Owns the content of a response on its way to the client: compressed or as it came.
//! Never decides whether it is passed on, and never frames it.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::reply::{Data, Outbox};
use crate::breaker::State;
use crate::config::OriginSettings;
use crate::message::ResponseHead;
use crate::rules::coding::GzipStream;
use crate::rules::label::Handling;
use crate::site::{Holding, Served};
use crate::time::Instant;

/// A response whose head is out.
#[derive(Debug)]
pub(super) struct Forward {
    /// What its head says of itself.
    pub(super) labels: (State, Handling),
    pub(super) event_stream: bool,
    /// In a box, so that what is not compressed has no room for it.
    pub(super) gzip: Option<Box<GzipStream>>,
    /// The origin told how long it is: so it is there already, and not made while it is sent.
    pub(super) has_length: bool,
    pub(super) sent: u64,
    pub(super) status: StatusCode,
    /// Bytes are in the compressor that the client has not seen.
    pub(super) unflushed: bool,
    /// The origin had to wait because the client reads slowly.
    pub(super) was_paused: bool,
}

/// A response that waits for its end.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) head: Arc<ResponseHead>,
    pub(super) holding: Holding,
    pub(super) pieces: Vec<Bytes>,
    /// When its head came.
    pub(super) since: Instant,
    /// When it is passed on all the same; `None` for never.
    pub(super) until: Option<Instant>,
}

impl Held {
    /// Asks whether another instance had a copy that answers in its place.
    pub(super) fn poll_seek(
        mut self: Box<Self>,
        waker: &Waker,
        now: Instant,
    ) -> Result<Served, Box<Self>> {
        match self.holding.poll_seek(waker, now) {
            Ok(served) => Ok(served),
            Err(holding) => {
                self.holding = holding;
                Err(self)
            }
        }
    }
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

    /// Passes a piece of the body on.
    pub(super) fn write(&mut self, data: Bytes, outbox: &mut Outbox) {
        let Self {
            gzip,
            sent,
            unflushed,
            ..
        } = self;
        match gzip {
            Some(gzip) => {
                gzip.write(&data, false, |data| push(sent, data, outbox));
                *unflushed = true;
            }
            None => push(sent, data, outbox),
        }
    }

    /// Passes on what the compressor holds; whether there was something.
    pub(super) fn flush(&mut self, outbox: &mut Outbox) -> bool {
        let Self {
            gzip: Some(gzip),
            sent,
            unflushed,
            ..
        } = self
        else {
            return false;
        };
        if !std::mem::take(unflushed) {
            return false;
        }
        gzip.write(&[], true, |data| push(sent, data, outbox));
        true
    }

    /// Passes on what is left in the compressor at the end of the body.
    pub(super) fn finish(&mut self, outbox: &mut Outbox) {
        if let Some(gzip) = self.gzip.take() {
            gzip.finish(|data| push(&mut self.sent, data, outbox));
        }
    }
}

fn push(sent: &mut u64, data: Bytes, outbox: &mut Outbox) {
    *sent = sent.saturating_add(data.len() as u64);
    outbox.put_data(Data::from(data));
}
