//! Owns the shares of visitors in the origin's time: how much each has had lately, how many of its
//! requests are there, and how many visitors there are.
//! Never knows who waits, and never lets anybody in.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::quality::FixedState;

use super::bid::Visitor;
use crate::limits::SHARES_MAX;
use crate::time::Instant;

/// Start-time fair queueing. Each request starts, in the origin's own time, when its visitor's last one
/// was done at the earliest; who is next is who starts first. A visitor who comes starts now: nobody
/// saves time up, and nobody who had the origin alone owes any.
#[derive(Debug)]
pub(super) struct Shares {
    /// The origin's own time, in nanoseconds of work: the latest start.
    time: u64,
    table: HashMap<Visitor, Share, FixedState>,
    /// The half window of the latest call, from 1, and the visitors who came in this one and the last.
    window: u64,
    came: u32,
    came_before: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// When its last request is done, in the origin's own time.
    done: u64,
    working: u32,
    parked: u32,
    /// The last half window in which it came; 0 for none.
    window: u64,
}

/// What a request was charged with when it was let in, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Charge {
    start: u64,
    cost: u64,
}

/// Visitors count as present for two of these.
const HALF_WINDOW: Duration = Duration::from_secs(5);

impl Shares {
    /// The same `seed` gives the same table.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            time: 0,
            table: HashMap::with_hasher(FixedState::with_seed(seed)),
            window: 0,
            came: 0,
            came_before: 0,
        }
    }

    /// A visitor asks for something. Returns as whom it counts: where there are too many, those who
    /// come new are one.
    pub(super) fn come(&mut self, visitor: Visitor, now: Instant) -> Visitor {
        let window = now.as_nanos() / nanos(HALF_WINDOW) + 1;
        if window > self.window {
            self.turn(window);
        }
        let is_full = self.table.len() >= SHARES_MAX && !self.table.contains_key(&visitor);
        let visitor = visitor.filter(|_| !is_full);
        let window = self.window;
        let share = self.share(visitor);
        if share.window != window {
            share.window = window;
            // Who is behind that name is not one of the others.
            self.came += u32::from(visitor.is_some());
        }
        visitor
    }

    /// Other visitors who are there than one who is.
    pub(super) fn others(&self) -> u32 {
        self.came.max(self.came_before).saturating_sub(1)
    }

    /// How many of `places` a visitor may have: one is kept free for each of the others, half of
    /// them at most.
    pub(super) fn most(&self, visitor: Visitor, places: u32) -> u32 {
        match visitor {
            Some(_) => (places - self.others().min(places / 2)).max(1),
            None => u32::MAX,
        }
    }

    /// Its requests at the origin that work, and those that wait there.
    pub(super) fn inside(&self, visitor: Visitor) -> (u32, u32) {
        let share = self.table.get(&visitor);
        share.map_or((0, 0), |share| (share.working, share.parked))
    }

    /// The origin's own time, and when this visitor's last request is done.
    pub(super) fn clock(&self, visitor: Visitor) -> (u64, u64) {
        let share = self.table.get(&visitor);
        (self.time, share.map_or(0, |share| share.done))
    }

    /// A request is let in that is likely to take `cost`; one that waits there costs nothing.
    pub(super) fn enter(&mut self, visitor: Visitor, cost: Duration, is_parked: bool) -> Charge {
        let time = self.time;
        let share = self.share(visitor);
        let start = share.done.max(time);
        if is_parked {
            share.parked += 1;
            return Charge { start, cost: 0 };
        }
        share.working += 1;
        let cost = nanos(cost);
        share.done = start.saturating_add(cost);
        self.time = start;
        Charge { start, cost }
    }

    /// A request that was let in turned out to wait there.
    pub(super) fn park(&mut self, visitor: Visitor) {
        let share = self.share(visitor);
        share.working = share.working.saturating_sub(1);
        share.parked += 1;
    }

    /// A request has left; `took` is what it cost in the end, where that is known.
    pub(super) fn leave(
        &mut self,
        visitor: Visitor,
        charge: Charge,
        took: Option<Duration>,
        is_parked: bool,
    ) {
        let share = self.share(visitor);
        let count = match is_parked {
            true => &mut share.parked,
            false => &mut share.working,
        };
        *count = count.saturating_sub(1);
        if let Some(took) = took {
            let done = share.done.saturating_add(nanos(took));
            share.done = done.saturating_sub(charge.cost).max(charge.start);
        }
    }

    fn share(&mut self, visitor: Visitor) -> &mut Share {
        self.table.entry(visitor).or_default()
    }

    fn turn(&mut self, window: u64) {
        self.came_before = if window == self.window + 1 {
            self.came
        } else {
            0
        };
        self.came = 0;
        self.window = window;
        let time = self.time;
        self.table.retain(|_, share| {
            let is_inside = share.working + share.parked > 0;
            is_inside || share.done > time || share.window + 1 >= window
        });
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::network::Network;

    fn visitor(number: u8) -> Visitor {
        let address = Ipv4Addr::new(192, 0, number, 1);
        Some(Network::of(IpAddr::V4(address)))
    }

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    impl Shares {
        /// When a request of this visitor would start.
        fn start(&self, visitor: Visitor) -> u64 {
            let (time, done) = self.clock(visitor);
            time.max(done)
        }
    }

    #[test]
    fn who_has_had_more_starts_later_and_nobody_saves_up() {
        let [one, other] = [1, 2].map(visitor);
        let mut shares = Shares::new(1);
        let second = Duration::from_secs(1);
        for _ in 0..3 {
            shares.enter(one, second, false);
        }
        assert_eq!(shares.start(other), 2_000_000_000, "its time begins now");
        assert_eq!(shares.start(one), 3_000_000_000);
        let charge = shares.enter(other, second, false);
        shares.leave(other, charge, Some(second * 4), false);
        assert_eq!(
            shares.start(other),
            6_000_000_000,
            "it took longer than was thought"
        );
        let charge = shares.enter(one, second, false);
        shares.leave(one, charge, Some(Duration::ZERO), false);
        assert_eq!(shares.start(one), 3_000_000_000);
    }

    #[test]
    fn a_place_is_kept_free_for_each_of_the_others() {
        let mut shares = Shares::new(1);
        let most = |shares: &Shares| [1, 2, 8].map(|places| shares.most(visitor(0), places));
        shares.come(visitor(0), at(0));
        assert_eq!(most(&shares), [1, 2, 8]);
        for _ in 0..3 {
            shares.come(visitor(1), at(1));
        }
        assert_eq!(most(&shares), [1, 1, 7]);
        for number in 2..9 {
            shares.come(visitor(number), at(6));
        }
        assert_eq!(most(&shares), [1, 1, 4]);
        assert_eq!(shares.most(None, 8), u32::MAX, "nobody is behind that name");
        shares.come(visitor(0), at(16));
        assert_eq!(most(&shares), [1, 2, 8], "they are gone");
    }

    #[test]
    fn there_are_not_too_many() {
        let mut shares = Shares::new(1);
        let address = |number: u32| Some(Network::of(IpAddr::V4(Ipv4Addr::from_bits(number << 8))));
        let count = u32::try_from(SHARES_MAX).unwrap();
        for number in 0..count {
            assert_eq!(shares.come(address(number), at(0)), address(number));
        }
        assert_eq!(shares.come(address(count), at(0)), None);
        assert_eq!(shares.come(address(7), at(0)), address(7));
        shares.come(None, at(20));
        assert_eq!(shares.table.len(), 1, "those who have gone are forgotten");
    }
}
