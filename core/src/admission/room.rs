//! Owns how many requests may wait at the origin without holding a place, learnt from what they do to
//! others.
//! Never knows which requests those are: `inside` does.

use std::time::Duration;

use super::kinds::LATE;
use crate::time::Instant;

/// The room for requests that wait at the origin: parked ones.
///
/// Requests that work, and are answered, are the witnesses. So many that share one processor take so
/// many times longer than one alone, which explains their strain; what goes beyond that is the doing of
/// those that are parked. The room grows by what two good witnesses in a row saw full, and shrinks where
/// half of them are bad; then a wall holds it for a time that doubles.
#[derive(Debug)]
pub(super) struct Room {
    room: u32,
    /// What the room may grow to.
    wall: u32,
    /// Until when the wall stays where it is.
    held_until: Instant,
    /// How often the wall was set, which makes the next one stay longer.
    walls: u32,
    max: u32,
    /// The latest witnesses as bits, a bad one is 1; and how many there are.
    bad: u16,
    seen: u32,
    /// Good witnesses in a row that saw the room full.
    good: u32,
    /// Answers since failures were counted last, and failures among them.
    ended: u32,
    failed: u32,
    /// Part of the latest witnesses that were good.
    calm: f64,
    shrunk_at: Option<Instant>,
}

/// What a request that worked at the origin has seen there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness {
    /// How many times longer it took than at its kind's best.
    pub(super) strain: f64,
    /// Most requests that worked there with it, itself among them.
    pub(super) working: u32,
    /// No less were parked when it came than may be.
    pub(super) found_full: bool,
}

/// What each of the others makes a request take longer, at most, as part of its time alone.
const SHARE: f64 = 0.6;

/// The strain from which more parked requests are not tried, whatever explains it.
const STRAIN_MAX: f64 = 2.46;

const WITNESSES: u32 = u16::BITS;

/// How long the first wall stays, and how often that doubles at most.
const HOLD: Duration = Duration::from_secs(30);
const DOUBLINGS: u32 = 6;

impl Room {
    /// Makes room for nobody yet, and for so many at most.
    pub(super) const fn new(max: u32) -> Self {
        Self {
            room: 0,
            wall: max,
            held_until: Instant::ZERO,
            walls: 0,
            max,
            bad: 0,
            seen: 0,
            good: 0,
            ended: 0,
            failed: 0,
            calm: 1.0,
            shrunk_at: None,
        }
    }

    pub(super) fn set_max(&mut self, max: u32) {
        self.max = max;
        self.wall = if self.walls == 0 {
            max
        } else {
            self.wall.min(max)
        };
        self.room = self.room.min(max);
    }

    /// Whether any may ever wait there; else every request counts as work.
    pub(super) const fn is_open(&self) -> bool {
        self.max > 0
    }

    /// How many may wait at the origin.
    pub(super) const fn size(&self) -> u32 {
        self.room
    }

    /// How many of those that are parked are too many.
    pub(super) const fn excess(&self, parked: u32) -> u32 {
        parked.saturating_sub(self.room)
    }

    /// Whether those who work do not suffer.
    pub(super) fn is_calm(&self) -> bool {
        const CALM_MIN: f64 = 0.7;
        self.calm > CALM_MIN
    }

    /// Whether a request took no longer than those that worked beside it explain.
    pub(super) fn is_good(witness: Witness) -> bool {
        witness.strain < 1.0 + SHARE * f64::from(witness.working)
    }

    /// A request that worked was answered well, while so many were parked.
    pub(super) fn hear(&mut self, witness: Witness, parked: u32, now: Instant) {
        const MEMORY: f64 = 16.0;
        self.open_wall(now);
        self.count(false, parked, now);
        let is_good = Self::is_good(witness);
        self.calm += (f64::from(u8::from(is_good)) - self.calm) / MEMORY;
        self.bad = self.bad << 1 | u16::from(!is_good);
        self.seen = WITNESSES.min(self.seen + 1);
        if is_good && witness.strain < STRAIN_MAX && witness.found_full {
            self.good += 1;
            if self.good >= 2 {
                self.good = 0;
                self.grow(parked);
            }
            return;
        }
        self.good = 0;
        if self.bad.count_ones() * 2 > WITNESSES {
            self.shrink(parked, now);
        }
    }

    /// A request that worked has failed, while so many were parked.
    pub(super) fn hear_failure(&mut self, parked: u32, now: Instant) {
        self.open_wall(now);
        self.good = 0;
        self.count(true, parked, now);
    }

