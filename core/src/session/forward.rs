//! Owns a response body on its way to the client: compressed or not, in the client's framing.
//! Never decides whether it is passed on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;

use super::Last;
use crate::breaker::State;
use crate::canary::{Plant, is_planted};
use crate::config::OriginSettings;
use crate::h1::{BodyEncoder, SendQueue};
use crate::message::{Fields, ResponseHead};
use crate::rules::coding::GzipStream;
use crate::time::Instant;

/// A response whose head is out.
#[derive(Debug)]
pub(super) struct Forward {
    pub(super) circuit: State,
    pub(super) encoder: BodyEncoder,
    pub(super) event_stream: bool,
    /// In a box, so that what is not compressed has no room for it.
    pub(super) gzip: Option<Box<GzipStream>>,
    /// The origin told how long it is: so it is there already, and not made while it is sent.
    pub(super) has_length: bool,
    pub(super) keep: bool,
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
    pub(super) pieces: Vec<Bytes>,
    /// When its head came.
    pub(super) since: Instant,
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

    /// How the connection ends when the body is cut here (RFC 9112 §8): where a close would make it
    /// complete, by a reset, else in this way.
    pub(super) const fn cut(&self, otherwise: Last) -> Last {
        if self.ends_by_close() {
            Last::Abort
        } else {
            otherwise
        }
    }

    /// Queues a piece of the body.
    pub(super) fn write(&mut self, data: Bytes, out: &mut SendQueue) {
        let Self {
            encoder,
            gzip,
            sent,
            unflushed,
            ..
        } = self;
        match gzip {
            Some(gzip) => {
                gzip.write(&data, false, |data| push(encoder, sent, data, out));
                *unflushed = true;
            }
            None => push(encoder, sent, data, out),
        }
    }

    /// Queues what the compressor holds; whether there was something.
    pub(super) fn flush(&mut self, out: &mut SendQueue) -> bool {
        let Self {
            encoder,
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
        gzip.write(&[], true, |data| push(encoder, sent, data, out));
        true
    }

    /// The body has broken off: its end is not queued, so that it shows.
    pub(super) fn break_off(&mut self, out: &mut SendQueue) {
        if is_planted(Plant::TruncatedEnd) && matches!(self.encoder, BodyEncoder::Chunked) {
            self.finish(&Fields::default(), out);
        }
    }

    /// Queues the end of the body.
    pub(super) fn finish(&mut self, trailers: &Fields, out: &mut SendQueue) {
        let Self {
            encoder,
            gzip,
            sent,
            ..
        } = self;
        if let Some(gzip) = gzip.take() {
            gzip.finish(|data| push(encoder, sent, data, out));
        }
        let ended = encoder.end(trailers, out);
        debug_assert!(
            ended.is_ok(),
            "the decoder delivers exactly what the head announced"
        );
    }
}

fn push(encoder: &mut BodyEncoder, sent: &mut u64, data: Bytes, out: &mut SendQueue) {
    *sent = sent.saturating_add(data.len() as u64);
    let pushed = encoder.data(data, out);
    debug_assert!(pushed.is_ok(), "the decoder enforces the length");
}
