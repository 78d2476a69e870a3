//! Owns which copies leave memory ([`Scope`]).
//! Never sees a copy.

use retter_core::key::Partition;

/// Which copies leave memory, for the disk or for other instances.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// Those of sessions too; all are sealed.
    All,
    /// Those that everybody may see, and what a stranger was sent.
    Shared,
}

impl Scope {
    /// Whether copies of this partition do.
    #[must_use]
    pub const fn takes(self, partition: Partition) -> bool {
        match self {
            Self::All => true,
            Self::Shared => partition.is_everybodys(),
        }
    }
}
