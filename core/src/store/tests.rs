//! Tests of the shard and the store: calls in, values and bounds out.

mod shares;

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::group::{group_bytes, variant_bytes};
use super::keep;
use super::shard::{Dropped, LARGE_SHARE, Shard};
use super::{Bounds, Entry, Store};
use crate::config::CacheSettings;
use crate::key::{CacheKey, Keyer, Partition};
use crate::limits::VARIANTS_MAX;
use crate::message::{Fields, RequestHead};
use crate::rng::Rng;

/// A value that knows its key, so that a mix-up is seen.
#[derive(Debug, Eq, PartialEq)]
struct Page {
    key: u64,
    variant: u64,
    version: u64,
    bytes: usize,
    owner: u8,
}

impl Entry for Page {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn matches(&self, request: &Fields) -> bool {
        request.get_str("variant") == Some(&self.variant.to_string())
    }

    fn same_variant(&self, other: &Self) -> bool {
        self.variant == other.variant && self.is_good() == other.is_good()
    }

    fn is_good(&self) -> bool {
        self.version != NOT_GOOD
    }

    fn owner(&self) -> u8 {
        self.owner
    }
}

const NOT_GOOD: u64 = u64::MAX;

fn page(key: u64, variant: u64, bytes: usize) -> Page {
    Page {
        key,
        variant,
        version: 0,
        bytes,
        owner: 0,
    }
}

static KEYER: LazyLock<Keyer> = LazyLock::new(|| Keyer::new(&CacheSettings::default(), 1));

fn partition(number: u64) -> Partition {
    match number % 4 {
        0 => Partition::Shared,
        1 => Partition::Marked(1 << 64),
        2 => Partition::Session(1 << 64),
        _ => Partition::Session(2 << 64),
    }
}

fn key(number: u64) -> CacheKey {
    key_in(number, partition(number))
}

fn key_in(number: u64, partition: Partition) -> CacheKey {
    let head = RequestHead::new(http::Method::GET, "/", Fields::default());
    KEYER
        .key_of(&head, format!("/{number}").as_bytes(), partition)
        .unwrap()
}

fn request(variant: u64) -> Fields {
    Fields::from_pairs([("Variant", variant.to_string().as_bytes())])
}

fn insert(shard: &mut Shard<Page>, page: Page) -> bool {
    keep::insert(shard, key(page.key), Arc::new(page), &mut Dropped::new())
}

fn bounds(bytes_max: usize, entries_max: usize) -> Bounds {
    Bounds {
        bytes_max,
        entries_max,
        object_bytes_max: bytes_max / 8,
        shards_max: 4,
    }
}

#[test]
fn the_newest_good_one_stays_findable() {
    let store = Store::new(bounds(1 << 20, 100));
    let good = store.insert(key(1), page(1, 0, 100)).unwrap();
    let gone = Page {
        version: NOT_GOOD,
        ..page(1, 0, 10)
    };
    assert!(store.contains(&key(1)) && !store.contains(&key(2)));
    assert_eq!(store.get_good(&key(1), &request(0)).as_ref(), Some(&good));
    assert_eq!(store.get_good(&key(1), &request(1)), None);
    let gone = store.insert(key(1), gone).unwrap();
    assert_eq!(store.get(&key(1), &request(0)), Some(gone));
    assert_eq!(store.get_good(&key(1), &request(0)), Some(good));
    store.validate().unwrap();
}

#[test]
fn what_is_not_good_gives_way_first() {
    let store = Store::new(bounds(1 << 20, 100));
    let good = |variant| page(1, variant, 10);
    let gone = |variant| Page {
        version: NOT_GOOD,
        ..page(1, variant, 10)
    };
    store.insert(key(1), good(0)).unwrap();
    for variant in 1..VARIANTS_MAX as u64 {
        store.insert(key(1), gone(variant)).unwrap();
    }
    for variant in 100..130 {
        store.insert(key(1), gone(variant)).unwrap();
        assert!(store.get_good(&key(1), &request(0)).is_some());
    }
    assert_eq!(store.len(), VARIANTS_MAX);
    store.validate().unwrap();
}

#[test]
fn what_was_dropped_does_not_come_back_renewed() {
    let store = Store::new(bounds(1 << 20, 100));
    let old = store.insert(key(1), page(1, 0, 100)).unwrap();
    let newer = Arc::new(page(1, 0, 50));
    assert!(store.replace(key(1), &old, Arc::clone(&newer)));
    assert_eq!(store.get(&key(1), &request(0)).as_ref(), Some(&newer));
    assert!(
        !store.replace(key(1), &old, Arc::new(page(1, 0, 10))),
        "renewed already"
    );
    assert!(
        !store.replace(key(2), &newer, Arc::new(page(2, 0, 10))),
        "another key"
    );
    assert_eq!(store.remove(&key(1)), 1);
    assert!(!store.replace(key(1), &newer, Arc::new(page(1, 0, 10))));
    assert!(store.is_empty());
    store.validate().unwrap();
}

