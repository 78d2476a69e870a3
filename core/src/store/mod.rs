//! Owns the copies: a byte- and entry-bounded, thread-safe map from [`CacheKey`] to variants.
//! Never knows what a response is or whether it may be used, and never scans all of itself.
//!
//! # Why an own shard
//!
//! `quick_cache` 0.7 was tried against the needs first. Its `entry` can change a group of variants
//! in place and weigh it again, and it evicts the same way for the same seed. What it has no place
//! for: dropping one partition without a scan (`retain` visits everything; an index kept by its
//! `on_evict` hook needs a second lock inside the first), a hard bound on the number of entries
//! (its item capacity is an estimate), and writing without ever waiting on another thread
//! (`entry` waits while a placeholder is alive). The shape is its: a pure `&mut self` shard
//! under a thin wrapper, a mark instead of list moves on a hit, evictees dropped after unlocking.
//!
//! [`CacheKey`]: crate::key::CacheKey

mod check;
mod entry;
mod ghosts;
mod list;
mod shard;
mod shared;
#[cfg(test)]
mod tests;

pub use self::entry::{Entry, Vary};
pub use self::shared::{Bounds, Store};
