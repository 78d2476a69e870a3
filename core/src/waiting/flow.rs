//! Owns what is learnt of how visitors move through the waiting room: how many a second are let in, how
//! many of those who are called come; and what follows of that: how many are called, how long the rest
//! has to wait, and when each looks again.
//! Never knows a single visitor.

use std::time::Duration;

use crate::time::Instant;

/// What the origin bears, as far as the gate before it knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bearing {
    /// Whether hardly anybody stands at the gate, so that a place would stay free.
    pub(crate) is_idle: bool,
    /// How many requests may be there at one time.
    pub(crate) places: u32,
    /// How many a second it may answer; a guess until that is known.
    pub(crate) per_second: f64,
}

/// How visitors move.
#[derive(Debug)]
pub(super) struct Flow {
    /// Visitors let in each second, as of `noted`.
    rate: f64,
    noted: Instant,
    /// Part of those who are called that comes.
    shown: f64,
    /// Part of those who were given a number that is still here when it is called.
    stayed: f64,
}

/// The shortest time between two looks: a page must not reload while its visitor is reading it.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// The longest time between two looks: the place that is shown should be about right.
const SELDOM: Duration = Duration::from_secs(10);

/// An average is half renewed after about this many events.
const EVENTS: f64 = 50.0;

/// … and after about this time.
const MEMORY: Duration = Duration::from_secs(20);

/// How many more are called than are expected to be let in until they look again.
const SPARE: f64 = 1.2;

/// Fewer are never expected to come, so that numbers are not called without end.
const SHOWN_MIN: f64 = 0.05;

/// The slowest rate that is told apart from none.
const RATE_MIN: f64 = 0.01;

impl Flow {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            rate: RATE_MIN,
            noted: now,
            shown: 1.0,
            stayed: 1.0,
        }
    }

    /// The room opens: a rate learnt long ago no longer counts.
    pub(super) fn begin(&mut self, bearing: Bearing, now: Instant) {
        if self.rate <= RATE_MIN || now.saturating_since(self.noted) > MEMORY {
            (self.rate, self.noted) = (bearing.per_second.max(RATE_MIN), now);
        }
    }

    /// A visitor is let in.
    pub(super) fn let_in(&mut self, now: Instant) {
        self.rate = self.rate_at(now) + 1.0 / MEMORY.as_secs_f64();
        self.noted = now;
    }

    /// One who was let in found no room.
    pub(super) fn turned_away(&mut self) {
        self.rate = (self.rate - 1.0 / MEMORY.as_secs_f64()).max(RATE_MIN);
    }

    /// Somebody who was called came in time, or did not.
    pub(super) fn came(&mut self, is_so: bool) {
        note(&mut self.shown, is_so);
    }

    /// A number is called, and its visitor is still here, or is not.
    pub(super) fn stayed(&mut self, is_so: bool) {
        note(&mut self.stayed, is_so);
    }

    /// Part of those who are given a number that comes when it is called.
    pub(super) fn staying(&self) -> f64 {
        self.stayed * self.shown
    }

    /// How many are to be called who have not come.
    pub(super) fn to_call(&self, bearing: Bearing, now: Instant) -> usize {
        let most = self.rate_at(now) * SOON.as_secs_f64() * SPARE / self.shown.max(SHOWN_MIN);
        let places = usize::try_from(bearing.places).unwrap_or(usize::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from a float saturates"
        )]
        let most = most.ceil() as usize;
        most.max(places)
    }

    /// How long a visitor is likely to wait: `given` numbers are before its own, of which `here` are still
    /// here, and `called` visitors are called and have not come.
    pub(super) fn wait(
        &self,
        (here, given, called): (u64, u64, usize),
        now: Instant,
    ) -> Option<Duration> {
        /// No estimate is longer than this.
        const KNOWN: Duration = Duration::from_secs(12 * 60 * 60);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let [here, given, called] = [here, given, called as u64].map(|count| count as f64);
        // Of those who are here some will have left by then.
        let come = (here * self.shown).min(given * self.staying());
        let seconds = (come + called * self.shown + 1.0) / self.rate_at(now);
        let wait = Duration::try_from_secs_f64(seconds).ok()?;
        (wait <= KNOWN).then_some(wait)
    }

    /// When a visitor looks again who is likely to wait for `wait`.
    pub(super) fn look_again(wait: Option<Duration>) -> Duration {
        // Often enough to be here when it is called, although it may come sooner.
        wait.map_or(SELDOM, |wait| (wait / 4).clamp(SOON, SELDOM))
    }

    fn rate_at(&self, now: Instant) -> f64 {
        let since = now.saturating_since(self.noted).as_secs_f64();
        let rate = self.rate * (-since / MEMORY.as_secs_f64()).exp();
        rate.max(RATE_MIN)
    }
}

fn note(share: &mut f64, is_so: bool) {
    let new = if is_so { 1.0 } else { 0.0 };
    *share += (new - *share) / EVENTS;
}
