//! Tests of shares: what one network makes displaces little of what others had made.

use super::*;

/// Pages of an owner who asks for as many as they may: each once.
fn press(store: &Store<Page>, owner: u8, numbers: std::ops::Range<u64>, bytes: usize) {
    for number in numbers {
        let page = Page {
            owner,
            ..page(number, 0, bytes)
        };
        store.insert(key_in(number, Partition::Shared), page);
    }
    store.validate().unwrap();
}

/// How many of these pages are there, without a use of them.
fn kept(store: &Store<Page>, numbers: std::ops::Range<u64>) -> usize {
    let is_kept = |number: &u64| store.contains(&key_in(*number, Partition::Shared));
    numbers.filter(is_kept).count()
}

fn one_shard() -> Store<Page> {
    Store::new(Bounds {
        shards_max: 1,
        ..bounds(1 << 20, 1_000)
    })
}

/// A store with pages 1 to 200, each seen once by a visitor of a network of its own: four fifths of it.
fn store_of_many() -> Store<Page> {
    let store = one_shard();
    for owner in 1..=200_u8 {
        let number = u64::from(owner);
        press(&store, owner, number..number + 1, 3_500);
    }
    store
}

#[test]
fn no_owner_drives_out_what_others_had_made() {
    for bytes in [1_000, 5_000, 150_000] {
        let store = store_of_many();
        assert_eq!(kept(&store, 1..201), 200);
        press(&store, 255, 1_000..3_000, bytes);
        let left = kept(&store, 1..201);
        assert!(left >= 150, "{left} of 200 are left, {bytes} bytes each");
    }
}

#[test]
fn an_owner_without_rivals_may_fill_the_store() {
    let store = one_shard();
    press(&store, 1, 0..2_000, 2_000);
    let newest = kept(&store, 1_900..2_000);
    assert!(store.bytes() > 1_000_000 && newest >= 90, "{newest}");
}

#[test]
fn a_large_value_that_is_asked_for_again_is_kept() {
    let store = one_shard();
    press(&store, 0, 0..400, 2_500);
    press(&store, 1, 400..401, 120_000);
    assert_eq!(kept(&store, 400..401), 0, "the store is full of others");
    press(&store, 2, 400..401, 120_000);
    assert_eq!(kept(&store, 400..401), 1);
}

#[test]
fn made_up_variants_drive_out_one_of_the_others() {
    let store = Store::new(bounds(1 << 20, 100));
    let of = |owner, variant| Page {
        owner,
        ..page(1, variant, 10)
    };
    for variant in 0..VARIANTS_MAX as u64 {
        let owner = u8::try_from(variant).unwrap() + 1;
        store.insert(key(1), of(owner, variant)).unwrap();
    }
    for variant in 100..120 {
        store.insert(key(1), of(99, variant)).unwrap();
    }
    let left = (0..VARIANTS_MAX as u64).filter(|variant| {
        let found = store.get(&key(1), &request(*variant));
        found.is_some()
    });
    assert_eq!(left.count(), VARIANTS_MAX - 2);
    store.validate().unwrap();
}

/// Each owner presses with as many variants of pages that others had made.
#[test]
fn no_owner_drives_out_what_others_had_made_with_variants_of_it() {
    for bytes in [1_000, 5_000, 60_000] {
        let store = store_of_many();
        for variant in 1..=8 {
            for number in 1..=200 {
                let made_up = Page {
                    owner: 255,
                    ..page(number, variant, bytes)
                };
                store.insert(key_in(number, Partition::Shared), made_up);
            }
            store.validate().unwrap();
        }
        let is_there = |number: &u64| {
            let variants = store.variants(&key_in(*number, Partition::Shared));
            variants.iter().any(|page| page.variant == 0)
        };
        let left = (1..=200).filter(is_there).count();
        assert!(left >= 150, "{left} of 200 are left, {bytes} bytes each");
    }
}

#[test]
fn what_is_renewed_for_nobody_stays_whose_it_was() {
    let store = one_shard();
    for owner in 1..=100_u8 {
        press(&store, owner, u64::from(owner)..u64::from(owner) + 1, 7_000);
    }
    // Each page of the one who presses is renewed once.
    for number in 1_000..1_500 {
        press(&store, 255, number..number + 1, 4_000);
        if store.contains(&key_in(number, Partition::Shared)) {
            press(&store, 0, number..number + 1, 4_000);
        }
    }
    let left = kept(&store, 1..101);
    assert!(left >= 75, "{left} of 100 are left");
}
