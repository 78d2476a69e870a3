//! Owns the form in which a copy outlives the process: bytes of one version, with a checksum.
//! Never decides which copies do, and keeps no bytes.
//!
//! Numbers are little-endian; a text is its length in 32 bits and its bytes. In this order: the
//! version (8 bits); the mark of the rules by which the copy was made; when the origin was asked
//! and when its head came (64 bits each, the times in nanoseconds since 1970); the
//! key: its kind of partition (8 bits) and number (128), whether it has an identity (8), where the
//! kind of answer begins and the resource ends (32 each), its bytes; the times by which it rescues
//! (four times 32 bits); what it varies by; its fields, those for this program alone, its body; and the
//! CRC-32 of all that. A list is its length in 32 bits and its members; a field is two texts, and a
//! field that it varies by has a byte between them, 0 where the request did not have it.

use bytes::Bytes;

use super::copy::{StoredResponse, Times};
use crate::key::{CacheKey, KeyParts, Partition};
use crate::message::{Fields, FieldsBuilder};
use crate::rules::freshness::Lifetimes;
use crate::store::Vary;
use crate::time::Instant;

/// Changed with every change of the form.
const VERSION: u8 = 1;

const CHECKSUM_BYTES: usize = 4;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// What a record says beside what is in the copy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    /// Of the rules by which the copy was made.
    pub(super) rules: u64,
    /// Nanoseconds since 1970.
    pub(super) asked: u64,
    /// Likewise.
    pub(super) received: u64,
}

impl Stamp {
    /// The wall clock at the adapter's epoch is `epoch`, in nanoseconds since 1970.
    pub(super) fn of(times: Times, rules: u64, epoch: u64) -> Self {
        let before = u64::from(times.before).saturating_mul(NANOS_PER_SEC);
        let at = |instant: Instant| epoch.saturating_add(instant.as_nanos());
        Self {
            rules,
            // What came before the epoch was asked for before it.
            asked: at(times.asked).saturating_sub(before),
            received: at(times.received).saturating_sub(before),
        }
    }

    /// The times by the adapter's clock.
    pub(super) fn times(&self, epoch: u64, now: Instant) -> Times {
        let at = |nanos: u64| Instant::from_nanos(nanos.saturating_sub(epoch));
        let received = at(self.received).min(now);
        let before = epoch.saturating_sub(self.received).div_ceil(NANOS_PER_SEC);
        Times {
            asked: at(self.asked).min(received),
            received,
            before: u32::try_from(before).unwrap_or(u32::MAX),
        }
    }
}

/// A record as it was read.
#[derive(Debug)]
pub(super) struct Record<'a> {
    pub(super) stamp: Stamp,
    pub(super) key: KeyParts,
    pub(super) lifetimes: Lifetimes,
    pub(super) vary: Vary,
    pub(super) fields: Fields,
    pub(super) targeted: Option<Fields>,
    pub(super) body: &'a [u8],
}

/// Why a record cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unreadable {
    /// Some of its bytes are not as they were written.
    Damaged,
    /// Another version of the program has written it.
    Version,
}

/// Writes a good copy down; `None` where it may not be used stale.
pub(super) fn write(key: &CacheKey, copy: &StoredResponse, stamp: Stamp) -> Option<Vec<u8>> {
    let rescuing = copy.lifetimes().rescuing()?;
    let mut out = Writer(Vec::with_capacity(copy.body().len() + 1024));
    out.0.push(VERSION);
    for number in [stamp.rules, stamp.asked, stamp.received] {
        out.0.extend_from_slice(&number.to_le_bytes());
    }
    out.key(&key.parts());
    rescuing.into_iter().for_each(|number| out.number(number));
    out.count(copy.vary().fields().count());
    for (name, value) in copy.vary().fields() {
        out.text(name.as_bytes());
        out.0.push(u8::from(value.is_some()));
        out.text(value.unwrap_or_default());
    }
    out.fields(copy.fields());
    let none = Fields::default();
    out.fields(copy.targeted().unwrap_or(&none));
    out.text(copy.body());
    let checksum = crc32fast::hash(&out.0);
    out.number(checksum);
    Some(out.0)
}

