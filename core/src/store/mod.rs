//! Owns the copies: a byte- and entry-bounded, thread-safe map from [`CacheKey`] to variants.
//! Never knows what a response is or whether it may be used, and never scans all of itself.
//!
//! ```
//! use std::sync::Arc;
//!
//! use retter_core::config::CacheSettings;
//! use retter_core::key::Keyer;
//! use retter_core::message::{Fields, RequestHead};
//! use retter_core::store::{Bounds, Entry, Store};
//!
//! /// What is kept: any value that knows its size and for whom it is.
//! struct Page(&'static str);
//!
//! impl Entry for Page {
//!     fn bytes(&self) -> usize {
//!         self.0.len()
//!     }
//!     fn matches(&self, _request: &Fields) -> bool {
//!         true
//!     }
//!     fn same_variant(&self, _other: &Self) -> bool {
//!         true
//!     }
//!     fn is_good(&self) -> bool {
//!         true
//!     }
//! }
//!
//! let store = Store::new(Bounds {
//!     bytes_max: 1 << 20,
//!     entries_max: 100,
//!     object_bytes_max: 1 << 16,
//!     shards_max: 1,
//! });
//! let request = RequestHead::new(http::Method::GET, "/page", Fields::default());
//! let key = Keyer::new(&CacheSettings::default(), 42).key(&request).expect("a path");
//! store.insert(key.clone(), Page("good"));
//! let copy: Arc<Page> = store.get(&key, &request.fields).expect("it fits");
//! assert_eq!(copy.0, "good");
//! assert!(store.bytes() < 1 << 20);
//! ```
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
mod group;
#[cfg(all(test, loom))]
mod interleavings;
mod keep;
mod list;
mod shard;
mod shared;
mod shares;
#[cfg(test)]
mod tests;

pub use self::entry::{Entry, Vary};
pub use self::shared::{Bounds, Store};
