//! Owns how much of a shard each owner fills: whoever had the values made that nobody else had before,
//! each variant of a page by itself.
//! Never knows which values those are, and evicts nothing.

/// Bytes by owner. Owners are few: who shares a number with another has a share with them.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Shares([usize; OWNERS]);

/// 0 is nobody, and has no bound.
pub(super) type Owner = u8;

const OWNERS: usize = Owner::MAX as usize + 1;

/// One byte in this number of a shard is what an owner may fill at the cost of others.
const SHARE: usize = 8;

impl Shares {
    pub(super) const fn new() -> Self {
        Self([0; OWNERS])
    }

    pub(super) const fn add(&mut self, owner: Owner, bytes: usize) {
        self.0[owner as usize] += bytes;
    }

    pub(super) const fn take(&mut self, owner: Owner, bytes: usize) {
        self.0[owner as usize] -= bytes;
    }

    /// Whether an owner fills more than its share of `bytes_max`, `newest` aside: one value is always
    /// somebody's to keep.
    pub(super) const fn is_over(&self, owner: Owner, newest: usize, bytes_max: usize) -> bool {
        let others = self.0[owner as usize].saturating_sub(newest);
        owner != 0 && others > bytes_max / SHARE
    }
}