#[test]
fn chosen_keys_are_removed_from_every_partition() {
    let store = Store::new(bounds(1 << 20, 1000));
    for number in 0..100 {
        store.insert(key(number), page(number, 0, 10)).unwrap();
        store.insert(key(number), page(number, 1, 10)).unwrap();
    }
    let of_ten = |key: &CacheKey| key.path_and_query().starts_with(b"/1");
    assert_eq!(store.remove_where(&of_ten), 22);
    assert_eq!((store.len(), store.get(&key(10), &request(0))), (178, None));
    store.validate().unwrap();
    assert_eq!(store.remove_where(&|_| true), 178);
    assert!(store.is_empty() && store.bytes() == 0);
}

#[test]
fn the_newest_matching_variant_answers() {
    let store = Store::new(bounds(1 << 20, 100));
    let first = store.insert(key(1), page(1, 0, 100)).unwrap();
    store.insert(key(1), page(1, 1, 100)).unwrap();
    assert!(Arc::ptr_eq(
        &store.get(&key(1), &request(0)).unwrap(),
        &first
    ));
    assert_eq!(store.get(&key(1), &request(2)), None);
    assert_eq!(store.get(&key(2), &request(0)), None);
    let bytes = store.bytes();
    store
        .insert(
            key(1),
            Page {
                version: 1,
                ..page(1, 0, 100)
            },
        )
        .unwrap();
    assert_eq!(store.get(&key(1), &request(0)).unwrap().version, 1);
    assert_eq!(
        (store.len(), store.bytes(), store.evictions()),
        (2, bytes, 0)
    );
    assert_eq!(
        Arc::strong_count(&first),
        1,
        "the store let go of what it replaced"
    );
    assert_eq!((store.remove(&key(1)), store.remove(&key(1))), (2, 0));
    assert!(store.is_empty() && store.bytes() == 0 && store.insertions() == 3);
    store.validate().unwrap();
}

#[test]
fn the_oldest_of_too_many_variants_gives_way() {
    let mut shard = Shard::new(1 << 20, 100);
    for variant in 0..=VARIANTS_MAX as u64 {
        insert(&mut shard, page(1, variant, 10));
    }
    assert_eq!((shard.len(), shard.evictions()), (VARIANTS_MAX, 1));
    assert!(shard.get(&key(1), &request(0)).is_none());
    assert!(shard.get(&key(1), &request(1)).is_some());
    shard.validate().unwrap();
}

#[test]
fn what_does_not_fit_is_refused_and_the_old_copy_stays() {
    let mut shard = Shard::new(10_000, 100);
    assert!(insert(&mut shard, page(1, 0, 1_000)));
    assert!(!insert(&mut shard, page(1, 0, 10_000)));
    assert!(!insert(&mut shard, page(2, 0, usize::MAX)));
    assert_eq!(shard.get(&key(1), &request(0)).unwrap().bytes, 1_000);
    assert!(!insert(&mut Shard::new(10_000, 0), page(1, 0, 1)));
    assert!(!insert(&mut Shard::new(0, 100), page(1, 0, 0)));
    // Two variants that fit only one at a time: the newer one stays.
    assert!(insert(&mut shard, page(1, 1, 9_000)));
    assert!(shard.get(&key(1), &request(0)).is_none());
    assert!(shard.get(&key(1), &request(1)).is_some());
    assert_eq!((shard.len(), shard.evictions()), (1, 1));
    shard.validate().unwrap();
}

#[test]
fn a_value_that_grew_is_charged_and_others_make_room() {
    let store = Store::new(bounds(20_000, 100));
    let other = store.insert(key(1), page(1, 0, 8_000)).unwrap();
    let value = store.insert(key(2), page(2, 0, 8_000)).unwrap();
    let bytes = store.bytes();
    store.grew(&key(2), &value, 100);
    assert_eq!((store.len(), store.bytes()), (2, bytes + 100));
    store.grew(&key(2), &value, 4_000);
    assert!(store.get(&key(1), &request(0)).is_none());
    assert!(store.get(&key(2), &request(0)).is_some());
    let bytes = store.bytes();
    store.grew(&key(1), &other, 100);
    store.grew(&key(2), &other, 100);
    assert_eq!(store.bytes(), bytes, "a value that has left costs nothing");
    store.grew(&key(2), &value, usize::MAX);
    assert_eq!((store.len(), store.bytes(), store.evictions()), (0, 0, 2));
    store.validate().unwrap();
}

