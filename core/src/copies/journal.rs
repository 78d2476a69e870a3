//! Owns what a site and whoever keeps its copies beside memory say to each other: [`Journal`] is told
//! what changes, [`Records`] are what there is, and [`Restored`] is what came back.
//! Never keeps a copy, and knows no disk.

use crate::key::{CacheKey, Partition};

/// Whoever keeps copies beside memory, so that they outlive the process.
///
/// It is told by the threads of requests, that hold no lock then: it has to be quick. A copy that
/// was kept is only named; what is there under its name when it is written down,
/// [`Site::records`](crate::Site::records) says, which is to be asked on another thread.
///
/// What was dropped must not come back. A drop of a key is told after its copies have left memory; so
/// whoever first notes that there will be something of a key, then asks for the records, and then
/// writes them, hears of each drop that these records do not know of, and writes it behind them.
pub trait Journal: Send + Sync {
    /// Whether copies of such a partition are kept.
    fn takes(&self, partition: Partition) -> bool;

    /// There is another copy under `key` than before.
    fn changed(&self, key: &CacheKey);

    /// No copy under a key with one of these hashes may come back. Returns when that is sure, or after
    /// a moment where it cannot be made sure so soon.
    fn dropped(&self, keys: &[u64]);

    /// No copy of this partition may come back; otherwise as [`dropped`](Self::dropped).
    fn dropped_partition(&self, partition: Partition);

    /// No copy may come back but those under keys with these hashes, which are sorted; otherwise as
    /// [`dropped`](Self::dropped).
    fn dropped_others(&self, kept: &[u64]);
}

/// What there is under a key to be written down.
#[derive(Debug)]
pub struct Records {
    /// One for each good copy that may be used stale.
    pub records: Vec<Recorded>,
    /// A copy is there that must not be written down: those that were written in its place have to go.
    pub has_unfit: bool,
}

/// A copy as it is written down.
#[derive(Debug)]
pub struct Recorded {
    /// A hash of what the answer depends on: one key may have several variants.
    pub variant: u64,
    /// A hash of the answer: the same where only its times are others.
    pub content: u64,
    /// The copy, for [`Site::restore`](crate::Site::restore).
    pub record: Vec<u8>,
}

/// A copy that came back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Restored {
    /// The hash of its key.
    pub key: u64,
    /// As [`Recorded::variant`].
    pub variant: u64,
}

/// Why a copy does not come back.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Unrestored {
    /// Its bytes are not those that were written.
    #[error("it is damaged")]
    Damaged,
    /// Something has made it wrong since.
    #[error("it was dropped")]
    Dropped,
    /// There is no room for more copies.
    #[error("the memory for copies is full")]
    Full,
    /// It was received later than now: the clock of then or that of now is wrong.
    #[error("it is from the future")]
    Future,
    /// There is a newer one.
    #[error("there is a newer one")]
    Known,
    /// It is too old to rescue anybody.
    #[error("it is too old")]
    Old,
    /// It was made by other settings, or its key means nothing here.
    #[error("it was made by other settings")]
    Rules,
    /// Another version of the program has written it.
    #[error("another version has written it")]
    Version,
}
