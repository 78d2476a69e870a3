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

#[test]
fn no_owner_drives_out_what_others_had_made() {
    for bytes in [1_000, 5_000, 150_000] {
        let store = Store::new(Bounds {
            shards_max: 1,
            ..bounds(1 << 20, 1_000)
        });
        // Seen once by visitors of many networks; four fifths of the store.
        for owner in 1..=200_u8 {
            let number = u64::from(owner);
            press(&store, owner, number..number + 1, 3_500);
        }
        assert_eq!(kept(&store, 1..201), 200);
        press(&store, 255, 1_000..3_000, bytes);
        let left = kept(&store, 1..201);
        assert!(left >= 150, "{left} of 200 are left, {bytes} bytes each");
    }
}

#[test]
fn an_owner_without_rivals_may_fill_the_store() {
    let store = Store::new(Bounds {
        shards_max: 1,
        ..bounds(1 << 20, 1_000)
    });
    press(&store, 1, 0..2_000, 2_000);
    let newest = kept(&store, 1_900..2_000);
    assert!(store.bytes() > 1_000_000 && newest >= 90, "{newest}");
}

#[test]
fn a_large_value_that_is_asked_for_again_is_kept() {
    let store = Store::new(Bounds {
        shards_max: 1,
        ..bounds(1 << 20, 1_000)
    });
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