#[test]
fn a_partition_goes_alone() {
    let store = Store::new(bounds(1 << 24, 1_000));
    for number in 0..400 {
        store.insert(key(number), page(number, 0, 10)).unwrap();
        store.insert(key(number), page(number, 1, 10)).unwrap();
    }
    assert_eq!(store.drop_partition(Partition::Shared), 0);
    assert_eq!(store.drop_partition(Partition::Session(9 << 64)), 0);
    assert_eq!(store.drop_partition(partition(2)), 200);
    assert_eq!(store.drop_partition(partition(2)), 0);
    store.validate().unwrap();
    for number in 0..400 {
        let found = store.get(&key(number), &request(0)).is_some();
        assert_eq!(found, partition(number) != partition(2));
    }
    assert_eq!((store.len(), store.evictions()), (600, 0));
}

#[test]
fn a_hot_set_survives_a_scan() {
    const HOT: u64 = 50;
    const BYTES: usize = 10_000;
    let mut shard = Shard::new(100 * BYTES, 1_000);
    let fetch = |shard: &mut Shard<Page>, number: u64| {
        let key = key_in(number, Partition::Shared);
        if shard.get(&key, &request(0)).is_some() {
            return true;
        }
        keep::insert(
            shard,
            key,
            Arc::new(page(number, 0, BYTES - 1_000)),
            &mut Dropped::new(),
        );
        false
    };
    for number in (0..HOT).cycle().take(4 * 50) {
        fetch(&mut shard, number);
    }
    // The hot pages are asked for now and then while a crawler takes 3,000 others once each:
    // between two uses of a hot page twice the capacity passes, which defeats LRU.
    let mut hits = 0;
    for number in 0..1_000 {
        for scanned in 0..3 {
            assert!(!fetch(&mut shard, HOT + 3 * number + scanned));
        }
        hits += u64::from(fetch(&mut shard, number % HOT));
    }
    assert!(hits > 900, "{hits} of 1,000 hot requests hit");
    for number in 0..HOT {
        assert!(fetch(&mut shard, number), "{number} was lost");
    }
    shard.validate().unwrap();
}

#[test]
fn a_page_that_comes_back_is_remembered() {
    let mut shard = Shard::new(100_000, 100);
    let mut number = 10;
    insert(&mut shard, page(1, 0, 1_000));
    while shard.evictions() == 0 {
        insert(&mut shard, page(number, 0, 1_000));
        number += 1;
    }
    assert!(
        shard.get(&key(1), &request(0)).is_none(),
        "first in, first out"
    );
    insert(&mut shard, page(1, 0, 1_000));
    for number in number..number + 30 {
        insert(&mut shard, page(number, 0, 1_000));
    }
    assert!(
        shard.get(&key(1), &request(0)).is_some(),
        "its ghost sent it to main"
    );
    shard.validate().unwrap();
}

#[test]
fn eviction_ends_when_everything_is_hot() {
    let mut shard = Shard::new(usize::MAX >> 1, 2_000);
    for number in 0..2_000 {
        insert(&mut shard, page(number, 0, 1));
        for _ in 0..5 {
            assert!(shard.get(&key(number), &request(0)).is_some());
        }
    }
    for number in 2_000..2_100 {
        assert!(insert(&mut shard, page(number, 0, 1)));
        assert!(shard.get(&key(number), &request(0)).is_some());
        shard.validate().unwrap();
    }
    assert_eq!((shard.len(), shard.evictions()), (2_000, 100));
}

#[test]
fn shards_are_few_when_the_store_is_small() {
    #[track_caller]
    fn check(bytes_max: usize, entries_max: usize, object_bytes_max: usize, shards: usize) {
        let bounds = Bounds {
            bytes_max,
            entries_max,
            object_bytes_max,
            shards_max: 20,
        };
        let store = Store::<Page>::new(bounds);
        assert_eq!(
            format!("{store:?}"),
            format!("Store {{ shards: {shards}, .. }}")
        );
    }
    check(64 << 20, 100_000, 4 << 20, 4);
    check(16 << 20, 100_000, 4 << 20, 1);
    check(1 << 30, 100_000, 1 << 20, 16);
    check(1 << 30, 200, 1 << 20, 2);
    check(0, 0, 4 << 20, 1);
}

