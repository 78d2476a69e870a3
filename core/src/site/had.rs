//! Owns [`Had`]: how many renewals each network has had of late.
//! Never decides which one is next.

use std::collections::BTreeMap;

use crate::network::Network;

/// Counts that fade. Bounded by themselves: no more networks than counts.
#[derive(Debug, Default)]
pub(super) struct Had {
    by_network: BTreeMap<Network, u32>,
    sum: u32,
}

/// All counts are halved when they are as many: what was had long ago counts for little.
const SUM_MAX: u32 = 256;

impl Had {
    /// How many renewals a network has had.
    pub(super) fn count(&self, network: Network) -> u32 {
        self.by_network.get(&network).copied().unwrap_or_default()
    }

    /// Notes one more.
    pub(super) fn one(&mut self, network: Network) {
        *self.by_network.entry(network).or_default() += 1;
        self.sum += 1;
        if self.sum < SUM_MAX {
            return;
        }
        for count in self.by_network.values_mut() {
            *count /= 2;
        }
        self.by_network.retain(|_, count| *count > 0);
        self.sum = self.by_network.values().sum();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn what_was_had_fades_and_the_table_stays_small() {
        let network = |number: u32| Network::of(IpAddr::from(number.to_be_bytes()));
        let mut had = Had::default();
        for _ in 0..100 {
            had.one(network(1));
        }
        assert_eq!(had.count(network(1)), 100);
        for number in 0..10_000 {
            had.one(network(256 * (number + 1)));
            assert!(had.by_network.len() < SUM_MAX as usize);
        }
        assert_eq!(had.count(network(1)), 0);
        assert_eq!(had.sum, had.by_network.values().sum::<u32>());
    }
}
