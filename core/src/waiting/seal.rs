//! Owns [`Seal`]: the proof that a number was given by this program.
//! Never knows what a number is worth.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use crate::rules::own_cookies::Claim;

/// Seals numbers, and knows its own seals again. `SipHash-2-4` is a pseudo-random function of its
/// 128-bit key: without it nobody makes a seal but by trying 2⁶⁴ of them here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    key: (u64, u64),
}

impl Seal {
    /// The same `seed` knows the same seals. They tell nothing of it, by which partitions are made too.
    pub(super) fn new(seed: u64) -> Self {
        let derive = |purpose: &[u8]| {
            let mut hash = SipHasher24::new_with_keys(seed, 0);
            hash.write(purpose);
            hash.finish()
        };
        Self {
            key: (
                derive(b"waiting room, left"),
                derive(b"waiting room, right"),
            ),
        }
    }

    pub(super) fn claim(&self, number: u64) -> Claim {
        let seal = self.of(number);
        Claim { number, seal }
    }

    /// The number, where it was given here.
    pub(super) fn number(&self, claim: Claim) -> Option<u64> {
        (self.of(claim.number) == claim.seal).then_some(claim.number)
    }

    fn of(&self, number: u64) -> u64 {
        let mut hash = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hash.write_u64(number);
        hash.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_seals_are_known_again_and_no_others() {
        let (seal, other) = (Seal::new(1), Seal::new(2));
        let claim = seal.claim(7);
        assert_eq!(seal.number(claim), Some(7));
        assert_eq!(Seal::new(1).number(claim), Some(7));
        assert_eq!(other.number(claim), None);
        for forged in [
            Claim { number: 8, ..claim },
            Claim {
                seal: claim.seal ^ 1,
                ..claim
            },
            Claim { number: 0, seal: 0 },
        ] {
            assert_eq!(seal.number(forged), None, "{forged:?}");
        }
    }
}
