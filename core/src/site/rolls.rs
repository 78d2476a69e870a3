//! Owns [`Rolls`]: which cookies the application gives another value with each answer, as it turned out
//! with those that RETTER was given as a stranger.
//! Never learns from a visitor: nobody can train it.

use std::hash::BuildHasher;
use std::sync::PoisonError;
use std::time::Duration;

use foldhash::quality::FixedState;

use crate::limits::ROLLING_NAMES_MAX;
use crate::sync::{Mutex, MutexGuard};
use crate::time::Instant;

/// How long what was found out holds. It is looked at again before that.
const LASTS: Duration = Duration::from_secs(25 * 60 * 60);

/// How long a name is left alone that was looked at.
const AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a name is left alone whose trial came to nothing.
const REST: Duration = Duration::from_secs(60);

/// Names of cookies of a site, by hashes.
#[derive(Debug)]
pub(super) struct Rolls {
    hash: FixedState,
    names: Mutex<Vec<Name>>,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    hash: u64,
    rolls: bool,
    /// Until when that holds.
    until: Instant,
    /// When it may be looked at again.
    due: Instant,
}

impl Rolls {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            hash: FixedState::with_seed(seed),
            names: Mutex::new(Vec::new()),
        }
    }

    /// Whether the application gives a cookie of this name another value with each answer.
    pub(super) fn is_rolling(&self, host: &[u8], name: u64, now: Instant) -> bool {
        let hash = self.hash(host, name);
        let known = self.names();
        known
            .iter()
            .any(|known| known.hash == hash && known.rolls && now < known.until)
    }

    /// Whether that should be found out now.
    pub(super) fn is_due(&self, host: &[u8], name: u64, now: Instant) -> bool {
        let hash = self.hash(host, name);
        let known = self.names();
        known
            .iter()
            .all(|known| known.hash != hash || known.due <= now)
    }

    /// Notes what was found out; `None` where a trial came to nothing.
    pub(super) fn note(&self, host: &[u8], name: u64, rolls: Option<bool>, now: Instant) {
        let hash = self.hash(host, name);
        let mut known = self.names();
        let was = known.iter().position(|known| known.hash == hash);
        let was = was.map(|at| known.swap_remove(at));
        let new = match (rolls, was) {
            (Some(rolls), _) => Name {
                hash,
                rolls,
                until: now + LASTS,
                due: now + AGAIN,
            },
            (None, Some(was)) => Name {
                due: now + REST,
                ..was
            },
            (None, None) => Name {
                hash,
                rolls: false,
                until: now,
                due: now + REST,
            },
        };
        if known.len() >= ROLLING_NAMES_MAX {
            let first = known.iter().enumerate().min_by_key(|(_, name)| name.until);
            if let Some(first) = first.map(|(at, _)| at) {
                known.swap_remove(first);
            }
        }
        known.push(new);
    }

    /// Shows what is known of each name, and until when that holds.
    pub(super) fn each(&self, now: Instant, show: &mut dyn FnMut(u64, bool, Instant)) {
        let known = self.names().clone();
        for name in known.iter().filter(|name| now < name.until) {
            show(name.hash, name.rolls, name.until);
        }
    }

    /// Takes over what was found out before, where nothing is known yet.
    pub(super) fn learn(&self, hash: u64, rolls: bool, until: Instant, now: Instant) {
        let mut known = self.names();
        let is_new = known.iter().all(|known| known.hash != hash);
        if is_new && known.len() < ROLLING_NAMES_MAX {
            let left = until.saturating_since(now).min(LASTS);
            known.push(Name {
                hash,
                rolls,
                until: now + left,
                due: now + left.saturating_sub(LASTS - AGAIN),
            });
        }
    }

    /// How many are known to roll.
    pub(super) fn rolling(&self, now: Instant) -> usize {
        let known = self.names();
        known
            .iter()
            .filter(|name| name.rolls && now < name.until)
            .count()
    }

    fn hash(&self, host: &[u8], name: u64) -> u64 {
        self.hash.hash_one((host, name))
    }

    fn names(&self) -> MutexGuard<'_, Vec<Name>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    #[test]
    fn what_was_found_out_of_a_name_holds_for_a_day_on_its_host() {
        let rolls = Rolls::new(1);
        assert!(rolls.is_due(b"h", 1, at(0)) && !rolls.is_rolling(b"h", 1, at(0)));
        rolls.note(b"h", 1, Some(true), at(0));
        assert!(rolls.is_rolling(b"h", 1, at(1)) && !rolls.is_due(b"h", 1, at(1)));
        assert!(!rolls.is_rolling(b"other", 1, at(1)) && !rolls.is_rolling(b"h", 2, at(1)));
        assert!(rolls.is_due(b"h", 1, at(24 * 3_600)) && rolls.is_rolling(b"h", 1, at(24 * 3_600)));
        // A trial that comes to nothing takes nothing away.
        rolls.note(b"h", 1, None, at(24 * 3_600));
        assert!(rolls.is_rolling(b"h", 1, at(24 * 3_600 + 1)));
        assert!(!rolls.is_due(b"h", 1, at(24 * 3_600 + 1)));
        assert!(!rolls.is_rolling(b"h", 1, at(25 * 3_600)));
        rolls.note(b"h", 1, Some(false), at(26 * 3_600));
        assert!(!rolls.is_rolling(b"h", 1, at(26 * 3_600 + 1)));
        for name in 0..10_000 {
            rolls.note(b"h", name, Some(true), at(27 * 3_600));
        }
        assert_eq!(rolls.rolling(at(27 * 3_600)), ROLLING_NAMES_MAX);
    }
}
