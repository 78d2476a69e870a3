//! Owns what the host sees of the program's attempts at the origin: when a session asked for a
//! connection, and how long it may have been at work there.
//! Never knows what was decided: a request is let through in the moment its attempt begins.

use retter_core::config::OriginSettings;
use retter_core::time::Instant;

use crate::ledger::AskedId;

/// The number of an attempt.
pub(crate) type AttemptId = usize;

/// One request's way to the origin, with its second connection where the first was dead.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// No client waits for it.
    pub(crate) in_background: bool,
    pub(crate) begun_at: Instant,
    /// The request that the origin got.
    pub(crate) asked: Option<AskedId>,
    /// It has a connection.
    is_connected: bool,
    /// There was no socket for it.
    lacked: bool,
    /// When the program first read something of an answer, or of its connection's end.
    heard_at: Option<Instant>,
    /// When its connection was closed or kept for others.
    done_at: Option<Instant>,
    /// It began on a connection that had been kept, and nothing was read there.
    is_unproved: bool,
}

/// All of them, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Vec<Attempt>);

impl Attempts {
    pub(crate) fn begin(&mut self, in_background: bool, reused: bool, now: Instant) -> AttemptId {
        self.0.push(Attempt {
            in_background,
            begun_at: now,
            asked: None,
            is_connected: false,
            lacked: false,
            heard_at: None,
            done_at: None,
            is_unproved: reused,
        });
        self.0.len() - 1
    }

    /// Goes on with an attempt whose connection has just turned out dead before it brought a byte;
    /// whether it was such a one.
    pub(crate) fn repeat(&mut self, id: AttemptId, now: Instant) -> bool {
        let attempt = &mut self.0[id];
        // Its end was read: a client that only waited too long does not ask again.
        let was_dead = attempt.is_unproved && attempt.heard_at.is_some();
        let is_repeated = was_dead && attempt.done_at == Some(now);
        if is_repeated {
            (attempt.heard_at, attempt.done_at) = (None, None);
            attempt.is_unproved = false;
            attempt.is_connected = false;
        }
        is_repeated
    }

    pub(crate) fn connected(&mut self, id: AttemptId) {
        self.0[id].is_connected = true;
    }

    pub(crate) fn lacked(&mut self, id: AttemptId) {
        self.0[id].lacked = true;
    }

    /// Whether a client's attempt lacked a socket that was not over at `since`.
    pub(crate) fn lacked_since(&self, since: Instant) -> bool {
        let mut running = self.running_since(since);
        running.any(|attempt| attempt.lacked && !attempt.in_background)
    }

    /// Notes that the program read this many bytes of it, or its end.
    pub(crate) fn heard(&mut self, id: AttemptId, len: usize, now: Instant) {
        let attempt = &mut self.0[id];
        attempt.heard_at.get_or_insert(now);
        attempt.is_unproved &= len == 0;
    }

    pub(crate) fn done(&mut self, id: AttemptId, now: Instant) {
        self.0[id].done_at.get_or_insert(now);
    }

    pub(crate) fn arrived(&mut self, id: AttemptId, asked: AskedId) {
        self.0[id].asked = Some(asked);
    }

    pub(crate) fn get(&self, id: AttemptId) -> &Attempt {
        &self.0[id]
    }

    /// Those that were not over at `since`.
    pub(crate) fn running_since(&self, since: Instant) -> impl Iterator<Item = &Attempt> {
        let runs = move |attempt: &&Attempt| attempt.done_at.is_none_or(|done| done >= since);
        self.0.iter().filter(runs)
    }
}

impl Attempt {
    /// Whether it may have failed in this way below HTTP, by `now`.
    pub(crate) fn may_have_failed(
        &self,
        failure: &str,
        origin: &OriginSettings,
        now: Instant,
    ) -> bool {
        let least = origin.head_timeout.min(origin.body_timeout);
        self.done_at.is_some()
            && match failure {
                "connect" => !self.is_connected && !self.lacked,
                // It has to have read that, or an end.
                "protocol" | "reset" | "truncated" => self.heard_at.is_some(),
                "timeout" => now.saturating_since(self.begun_at) >= least,
                _ => false,
            }
    }

    /// Whether it was over at that time.
    pub(crate) fn was_over(&self, at: Instant) -> bool {
        self.done_at.is_some_and(|done| done <= at)
    }

    /// Until when it was certainly not over: nothing of an answer had been read.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        match (self.heard_at, self.done_at) {
            (Some(heard), Some(done)) => Some(heard.min(done)),
            (heard, done) => heard.or(done),
        }
    }
}
