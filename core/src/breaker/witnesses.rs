//! Owns [`Witnesses`]: by whose word a circuit is open.
//! Never opens or closes it.

use smallvec::SmallVec;

/// Networks that have met with what opened a circuit, as far as more are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Witnesses {
    /// It needs no more: nobody has said so, or everybody would.
    is_certain: bool,
    networks: SmallVec<[u64; 3]>,
}

impl Witnesses {
    /// Where no visitor has to say so.
    pub(super) fn certain() -> Self {
        Self {
            is_certain: true,
            networks: SmallVec::new(),
        }
    }

    pub(super) fn of(networks: impl Iterator<Item = u64>) -> Self {
        let mut witnesses = Self::default();
        for network in networks {
            witnesses.add(network);
        }
        witnesses
    }

    /// One more has met with it.
    pub(super) fn add(&mut self, network: u64) {
        const ENOUGH: usize = 8;
        if self.networks.len() < ENOUGH && !self.networks.contains(&network) {
            self.networks.push(network);
        }
    }

    /// Nobody's word is needed any more.
    pub(super) fn be_certain(&mut self) {
        self.is_certain = true;
    }

    /// Whether one of this network should see for itself, as fewer than `enough` have.
    pub(super) fn lack(&self, network: u64, enough: u32) -> bool {
        network != 0
            && !self.is_certain
            && self.networks.len() < enough as usize
            && !self.networks.contains(&network)
    }
}
