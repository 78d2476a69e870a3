//! Owns the target of the store: whatever is called, its bounds and links hold, and what comes out
//! is the newest of what was put in under exactly this key for exactly this variant.
//! Never looks into a shard: `validate` does.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http::Method;

use super::input::Input;
use crate::config::CacheSettings;
use crate::key::{CacheKey, Keyer, Partition};
use crate::message::{Fields, RequestHead};
use crate::store::{Bounds, Entry, Store};

/// Three numbers of the bounds, then calls of two to four bytes. See [the table](super).
pub fn store(data: &[u8]) {
    let mut input = Input(data);
    let bounds = Bounds {
        bytes_max: 4_096 << input.below(8),
        entries_max: usize::from(input.byte()) * 2 + 1,
        object_bytes_max: 1_024,
        shards_max: usize::from(input.below(5)) + 1,
    };
    let mut run = Run {
        store: Store::new(bounds),
        newest: BTreeMap::new(),
        version: 0,
    };
    while !input.is_empty() {
        run.step(&mut input);
        assert_eq!(run.store.validate(), Ok(()));
        assert!(run.store.bytes() <= bounds.bytes_max);
        assert!(run.store.len() <= bounds.entries_max);
    }
    run.check_all();
}

const KEYS: u8 = 40;
/// More than are kept under one key.
const VARIANTS: u8 = 12;

/// A value that knows what it is, so that a mix-up is seen.
#[derive(Debug, Eq, PartialEq)]
struct Page {
    key: u8,
    variant: u8,
    version: u32,
    bytes: usize,
}

impl Entry for Page {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn matches(&self, request: &Fields) -> bool {
        request.get("variant") == Some(&[b'a' + self.variant])
    }

    fn same_variant(&self, other: &Self) -> bool {
        self.variant == other.variant
    }

    fn is_good(&self) -> bool {
        true
    }
}

struct Run {
    store: Store<Page>,
    /// The version that may come out, by key and variant.
    newest: BTreeMap<(u8, u8), u32>,
    version: u32,
}

impl Run {
    fn step(&mut self, input: &mut Input<'_>) {
        let (call, key) = (input.byte(), input.below(KEYS));
        let variant = (call >> 4) % VARIANTS;
        match call & 0x0f {
            0..=5 => self.insert(key, variant, usize::from(input.word())),
            6..=11 => {
                self.get(key, variant);
            }
            12 | 13 => {
                let extra = usize::from(input.word());
                if let Some(page) = self.get(key, variant) {
                    self.store.grew(&key_of(key), &page, extra);
                }
            }
            14 => {
                let gone = self.store.remove(&key_of(key));
                let known = self.newest.len();
                self.newest.retain(|(other, _), _| *other != key);
                assert!(gone <= known - self.newest.len());
            }
            _ => {
                let dropped = partition_of(key);
                let gone = self.store.drop_partition(dropped);
                let known = self.newest.len();
                if dropped != Partition::Shared {
                    self.newest
                        .retain(|(other, _), _| partition_of(*other) != dropped);
                }
                assert!(gone <= known - self.newest.len());
            }
        }
    }

    fn insert(&mut self, key: u8, variant: u8, bytes: usize) {
        self.version += 1;
        let version = self.version;
        let page = Page {
            key,
            variant,
            version,
            bytes,
        };
        if self.store.insert(key_of(key), page).is_some() {
            self.newest.insert((key, variant), version);
            assert!(
                self.get(key, variant).is_some(),
                "what was just kept is there"
            );
        }
    }

    fn get(&self, key: u8, variant: u8) -> Option<std::sync::Arc<Page>> {
        let request = &REQUESTS[usize::from(variant)];
        let page = self.store.get(&NAMES[usize::from(key)], request)?;
        assert_eq!((page.key, page.variant), (key, variant));
        assert_eq!(self.newest.get(&(key, variant)), Some(&page.version));
        Some(page)
    }

    /// What is counted can be found, and nothing else.
    fn check_all(&self) {
        let everything = (0..KEYS).flat_map(|key| (0..VARIANTS).map(move |v| (key, v)));
        let found: Vec<_> = everything.filter_map(|(key, v)| self.get(key, v)).collect();
        assert_eq!(found.len(), self.store.len());
        let bytes: usize = found.iter().map(|page| page.bytes).sum();
        assert!(bytes <= self.store.bytes());
        let counted = self.store.insertions().checked_sub(self.store.evictions());
        assert!(counted >= Some(found.len() as u64));
    }
}

fn partition_of(key: u8) -> Partition {
    match key % 4 {
        0 => Partition::Shared,
        1 => Partition::Marked(1 << 64),
        2 => Partition::Session(1 << 64),
        _ => Partition::Session(2 << 64),
    }
}

fn key_of(key: u8) -> CacheKey {
    NAMES[usize::from(key)].clone()
}

/// Made once: making them takes longer than all that is tested.
static NAMES: LazyLock<Vec<CacheKey>> = LazyLock::new(|| {
    let keyer = Keyer::new(&CacheSettings::default(), 1);
    let head = RequestHead::new(Method::GET, "/", Fields::default());
    let name = |key| keyer.key_of(&head, format!("/{key}").as_bytes(), partition_of(key));
    let names = (0..KEYS).map(|key| name(key).expect("a short path makes a key"));
    names.collect()
});

static REQUESTS: LazyLock<Vec<Fields>> = LazyLock::new(|| {
    let request = |variant| Fields::from_pairs([("variant", &[b'a' + variant][..])]);
    (0..VARIANTS).map(request).collect()
});