#[test]
fn threads_keep_the_bounds() {
    let store: Store<Page> = Store::new(bounds(300_000, 256));
    let largest = std::thread::scope(|scope| {
        let hammer = |seed: u64| {
            let store = &store;
            move || {
                let mut rng = Rng::new(seed);
                let mut largest = 0;
                for _ in 0..20_000 {
                    let number = rng.next() % 64;
                    let variant = rng.next() % 3;
                    let bytes = usize::try_from(rng.next() % 8_000).unwrap();
                    match rng.next() % 16 {
                        0..8 => {
                            if let Some(found) = store.get(&key(number), &request(variant)) {
                                assert_eq!((found.key, found.variant), (number, variant));
                            }
                        }
                        8..13 => {
                            store.insert(key(number), page(number, variant, bytes));
                        }
                        13 => {
                            if let Some(found) = store.get(&key(number), &request(variant)) {
                                store.grew(&key(number), &found, bytes / 4);
                            }
                        }
                        14 => drop(store.remove(&key(number))),
                        _ => drop(store.drop_partition(partition(number))),
                    }
                    largest = largest.max(store.bytes());
                }
                largest
            }
        };
        let threads = [scope.spawn(hammer(1)), scope.spawn(hammer(2))];
        threads
            .map(|thread| thread.join().unwrap())
            .into_iter()
            .max()
            .unwrap()
    });
    assert!(largest <= 300_000);
    store.validate().unwrap();
}

#[derive(Clone, Debug)]
enum Op {
    DropPartition(u64),
    Get(u64, u64),
    Grew(u64, u64, usize),
    Insert(u64, u64, usize),
    Remove(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let bytes = prop_oneof![4 => 0..2_000_usize, 1 => 2_000..25_000_usize];
    prop_oneof![
        1 => (0..4_u64).prop_map(Op::DropPartition),
        8 => (0..40_u64, 0..3_u64).prop_map(|(key, variant)| Op::Get(key, variant)),
        2 => (0..40_u64, 0..3_u64, bytes.clone()).prop_map(|(k, v, b)| Op::Grew(k, v, b)),
        8 => (0..40_u64, 0..3_u64, bytes).prop_map(|(k, v, b)| Op::Insert(k, v, b)),
        1 => (0..40_u64).prop_map(Op::Remove),
    ]
}

/// Applies `op` and checks what it promises; returns what it dropped.
fn apply(shard: &mut Shard<Page>, op: &Op) -> Vec<Arc<Page>> {
    let mut dropped = Dropped::new();
    match *op {
        Op::DropPartition(number) => {
            let before = shard.len();
            let gone = shard.drop_partition(partition(number), &mut dropped);
            assert_eq!((shard.len() + gone, dropped.len()), (before, gone));
            assert!(
                number % 4 != 0 || gone == 0,
                "the shared partition is not dropped"
            );
            for page in &dropped {
                assert_eq!(partition(page.key), partition(number));
            }
            for other in (0..40).filter(|&other| number % 4 != 0 && other % 4 == number % 4) {
                assert!((0..3).all(|v| shard.get(&key(other), &request(v)).is_none()));
            }
        }
        Op::Get(number, variant) => {
            if let Some(found) = shard.get(&key(number), &request(variant)) {
                assert_eq!((found.key, found.variant), (number, variant));
            }
        }
        Op::Grew(number, variant, extra) => {
            if let Some(found) = shard.get(&key(number), &request(variant)).cloned() {
                shard.grew(&key(number), &found, extra, &mut dropped);
            }
        }
        Op::Insert(number, variant, bytes) => {
            let value = Arc::new(page(number, variant, bytes));
            let fits = keep::insert(shard, key(number), Arc::clone(&value), &mut dropped);
            // Sizes near the bound are not drawn. What is large may have to leave to others.
            assert!(!fits || bytes < 20_000 - 1_000);
            let weight = group_bytes::<Page>(&key(number)) + variant_bytes(&*value);
            assert!(fits || weight > 20_000 / LARGE_SHARE);
            if fits {
                let found = shard.get(&key(number), &request(variant)).unwrap();
                assert!(Arc::ptr_eq(found, &value));
            }
        }
        Op::Remove(number) => {
            let gone = shard.remove(&key(number), &mut dropped);
            assert_eq!(dropped.len(), gone);
            assert!((0..3).all(|v| shard.get(&key(number), &request(v)).is_none()));
        }
    }
    dropped.into_vec()
}

proptest! {
    #[test]
    fn any_sequence_keeps_the_bounds_and_the_links(
        ops in prop::collection::vec(op(), 1..200),
        entries_max in 1..30_usize,
    ) {
        // Bytes that are drawn between these two would depend on the exact overhead.
        let ops = ops.iter().filter(|op| {
            !matches!(op, Op::Insert(_, _, bytes) if (19_000..20_000).contains(bytes))
        });
        let mut shard = Shard::new(20_000, entries_max);
        let mut twin = Shard::new(20_000, entries_max);
        for op in ops {
            let dropped = apply(&mut shard, op);
            prop_assert_eq!(shard.validate(), Ok(()));
            prop_assert!(shard.bytes() <= 20_000 && shard.len() <= entries_max);
            prop_assert_eq!(dropped, apply(&mut twin, op), "the same calls evict the same");
        }
        prop_assert_eq!(shard.evictions(), twin.evictions());
    }
}
