//! Owns the file of what a site has found out of its visitors ([`Keeper`]): a beginning, and
//! batches of facts behind each other, of which a later word on the same mark counts.
//! Never decides what is found out, and never makes a request wait.
//!
//! What changed is appended a few times a second; where the file has become twice as long as what counts it is
//! written anew. A batch is a count and its checksum, facts of 17 bytes, and a checksum of those. An end that is
//! cut is what a process leaves that is killed; anything else means that a word is lost, and that no copy can
//! be given to anybody by what is left. Until 0 says that a mark counts no more. Numbers are little-endian.

use std::sync::Arc;
use std::time::{Duration, Instant};

use retter_core::Site;
use retter_core::site::{Fact, Known};

use crate::folder::{Folder, Segment};
use crate::shared::Shared;

/// What the file begins with; the last digit is the version of the form.
const MAGIC: &[u8; 8] = b"RETTERL1";

const FACT_BYTES: usize = 17;

/// Facts in one batch.
const BATCH_MAX: usize = 4096;

/// A file that short is not worth to be written anew.
const BYTES_MIN: usize = 64 * 1024;

/// How long a change waits, so that the next ones are written with it. Looking takes longer where there is
/// much, and has a hundredth of the time at most.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How often what was written is made sure to outlive a power cut.
const SYNC_PAUSE: Duration = Duration::from_secs(5);

/// Writes down what a site finds out.
pub(crate) struct Keeper {
    pub(crate) folder: Arc<dyn Folder>,
    pub(crate) site: Site,
    pub(crate) shared: Arc<Shared>,
    /// Of which copies are kept.
    pub(crate) scope_mark: u64,
    pub(crate) epoch: Instant,
}

/// The file as it is.
struct Written {
    mark: u64,
    file: Box<dyn Segment>,
    facts: Vec<Fact>,
    len: usize,
    is_synced: bool,
}

impl Keeper {
    /// Of the rules of now: a reload may change them.
    fn mark(&self) -> u64 {
        self.site.rules_mark() ^ self.scope_mark
    }

    fn now(&self) -> retter_core::Instant {
        retter_core::Instant::from_epoch(self.epoch.elapsed())
    }

    /// Lets the site know what an earlier process had found out; `false` where a part of that is lost.
    pub(crate) fn bring_back(&self) -> bool {
        match self.folder.read_learnt() {
            Ok(Some(bytes)) => {
                let Read { facts, is_damaged } = read(&bytes, self.mark());
                for fact in facts {
                    self.site.learn(&fact, self.now());
                }
                !is_damaged
            }
            Ok(None) => true,
            Err(error) => {
                self.shared.failed(&error);
                false
            }
        }
    }

    /// Writes until the end.
    pub(crate) fn run(self) {
        let mut written = None;
        let mut synced = Instant::now();
        let mut pause = PAUSE;
        loop {
            let is_last = self.shared.rest(pause);
            let began = Instant::now();
            match self.write(&mut written, is_last, &mut synced) {
                Ok(()) => pause = (began.elapsed() * 100).clamp(PAUSE, PAUSE_MAX),
                Err(error) => {
                    self.shared.failed(&error);
                    // Nobody knows how much of it is there: the next one is a new file.
                    written = None;
                    pause = PAUSE_MAX;
                }
            }
            if is_last {
                break;
            }
        }
        self.shared.kept_facts();
    }

    fn write(
        &self,
        written: &mut Option<Written>,
        is_last: bool,
        synced: &mut Instant,
    ) -> std::io::Result<()> {
        let mut facts = self.site.facts(self.now());
        facts.sort_unstable();
        // Two that share a place of a table say the same.
        facts.dedup_by_key(|fact| (fact.known, fact.mark));
        let whole_len = facts.len() * FACT_BYTES;
        let mark = self.mark();
        let is_long = |it: &Written| it.len > BYTES_MIN && it.len > whole_len * 2;
        match written
            .as_mut()
            .filter(|it| it.mark == mark && !is_long(it))
        {
            Some(it) => {
                let changes = changes(&it.facts, &facts);
                if !changes.is_empty() {
                    let bytes = batches(&changes);
                    it.file.append(&bytes)?;
                    it.len += bytes.len();
                    it.is_synced = false;
                }
                it.facts = facts;
            }
            None => {
                let mut bytes = beginning(mark);
                bytes.extend_from_slice(&batches(&facts));
                *written = Some(Written {
                    mark,
                    file: self.folder.replace_learnt(&bytes)?,
                    facts,
                    len: bytes.len(),
                    is_synced: true,
                });
            }
        }
        let is_due = is_last || synced.elapsed() >= SYNC_PAUSE;
        if let Some(it) = written.as_mut().filter(|it| is_due && !it.is_synced) {
            it.file.sync()?;
            it.is_synced = true;
            *synced = Instant::now();
        }
        Ok(())
    }
}

