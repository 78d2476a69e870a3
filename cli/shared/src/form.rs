//! Owns what is sealed: copies with the place in the stream up to which they are right ([`Value`]), events
//! ([`Event`]) and beats ([`Beat`]), as bytes.
//! Never seals, and never decides what counts.
//!
//! Numbers are little-endian; a text is its length in 32 bits and its bytes.

use retter_core::copies::{Invalidation, Purge};
use retter_core::key::Partition;

use crate::names::Id;

/// Bytes of a value that is written; larger pages are not shared.
pub(crate) const VALUE_BYTES_MAX: usize = 8 << 20;

/// Keys in one item.
pub(crate) const KEYS_MAX: usize = 512;

/// The records of one key.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Value {
    /// All events up to this one were known to whoever wrote it.
    pub(crate) id: Id,
    pub(crate) records: Vec<Vec<u8>>,
}

/// The name of an instance: another one at each start.
pub(crate) type Sender = [u8; 16];

/// What an instance has to tell, in its own order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) sender: Sender,
    /// The number of the first item, from 1 on; that of the next one where there is none.
    pub(crate) first: u64,
    pub(crate) items: Vec<Item>,
}

/// One thing that is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Item {
    /// There was more than can be told: anything may be wrong.
    Gap,
    Invalid(Invalidation),
}

/// An instance is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Beat {
    pub(crate) sender: Sender,
    /// The number of its last item.
    pub(crate) last: u64,
    pub(crate) number: u64,
}

impl Value {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.long(self.id.millis);
        out.long(self.id.number);
        out.count(self.records.len());
        self.records.iter().for_each(|record| out.text(record));
        out.0
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let id = Id {
            millis: reader.long()?,
            number: reader.long()?,
        };
        let mut records = Vec::new();
        for _ in 0..reader.count()? {
            records.push(reader.text()?.to_vec());
        }
        reader.0.is_empty().then_some(Self { id, records })
    }
}

impl Event {
    /// The number of the last item.
    pub(crate) fn last(&self) -> u64 {
        self.first.saturating_sub(1) + self.items.len() as u64
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.0.extend_from_slice(&self.sender);
        out.long(self.first);
        out.count(self.items.len());
        self.items.iter().for_each(|item| out.item(item));
        out.0
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let (sender, first) = (reader.chunk()?, reader.long()?);
        let mut items = Vec::new();
        for _ in 0..reader.count()? {
            items.push(reader.item()?);
        }
        reader.0.is_empty().then_some(Self {
            sender,
            first,
            items,
        })
    }
}

impl Beat {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.0.extend_from_slice(&self.sender);
        out.long(self.last);
        out.long(self.number);
        out.0
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let beat = Self {
            sender: reader.chunk()?,
            last: reader.long()?,
            number: reader.long()?,
        };
        reader.0.is_empty().then_some(beat)
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn long(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// What is told is far below four gibibytes.
    fn count(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&count.to_le_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.count(text.len());
        self.0.extend_from_slice(text);
    }

    fn host(&mut self, host: Option<&String>) {
        self.0.push(u8::from(host.is_some()));
        self.text(host.map_or(b"", |host| host.as_bytes()));
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Gap => self.0.push(0),
            Item::Invalid(Invalidation::Keys(keys)) => {
                self.0.push(1);
                self.count(keys.len());
                keys.iter().for_each(|key| self.long(*key));
            }
            Item::Invalid(Invalidation::Partition(partition)) => {
                let (kind, number) = match *partition {
                    Partition::Shared => (0, 0),
                    Partition::Public => (1, 0),
                    Partition::Marked(number) => (2, number),
                    Partition::Session(number) => (3, number),
                };
                self.0.extend_from_slice(&[2, kind]);
                self.0.extend_from_slice(&number.to_le_bytes());
            }
            Item::Invalid(Invalidation::Written(resource)) => {
                self.0.push(3);
                self.long(*resource);
            }
            Item::Invalid(Invalidation::Refused(resource)) => {
                self.0.push(4);
                self.long(*resource);
            }
            // Those of a session are a partition.
            Item::Invalid(Invalidation::Purge(Purge::All | Purge::Session { .. })) => {
                self.0.push(5);
            }
            Item::Invalid(Invalidation::Purge(Purge::Prefix { host, path })) => {
                self.0.push(6);
                self.host(host.as_ref());
                self.text(path.as_bytes());
            }
            Item::Invalid(Invalidation::Purge(Purge::Url {
                host,
                path_and_query,
            })) => {
                self.0.push(7);
                self.host(host.as_ref());
                self.text(path_and_query.as_bytes());
            }
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn long(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.chunk()?)).ok()
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.count()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(text)
    }

