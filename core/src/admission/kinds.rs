//! Owns what is usual for each kind of page: how long the origin takes for it, how long at its best,
//! and whether requests of the kind work there or only wait.
//! Never decides who enters, and never sees a failure.

use std::time::Duration;

use super::kind::{KINDS, Kind};
use crate::time::Instant;

/// For how long a request is at the origin before it may turn out to wait there. What is a multiple of
/// the usual time instead drifts away where the origin begins slowly.
pub(super) const LATE: Duration = Duration::from_secs(1);

/// How long a kind counts as one that is asked for.
const RECENT: Duration = Duration::from_secs(10);

/// What is known of all kinds.
#[derive(Debug)]
pub(super) struct Kinds {
    table: Box<[Known]>,
    /// The two kinds that were asked for last, the latest first.
    latest: [Option<(Kind, Instant)>; 2],
    /// When a kind was asked for last whose requests are not known to wait.
    working_at: Option<Instant>,
}

/// What is known of one kind. Times are in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The middle of the times, roughly.
    usual: f64,
    /// What one in twenty is below.
    ease: f64,
    /// It has been answered within [`LATE`].
    was_quick: bool,
    /// Answers that were late before any was quick, up to [`LATES`].
    lates: u8,
    /// A request turned out to wait there: until one is quick, all are likely to.
    seems_long: bool,
    /// Requests at the origin, and those of them that work.
    inside: u32,
    working: u32,
    asked_at: Option<Instant>,
}

/// Late answers in a row that say that a kind takes long by nature.
const LATES: u8 = 2;

impl Kinds {
    pub(super) fn new() -> Self {
        Self {
            table: vec![Known::default(); KINDS].into_boxed_slice(),
            latest: [None; 2],
            working_at: None,
        }
    }

    /// One of this kind is asked for.
    pub(super) fn ask(&mut self, kind: Kind, now: Instant) {
        if self.latest[0].is_none_or(|(last, _)| last != kind) {
            self.latest[1] = self.latest[0];
        }
        self.latest[0] = Some((kind, now));
        if !self.parks(kind) {
            self.working_at = Some(now);
        }
    }

    /// One of this kind is at the origin.
    pub(super) fn enter(&mut self, kind: Kind, is_parked: bool, now: Instant) {
        let known = &mut self.table[kind.index()];
        known.inside += 1;
        known.working += u32::from(!is_parked);
        known.asked_at = Some(now);
    }

    /// One that was let in to work turned out to wait: its answer is not waited for to know that.
    pub(super) fn park(&mut self, kind: Kind) {
        let known = &mut self.table[kind.index()];
        known.working = known.working.saturating_sub(1);
        known.seems_long = true;
    }

    /// It is not any more.
    pub(super) fn leave(&mut self, kind: Kind, is_parked: bool) {
        let known = &mut self.table[kind.index()];
        known.inside -= 1;
        known.working = known.working.saturating_sub(u32::from(!is_parked));
    }

    /// A request was answered well after so many seconds; `is_parked` where others were answered as
    /// usual meanwhile, so that it did not take so long because the origin was busy.
    pub(super) fn learn(&mut self, kind: Kind, took: f64, is_parked: bool) {
        /// What the middle moves with each answer, and what the lowest twentieth does: upward
        /// slowly, so that a busy hour is not taken for what the origin can do.
        const USUAL_STEP: f64 = 1.1;
        const EASE_UP: f64 = 1.002;
        const EASE_DOWN: f64 = 1.04;
        let is_late = took > LATE.as_secs_f64();
        let known = &mut self.table[kind.index()];
        match (is_late, known.was_quick) {
            (false, false) => {
                known.was_quick = true;
                (known.usual, known.ease) = (took, took);
            }
            (false, true) => {
                known.usual = stepped(known.usual, took, USUAL_STEP, USUAL_STEP);
                known.ease = stepped(known.ease, took, EASE_UP, EASE_DOWN);
            }
            // What makes every page late makes no page one that waits.
            (true, true) if !is_parked => {}
            (true, true) => known.usual = stepped(known.usual, took, USUAL_STEP, USUAL_STEP),
            (true, false) => {
                known.lates = if is_parked {
                    LATES
                } else {
                    LATES.min(known.lates + 1)
                };
                if known.lates == LATES {
                    known.usual = took;
                }
            }
        }
    }

    /// Whether requests of this kind wait at the origin.
    pub(super) fn parks(&self, kind: Kind) -> bool {
        let known = self.of_kind(kind);
        known.usual > LATE.as_secs_f64() || known.seems_long && !known.was_quick
    }

