//! Owns the deadlines of a session. They are *derived* from its state at each call, so that no
//! deadline can be forgotten, left over, or armed twice.
//! Never sleeps.

use super::exchange::{Download, Exchange, Relay, Upload};
use super::room::Room;
use super::{Action, Last, Life, Session, Side};
use crate::config::{ClientSettings, OriginSettings};
use crate::limits::{PAUSE_MIN, UPLOAD_WORK_MAX};
use crate::pace::Terms;
use crate::policy::Fetch;
use crate::time::Instant;

/// What is asked of a client that sends a body.
pub(super) const fn client_read(settings: &ClientSettings) -> Terms {
    Terms {
        ahead_max: settings.read_timeout,
        grace: settings.read_timeout,
        rate_min: settings.rate_min,
    }
}

/// What is asked of a client that takes an answer.
pub(super) fn client_write(settings: &ClientSettings) -> Terms {
    /// What is written lies in two kernels, and room for more shows only when a good part of it
    /// was taken: at 20 kB a second that can be half a minute.
    const AHEAD: u32 = 4;
    Terms {
        ahead_max: settings.write_timeout.saturating_mul(AHEAD),
        grace: settings.write_timeout,
        rate_min: settings.rate_min,
    }
}

/// What is asked of an origin that sends a body of known length.
pub(super) const fn origin_read(settings: &OriginSettings) -> Terms {
    Terms {
        ahead_max: settings.body_timeout,
        grace: settings.body_timeout,
        rate_min: settings.rate_min,
    }
}

/// What a deadline guards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Timer {
    /// The next piece of a request body.
    ClientBody,
    /// A whole request head, from its first byte.
    ClientHead,
    /// The next request on an idle connection.
    ClientIdle,
    /// The client to close after our last answer.
    ClientLinger,
    /// A full queue of the client's, until it counts as slow.
    ClientPause,
    /// Progress of the client's send queue.
    ClientWrite,
    /// The next piece of a response body, or the origin taking a request body.
    OriginBody,
    /// A connection to the origin.
    OriginConnect,
    /// The response head.
    OriginHead,
    /// Room at the origin.
    OriginRoom,
    /// The response, for longer than it should take: until the copy answers.
    Slow,
    /// Any byte through a tunnel.
    TunnelIdle,
    /// The whole request body: until its slot at the origin is for others.
    Upload,
}