    fn string(&mut self) -> Option<String> {
        String::from_utf8(self.text()?.to_vec()).ok()
    }

    fn host(&mut self) -> Option<Option<String>> {
        let [is_some] = self.chunk()?;
        let host = self.string()?;
        Some((is_some != 0).then_some(host))
    }

    fn item(&mut self) -> Option<Item> {
        let [kind] = self.chunk()?;
        let invalidation = match kind {
            0 => return Some(Item::Gap),
            1 => {
                let mut keys = Vec::new();
                for _ in 0..self.count()? {
                    keys.push(self.long()?);
                }
                Invalidation::Keys(keys)
            }
            2 => {
                let [kind] = self.chunk()?;
                let number = u128::from_le_bytes(self.chunk()?);
                Invalidation::Partition(match kind {
                    0 => Partition::Shared,
                    1 => Partition::Public,
                    2 => Partition::Marked(number),
                    3 => Partition::Session(number),
                    _ => return None,
                })
            }
            3 => Invalidation::Written(self.long()?),
            4 => Invalidation::Refused(self.long()?),
            5 => Invalidation::Purge(Purge::All),
            6 => Invalidation::Purge(Purge::Prefix {
                host: self.host()?,
                path: self.string()?,
            }),
            7 => Invalidation::Purge(Purge::Url {
                host: self.host()?,
                path_and_query: self.string()?,
            }),
            _ => return None,
        };
        Some(Item::Invalid(invalidation))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> Event {
        let host = Some("h".to_owned());
        let invalid = [
            Invalidation::Keys(vec![1, u64::MAX]),
            Invalidation::Partition(Partition::Session(7)),
            Invalidation::Partition(Partition::Marked(8)),
            Invalidation::Partition(Partition::Public),
            Invalidation::Written(9),
            Invalidation::Refused(10),
            Invalidation::Purge(Purge::All),
            Invalidation::Purge(Purge::Prefix {
                host: host.clone(),
                path: "/a".to_owned(),
            }),
            Invalidation::Purge(Purge::Url {
                host: None,
                path_and_query: "/a?b".to_owned(),
            }),
        ];
        let mut items: Vec<_> = invalid.into_iter().map(Item::Invalid).collect();
        items.push(Item::Gap);
        Event {
            sender: [3; 16],
            first: 5,
            items,
        }
    }

    #[test]
    fn what_is_written_is_read_and_no_part_of_it_is() {
        let event = event();
        let bytes = event.bytes();
        assert_eq!(event.last(), 14);
        assert_eq!(Event::read(&bytes), Some(event));
        for end in 0..bytes.len() {
            assert_eq!(Event::read(&bytes[..end]), None, "{end} bytes");
        }
        let value = Value {
            id: Id {
                millis: 1,
                number: 2,
            },
            records: vec![b"one".to_vec(), Vec::new()],
        };
        let bytes = value.bytes();
        assert_eq!(Value::read(&bytes), Some(value));
        for end in 0..bytes.len() {
            assert_eq!(Value::read(&bytes[..end]), None, "{end} bytes");
        }
        let beat = Beat {
            sender: [1; 16],
            last: 2,
            number: 3,
        };
        assert_eq!(Beat::read(&beat.bytes()), Some(beat));
        assert_eq!(Beat::read(&beat.bytes()[1..]), None);
    }

    #[test]
    fn an_event_without_items_has_the_number_of_those_before() {
        let event = Event {
            sender: [0; 16],
            first: 1,
            items: Vec::new(),
        };
        assert_eq!(event.last(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_wedge_it(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = (Event::read(&bytes), Value::read(&bytes), Beat::read(&bytes));
        }
    }
}
