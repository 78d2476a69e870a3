//! Owns what a site and whoever shares its copies with other instances say to each other:
//! [`Sharing`] is told what changes and asked for copies, an [`Invalidation`] is what makes copies
//! wrong here and there.
//! Never keeps a copy, and knows no network.

use std::time::Duration;

use super::purge::Purge;
use super::sought::Sought;
use crate::key::{CacheKey, Partition};

/// What makes copies wrong, as instances tell it to each other. Numbers mean the same to those that
/// have the same seed and the same [mark](crate::Site::rules_mark) of their rules.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Invalidation {
    /// All copies under keys with these hashes.
    Keys(Vec<u64>),
    /// All copies of a partition.
    Partition(Partition),
    /// What an operator wants gone; never those of a session, which are a partition.
    Purge(Purge),
    /// What other visitors have of a resource is asked about before it answers.
    Written(u64),
    /// The visitors of a partition were refused a resource: parts of it answer them no more.
    Refused(u64),
}

/// Whoever keeps copies where other instances find them.
///
/// It is told by the threads of requests, that hold no lock then, and must not let them wait: whatever
/// takes time belongs to another thread. As with a [`Journal`](super::Journal), a copy that was kept is only
/// named, and what makes copies wrong is told after they have left memory.
pub trait Sharing: Send + Sync {
    /// Whether copies of such a partition are shared.
    fn takes(&self, partition: Partition) -> bool;

    /// There is another copy under `key` than before.
    fn changed(&self, key: &CacheKey);

    /// These copies must not answer at other instances either.
    fn invalidated(&self, invalidation: Invalidation);

    /// A request has no copy and would be refused, wait or fail: looks for copies under these keys, and
    /// drops `sought` when those that were found are [in memory](crate::Site::restore_sought). Says for
    /// how long that is worth waiting for; `None` where it is not.
    fn seek(&self, keys: Vec<CacheKey>, sought: Sought) -> Option<Duration>;
}
