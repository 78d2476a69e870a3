//! Owns from which networks a number was shown, and how many numbers those of each network have.
//! Never knows the order of the line.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::quality::FixedState;

use crate::network::Network;

/// The mark of a network.
pub(super) type Mark = NonZeroU32;

/// The networks that one number was shown from: its visitor goes from Wi-Fi to a mobile network, or
/// comes by IPv4 once and by IPv6 then. More is no visitor, but many who share a number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown([Option<Mark>; 4]);

impl Shown {
    /// It was given to somebody of this network.
    pub(super) const fn at(home: Mark) -> Self {
        Self([Some(home), None, None, None])
    }

    /// Where it was given.
    pub(super) const fn home(&self) -> Option<Mark> {
        self.0[0]
    }

    /// It is shown by somebody of a network. Returns whether it counts there.
    pub(super) fn show(&mut self, network: Mark) -> bool {
        let is_it = |known: &&mut Option<Mark>| known.is_none_or(|known| known == network);
        let place = self.0.iter_mut().find(is_it);
        place.map(|place| *place = Some(network)).is_some()
    }
}

/// How many of those who wait each network has.
#[derive(Debug)]
pub(super) struct Networks {
    counts: HashMap<Mark, u32, FixedState>,
    hash: FixedState,
    all: u32,
}

/// This many of one network may wait in any case: a household, or a few of an office.
const FEW: u32 = 8;

impl Networks {
    /// The same `seed` makes the same marks.
    pub(super) fn new(seed: u64) -> Self {
        let hash = FixedState::with_seed(seed);
        Self {
            counts: HashMap::with_hasher(hash.clone()),
            hash,
            all: 0,
        }
    }

    pub(super) fn mark(&self, network: Network) -> Mark {
        let hash = self.hash.hash_one(network) >> 32;
        let hash = u32::try_from(hash).unwrap_or(u32::MAX);
        Mark::new(hash).unwrap_or(Mark::MAX)
    }

    /// Whether one more of a network may wait: it has at most a tenth of the line, or an equal share where
    /// fewer than ten networks wait, counted for visitors who are likely to stay. A client that draws
    /// numbers without end makes nobody wait for longer than that.
    pub(super) fn may_join(&self, mark: Mark, stay: f64) -> bool {
        let count = self.counts.get(&mark).copied().unwrap_or_default();
        let networks = u32::try_from(self.counts.len()).unwrap_or(u32::MAX);
        // Alone it has no competitor.
        let share = f64::from(self.all / networks.clamp(1, 10)) * stay;
        networks <= 1 && count == self.all || count < FEW || f64::from(count) <= share
    }

    pub(super) fn join(&mut self, mark: Mark) {
        *self.counts.entry(mark).or_default() += 1;
        self.all += 1;
    }

    /// How many wait in all.
    #[cfg(test)]
    pub(super) const fn all(&self) -> u32 {
        self.all
    }

    /// A visitor who had left is back.
    pub(super) fn join_again(&mut self, shown: &Shown) {
        if let Some(mark) = shown.home() {
            self.join(mark);
        }
    }

    pub(super) fn leave(&mut self, shown: &Shown) {
        let Some(mark) = shown.home() else { return };
        if let Some(count) = self.counts.get_mut(&mark) {
            *count -= 1;
            self.all -= 1;
            if *count == 0 {
                self.counts.remove(&mark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn marks(networks: &Networks, count: u32) -> Vec<Mark> {
        let network = |number| Network::of(IpAddr::V4(Ipv4Addr::from_bits(number << 8)));
        (1..=count)
            .map(|number| networks.mark(network(number)))
            .collect()
    }

    #[test]
    fn a_number_counts_in_four_networks() {
        let marks = marks(&Networks::new(1), 5);
        let mut shown = Shown::at(marks[0]);
        let mut show = |at: usize| shown.show(marks[at]);
        assert!((0..4).all(&mut show));
        assert!(!show(4), "that is somebody else");
        assert!((0..4).rev().all(show), "it still counts where it did");
    }

    #[test]
    fn one_network_has_a_tenth_of_many_and_its_share_of_few() {
        let mut networks = Networks::new(1);
        let marks = marks(&networks, 101);
        let fill = |networks: &mut Networks, mark| {
            let mut count = 0;
            while count < 5_000 && networks.may_join(mark, 1.0) {
                networks.join(mark);
                count += 1;
            }
            count
        };
        assert_eq!(fill(&mut networks, marks[0]), 5_000, "nobody else is there");
        networks.join(marks[1]);
        assert!(!networks.may_join(marks[0], 1.0));
        let mut networks = Networks::new(1);
        for &mark in &marks[..100] {
            networks.join(mark);
        }
        // 100 others have nine tenths.
        assert_eq!(fill(&mut networks, marks[100]), 12);
        networks.leave(&Shown::at(marks[100]));
        assert_eq!(fill(&mut networks, marks[100]), 1);
        for &mark in &marks[..100] {
            networks.leave(&Shown::at(mark));
        }
        assert_eq!((networks.all, networks.counts.len()), (12, 1));
    }
}
