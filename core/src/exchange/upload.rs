//! Owns [`Upload`]: the request's content on its way to the origin.
//! Never waits for a client: it is told what came.

use bytes::Bytes;

use super::origin::Origin;
use crate::h1::{BodyEncoder, Framing};
use crate::message::Fields;
use crate::time::Instant;

/// The request's content on its way to the origin.
#[derive(Debug)]
pub(super) struct Upload {
    encoder: BodyEncoder,
    stage: Stage,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The origin takes no more of it; its response may still come.
    Broken,
    /// It is being passed on.
    Sending,
    /// All of it was passed on.
    Sent,
}

impl Upload {
    /// One that is framed so; `is_sent` where nothing of it is left to pass on.
    pub(super) fn new(framing: Framing, is_sent: bool) -> Self {
        Self {
            encoder: BodyEncoder::from(framing),
            stage: if is_sent { Stage::Sent } else { Stage::Sending },
        }
    }

    /// Whether all of it was passed on.
    pub(super) fn is_sent(&self) -> bool {
        self.stage == Stage::Sent
    }

    /// Whether more of it is taken.
    pub(super) fn is_sending(&self) -> bool {
        self.stage == Stage::Sending
    }

    /// Whether the origin takes no more of it.
    pub(super) fn is_broken(&self) -> bool {
        self.stage == Stage::Broken
    }

    /// Passes a piece on.
    pub(super) fn put_data(&mut self, data: Bytes, origin: &mut Origin, now: Instant) {
        debug_assert!(self.is_sending(), "content comes while it is taken");
        origin.mark_write(now);
        let moved = self.encoder.data(data, &mut origin.out);
        debug_assert!(moved.is_ok(), "content is as long as its head says");
    }

    /// That was all of it.
    pub(super) fn put_end(&mut self, trailers: &Fields, origin: &mut Origin, now: Instant) {
        debug_assert!(self.is_sending(), "content ends once");
        origin.mark_write(now);
        self.stage = Stage::Sent;
        let moved = self.encoder.end(trailers, &mut origin.out);
        debug_assert!(moved.is_ok(), "content is as long as its head says");
    }

    /// The origin takes no more of it.
    pub(super) const fn break_off(&mut self) {
        self.stage = Stage::Broken;
    }
}