/// Reads what [`write()`] has written.
pub(super) fn read(record: &[u8]) -> Result<Record<'_>, Unreadable> {
    let (&version, _) = record.split_first().ok_or(Unreadable::Damaged)?;
    let (said, checksum) = record
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(Unreadable::Damaged)?;
    if crc32fast::hash(said) != u32::from_le_bytes(*checksum) {
        return Err(Unreadable::Damaged);
    }
    if version != VERSION {
        return Err(Unreadable::Version);
    }
    let mut reader = Reader(&said[1..]);
    let record = reader.record().ok_or(Unreadable::Damaged)?;
    reader
        .0
        .is_empty()
        .then_some(record)
        .ok_or(Unreadable::Damaged)
}

struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    /// What is kept is far below four gibibytes; what were not would be read as damaged.
    fn count(&mut self, count: usize) {
        self.number(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn text(&mut self, text: &[u8]) {
        self.count(text.len());
        self.0.extend_from_slice(text);
    }

    fn key(&mut self, key: &KeyParts) {
        let (kind, number) = match key.partition {
            Partition::Shared => (0, 0),
            Partition::Public => (1, 0),
            Partition::Marked(number) => (2, number),
            Partition::Session(number) => (3, number),
        };
        self.0.push(kind);
        self.0.extend_from_slice(&number.to_le_bytes());
        self.0.push(u8::from(key.has_identity));
        self.count(key.kind_at);
        self.count(key.resource_len);
        self.text(&key.bytes);
    }

    fn fields(&mut self, fields: &Fields) {
        self.count(fields.len());
        for (name, value) in fields.iter() {
            self.text(name.as_bytes());
            self.text(value);
        }
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn record(&mut self) -> Option<Record<'a>> {
        let stamp = Stamp {
            rules: u64::from_le_bytes(self.chunk()?),
            asked: u64::from_le_bytes(self.chunk()?),
            received: u64::from_le_bytes(self.chunk()?),
        };
        let key = self.key()?;
        let lifetimes = [
            self.number()?,
            self.number()?,
            self.number()?,
            self.number()?,
        ];
        let vary = self.vary()?;
        let fields = self.fields()?;
        let targeted = self.fields()?;
        Some(Record {
            stamp,
            key,
            lifetimes: Lifetimes::from_rescuing(lifetimes),
            vary,
            fields,
            targeted: (!targeted.is_empty()).then_some(targeted),
            body: self.text()?,
        })
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn number(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.chunk()? {
            [0] => Some(false),
            [1] => Some(true),
            [_] => None,
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.count()?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(text)
    }

    fn name(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.text()?).ok()
    }

    fn key(&mut self) -> Option<KeyParts> {
        let [kind] = self.chunk()?;
        let number = u128::from_le_bytes(self.chunk()?);
        let partition = match kind {
            0 => Partition::Shared,
            1 => Partition::Public,
            2 => Partition::Marked(number),
            3 => Partition::Session(number),
            _ => return None,
        };
        Some(KeyParts {
            partition,
            has_identity: self.flag()?,
            kind_at: self.count()?,
            resource_len: self.count()?,
            bytes: Bytes::copy_from_slice(self.text()?),
        })
    }

    fn vary(&mut self) -> Option<Vary> {
        let (mut request, mut named) = (FieldsBuilder::default(), FieldsBuilder::default());
        for _ in 0..self.count()? {
            let name = self.name()?;
            let is_there = self.flag()?;
            let value = self.text()?;
            let is_sound =
                (!is_there || request.push(name, value)) && named.push("vary", name.as_bytes());
            if !is_sound {
                return None;
            }
        }
        // Whatever was in the key of the copy was left out when it was made.
        Vary::of(&request.build(), &named.build(), false)
    }

    fn fields(&mut self) -> Option<Fields> {
        let mut fields = FieldsBuilder::default();
        for _ in 0..self.count()? {
            let (name, value) = (self.name()?, self.text()?);
            if !fields.push(name, value) {
                return None;
            }
        }
        Some(fields.build())
    }
}
