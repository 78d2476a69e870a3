//! Owns what the host sees of the program's attempts at the origin: when a session asked for a
//! connection, and how long it may have been at work there.
//! Never knows what was decided: a request is let through in the moment its attempt begins.

use retter_core::time::Instant;

use crate::ledger::AskedId;

/// The number of an attempt.
pub(crate) type AttemptId = usize;

/// One request's way to the origin, with its second connection where the first was dead.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) begun_at: Instant,
    /// The request that the origin got.
    pub(crate) asked: Option<AskedId>,
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
    pub(crate) fn begin(&mut self, reused: bool, now: Instant) -> AttemptId {
        self.0.push(Attempt {
            begun_at: now,
            asked: None,
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
        let is_repeated = attempt.is_unproved && attempt.done_at == Some(now);
        if is_repeated {
            (attempt.heard_at, attempt.done_at) = (None, None);
            attempt.is_unproved = false;
        }
        is_repeated
    }

    /// Notes that the program read so many bytes of it, or its end.
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
    /// Until when it was certainly not over: nothing of an answer had been read.
    pub(crate) fn silent_until(&self) -> Option<Instant> {
        match (self.heard_at, self.done_at) {
            (Some(heard), Some(done)) => Some(heard.min(done)),
            (heard, done) => heard.or(done),
        }
    }
}