impl Session {
    /// When to call [`handle_timeout`](Self::handle_timeout); `None` when time changes nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_deadline().map(|(deadline, _)| deadline)
    }

    /// Which wait the next deadline ends.
    #[must_use]
    pub fn poll_timer(&self) -> Option<Timer> {
        self.next_deadline().map(|(_, timer)| timer)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        /// Each firing ends a wait, an exchange or the session, so a few are enough.
        const FIRINGS_MAX: usize = 8;
        for _ in 0..FIRINGS_MAX {
            match self.next_deadline() {
                Some((deadline, timer)) if deadline <= now => self.fire(timer, now),
                _ => break,
            }
        }
        self.pump(now);
        debug_assert!(
            self.poll_timeout().is_none_or(|deadline| deadline > now),
            "a fired deadline must move"
        );
    }

    fn fire(&mut self, timer: Timer, now: Instant) {
        match timer {
            Timer::ClientBody | Timer::ClientHead => self.request_timed_out(now),
            Timer::ClientIdle => self.life = Life::Closing(Last::Close),
            Timer::ClientLinger => self.client_left(now),
            Timer::ClientPause => self.pause_download(now),
            // A plain close would leave what the kernel holds of the answer there until it is
            // taken, which is never.
            Timer::ClientWrite => self.leave_client(Action::Abort(Side::Client), now),
            Timer::OriginBody | Timer::OriginHead => self.origin_stalled(now),
            Timer::OriginConnect => self.connect_timed_out(now),
            Timer::Slow => self.origin_slow(now),
            // The ticket has its decision now, so nobody needs to be woken.
            Timer::OriginRoom => drop(self.poll_room(std::task::Waker::noop(), now)),
            Timer::TunnelIdle => self.tunnel_ended(now),
            Timer::Upload => self.upload_lasts(now),
        }
        self.pump(now);
    }

    fn next_deadline(&self) -> Option<(Instant, Timer)> {
        let candidates = [
            self.write_deadline(),
            self.life_deadline(),
            self.exchange_deadline(),
        ];
        candidates
            .into_iter()
            .flatten()
            .min_by_key(|(deadline, _)| *deadline)
    }

    fn write_deadline(&self) -> Option<(Instant, Timer)> {
        let waits = !self.client.out.is_empty() && self.life != Life::Closed;
        waits.then(|| (self.client.write_pace.due(), Timer::ClientWrite))
    }

    fn life_deadline(&self) -> Option<(Instant, Timer)> {
        let settings = self.retter.config().client();
        match (self.life, &self.exchange) {
            (Life::Lingering(deadline), _) => Some((deadline, Timer::ClientLinger)),
            (Life::Open, Exchange::None) => match self.client.head_since {
                Some(since) => Some((since + settings.read_timeout, Timer::ClientHead)),
                // It has its last answer to take first.
                None if !self.client.out.is_empty() => None,
                None => Some((
                    self.client.read_at + settings.idle_timeout,
                    Timer::ClientIdle,
                )),
            },
            (Life::Background | Life::Open | Life::Closing(_) | Life::Closed, _) => None,
        }
    }

    fn exchange_deadline(&self) -> Option<(Instant, Timer)> {
        let config = self.retter.config();
        match &self.exchange {
            Exchange::None => None,
            Exchange::Receiving(_) => Some((self.client.read_pace.due(), Timer::ClientBody)),
            Exchange::Connecting(connecting) => Some((
                connecting.since + config.site().origin.connect_timeout,
                Timer::OriginConnect,
            )),
            Exchange::Draining(draining) => {
                let deadline = draining.since + config.site().origin.body_timeout;
                Some((deadline, Timer::OriginBody))
            }
            Exchange::Tunnel(tunnel) => {
                let origin = &tunnel.origin;
                let moved_at = self.client.read_at.max(origin.read_at).max(origin.write_at);
                Some((
                    moved_at + config.site().origin.tunnel_timeout,
                    Timer::TunnelIdle,
                ))
            }
            Exchange::Relaying(relay) => self.relay_deadline(relay),
            Exchange::Waiting(waiting) => Some((waiting.ticket.deadline(), Timer::OriginRoom)),
        }
    }

    /// Whoever must act next is watched.
    fn relay_deadline(&self, relay: &Relay) -> Option<(Instant, Timer)> {
        let config = self.retter.config();
        let origin = &relay.origin;
        if relay.upload == Upload::Sending && !origin.is_full {
            let due = self.client.read_pace.due();
            let due = match &relay.download {
                Download::Awaiting | Download::Discarding | Download::Holding(_) => due,
                // Who has an answer may see no reason to send the rest (RFC 9110 §10.1.1): the
                // answer passes as long as it moves.
                Download::Forwarding(_) if !self.is_client_full() => {
                    due.max(origin.read_at + config.client().read_timeout)
                }
                Download::Forwarding(_) => return self.pause_deadline(),
            };
            let works = relay.fetch.as_deref().is_some_and(Fetch::has_slot);
            let upload = (relay.call.origin_since + UPLOAD_WORK_MAX, Timer::Upload);
            return works
                .then_some(upload)
                .into_iter()
                .chain([(due, Timer::ClientBody)])
                .min_by_key(|(at, _)| *at);
        }
        // What it sends may keep it from reading, as long as the client takes none of that.
        let waits_for_client = self.is_client_full() && self.is_forwarding();
        if !origin.out.is_empty() && !waits_for_client {
            // Who answers without reading the rest moves as well.
            let moved_at = if self.is_forwarding() {
                origin.write_at.max(origin.read_at)
            } else {
                origin.write_at
            };
            return Some((
                moved_at + config.site().origin.body_timeout,
                Timer::OriginBody,
            ));
        }
        match &relay.download {
            // From the last byte of the request, whatever trickles in. To the client, a held
            // response has not begun.
            Download::Awaiting | Download::Holding(_) => {
                let since = match &relay.download {
                    Download::Holding(held) => held.since,
                    Download::Awaiting | Download::Discarding | Download::Forwarding(_) => {
                        origin.write_at
                    }
                };
                let head = (since + config.site().origin.head_timeout, Timer::OriginHead);
                let slow = relay.fetch.as_deref().and_then(Fetch::slow_at);
                let slow = slow.map(|at| (at, Timer::Slow));
                slow.into_iter().chain([head]).min_by_key(|(at, _)| *at)
            }
            Download::Forwarding(forward) if !self.is_client_full() => {
                let silence = forward.silence_max(&config.site().origin);
                let due = if forward.has_length && !forward.event_stream {
                    origin.read_pace.due().max(origin.write_at + silence)
                } else {
                    origin.read_at.max(origin.write_at) + silence
                };
                Some((due, Timer::OriginBody))
            }
            Download::Discarding => {
                let since = origin.read_at.max(origin.write_at);
                Some((since + config.site().origin.body_timeout, Timer::OriginBody))
            }
            // The client's queue is full: the write deadline watches.
            Download::Forwarding(_) => self.pause_deadline(),
        }
    }

    fn pause_deadline(&self) -> Option<(Instant, Timer)> {
        match self.client.room {
            Room::Full(since) => Some((since + PAUSE_MIN, Timer::ClientPause)),
            Room::Free | Room::Paused => None,
        }
    }
}