    /// Those who work suffer, and what explains it is that too many are parked.
    pub(super) fn shrink(&mut self, parked: u32, now: Instant) {
        /// How long those that are too many are given to leave.
        const LEAVING: Duration = Duration::from_secs(5);
        let rest = if self.excess(parked) > 0 {
            LEAVING
        } else {
            LATE
        };
        let rests = self
            .shrunk_at
            .is_some_and(|at| now.saturating_since(at) < rest);
        if parked == 0 || rests {
            return;
        }
        // Seven tenths, and one at least: or nothing would be learnt any more.
        self.room = (self.room.min(parked) * 7 / 10).max(1).min(self.max);
        self.wall = self.room;
        self.hold(now);
        self.walls = DOUBLINGS.min(self.walls + 1);
        self.shrunk_at = Some(now);
        (self.bad, self.seen) = (0, 0);
    }

    /// The origin is back: what its requests were like says nothing any more.
    pub(super) const fn forget(&mut self) {
        (self.bad, self.seen, self.good) = (0, 0, 0);
        (self.ended, self.failed) = (0, 0);
    }

    fn grow(&mut self, parked: u32) {
        let grown = parked + (parked / 8).max(1);
        self.room = self.room.max(grown.min(self.wall).min(self.max));
    }

    /// Half of the answers failing is reason enough.
    fn count(&mut self, failed: bool, parked: u32, now: Instant) {
        const ENDED_MIN: u32 = 8;
        self.ended += 1;
        self.failed += u32::from(failed);
        if self.ended >= ENDED_MIN {
            if self.failed * 2 >= self.ended {
                self.shrink(parked, now);
            }
            (self.ended, self.failed) = (0, 0);
        }
    }

    /// What was too many once may be borne now.
    fn open_wall(&mut self, now: Instant) {
        if self.wall < self.max && now >= self.held_until {
            self.wall += 1 + self.wall / 4;
            self.hold(now);
        }
    }

    fn hold(&mut self, now: Instant) {
        self.held_until = now + HOLD * (1 << self.walls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Witness = Witness {
        strain: 1.2,
        working: 1,
        found_full: true,
    };
    const BAD: Witness = Witness {
        strain: 9.0,
        working: 1,
        found_full: true,
    };

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    /// The room after so many witnesses with `parked` at the origin.
    fn heard(room: &mut Room, witness: Witness, times: usize, parked: u32, secs: u64) -> u32 {
        for _ in 0..times {
            room.hear(witness, parked, at(secs));
        }
        room.size()
    }

    #[test]
    fn two_good_witnesses_of_a_full_room_let_it_grow() {
        let mut room = Room::new(256);
        assert_eq!(heard(&mut room, GOOD, 1, 2, 0), 0);
        assert_eq!(heard(&mut room, GOOD, 1, 2, 0), 3);
        assert_eq!(heard(&mut room, GOOD, 2, 80, 0), 90);
        assert_eq!(
            heard(&mut room, GOOD, 2, 255, 0),
            256,
            "no more than may be"
        );
        let unfilled = Witness {
            found_full: false,
            ..GOOD
        };
        assert_eq!(heard(&mut Room::new(256), unfilled, 9, 2, 0), 0);
    }

    #[test]
    fn strain_that_others_who_work_explain_is_nobodys_doing() {
        let is_good = |strain, working| {
            Room::is_good(Witness {
                strain,
                working,
                found_full: true,
            })
        };
        assert!(is_good(1.5, 1) && !is_good(1.7, 1));
        assert!(is_good(4.5, 6) && !is_good(4.7, 6));
    }

    #[test]
    fn bad_witnesses_shrink_it_and_a_wall_holds_it() {
        let mut room = Room::new(256);
        heard(&mut room, GOOD, 2, 90, 0);
        assert_eq!(
            heard(&mut room, BAD, 8, 90, 1),
            101,
            "half of them are not more than half"
        );
        assert_eq!(heard(&mut room, BAD, 1, 90, 1), 63);
        assert_eq!(
            heard(&mut room, BAD, 99, 90, 5),
            63,
            "the rest is to leave first"
        );
        assert_eq!(heard(&mut room, GOOD, 9, 63, 30), 63, "held for 30 s");
        assert_eq!(heard(&mut room, GOOD, 9, 63, 31), 70);
        assert_eq!(
            heard(&mut room, GOOD, 9, 80, 31),
            79,
            "by a quarter of the wall"
        );
    }

    #[test]
    fn failures_shrink_it_where_some_are_parked() {
        let mut room = Room::new(256);
        heard(&mut room, GOOD, 2, 10, 0);
        for _ in 0..8 {
            room.hear_failure(0, at(1));
        }
        assert_eq!(room.size(), 11);
        for _ in 0..8 {
            room.hear_failure(10, at(1));
        }
        assert_eq!(room.size(), 7);
    }
}