/// Magic number, mark of the rules, checksum.
fn beginning(mark: u64) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], &mark.to_le_bytes()].concat();
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// What says how `old` becomes `new`; both are sorted.
fn changes(old: &[Fact], new: &[Fact]) -> Vec<Fact> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    let name = |fact: &Fact| (fact.known, fact.mark);
    let mut changes = Vec::new();
    loop {
        let is_gone = match (old.peek(), new.peek()) {
            (None, None) => return changes,
            (Some(was), Some(is)) if name(was) == name(is) => {
                if was.until != is.until {
                    changes.push(**is);
                }
                old.next();
                new.next();
                continue;
            }
            (Some(was), Some(is)) => name(was) < name(is),
            (was, _) => was.is_some(),
        };
        if is_gone {
            let gone = |was: &Fact| Fact { until: 0, ..*was };
            changes.extend(old.next().map(gone));
        } else {
            changes.extend(new.next());
        }
    }
}

const fn number(known: Known) -> u8 {
    match known {
        Known::Closed => 1,
        Known::Given => 2,
        Known::GivenToSeveral => 3,
        Known::Personal => 4,
        Known::Refused => 5,
        Known::Rolls => 6,
        Known::Stays => 7,
        Known::Wrote => 8,
    }
}

fn batches(facts: &[Fact]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(facts.len() * FACT_BYTES + 8);
    for batch in facts.chunks(BATCH_MAX) {
        let count = u32::try_from(batch.len()).unwrap_or_default().to_le_bytes();
        bytes.extend_from_slice(&count);
        bytes.extend_from_slice(&crc32fast::hash(&count).to_le_bytes());
        let start = bytes.len();
        for fact in batch {
            bytes.push(number(fact.known));
            bytes.extend_from_slice(&fact.mark.to_le_bytes());
            bytes.extend_from_slice(&fact.until.to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes[start..]);
        bytes.extend_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

/// What a file says.
#[derive(Debug, Default, Eq, PartialEq)]
struct Read {
    /// Those that count at its end, each once.
    facts: Vec<Fact>,
    is_damaged: bool,
}

fn read(bytes: &[u8], mark: u64) -> Read {
    let mut facts = std::collections::BTreeMap::new();
    let begin = beginning(mark);
    let Some(mut rest) = bytes.strip_prefix(&begin[..]) else {
        // It gets its name when it is whole.
        return Read {
            facts: Vec::new(),
            is_damaged: true,
        };
    };
    let is_damaged = loop {
        match read_batch(rest) {
            Batch::Whole(batch, tail) => {
                for fact in batch {
                    facts.insert((fact.known, fact.mark), fact);
                }
                rest = tail;
            }
            Batch::Cut => break false,
            Batch::Damaged => break true,
        }
    };
    let facts = facts.into_values();
    Read {
        facts: facts.filter(|fact| fact.until > 0).collect(),
        is_damaged,
    }
}

enum Batch<'a> {
    /// Its end was never written, or nothing is there.
    Cut,
    /// It is not as it was written.
    Damaged,
    /// With what is behind it.
    Whole(Vec<Fact>, &'a [u8]),
}

const COUNT_BYTES: usize = 8;

fn read_batch(bytes: &[u8]) -> Batch<'_> {
    let Some((head, rest)) = bytes.split_at_checked(COUNT_BYTES) else {
        return Batch::Cut;
    };
    let (count, checksum) = head.split_at(size_of::<u32>());
    if crc32fast::hash(count).to_le_bytes() != checksum {
        // A file system may have made room for what was never written.
        return match bytes.iter().all(|byte| *byte == 0) {
            true => Batch::Cut,
            false => Batch::Damaged,
        };
    }
    let count = count
        .first_chunk()
        .map_or(0, |count| u32::from_le_bytes(*count));
    let len = usize::try_from(count).map_or(usize::MAX, |count| count.saturating_mul(FACT_BYTES));
    let Some((said, rest)) = rest.split_at_checked(len) else {
        return Batch::Cut;
    };
    let Some((checksum, rest)) = rest.split_first_chunk() else {
        return Batch::Cut;
    };
    if crc32fast::hash(said) != u32::from_le_bytes(*checksum) {
        let is_unwritten = said.iter().chain(rest).all(|byte| *byte == 0);
        return if is_unwritten {
            Batch::Cut
        } else {
            Batch::Damaged
        };
    }
    let (facts, _) = said.as_chunks::<FACT_BYTES>();
    Batch::Whole(facts.iter().filter_map(read_fact).collect(), rest)
}

fn read_fact(bytes: &[u8; FACT_BYTES]) -> Option<Fact> {
    let (known, rest) = bytes.split_first()?;
    let (mark, rest) = rest.split_first_chunk()?;
    let (until, _) = rest.split_first_chunk()?;
    Some(Fact {
        known: Known::ALL.into_iter().find(|it| number(*it) == *known)?,
        mark: u64::from_le_bytes(*mark),
        until: u64::from_le_bytes(*until),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARK: u64 = 9;

    fn fact(known: Known, mark: u64, until: u64) -> Fact {
        Fact { known, mark, until }
    }

    impl From<(&[Fact], bool)> for Read {
        fn from((facts, is_damaged): (&[Fact], bool)) -> Self {
            Self {
                facts: facts.to_vec(),
                is_damaged,
            }
        }
    }

    fn facts_of(bytes: &[u8]) -> Read {
        read(bytes, MARK)
    }

    fn file(facts: &[Fact]) -> Vec<u8> {
        [beginning(MARK), batches(facts)].concat()
    }

    #[test]
    fn the_last_word_on_a_mark_counts() {
        let first = [
            fact(Known::Refused, 1, 5),
            fact(Known::Rolls, 1, 5),
            fact(Known::Wrote, 2, 7),
        ];
        let later = [fact(Known::Refused, 1, 0), fact(Known::Wrote, 2, 8)];
        let bytes = [file(&first), batches(&later)].concat();
        let expected = [fact(Known::Rolls, 1, 5), fact(Known::Wrote, 2, 8)];
        assert_eq!(facts_of(&bytes), (&expected[..], false).into());
        let other = read(&bytes, MARK + 1);
        assert!(other.facts.is_empty() && other.is_damaged, "by other rules");
        assert_eq!(Known::ALL.map(number), [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_cut_leaves_what_is_before_it_and_each_flipped_bit_is_noticed() {
        let (first, later) = ([fact(Known::Closed, 1, 5)], [fact(Known::Closed, 2, 5)]);
        let whole = [file(&first), batches(&later)].concat();
        let (begin, middle) = (beginning(MARK).len(), file(&first).len());
        for end in begin..whole.len() {
            let expected = if end < middle { &[][..] } else { &first[..] };
            assert_eq!(
                facts_of(&whole[..end]),
                (expected, false).into(),
                "{end} bytes"
            );
            let mut zeros = whole[..end].to_vec();
            zeros.resize(whole.len() + 50, 0);
            assert!(facts_of(&zeros).facts.len() <= 2, "{end} bytes and zeros");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(facts_of(&flipped).is_damaged, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn changes_lead_from_the_old_to_the_new(
            old in prop::collection::btree_map((0_usize..8, 0_u64..40), 1_u64..5, 0..60),
            new in prop::collection::btree_map((0_usize..8, 0_u64..40), 1_u64..5, 0..60),
        ) {
            let facts = |map: std::collections::BTreeMap<(usize, u64), u64>| {
                let facts = map.into_iter();
                facts.map(|((known, mark), until)| fact(Known::ALL[known], mark, until)).collect()
            };
            let (old, new): (Vec<_>, Vec<_>) = (facts(old), facts(new));
            let bytes = [file(&old), batches(&changes(&old, &new))].concat();
            prop_assert_eq!(facts_of(&bytes), (&new[..], false).into());
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let read = facts_of(&[beginning(MARK), bytes].concat());
            prop_assert!(read.facts.len() < 12);
        }
    }
}
