//! Owns the origin's connection of one exchange: what is read from it and queued for it, and how
//! it is taken leave of.
//! Never outlives its exchange, but for what has been read where the client keeps the connection.

use super::answer::Shared;
use super::call::Owner;
use super::signal::{Action, Step, Turn};
use crate::canary::{Plant, is_planted};
use crate::config::OriginSettings;
use crate::h1::{ClientConn, Event, SendQueue};
use crate::limits::DRAIN_BYTES_MAX;
use crate::pace::{Demand, Pace};
use crate::time::Instant;

/// The origin's connection. It dies with its exchange or is left without any of this.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) conn: ClientConn,
    pub(super) out: SendQueue,
    /// Whether any byte of the request has left.
    pub(super) is_asked: bool,
    /// It takes no more for now: the client waits for it.
    pub(super) is_full: bool,
    /// Last byte received, or the moment from which one is expected.
    pub(super) read_at: Instant,
    /// Until when more of a body of known length must have come.
    pub(super) read_pace: Pace,
    pub(super) reused: bool,
    /// Last progress of the send queue; the request has left when the queue is empty.
    pub(super) write_at: Instant,
}

/// The client was answered otherwise; the rest of a short response is read so that the origin's
/// connection stays usable.
#[derive(Debug)]
pub(super) struct Draining {
    left: u64,
    pub(super) origin: Origin,
    pub(super) since: Instant,
}

/// What is asked of an origin that sends a body of known length.
const fn terms(settings: &OriginSettings) -> Demand {
    Demand {
        ahead_max: settings.body_timeout,
        grace: settings.body_timeout,
        rate_min: settings.rate_min,
    }
}

impl Origin {
    pub(super) fn new(
        conn: ClientConn,
        out: SendQueue,
        reused: bool,
        settings: &OriginSettings,
        now: Instant,
    ) -> Self {
        Self {
            conn,
            out,
            is_asked: false,
            is_full: false,
            read_at: now,
            read_pace: Pace::start(terms(settings), now),
            reused,
            write_at: now,
        }
    }

    /// It sent `len` bytes; 0 is the end of its stream.
    pub(super) fn handle_read(&mut self, len: usize, settings: &OriginSettings, now: Instant) {
        self.read_at = now;
        self.read_pace.moved(len, terms(settings), now);
        self.conn.handle_read(len);
    }

    pub(super) fn handle_written(&mut self, len: usize, now: Instant) {
        self.out.advance(len);
        self.is_asked |= len > 0;
        self.write_at = now;
    }

    /// Its time to send begins anew.
    pub(super) fn expect_bytes(&mut self, settings: &OriginSettings, now: Instant) {
        self.read_at = now;
        self.read_pace = Pace::start(terms(settings), now);
        if !self.out.is_empty() {
            // What it sends may have been what kept it from reading.
            self.write_at = now;
        }
    }

    /// Its time to take bytes counts from when there are some.
    pub(super) fn mark_write(&mut self, now: Instant) {
        if self.out.is_empty() {
            self.write_at = now;
        }
    }

    /// It takes nothing more.
    pub(super) fn stop_writing(&mut self, now: Instant) {
        self.out.clear();
        self.is_full = false;
        self.write_at = now;
    }

    /// Takes leave of it after an exchange: it is parked, kept for this client, or closed.
    ///
    /// Some origins leave content that they did not want in the connection, where it would be the
    /// next user's request (RFC 9112 §11.2): a connection that carried content is never parked. On
    /// the client's own connection it could only be that client's request.
    pub(super) fn leave(self, is_sent: bool, had_content: bool, shared: &mut Shared) {
        let is_usable = is_sent && self.out.is_empty() && self.conn.is_reusable();
        let owner = if is_planted(Plant::ParkedLogin) {
            Owner::Anyone
        } else {
            shared.call.owner
        };
        shared.actions.push(match owner {
            Owner::Anyone if is_usable && !had_content => Action::Park,
            Owner::Client if is_usable && shared.is_joined => {
                let mut conn = self.conn;
                conn.start_next_cycle();
                conn.release_if_idle();
                Action::Keep(Box::new(conn))
            }
            Owner::Anyone | Owner::Client | Owner::Nobody => Action::Close,
        });
    }
}

impl Draining {
    pub(super) const fn new(origin: Origin, now: Instant) -> Self {
        Self {
            left: DRAIN_BYTES_MAX,
            origin,
            since: now,
        }
    }

    /// Reads what nobody wants of a response, within bounds.
    pub(super) fn advance(&mut self) -> Step {
        match self.origin.conn.next_event() {
            Ok(Event::Data(data)) => match self.left.checked_sub(data.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Step::Moved
                }
                None => Step::Turn(Turn::Stop),
            },
            Ok(Event::End { trailers }) => Step::Turn(Turn::End(trailers)),
            Ok(Event::NeedData) => Step::Rest,
            Ok(Event::Closed | Event::Head(_)) | Err(_) => Step::Turn(Turn::Stop),
        }
    }
}
