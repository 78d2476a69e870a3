//! Owns [`Sketch`]: about how many different things were seen, in 4 KiB (HyperLogLog, Flajolet and
//! others 2007, with linear counting where there are few).
//! Never keeps what was seen. The crates for it have had no release for years, or bring unsafe code.

/// Bits of a hash that choose a register: 4,096 of them are off by 1.6 % on average.
const BITS: u32 = 12;
const REGISTERS: usize = 1 << BITS;

/// Which hashes were seen, as far as that tells how many.
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch {
    /// The longest run of zeros seen by each register, and one more; none before the first hash.
    registers: Option<Box<[u8; REGISTERS]>>,
}

impl Sketch {
    /// Takes note of a hash, which must be well mixed.
    pub(super) fn add(&mut self, hash: u64) {
        let registers = self
            .registers
            .get_or_insert_with(|| Box::new([0; REGISTERS]));
        let (chosen, rest) = (hash >> (64 - BITS), hash << BITS);
        // A rest of nothing but zeros has as many as there are bits.
        let rank = rest.leading_zeros().min(64 - BITS) + 1;
        if let (Ok(chosen), Ok(rank)) = (usize::try_from(chosen), u8::try_from(rank)) {
            registers[chosen] = registers[chosen].max(rank);
        }
    }

    /// Adds what another has seen.
    pub(super) fn merge(&mut self, other: &Self) {
        let Some(others) = &other.registers else {
            return;
        };
        let registers = self
            .registers
            .get_or_insert_with(|| Box::new([0; REGISTERS]));
        for (register, other) in registers.iter_mut().zip(others.iter()) {
            *register = (*register).max(*other);
        }
    }

    /// About how many different hashes were seen.
    pub(super) fn estimate(&self) -> u64 {
        let Some(registers) = &self.registers else {
            return 0;
        };
        let count = 4096.0_f64;
        let sum: f64 = registers
            .iter()
            .map(|rank| (-f64::from(*rank)).exp2())
            .sum();
        let alpha = 0.7213 / (1.0 + 1.079 / count);
        let raw = alpha * count * count / sum;
        let empty = registers.iter().filter(|rank| **rank == 0).count();
        let empty = u32::try_from(empty).map_or(0.0, f64::from);
        let estimate = if raw <= 2.5 * count && empty > 0.0 {
            count * (count / empty).ln()
        } else {
            raw
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast from a float saturates, and it is not negative"
        )]
        let rounded = estimate.round() as u64;
        rounded
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn few_and_many_are_told_within_five_per_cent() {
        // The same on each run: keys of the standard hasher would be others.
        let hasher = foldless();
        for count in [0_u64, 1, 10, 100, 1_000, 10_000, 100_000] {
            let mut halves = [Sketch::default(), Sketch::default()];
            for number in 0..count {
                let hash = hasher.hash_one(number);
                // What both have seen counts once, and so does what one has seen twice.
                halves[usize::from(number % 2 == 0)].add(hash);
                halves[0].add(hash);
            }
            let [mut all, other] = halves;
            all.merge(&other);
            let told = all.estimate();
            assert!(told.abs_diff(count) * 20 <= count, "{told} of {count}");
        }
    }

    fn foldless() -> std::hash::BuildHasherDefault<std::hash::DefaultHasher> {
        std::hash::BuildHasherDefault::default()
    }
}
