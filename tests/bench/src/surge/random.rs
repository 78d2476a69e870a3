//! Owns chance: the same seed gives every contender the same visitors.
//! Never asks the system.

/// A source of random numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to 1, never 1 itself.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A whole number below `end`.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the remainder is below a usize"
    )]
    pub const fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// The time to the next of events that come `rate` times a second, in seconds.
    pub fn gap(&mut self, rate: f64) -> f64 {
        -(1.0 - self.share()).ln() / rate
    }
}

/// Ranks by Zipf's law: rank `n` is wanted `1/n` as often as the first.
#[derive(Clone, Debug)]
pub struct Zipf(Vec<f64>);

impl Zipf {
    /// Ranks from 0 to `count`.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "ranks are few")]
    pub fn new(count: usize) -> Self {
        let mut sums: Vec<f64> = Vec::with_capacity(count);
        for rank in 1..=count {
            sums.push(sums.last().unwrap_or(&0.0) + 1.0 / rank as f64);
        }
        Self(sums)
    }

    /// One of the ranks.
    pub fn pick(&self, random: &mut Random) -> usize {
        let all = self.0.last().copied().unwrap_or(0.0);
        let point = random.share() * all;
        self.0.partition_point(|sum| *sum <= point)
    }
}
