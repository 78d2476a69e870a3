//! Every interleaving of a few threads at one shard (`bash tests/run.sh loom`): the store keeps
//! its bounds and the shares of owners, what was dropped stays away, and no value is dropped while
//! the lock is held.

use std::sync::{Arc, OnceLock, Weak};

use loom::thread;

use super::{Bounds, Entry, Store};
use crate::config::CacheSettings;
use crate::key::{CacheKey, Keyer, Partition};
use crate::message::{Fields, RequestHead};
use crate::sync::every_interleaving;

/// A value that asks the store something when it is dropped: under the lock it would wait for
/// ever, which the model notices.
struct Page {
    bytes: usize,
    owner: u8,
    store: Weak<Store<Self>>,
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            assert!(store.bytes() <= BYTES_MAX);
        }
    }
}

impl Entry for Page {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn matches(&self, _: &Fields) -> bool {
        true
    }

    fn same_variant(&self, _: &Self) -> bool {
        true
    }

    fn is_good(&self) -> bool {
        true
    }

    fn owner(&self) -> u8 {
        self.owner
    }
}

const BYTES_MAX: usize = 10_000;

/// Two of them fit, three do not.
const BYTES: usize = 4_000;

const OWN: Partition = Partition::Session(7);

fn key(path: &str) -> CacheKey {
    static KEYER: OnceLock<Keyer> = OnceLock::new();
    let keyer = KEYER.get_or_init(|| Keyer::new(&CacheSettings::default(), 1));
    let head = RequestHead::new(http::Method::GET, "/", Fields::default());
    keyer.key_of(&head, path.as_bytes(), OWN).unwrap()
}

type Shared = Arc<Store<Page>>;

fn page(store: &Shared) -> Page {
    Page {
        bytes: BYTES,
        owner: 0,
        store: Arc::downgrade(store),
    }
}

fn insert(store: &Shared, path: &str) -> Option<Arc<Page>> {
    store.insert(key(path), page(store))
}

fn remove(store: &Shared) {
    store.remove(&key("/a"));
}

fn drop_partition(store: &Shared) {
    store.drop_partition(OWN);
}

/// A renewal of the copy that is there.
fn replace(store: &Shared) {
    if let Some(old) = store.get(&key("/a"), &Fields::default()) {
        store.replace(key("/a"), &old, Arc::new(page(store)));
    }
}

/// Compresses the copy that is there.
fn grow(store: &Shared) {
    if let Some(copy) = store.get(&key("/a"), &Fields::default()) {
        store.grew(&key("/a"), &copy, BYTES / 2);
    }
}

fn insert_a(store: &Shared) {
    insert(store, "/a");
}

fn insert_b(store: &Shared) {
    insert(store, "/b");
}

fn insert_c(store: &Shared) {
    insert(store, "/c");
}

/// Pages that one visitor alone has had made.
fn insert_owned(store: &Shared, path: &str) {
    let mut owned = page(store);
    owned.owner = 7;
    store.insert(key(path), owned);
}

fn insert_owned_b(store: &Shared) {
    insert_owned(store, "/b");
}

fn insert_owned_c(store: &Shared) {
    insert_owned(store, "/c");
}

/// Lets these loose at one time on a store that has `/a`, and judges what is left.
fn check(calls: &'static [fn(&Shared)], judge: fn(&Store<Page>)) {
    every_interleaving(3, move || {
        let store = Arc::new(Store::new(Bounds {
            bytes_max: BYTES_MAX,
            entries_max: 100,
            object_bytes_max: BYTES_MAX,
            shards_max: 1,
        }));
        assert!(insert(&store, "/a").is_some());
        let threads: Vec<_> = calls
            .iter()
            .map(|call| {
                let store = Arc::clone(&store);
                thread::spawn(move || call(&store))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(store.validate(), Ok(()));
        assert!(store.bytes() <= BYTES_MAX);
        judge(&store);
    });
}

fn is_empty(store: &Store<Page>) {
    assert!(store.is_empty());
}

fn is_anything(_: &Store<Page>) {}

#[test]
fn what_was_removed_is_not_renewed() {
    check(&[replace, remove], is_empty);
    check(&[replace, drop_partition], is_empty);
    check(&[replace, replace, remove], is_empty);
}

#[test]
fn the_bounds_are_kept_by_whoever_makes_it_grow() {
    check(&[insert_b, insert_c], is_anything);
    check(&[grow, insert_a], is_anything);
    check(&[grow, grow, insert_b], is_anything);
    check(&[grow, replace, remove], is_empty);
}

/// A second page of an owner is more than its share: the first gives way, not what others have.
#[test]
fn an_owner_above_its_share_drives_out_its_own_whatever_comes_first() {
    check(&[insert_owned_b, insert_owned_c], |store| {
        assert!(store.contains(&key("/a")));
        assert_eq!(store.len(), 2);
    });
    check(&[insert_owned_b, insert_owned_c, grow], is_anything);
    check(&[insert_owned_b, insert_owned_c, remove], |store| {
        assert!(!store.contains(&key("/a")));
    });
}

#[test]
fn what_comes_while_a_partition_is_dropped_is_there_or_not() {
    check(&[insert_b, drop_partition], |store| {
        let kept = store.contains(&key("/b"));
        assert_eq!(store.len(), usize::from(kept), "/a is gone");
    });
    check(&[insert_a, drop_partition, grow], is_anything);
}
