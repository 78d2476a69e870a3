//! Owns the chance of a simulated world: one sequence of numbers, drawn in many shapes.
//! Never asks anybody but its seed.

use std::ops::Range;
use std::time::Duration;

use retter_core::rng::Rng;

/// Numbers of one seed.
#[derive(Debug)]
pub(crate) struct Chance(Rng);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// A seed for something that draws numbers of its own.
    pub(crate) fn seed(&mut self) -> u64 {
        self.0.next()
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.0.next() % bound).unwrap_or(0)
    }

    /// A number in `range`.
    pub(crate) fn within(&mut self, range: Range<usize>) -> usize {
        range.start + self.below(range.end - range.start)
    }

    /// `true` this many times in a thousand.
    pub(crate) fn hits(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille as usize
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// An index, each as likely as its weight says; the first when no weight is above zero.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let sum: u32 = weights.iter().sum();
        let mut left = self.below(sum as usize);
        for (index, weight) in weights.iter().enumerate() {
            match left.checked_sub(*weight as usize) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }

    /// A size up to `max`: small ones are as likely as large ones.
    pub(crate) fn size(&mut self, max: usize) -> usize {
        let shift = self.below(max.max(1).ilog2() as usize + 1);
        self.below((2 << shift).min(max + 1))
    }

    /// A time up to `max`, short ones more often.
    pub(crate) fn time(&mut self, max: Duration) -> Duration {
        let micros = usize::try_from(max.as_micros()).unwrap_or(usize::MAX / 4);
        Duration::from_micros(self.size(micros) as u64)
    }
}