    /// Whether they may: no answer was ever quick, and one was late.
    pub(super) fn may_park(&self, kind: Kind) -> bool {
        let known = self.of_kind(kind);
        !known.was_quick && known.lates > 0 || self.parks(kind)
    }

    /// Whether they are known to be answered within [`LATE`].
    pub(super) fn is_quick(&self, kind: Kind) -> bool {
        self.of_kind(kind).was_quick && !self.parks(kind)
    }

    /// Whether none was ever answered within [`LATE`].
    pub(super) fn was_never_quick(&self, kind: Kind) -> bool {
        !self.of_kind(kind).was_quick
    }

    /// The usual time in seconds; `None` before any answer.
    pub(super) fn usual(&self, kind: Kind) -> Option<f64> {
        let known = self.of_kind(kind);
        let is_known = known.was_quick || known.lates == LATES;
        is_known.then_some(known.usual)
    }

    /// How many times longer than at its best a request took.
    pub(super) fn strain(&self, kind: Kind, took: f64) -> f64 {
        /// What is shorter is as good as nothing.
        const LEAST: f64 = 0.005;
        let known = self.of_kind(kind);
        let ease = if known.was_quick { known.ease } else { took };
        took / (ease + LEAST)
    }

    /// Requests of this kind at the origin.
    pub(super) fn inside(&self, kind: Kind) -> u32 {
        self.of_kind(kind).inside
    }

    /// Those of them that work there, as far as is known.
    pub(super) fn working(&self, kind: Kind) -> u32 {
        self.of_kind(kind).working
    }

    /// Whether none of this kind has been at the origin for some time.
    pub(super) fn is_untried(&self, kind: Kind, now: Instant) -> bool {
        let known = self.of_kind(kind);
        known.inside == 0 && !is_recent(known.asked_at, now)
    }

    /// Whether another kind is asked for too.
    pub(super) fn has_rival(&self, kind: Kind, now: Instant) -> bool {
        let mut latest = self.latest.into_iter().flatten();
        let other = latest.find(|(other, _)| *other != kind);
        other.is_some_and(|(_, at)| is_recent(Some(at), now))
    }

    /// Whether any kind is asked for whose requests are not known to wait.
    pub(super) fn has_working(&self, now: Instant) -> bool {
        is_recent(self.working_at, now)
    }

    fn of_kind(&self, kind: Kind) -> &Known {
        &self.table[kind.index()]
    }
}

fn is_recent(at: Option<Instant>, now: Instant) -> bool {
    at.is_some_and(|at| now.saturating_since(at) < RECENT)
}

fn stepped(from: f64, toward: f64, up: f64, down: f64) -> f64 {
    match toward > from {
        true => (from * up).min(toward),
        false => (from / down).max(toward),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_say_of_their_kind() {
        const PARKED: bool = true;
        /// The kind after these answers: whether it waits, and its usual time.
        fn after(answers: &[(f64, bool)]) -> (bool, Option<f64>) {
            let mut kinds = Kinds::new();
            let kind = Kind::at(7);
            for &(took, is_parked) in answers {
                kinds.learn(kind, took, is_parked);
            }
            (kinds.parks(kind), kinds.usual(kind))
        }
        assert_eq!(after(&[]), (false, None));
        assert_eq!(after(&[(10.0, PARKED)]), (true, Some(10.0)));
        assert_eq!(after(&[(10.0, !PARKED)]), (false, None));
        assert_eq!(after(&[(10.0, !PARKED); 2]), (true, Some(10.0)));
        // The first quick answer says more than all late ones before it.
        assert_eq!(after(&[(10.0, PARKED), (0.2, !PARKED)]), (false, Some(0.2)));
        // A kind that was quick once is not made one that waits by a busy origin.
        let mut kinds = Kinds::new();
        kinds.enter(Kind::at(7), false, Instant::ZERO);
        kinds.park(Kind::at(7));
        assert_eq!(kinds.working(Kind::at(7)), 0);
        assert!(kinds.parks(Kind::at(7)) && kinds.usual(Kind::at(7)).is_none());
        kinds.learn(Kind::at(7), 0.2, false);
        assert!(!kinds.parks(Kind::at(7)), "one is quick");
        let late = [&[(0.2, !PARKED)][..], &[(9.0, !PARKED); 99]].concat();
        assert_eq!(after(&late), (false, Some(0.2)));
        let parked = [&[(0.2, !PARKED)][..], &[(9.0, PARKED); 99]].concat();
        assert_eq!(after(&parked), (true, Some(9.0)));
    }
}
