//! Owns [`Voices`]: whose word the outcome of a request is, as the circuits weigh it.
//! Never keeps an address or a cookie, and never decides what a word weighs.

use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::quality::FixedState;

use crate::breaker::Visitor;
use crate::key::{CacheKey, Partition};
use crate::network::Network;

/// Makes visitors of addresses and sessions, by one seed.
#[derive(Debug)]
pub(super) struct Voices {
    hash: FixedState,
}

impl Voices {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            hash: FixedState::with_seed(seed),
        }
    }

    /// Whoever asks from this address with what this key has of a session. Behind a proxy that is not
    /// declared the address is the proxy's: one network that brings everybody.
    pub(super) fn of(&self, peer: Option<IpAddr>, key: Option<&CacheKey>) -> Visitor {
        // Zero is for what is not known.
        let network = peer.map_or(0, |peer| self.hash.hash_one(Network::of(peer)).max(1));
        let session = match key.map(CacheKey::partition) {
            None | Some(Partition::Public | Partition::Shared) => 0,
            Some(Partition::Marked(mark) | Partition::Session(mark)) => {
                self.hash.hash_one(mark).max(1)
            }
        };
        Visitor { network, session }
    }
}
